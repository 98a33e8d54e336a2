"""``adapt``: the model of the better network is saved, and the figures of both are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from padim import Padim
from padim.adaptation import adapt
from padim.adaptation.adapt import NetworkResult
from padim.analysis.significance import Difference
from padim.methods.base import Losses
from padim.network import backbone
from tests.cli.conftest import Run, write
from tests.parts import defects, normals

# One layer and one training pass are enough to run the whole command.
TINY = (
    *("--input-size", "64", "--layers", "blocks.2", "--n-features", "20", "--smoothing", "2"),
    *("--min-area", "8", "--groups-by", "none"),
)
GAIN, NONE = Difference(0.2, 0.1, 0.3, 0.001), Difference(0.2, -0.1, 0.5, 0.2)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_THREADS", "1")


@pytest.fixture
def unadapted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the adaptation by one that changes nothing and takes no time."""

    def same(config: Any, _images: Any, turn: Any, _epochs: int) -> tuple[bytes, Losses]:
        return backbone.onnx_bytes(config.backbone, config.layers), Losses(turn.name, (1.0,), (1.0,), 0)

    monkeypatch.setattr(adapt, "fine_tune", same)


def evaluated(monkeypatch: pytest.MonkeyPatch, difference: Difference) -> None:
    found = (NetworkResult(0.4, 0, 4, 0.05), NetworkResult(0.6, 1, 4, 0.05))
    monkeypatch.setattr(adapt, "_by_painted_defects", lambda *_: (found, difference, 4))


@pytest.mark.slow
def test_all_the_way(run: Run, good: Path, tmp_path: Path) -> None:
    """Adapt, fit, measure the sensitivity and save, whichever network is better."""
    done = run("adapt", good, "-o", tmp_path / "m", *TINY, "--epochs", "1", "--json")
    assert (done.code, done.err) == (0, "")
    report = done.json["adapting"]
    assert report["compared_by"] == "painted_defects"
    assert (report["trained"], report["evaluated"], report["passed_over"]) == (4, 4, 0)
    for name in ("published", "adapted"):
        assert 0 <= report[name]["value"] <= 1
        assert 0 <= report[name]["rejected"] <= report[name]["good"] == 4
    assert report["difference"]["value"] == pytest.approx(
        report["adapted"]["value"] - report["published"]["value"]
    )
    assert len(report["losses"]["train"]) == 1
    model = Padim.load(tmp_path / "m")
    assert done.json["network"]["weights"] == model.network.provenance["weights"]
    assert (model.network.provenance["weights"] == "adapted") is report["kept"]
    assert len(model.normals_) == (18 if report["kept"] else 22)


@pytest.mark.usefixtures("unadapted")
def test_a_gain_is_kept_and_reported(
    run: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(monkeypatch, GAIN)
    done = run("adapt", good, "-o", tmp_path / "m", *TINY)
    assert done.code == 0
    expected = " ".join(done.out.split())
    assert (
        "60.0% of the painted defects are caught with the adapted network, 40.0% with the published"
        in expected
    )
    assert "+0.200, 95 % interval +0.100 to +0.300" in expected
    assert "the adapted network is kept" in expected
    assert "1 of 4 good images rejected, 5.0% promised" in expected
    assert "adapted with 4 images, seed 0, 1 epoch" in " ".join(run("info", tmp_path / "m").out.split())
    assert Padim.load(tmp_path / "m").network.provenance["weights"] == "adapted"


@pytest.mark.usefixtures("unadapted")
def test_without_a_gain_the_published_network_is_kept(
    run: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(monkeypatch, NONE)
    done = run("adapt", good, "-o", tmp_path / "m.zip", *TINY, "--json")
    assert done.code == 0
    assert done.json["adapting"]["kept"] is False
    assert "Chance explains that as well: the published network is kept" in done.json["adapting"]["words"]
    assert done.json["network"]["weights"] == "pretrained"
    assert done.json["images"] == len(Padim.load(tmp_path / "m.zip").normals_) == 22


@pytest.mark.usefixtures("unadapted")
def test_labelled_parts_decide_where_there_are_some(
    run: Run, good: Path, labeled: Path, tmp_path: Path
) -> None:
    done = run("adapt", good, "-o", tmp_path / "m", "--labelled", labeled, *TINY, "--json")
    report = done.json["adapting"]
    assert report["compared_by"] == "labeled_defects"
    assert report["evaluated"] == 12
    assert report["kept"] is False
    assert done.json["images"] == 22


@pytest.mark.usefixtures("unadapted")
def test_stopped_it_leaves_nothing(
    run: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.cli.stopping import Stop

    asked = []

    def stop(self: Stop) -> bool:
        asked.append(self)
        self.signal = 2 if len(asked) > 60 else None
        return self.signal is not None

    monkeypatch.setattr(Stop, "__call__", stop)
    done = run("adapt", good, "-o", tmp_path / "m", *TINY)
    assert done.code == 130
    assert "stopped; nothing was saved" in done.err
    assert list(tmp_path.iterdir()) == []


def test_invalid_arguments_are_reported_before_any_work(
    run: Run, good: Path, saved_model: Path, tmp_path: Path
) -> None:
    few = write(tmp_path / "few", normals(5))
    done = run("adapt", few, "-o", tmp_path / "m", *TINY)
    assert done.sentence.startswith("adapting the network takes at least 16 good parts, and there are 5")
    assert "there is a model already" in run("adapt", good, "-o", saved_model, *TINY).sentence
    (tmp_path / "empty").mkdir()
    assert "no images" in run("adapt", tmp_path / "empty", "-o", tmp_path / "m", *TINY).sentence
    write(tmp_path / "mvtec" / "train" / "good", normals(2))
    write(tmp_path / "mvtec" / "test" / "dent", defects(1))
    asked = run("adapt", tmp_path / "mvtec", "-o", tmp_path / "m", *TINY)
    assert asked.code == 2
    assert f"--folder train/good --labelled {tmp_path / 'mvtec'}" in asked.err
    assert not (tmp_path / "m").exists()
