"""Sensitivity controller: units, texts and charts agree with the engine's counts; examples are its trials."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import Padim
from padim.analysis.blind_spots import counts_by_place
from padim.analysis.sensitivity import cells_for, measure
from padim.analysis.sensitivity_examples import PaintedExample
from padim.analysis.synthetic_defects import KINDS
from padim.data.decode import decode
from padim.data.labeled_images import LabeledImages
from padim.errors import Cancelled
from tests.parts import normals, part
from tests.trials import made
from ui import sensitivity
from ui.files.media import ServedImage
from ui.jobs.jobs import Job
from ui.sensitivity import SensitivityRun, SensitivitySettings, Unit
from ui.widgets import sensitivity_charts

WANTED = SensitivitySettings(KINDS, (4.0, 12.0, 30.0), (0.1, 0.5), 4, 3)


class _Images(list[tuple[str, Any]]):
    skipped: tuple[Any, ...] = ()
    passed_over: tuple[Any, ...] = ()


def run(model: Padim, wanted: SensitivitySettings = WANTED) -> SensitivityRun:
    """Measure the sensitivity on four good parts that the model has not seen."""
    images = LabeledImages(_Images(normals(6, first=100)), 6, "new parts")
    job: Job[Any] = Job("key", "title", lambda job: None)
    return sensitivity._measure(model, images, wanted, "identity", job)


@pytest.fixture(scope="module")
def found(small_model: Padim) -> SensitivityRun:
    return run(small_model)


# -- the run ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_examples_show_the_trials_of_the_measurement(small_model: Padim, found: SensitivityRun) -> None:
    peer = measure(
        small_model,
        normals(6, first=100),
        kinds=WANTED.kinds,
        sizes=WANTED.sizes,
        contrasts=WANTED.contrasts,
        places=WANTED.places,
        most_images=WANTED.images,
        cells=cells_for(WANTED.images * WANTED.places),
        examples=True,
    )
    assert found.examples.keys() == peer.examples.keys()
    for key, trials in peer.examples.items():
        shown = found.examples[key]
        assert [(one.size, one.caught) for one in shown] == [(one.size, one.caught) for one in trials]
        assert [one.image for one in shown] == [one.image for one in sensitivity._shown(trials)]
        for one, trial in zip(shown, trials, strict=True):
            assert decode(one.image.data, "example").shape == (288, 288, 3)
            # What is caught is outlined.
            inside = _window(trial)
            plain = sensitivity._cut(trial.rgb[inside], trial.mask[inside] & False, 1.0)
            assert (one.image == plain) == (not trial.mask[inside].any())


def _window(trial: PaintedExample) -> tuple[slice, slice]:
    """Return the window shown, 45 of the 64 pixels, as close to the center of the defect as it fits."""
    corners = (min(max(0, round(at - 22.5)), 19) for at in (trial.place.y, trial.place.x))
    top, left = corners
    return slice(top, top + 45), slice(left, left + 45)


def test_the_first_image_is_the_backdrop(small_model: Padim, found: SensitivityRun) -> None:
    shown = decode(found.seen.data, "seen").astype(int)
    bare = small_model.network.preprocess(part(100)).astype(int)
    assert shown.shape == (64, 64, 3)
    assert np.abs(shown - bare).mean() < 6


def test_all_kinds_together_are_the_sum_of_the_kinds(found: SensitivityRun) -> None:
    result = found.result
    for contrast in result.contrasts:
        together = found.curve(None, contrast)
        for j in range(len(result.sizes)):
            alone = [found.curve(kind, contrast).rates[j] for kind in result.kinds]
            assert together.rates[j].count == sum(rate.count for rate in alone)
            assert together.rates[j].of == sum(rate.of for rate in alone)


def test_a_cancelled_measurement_has_no_result(small_model: Padim) -> None:
    job: Job[Any] = Job("key", "title", lambda job: None)
    job.cancel()
    images = LabeledImages(_Images(normals(2, first=100)), 2, "new parts")
    with pytest.raises(Cancelled):
        sensitivity._measure(small_model, images, WANTED, "identity", job)


# -- units and texts -------------------------------------------------------------------------------------


def test_sizes_are_stated_in_pixels_or_millimeters() -> None:
    assert Unit.of((2.0, 2.0)).text(8) == "16 px"
    assert Unit.of((2.0, 2.0), 0.05).text(8) == "0.8 mm"
    assert Unit.of((2.0, 1.0)).text(8) == "16 × 8 px"
    assert Unit.of((2.0, 2.0)).axis == (2.0, "px")
    factor, name = Unit.of((2.0, 1.0)).axis
    assert factor == 1
    assert "model" in name


@given(number=st.floats(0.001, 1e6))
def test_a_size_is_rounded_to_a_few_hundredths(number: float) -> None:
    text = Unit(1.0, 1.0, "mm").text(number).removesuffix(" mm").replace(",", "")
    assert "e" not in text
    assert float(text) == pytest.approx(number, rel=0.051)


def test_sizes_beyond_those_tried_are_marked(found: SensitivityRun) -> None:
    result = made([[[[False], [True]]]] * 20 + [[[[True], [True]]]] * 20)
    unit = Unit.of(result.scale)
    curves = SensitivityRun("x", "", 1.0, result, (), (), ServedImage(b""), {})
    _, rows = sensitivity.smallest(curves, unit)
    at_90 = curves.curve("scratch", 0.1).at_90.value
    assert at_90 is not None
    assert rows[0][1].text == unit.text(at_90)
    assert rows[0][1].note == "half: ≤ 8 px"
    never = replace(curves, result=made([[[[False], [False]]]] * 9), _curves={})
    assert sensitivity.smallest(never, unit)[1][0][1].text == "> 16 px"
    void = replace(curves, result=made([[[[False]]]], [[[[True]]]]), _curves={})
    assert sensitivity.smallest(void, unit)[1][0][1].text == "–"
    head, rows = sensitivity.smallest(found, unit)
    assert len(rows) == 5
    assert head == ["Defect", "Contrast 10 %", "Contrast 50 %"]


def test_blind_places_and_the_weakest_cell_are_named() -> None:
    caught = np.ones((9, 2, 2, 2), bool)
    assert "no blind spot" in sensitivity.weakest(made(caught), None)
    caught[0] = False
    result = made(caught)
    text = sensitivity.weakest(result, None)
    assert "the top left of the image: 67 %, counted at 3 places" in text
    assert "at 1 of 9 places" in text
    assert "could be counted" in sensitivity.weakest(made(caught & False, caught | True), "scratch")
    assert sensitivity.where(1, 1, (3, 3)) == "the middle"
    assert sensitivity.where(3, 0, (4, 4)) == "the bottom left"
    assert sensitivity.where(1, 1, (2, 2)) == "the bottom right"
    assert sensitivity.where(9, 5, (10, 10)) == "the bottom"


def test_percentages_are_short() -> None:
    assert [sensitivity.percent(share) for share in (0.025, 0.1, 0.4)] == ["2.5 %", "10 %", "40 %"]


# -- files and figures -----------------------------------------------------------------------------------


def test_files_hold_the_counts(found: SensitivityRun) -> None:
    class _Entry:
        id, name = "m1", "=Plate"

    entry: Any = _Entry()
    rows = list(csv.DictReader(io.StringIO(sensitivity.figures_csv(found, entry).decode("utf-8-sig"))))
    assert len(rows) == 5 * 3 * 2
    for row in rows:
        kind: Any = row["kind"]
        rate = found.result.rate(kind, float(row["size_map_px"]), float(row["contrast"]))
        assert (int(row["caught"]), int(row["tried"])) == (rate.count, rate.of)
        assert float(row["size_px_across"]) == pytest.approx(1.5 * float(row["size_map_px"]))
        assert row["model"] == "'=Plate"
    whole = json.loads(sensitivity.document(found, entry))
    assert whole["share_caught"] == found.result.share
    assert len(whole["places"]) == len(found.result.places)
    assert len(whole["over_size"]) == 10


def test_curves_are_drawn_through_the_counts(found: SensitivityRun) -> None:
    curves = [(f"{c}", found.curve(None, c)) for c in found.result.contrasts]
    figure = sensitivity_charts.detection(curves, factor=1.5, unit="px")
    points = [trace for trace in figure.data if "markers" in trace.mode]
    assert len(points) == 2
    for trace, (_, curve) in zip(points, curves, strict=True):
        assert list(trace.y) == [rate.share for rate in curve.rates]
    assert list(figure.layout.xaxis.tickvals) == [6, 18, 45]
    nothing = made([[[[False]]]], [[[[True]]]])
    empty = sensitivity_charts.detection([("x", nothing.over_size("scratch", 0.1))], factor=1, unit="px")
    assert not empty.data


def test_the_map_shows_every_place_on_the_part(found: SensitivityRun) -> None:
    result = found.result
    share, _ = result.by_place()
    spots = counts_by_place(result)
    figure = sensitivity_charts.place_map(
        share, spots, map_shape=(64, 64), aspect=2.0, backdrop=found.seen.data
    )
    shown = sorted((x, y) for trace in figure.data[1:] for x, y in zip(trace.x, trace.y, strict=True))
    assert shown == sorted(map(tuple, result.places.tolist()))
    assert figure.layout.images[0].source.startswith("data:image/jpeg;base64,")
    assert list(figure.layout.yaxis.range) == [64, 0]
    assert figure.layout.yaxis.scaleratio == 0.5
