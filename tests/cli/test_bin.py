"""``bin``: the deleted models are listed, restored and removed for good; ``doctor`` says their size."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.storage import bin as model_bin
from padim.storage.model_folders import Entry
from tests.cli.conftest import Run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


def deleted(home: Path, model: Padim, name: str) -> Entry:
    """Create a model and delete it."""
    store = Workspace(home)
    entry = store.create(name)
    model.save(entry.path)
    model_bin.put(store, entry.id)
    return entry


def test_a_model_comes_back_by_its_name(run: Run, home: Path, small_model: Padim) -> None:
    entry = deleted(home, small_model, "Flange, left")
    other = deleted(home, small_model, "Plate")
    listed = run("bin")
    assert "Flange, left" in listed.out
    assert "kept until" in listed.out
    report = run("bin", "--json").json
    assert {one["id"] for one in report["models"]} == {entry.id, other.id}
    assert report["bytes"] == sum(path.stat().st_size for path in (home / "bin").rglob("*") if path.is_file())
    assert f"2 deleted models, {report['bytes'] / 1e6:.1f} MB" in " ".join(run("doctor").out.split())
    assert run("doctor", "--json").json["bin"] == {"models": 2, "bytes": report["bytes"]}
    back = run("bin", "--restore", "Flange, left")
    assert back.code == 0, back.err
    assert "is back among the models" in back.out
    assert [one.id for one in Workspace(home).models()] == [entry.id]
    assert [one["id"] for one in run("bin", "--json").json["models"]] == [other.id]


def test_removed_for_good(run: Run, home: Path, small_model: Padim) -> None:
    first, second = (deleted(home, small_model, "Plate") for _ in range(2))
    third = deleted(home, small_model, "Cup")
    refused = run("bin", "--delete", "Plate").sentence
    assert "2 models in the bin are called 'Plate'; give the id of one: " in refused
    assert first.id in refused
    assert second.id in refused
    assert run("bin", "--delete", first.id, "--json").json["removed"][0]["id"] == first.id
    done = run("bin", "--empty", "--json").json
    assert {one["id"] for one in done["removed"]} == {second.id, third.id}
    assert (done["models"], done["bytes"]) == ([], 0)
    assert "The bin is empty" in run("bin").out


def test_refusals_are_one_sentence(run: Run, home: Path, small_model: Padim) -> None:
    assert "there is no workspace" in run("bin").sentence
    deleted(home, small_model, "Plate")
    assert "no model in the bin has the name or id 'Cup'" in run("bin", "--restore", "Cup").sentence
    assert "choose one of" in run("bin", "--restore", "Plate", "--empty").sentence
