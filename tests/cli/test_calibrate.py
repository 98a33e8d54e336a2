"""``calibrate``: the table has the engine's figures, and only ``--write`` changes the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from padim import Padim
from padim.decision.calibration import Choice
from tests.cli.conftest import Run
from tests.parts import normals


def test_the_table_is_the_engines(run: Run, saved_model: Path, small_model: Padim) -> None:
    document = run("calibrate", saved_model, "--json").json
    assert [row["percentile"] for row in document["percentiles"] if row["chosen"]] == [95]
    for row in document["percentiles"]:
        found = small_model.state.threshold(
            Choice("image", round(row["percentile"] * 10)), small_model.config.min_area
        )
        rate = small_model.state.false_rejects(found.level, small_model.config.min_area)
        assert (row["level"], row["supported"]) == (found.level, found.supported)
        assert (row["expected"], row["upper_95"], row["above"]) == (rate.expected, rate.upper, rate.above)
    levels = [row["level"] for row in document["percentiles"]]
    assert levels == sorted(levels)
    assert not document["written"]


def test_only_write_changes_the_model(run: Run, own_model: Path) -> None:
    done = run("calibrate", own_model, "--percentile", 80, "--min-area", 4)
    assert done.code == 0
    assert "not saved" in done.out
    assert Padim.load(own_model).decision.choice.permille == 950
    done = run("calibrate", own_model, "--percentile", 80, "--min-area", 4, "-w")
    assert "not saved" not in done.out
    model = Padim.load(own_model)
    assert (model.decision.choice.permille, model.config.min_area) == (800, 4)


def test_smoothing_basis_and_value_are_written(run: Run, own_model: Path) -> None:
    assert (
        run("calibrate", own_model, "--smoothing", 3, "--basis", "pixel", "--percentile", 98, "-w").code == 0
    )
    model = Padim.load(own_model)
    assert (model.config.smoothing_sigma, model.decision.choice) == (3, Choice("pixel", 980))
    document = run("calibrate", own_model, "--threshold", 7.5, "-w", "--json").json
    assert document["threshold"]["basis"] == "manual"
    assert document["threshold"]["value"] == pytest.approx(7.5, rel=1e-3)
    assert Padim.load(own_model).decision.choice.value == 7.5
    # A percentile replaces the value set by hand.
    assert run("calibrate", own_model, "--percentile", 90, "-w").code == 0
    assert Padim.load(own_model).decision.choice.basis != "manual"


@pytest.mark.parametrize("target", [5, 10, 30])
def test_a_target_is_reached_by_the_lowest_percentile(
    run: Run, saved_model: Path, small_model: Padim, target: int
) -> None:
    chosen = run("calibrate", saved_model, "--target-false-rejects", target, "--json").json
    permille = round(chosen["threshold"]["percentile"] * 10)

    def expected(at: int) -> float:
        return (
            small_model.state.false_rejects(
                small_model.state.threshold(Choice("image", at), small_model.config.min_area).level,
                small_model.config.min_area,
            ).expected
            * 100
        )

    assert expected(permille) <= target
    assert all(expected(at) > target for at in range(1, permille))
    assert chosen["false_rejects"]["expected"] * 100 <= target


def test_an_impossible_promise_is_reported(run: Run, saved_model: Path) -> None:
    phrase = run("calibrate", saved_model, "--target-false-rejects", 1, "-w").sentence
    assert "22 good parts" in phrase
    assert "at least 99 parts" in phrase


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (["--percentile", "100"], "percentile"),
        (["--percentile", "90", "--threshold", "1"], "mutually exclusive"),
        (["--threshold", "1", "--basis", "pixel"], "--basis"),
        (["--threshold", "1e12"], "at most"),
        (["--threshold", "-1"], "at least 0"),
        (["--smoothing", "1000"], "smoothing_sigma"),
        (["--target-false-rejects", "0"], "above 0"),
    ],
)
def test_an_invalid_choice_is_reported_in_one_sentence(
    run: Run, own_model: Path, options: list[str], phrase: str
) -> None:
    before = (own_model / "manifest.json").read_bytes()
    assert phrase in run("calibrate", own_model, "-w", *options).sentence
    assert (own_model / "manifest.json").read_bytes() == before


def test_two_parts_have_no_table_but_may_have_a_value(run: Run, tmp_path: Path, small_model: Padim) -> None:
    path = Padim(small_model.config).fit(normals(2)).save(tmp_path / "two")
    assert "at least 3 good parts" in run("calibrate", path).sentence
    done = run("calibrate", path, "--threshold", 2, "-w", "--json")
    assert done.json["percentiles"] == []
    assert Padim.load(path).decision.choice.value == 2


def test_a_threshold_beyond_the_scale_is_refused_or_reported(
    run: Run, own_model: Path, tmp_path: Path
) -> None:
    done = run("calibrate", own_model, "--threshold", 1e9, "-w")
    assert done.code != 0
    assert "the threshold can be at most" in done.err
    model = Padim.load(own_model)
    # As models could be saved before this was checked.
    model.decision = replace(model.decision, choice=Choice("manual", 950, 1e9))
    model.save(own_model)
    done = run("calibrate", own_model)
    assert done.code == 0
    assert "beyond the scale" in done.out
    folder = tmp_path / "images"
    folder.mkdir()
    for name, content in normals(1):
        (folder / name).write_bytes(bytes(content))
    done = run("score", own_model, folder, "-o", tmp_path / "out")
    assert done.code != 0
    assert "is beyond this model's scale" in done.err.replace("\n", " ")
    assert run("calibrate", own_model, "--percentile", 90, "-w").code == 0
    assert run("score", own_model, folder, "-o", tmp_path / "out").code == 0
