"""Charts: histograms contain every score once, with the threshold in its place; curves and bars."""

from __future__ import annotations

import pytest

from ui.widgets.charts import interval_bars, kind_histogram, score_histogram, share_curve, shift_scatter


def test_every_kind_has_its_own_bars_on_common_bins() -> None:
    figure = score_histogram([1.0, 2.0, 2.5], threshold=3.0, in_use=2.8, kept_out=[4.0], defects=[9.0, 8.0])
    assert [len(trace.x) for trace in figure.data] == [3, 1, 2]
    assert len({(trace.xbins.start, trace.xbins.end, trace.xbins.size) for trace in figure.data}) == 1
    low, high = figure.layout.xaxis.range
    assert low < 1.0
    assert high > 9.0
    assert sorted(shape.x0 for shape in figure.layout.shapes) == [2.8, 3.0]


def test_one_line_where_draft_and_threshold_in_use_agree() -> None:
    assert len(score_histogram([1.0], threshold=3.0, in_use=3.0).layout.shapes) == 1


@pytest.mark.parametrize("threshold", [1.7, 2.0, 3.9, 0.4])
def test_accepted_parts_are_left_of_the_line_and_rejected_ones_right(threshold: float) -> None:
    scores = [0.5, 1.0, 1.7, 2.0, 2.01, 3.9]
    (trace,) = score_histogram(scores, threshold=threshold).data
    bins = trace.xbins
    for score in scores:
        middle = bins.start + (int((score - bins.start) / bins.size) + 0.5) * bins.size
        assert (middle > threshold) == (score > threshold)
    assert bins.start <= min(scores)
    assert bins.end > max(scores)


@pytest.mark.parametrize("scores", [[], [0.0], [5.0, 5.0]])
def test_no_spread_is_no_error(scores: list[float]) -> None:
    low, high = score_histogram(scores).layout.xaxis.range
    assert low < high


def test_shifts_are_drawn_as_seen_and_to_scale() -> None:
    figure = shift_scatter([(1.0, 2.0), (-9.0, 0.0)], cell=8, labels=["a<b>", "far"])
    near, far = figure.data
    assert (near.x, near.y, near.text) == ((2.0,), (1.0,), ("a&lt;b&gt;",))
    assert (far.x, far.y, far.marker.symbol) == ((0.0,), (-9.0,), "x")
    left, right = figure.layout.xaxis.range
    bottom, top = figure.layout.yaxis.range  # downwards
    assert -left == right == bottom == -top > 9
    assert figure.layout.yaxis.scaleanchor == "x"
    square, circle = figure.layout.shapes
    assert (square.x0, square.x1, square.y0, square.y1) == (-4, 4, -4, 4)
    assert (circle.x0, circle.x1) == (-8, 8)


@pytest.mark.parametrize("shifts", [[], [(0.0, 0.0)], [(0.0, 8.0)]])
def test_the_cell_is_in_view_whatever_the_shifts(shifts: list[tuple[float, float]]) -> None:
    figure = shift_scatter(shifts, cell=8)
    assert figure.layout.xaxis.range[1] > 8
    assert not figure.layout.showlegend


def test_kinds_share_the_good_parts_bins_and_every_score_is_there() -> None:
    scores = {"good": [1.0, 1.2], "dent": [3.0, 4.0, 9.0], "<b>hole": [2.0]}
    figure = kind_histogram(scores, threshold=2.5)
    assert [list(trace.x) for trace in figure.data] == list(scores.values())
    assert len({(trace.xbins.start, trace.xbins.end, trace.xbins.size) for trace in figure.data}) == 1
    assert len({trace.marker.color for trace in figure.data}) == 3
    assert "<b>" not in figure.to_json()
    assert [shape.x0 for shape in figure.layout.shapes] == [2.5]
    assert len(kind_histogram({"dent": [1.0]}, threshold=None).data) == 1


def test_a_score_far_beyond_the_threshold_stands_at_the_end_of_the_scale() -> None:
    figure = kind_histogram({"good": [1.0] * 9, "dent": [3.0, 900.0]}, threshold=2.0)
    assert list(figure.data[1].x) == [3.0, 8.0]
    assert figure.layout.xaxis.range[1] < 9
    # If most scores are beyond, the histogram extends to them.
    figure = kind_histogram({"good": [1.0], "dent": [3.0, 900.0]}, threshold=2.0)
    assert list(figure.data[1].x) == [3.0, 900.0]


def test_a_curve_marks_the_threshold_in_use() -> None:
    figure = share_curve([0, 0.5, 1], [0, 0.9, 1], [9, 5, 1], titles=("x", "y"), here=(0.5, 0.9), chance=True)
    assert [trace.name for trace in figure.data] == ["guessing", "any threshold", "threshold in use"]
    assert (figure.data[2].x[0], figure.data[2].y[0]) == (0.5, 0.9)


def test_bars_reach_to_the_ends_of_their_intervals() -> None:
    figure = interval_bars(
        ["a", "b", "c"], [0.5, None, 1.0], [(0.25, 0.75), (None, None), (0.5, 1.0)], title="t"
    )
    (bars,) = figure.data
    assert list(bars.x) == [0.5, 0.0, 1.0]
    ends = zip(bars.x, bars.error_x.arrayminus, bars.error_x.array, strict=True)
    assert [(x - low, x + high) for x, low, high in ends] == [(0.25, 0.75), (0, 0), (0.5, 1.0)]
    assert list(bars.text) == ["0.500", "–", "1.000"]
