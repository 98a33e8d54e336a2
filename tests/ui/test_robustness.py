"""Robustness controller: texts, files and examples agree with the engine's counts and verdicts."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from padim import Padim
from padim.analysis.image_changes import KINDS, SEVERITIES, ChangeKind, alter
from padim.analysis.robustness import Robustness, Series
from padim.data.decode import decode
from padim.data.labeled_images import LabeledImages
from padim.data.loading import content_hash
from padim.decision.operating_points import Rate
from padim.errors import PadimError
from tests.parts import defects, normals, part
from ui import robustness
from ui.jobs.jobs import Job
from ui.robustness import RobustnessRun
from ui.widgets import robustness_charts

SOME: dict[ChangeKind, tuple[float, ...]] = {"darker": (5.0, 60.0), "noise": (30.0,), "shift": (1.0, 20.0)}


class _Images(list[tuple[str, Any]]):
    skipped: tuple[Any, ...] = ()
    passed_over: tuple[Any, ...] = ()


def images(good: int = 4, bad: int = 3) -> LabeledImages:
    stream = _Images([*normals(good, first=100), *defects(bad)])
    kinds = {name: "good" if name.startswith("good") else "chip" for name, _ in stream}
    return LabeledImages(stream, len(stream), "set", kinds, "one folder a kind")


def run(model: Padim, of: LabeledImages, most: int = 60) -> RobustnessRun:
    job: Job[Any] = Job("key", "title", lambda job: None)
    return robustness._measure(model, of, SOME, most, "identity", job)


@pytest.fixture(scope="module")
def found(small_model: Padim) -> RobustnessRun:
    return run(small_model, images())


def series(kind: ChangeKind, rejected: list[int], caught: list[int], good: int = 20, bad: int = 20) -> Series:
    return Series(
        kind,
        (0.0, *SEVERITIES[kind][: len(rejected) - 1]),
        tuple(Rate.counted(k, good) for k in rejected),
        tuple(Rate.counted(k, bad) for k in caught),
        {},
    )


def result(*of: Series, limit: float | None = 0.12) -> Robustness:
    return Robustness(of, of[0].false_rejects[0].of, of[0].caught[0].of, 0, limit, 100, 8, 0)


# -- the run ---------------------------------------------------------------------------------------------


def test_examples_have_the_verdicts_of_the_counts(small_model: Padim, found: RobustnessRun) -> None:
    assert (found.shown, found.shown_kind) == ("good_100.png", "good")
    seed = [0, int(content_hash(dict(normals(1, first=100))["good_100.png"])[:16], 16)]
    level = small_model.threshold_level
    assert list(found.examples) == list(SOME)
    for kind, examples in found.examples.items():
        assert examples[0].text == "as it is"
        for severity, example in zip((0.0, *SOME[kind]), examples, strict=True):
            (scored,) = small_model.predict([("x", alter(part(100), kind, severity, seed))])
            assert example.verdict == ("reject" if scored.score_level > level else "accept")
            height, width, _ = decode(example.image.data, kind).shape
            assert (height, width) == (96, 96)


def test_defects_alone_show_a_defect(small_model: Padim) -> None:
    found = run(small_model, images(good=0))
    assert (found.shown, found.shown_kind) == ("bad_000.png", "chip")
    assert found.result.good == 0
    assert "good parts" not in robustness.tolerated_changes(found.result, 0.05)


def test_images_of_the_fit_are_not_shown(small_model: Padim) -> None:
    images = _Images([*normals(1), *normals(1, first=100)])
    found = run(small_model, LabeledImages(images, 2, "set"))
    assert found.result.in_fit == 1
    assert found.shown == "good_100.png"


def test_no_more_images_than_requested_are_scored(small_model: Padim) -> None:
    of = images()
    found = run(small_model, of, most=2)
    assert (found.result.good, found.result.defects) == (2, 2)
    assert robustness.to_score(of, 2, SOME) == 4 * 6
    assert robustness.counts_text(found) == "2 good parts, 2 defects, of 7 images"


# -- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_engines_severities_can_be_typed(kind: ChangeKind) -> None:
    text = ", ".join(f"{severity:g}" for severity in SEVERITIES[kind])
    assert robustness.severities_of(kind, text) == SEVERITIES[kind]
    assert set(robustness.CHANGES) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("blur", "1, much", "numbers with commas"),
        ("blur", "nan", "numbers with commas"),
        ("blur", "", "grow"),
        ("blur", "2, 1", "grow"),
        ("blur", "0, 1", "above 0"),
        ("jpeg", "10, 100", "from 0 to 99"),
        ("rotation", "200", "from 0 to 180"),
    ],
)
def test_invalid_severities_are_reported_in_one_sentence(kind: ChangeKind, text: str, reason: str) -> None:
    with pytest.raises(PadimError, match=reason):
        robustness.severities_of(kind, text)


def test_tolerated_changes_in_words() -> None:
    of = result(
        series("darker", [1, 1, 9], [20, 20, 20]),
        series("blur", [1, 9, 9], [20, 20, 20]),
        series("jpeg", [1, 1, 1], [20, 20, 20]),
    )
    _, rows = robustness.table(of, 0.05)
    assert [row[1].text for row in rows] == ["5 % less light", "not even the mildest", "quality 70 or more"]
    assert "9 of 20 good parts" in rows[0][2].text
    assert rows[2][2].text.startswith("Nothing, up to the harshest")
    text = robustness.summary(of, 0.05)
    assert "Keep constant: blur;" in text
    assert "within limits: darker." in text
    assert "No trouble up to the harshest tried: JPEG." in text
    assert "at most 12.0 %" in robustness.tolerated_changes(of, 0.05)
    assert "fewer than 5 in 100 defects" in robustness.tolerated_changes(of, 0.05)
    assert [robustness.tolerated_up_to(one, 0.12, 0.05) for one in of.series] == [1, 0, 2]
    assert "a single image" not in robustness.tolerated_changes(of, 0.05)
    assert "a single image" in robustness.tolerated_changes(result(series("blur", [1], [1], good=19)), 0.05)
    failing = result(series("blur", [20, 20], [20, 20]))
    assert "already the unchanged" in robustness.summary(failing, 0.05)
    assert "promises nothing" in robustness.tolerated_changes(
        result(series("blur", [1], [1]), limit=None), 0.05
    )


def test_ticks_are_short_and_of_quality_for_jpeg() -> None:
    assert robustness.ticks(series("jpeg", [0] * 3, [0] * 3)) == ["as is", "90", "70"]
    assert robustness.ticks(series("blur", [0] * 3, [0] * 3)) == ["as is", "0.5", "1"]


# -- files and figures -----------------------------------------------------------------------------------


def test_files_hold_the_counts(found: RobustnessRun) -> None:
    class _Entry:
        id, name = "m1", "=Plate"

    entry: Any = _Entry()
    rows = list(csv.DictReader(io.StringIO(robustness.figures_csv(found, entry).decode("utf-8-sig"))))
    # Good parts, defects, and the one kind of defect, at each severity of each change.
    assert len(rows) == 3 * (3 + 2 + 3)
    for one in found.result.series:
        mine = [row for row in rows if row["change"] == one.kind]
        for figure, kind, rates in (
            ("false_rejects", "", one.false_rejects),
            ("caught", "", one.caught),
            ("caught", "chip", one.by_defect["chip"]),
        ):
            chosen = [row for row in mine if (row["figure"], row["kind"]) == (figure, kind)]
            assert [int(row["count"]) for row in chosen] == [rate.count for rate in rates]
            assert [float(row["severity"]) for row in chosen] == list(one.severities)
    assert {row["model"] for row in rows} == {"'=Plate"}
    whole = json.loads(robustness.document(found, entry, 0.05))
    assert (
        whole["changes"][0]["tolerance"]["severity"]
        == found.result.series[0].tolerance(whole["limit"]).severity
    )


def test_charts_show_counts_the_promise_and_the_tolerated_range() -> None:
    one = series("blur", [1, 2, 9], [20, 19, 3])
    figure = robustness_charts.against_severity(
        robustness_charts.ChangeLine("good", one.false_rejects),
        robustness_charts.ChangeLine("bad", one.caught),
        ticks=["as is", "0.5", "1"],
        text=["as it is", "0.5 px", "1 px"],
        title="blur",
        limit=0.12,
        tolerated=1,
    )
    assert [list(trace.y) for trace in figure.data] == [[0.05, 0.1, 0.45], [1.0, 0.95, 0.15]]
    assert sorted(shape.type for shape in figure.layout.shapes) == ["line", "rect"]
    none = series("blur", [0, 0], [0, 0], good=0)
    figure = robustness_charts.against_severity(
        robustness_charts.ChangeLine("good", none.false_rejects),
        robustness_charts.ChangeLine("bad", none.caught),
        ticks=["as is", "0.5"],
        text=["", ""],
        title="blur",
        limit=None,
        tolerated=None,
    )
    assert len(figure.data) == 1
    assert not figure.layout.shapes
