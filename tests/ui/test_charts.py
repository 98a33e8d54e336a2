"""The histogram shows what it is given: every score once, and the threshold where it is."""

from __future__ import annotations

import pytest

from ui.charts import score_histogram


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
def test_what_passes_stands_left_of_the_line_and_what_does_not_right(threshold: float) -> None:
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
