"""``methods`` and ``fit --method``: every listed method can be fitted, and a model states its method."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import Padim
from padim.methods.catalogue import METHODS
from tests.cli.conftest import SMALL, Run


def test_every_method_is_listed(run: Run) -> None:
    done = run("methods")
    assert done.code == 0
    for name in METHODS:
        assert name in done.out
    listed = {entry["name"]: entry for entry in run("methods", "--json").json["methods"]}
    assert set(listed) == set(METHODS)
    assert listed["padim"]["held_out"] == "exact"
    assert listed["flow"]["trains"] is True


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--method", "patchcore", "--coreset", "5"), "PatchCore: 5 % of the patches kept"),
        (("--method", "patchcore", "--neighborhood", "1"), "PatchCore: all patches within 1 grid position"),
        (("--method", "shared"), "Shared Gaussian"),
        (
            ("--method", "padim", "--position-tolerance"),
            "PaDiM: tolerates a displacement of one grid position",
        ),
        (("--method", "padim+shared"), "PaDiM + Shared Gaussian"),
    ],
)
def test_a_model_of_any_method_is_fitted_described_and_used(
    run: Run, good: Path, labeled: Path, tmp_path: Path, options: tuple[str, ...], expected: str
) -> None:
    done = run("fit", good, "-o", tmp_path / "m", *SMALL, *options)
    assert done.code == 0, done.err
    assert expected in " ".join(done.out.split())
    model = Padim.load(tmp_path / "m")
    assert model.config.method == ("ensemble" if "+" in options[1] else options[1])
    assert expected in " ".join(run("info", tmp_path / "m").out.split())
    assert run("score", tmp_path / "m", labeled / "test", "-o", tmp_path / "out").code == 0
    assert run("export", tmp_path / "m", "-o", tmp_path / "scorer.onnx").code == 0
    assert (tmp_path / "scorer.onnx").is_file()


def test_the_memory_for_keeping_every_patch_is_stated_beforehand(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "nearest.yaml"
    path.write_text("method: patchcore\nneighborhood: 1\n")
    report = run("info", "--config", path, "--images", 209)
    # 32 x 32 positions of 100 channels, four bytes each.
    assert "410 kB more for every image" in " ".join(report.out.split())
    cost = run("info", "--config", path, "--images", 209, "--json").json["cost"]
    assert cost["bundle"] == 209 * cost["kept_per_image"] == 209 * 4 * 1024 * 100


def test_a_method_there_is_not(run: Run, good: Path, tmp_path: Path) -> None:
    sentence = run("fit", good, "-o", tmp_path / "m", "--method", "magic").sentence
    assert "method" in sentence
    assert "patchcore" in sentence
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_kept_features_go_with_the_model(run: Run, good: Path, tmp_path: Path) -> None:
    assert (
        run("fit", good, "-o", tmp_path / "m", *SMALL, "--method", "patchcore", "--keep-features").code == 0
    )
    model = Padim.load(tmp_path / "m", work_dir=tmp_path / "m" / "work")
    assert model.working_set.has_features
    before = model.state.part_scores(model.config.min_area)
    model.exclude(0, "kept_out").include(0)
    assert (model.state.part_scores(model.config.min_area) == before).all()
