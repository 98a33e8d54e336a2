"""Plotly figures of the learning curve; Plotly is imported when one is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ui.widgets.charts import DEFECT, DRAFT, GOOD, LINE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from padim.analysis.learning_figures import LearningCurve, Spread

_HEIGHT = 340
# Adjacent ticks closer than this factor would overlap on a narrow screen.
_APART = 1.3
# Margin on either side of the curve, as a factor.
_MARGIN = 1.12


def caught(curve: LearningCurve, enough: int) -> go.Figure:
    """Draw the share of defects caught over the number of good parts, with the range over the subsets.

    Args:
        curve: a learning curve with defects.
        enough: number of parts from which a single outlier no longer determines the threshold.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    sizes = [size for size in curve.sizes if size.recall is not None]
    name = "defects caught" if curve.defects == "labelled" else "painted defects caught"
    spreads = [size.recall for size in sizes if size.recall is not None]
    _add(figure, [size.parts for size in sizes], spreads, name, DRAFT, rgb="31, 138, 112")
    _mark(figure, curve, enough)
    _layout(figure, curve, name)
    figure.update_layout(yaxis={"range": [-0.02, 1.03]})
    return figure


def false_rejects(curve: LearningCurve, enough: int) -> go.Figure:
    """Draw the expected false-reject rate, its upper bound, and the rate on the parts that were left out.

    Args:
        curve: a learning curve, with or without defects.
        enough: as for :func:`caught`.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    parts = [size.parts for size in curve.sizes]
    left = [(size.parts, size.left_out) for size in curve.sizes if size.left_out is not None]
    # Draw the range first, and the lines on top of it.
    known = [spread for _, spread in left if spread is not None]
    _add(figure, [number for number, _ in left], known, "left-out parts rejected", GOOD, rgb="91, 143, 176")
    for values, name, dash in (
        ([size.promised.mean for size in curve.sizes], "expected", "solid"),
        ([size.promised_at_most.mean for size in curve.sizes], "at most, with 95 % confidence", "dot"),
    ):
        figure.add_scatter(
            x=parts,
            y=values,
            mode="lines",
            name=name,
            line={"color": LINE if dash == "solid" else DEFECT, "width": 2, "dash": dash},
            hovertemplate="%{x} parts: %{y:.1%}<extra>" + name + "</extra>",
        )
    _mark(figure, curve, enough)
    _layout(figure, curve, "good parts rejected")
    figure.update_layout(yaxis={"rangemode": "tozero"})
    return figure


def _add(
    figure: go.Figure, parts: Sequence[int], spreads: Sequence[Spread], name: str, color: str, *, rgb: str
) -> None:
    """Add a line of means with a band from the smallest to the largest value."""
    figure.add_scatter(
        x=[*parts, *reversed(parts)],
        y=[*(spread.high for spread in spreads), *(spread.low for spread in reversed(spreads))],
        fill="toself",
        fillcolor=f"rgba({rgb}, 0.18)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=list(parts),
        y=[spread.mean for spread in spreads],
        customdata=[(spread.low, spread.high) for spread in spreads],
        mode="lines+markers",
        name=name,
        line={"color": color, "width": 2},
        marker={"size": 7},
        hovertemplate="%{x} parts: %{y:.1%}<br>%{customdata[0]:.1%} to %{customdata[1]:.1%}<extra>"
        + name
        + "</extra>",
    )


def _mark(figure: go.Figure, curve: LearningCurve, enough: int) -> None:
    """Mark the number of parts from which one outlier no longer determines the threshold, if in range."""
    if curve.sizes[0].parts < enough <= curve.parts:
        figure.add_shape(
            type="line",
            x0=enough,
            x1=enough,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": "#888888", "width": 1, "dash": "dash"},
            # A label, not an annotation: on a logarithmic axis, annotations use other units than shapes.
            label={"text": f"{enough}", "textposition": "end", "textangle": 0, "font": {"size": 11}},
        )


def _layout(figure: go.Figure, curve: LearningCurve, title: str) -> None:
    ticks: list[int] = []
    for size in reversed(curve.sizes):
        if not ticks or ticks[-1] >= _APART * size.parts:
            ticks.append(size.parts)
    ends = (curve.sizes[0], 1 / _MARGIN), (curve.sizes[-1], _MARGIN)
    figure.update_layout(
        height=_HEIGHT,
        margin={"l": 8, "r": 8, "t": 24, "b": 8},
        legend={"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0, "xanchor": "left"},
        showlegend=True,
        xaxis={
            "title": "good parts",
            "type": "log",
            "range": [math.log10(size.parts * factor) for size, factor in ends],
            "tickmode": "array",
            "tickvals": ticks[::-1],
            "ticktext": [f"{number:,}" for number in ticks[::-1]],
            "zeroline": False,
        },
        yaxis={"title": title, "tickformat": ".0%", "zeroline": False},
        hoverlabel={"namelength": -1},
    )
