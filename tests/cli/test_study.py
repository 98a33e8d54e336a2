"""``study``: tables in the published layout, JSON, files, plans, stopping and errors."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from padim.study.runner import load
from tests.cli.conftest import SMALL, Done, Run, write
from tests.parts import defects, normals, png

PAIR = ("--method", "padim", "--method", "shared")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two categories in MVTec AD's layout."""
    folder = tmp_path_factory.mktemp("root")
    mask = np.zeros((96, 96, 3), np.uint8)
    mask[24:72, 24:72] = 255
    for i, name in enumerate(("plate", "ring")):
        write(folder / name / "train" / "good", normals(8, first=20 * i))
        write(folder / name / "test" / "good", normals(4, first=200 + 20 * i))
        write(folder / name / "test" / "chip", defects(3))
        masks = [(f"{n.removesuffix('.png')}_mask.png", png(mask)) for n, _ in defects(3)]
        write(folder / name / "ground_truth" / "chip", masks)
    return folder


@pytest.fixture(scope="module")
def studied(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished study of two methods; it is shared, but tests may read and continue it."""
    from typer.testing import CliRunner

    from padim.cli.app import app

    folder = tmp_path_factory.mktemp("studied") / "out"
    result = CliRunner().invoke(app, ["study", str(root), "-o", str(folder), *PAIR, *SMALL, "-q"])
    assert result.exit_code == 0, result.stderr
    return folder


def again(run: Run, root: Path, studied: Path, *more: str) -> Done:
    """Run the same command once more, which computes nothing again."""
    return run("study", root, "-o", studied, *PAIR, *SMALL, *more)


@pytest.mark.slow
def test_tables_have_a_row_a_category_and_their_mean(run: Run, root: Path, studied: Path) -> None:
    done = again(run, root, studied)
    assert done.code == 0, done.err
    assert "4 of 4 runs done before" in done.err
    report = again(run, root, studied, "--json").json
    for title, name in (
        ("Image AUROC", "image_auroc"),
        ("Pixel AUROC", "pixel_auroc"),
        ("Image F1", "image_f1"),
    ):
        block = done.out[done.out.index(f"\n{title}\n") :]
        assert re.search(r"category +padim +shared", block)
        rows = {**report["tables"][name]["rows"], "mean": report["tables"][name]["mean"]}
        for category, standings in rows.items():
            figures = [rf"{one['value']:.3f}[* ]?" for one in standings]
            assert re.search(rf"(?m)^{category} +{' +'.join(figures)} *$", block), (title, category)
    assert "Holm" in done.out
    for words in ("Best first", "rejected", "expected", "at most", "caught", "study.csv", "study.html"):
        assert words in done.out


def test_json_is_the_study(run: Run, root: Path, studied: Path) -> None:
    report = again(run, root, studied, "--json").json
    found = load(studied)
    assert (report["done"], report["of"], report["from_before"]) == (4, 4, 4)
    assert report["ranked_by"] == "image_auroc"
    assert [one["name"] for one in report["configurations"]] == ["padim", "shared"]
    assert [one["name"] for one in report["categories"]] == ["plate", "ring"]
    assert sorted(report["ranking"]) == ["padim", "shared"]
    for one, same in zip(report["runs"], found.runs, strict=True):
        assert (one["category"], one["configuration"], one["error"]) == (same.category, same.variant, None)
        assert same.result is not None
        assert one["aupro"]["value"] == same.result.figures["aupro"].value
        assert one["caught"]["of"] == 3
        assert one["milliseconds"] > 0
    means = report["tables"]["pixel_auroc"]["mean"]
    assert sum(one["best"] for one in means) >= 1
    worse = [one for one in means if not one["best"]]
    assert all(one["difference_to_best"] < 0 and 0 < one["p"] <= 1 for one in worse)


def test_files_are_written(studied: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((studied / "study.csv").read_text(encoding="utf-8-sig"))))
    assert [(row["category"], row["configuration"]) for row in rows] == [
        (category, name) for category in ("plate", "ring") for name in ("padim", "shared")
    ]
    assert "<table" in (studied / "study.html").read_text(encoding="utf-8")


def test_a_plan_file_says_what_is_compared(run: Run, root: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "base: {input_size: 64, smoothing_sigma: 2, min_area: 8}\n"
        "configurations:\n  - {name: few, n_features: 10}\n  - {name: more, n_features: 30}\n",
        encoding="utf-8",
    )
    done = run("study", root, "-o", tmp_path / "out", "--plan", plan, "--category", "ring", "--json")
    assert done.code == 0, done.err
    assert [one["config"]["n_features"] for one in done.json["configurations"]] == [10, 30]
    assert [one["name"] for one in done.json["categories"]] == ["ring"]
    assert done.json["tables"]["image_auroc"]["mean"] is None
    with_more = run("study", root, "-o", tmp_path / "out", "--plan", plan, "--method", "padim")
    assert "leave out the options" in with_more.sentence


def test_options_are_combined(run: Run, root: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("n_features: 30\ninput_size: 64\nsmoothing_sigma: 2\n", encoding="utf-8")
    done = run(
        *("study", root, "-o", tmp_path / "out", "--category", "ring", "--json", "-c", settings),
        *("--layers", "blocks.2,blocks.4", "--layers", "blocks.4,blocks.10", "--n-features", "10"),
        *("--min-area", "8"),
    )
    assert done.code == 0, done.err
    first, second = (one["config"] for one in done.json["configurations"])
    assert (first["layers"], second["layers"]) == (["blocks.2", "blocks.4"], ["blocks.4", "blocks.10"])
    for config in (first, second):
        assert (config["n_features"], config["input_size"], config["smoothing_sigma"]) == (10, 64, 2)
        assert config["min_area"] == 8


@pytest.mark.slow
def test_without_defects_the_painted_ones_are_reported(run: Run, good: Path, tmp_path: Path) -> None:
    done = run("study", good, "-o", tmp_path / "out", *PAIR, *SMALL, "--seed", "3")
    assert done.code == 0, done.err
    assert "\nPainted defects found\n" in done.out
    assert "ranked by defects painted" in done.err
    assert "drawn at random" in done.err


def test_what_cannot_be_studied_is_one_sentence(run: Run, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "no category 'cup'" in run("study", root, "-o", out, "--category", "cup").sentence
    assert "configuration 'padima'" in run("study", root, "-o", out, "--method", "padima").sentence
    assert "takes a whole number" in run("study", root, "-o", out, "--n-features", "few").sentence
    assert "is not a folder" in run("study", tmp_path / "none", "-o", out).sentence
    assert "holds no study" in run("study", root, "-o", root, *SMALL).sentence
    assert not out.exists()


def test_stopped_it_says_how_to_go_on(
    run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.cli.stopping import Stop

    out = tmp_path / "out"

    def stop(self: Stop) -> bool:
        self.signal = 2 if list((out / "results").glob("*.json")) else None
        return self.signal is not None

    monkeypatch.setattr(Stop, "__call__", stop)
    stopped = run("study", root, "-o", out, *PAIR, *SMALL)
    assert stopped.code == 130
    assert "run the same command again" in stopped.err
    half = load(out).done
    assert half == 1
    monkeypatch.undo()
    report = run("study", root, "-o", out, *PAIR, *SMALL, "--json").json
    assert (report["done"], report["from_before"]) == (4, half)


def test_a_study_where_nothing_works_is_an_error(
    run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import padim.study.features as features
    from padim.errors import PadimError

    def missing(config: object) -> None:
        raise PadimError("its weights are not here")

    monkeypatch.setattr(features, "open_extractor", missing)
    done = run("study", root, "-o", tmp_path / "out", "--category", "ring", *SMALL)
    assert done.code == 2
    assert "its weights are not here" in done.err
