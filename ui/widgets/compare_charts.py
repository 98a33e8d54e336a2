"""Plotly figure of the Compare page: how good each configuration is against how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ui.widgets.charts import DEFECT, DRAFT, GOOD

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Point:
    """One configuration.

    Attributes:
        number: its place in the table.
        name: its name.
        milliseconds: an image.
        value, low, high: the figure and its interval; None where it has none.
        standing: ``best``, ``close`` to it, or ``behind``.
    """

    number: int
    name: str
    milliseconds: float
    value: float
    low: float | None
    high: float | None
    standing: str


_STANDINGS = {
    "best": ("Best", DRAFT, "star", 15),
    "close": ("Not told apart from it", GOOD, "circle", 10),
    "behind": ("Behind", DEFECT, "x", 9),
}


def trade_off(points: Sequence[Point], *, title: str, height: int = 400) -> go.Figure:
    """Scatter of a figure with its intervals over the time an image takes, points named by their numbers.

    Args:
        points: the configurations.
        title: of the figure.
        height: pixels.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for standing, (word, colour, symbol, size) in _STANDINGS.items():
        chosen = [point for point in points if point.standing == standing]
        if not chosen:
            continue
        figure.add_scatter(
            x=[point.milliseconds for point in chosen],
            y=[point.value for point in chosen],
            mode="markers+text",
            text=[f" {point.number}" for point in chosen],
            textposition="middle right",
            cliponaxis=False,
            customdata=[
                escape(point.name) + ("" if point.low is None else f"<br>{point.low:.3f} to {point.high:.3f}")
                for point in chosen
            ],
            marker={"color": colour, "symbol": symbol, "size": size},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [0 if point.high is None else point.high - point.value for point in chosen],
                "arrayminus": [0 if point.low is None else point.value - point.low for point in chosen],
                "color": colour,
                "thickness": 1.5,
            },
            name=word,
            hovertemplate="%{customdata}<br>%{y:.3f} at %{x:.0f} ms<extra></extra>",
        )
    most = max((point.milliseconds for point in points), default=1.0)
    ends = [end for point in points for end in (point.value, point.low, point.high) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    # Also where all are alike, which would be drawn from 0 to 2.
    margin = max(0.06 * (high - low), 0.005)
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        showlegend=True,
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 1, "xanchor": "right"},
        xaxis={"title": "time per image (ms)", "range": [0, 1.15 * most], "zeroline": False},
        yaxis={"title": title, "range": [low - margin, high + margin], "zeroline": False},
    )
    return figure
