"""Plotly figure of the Compare page: the quality of each configuration over its time per image."""

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
    """One configuration in the chart.

    Attributes:
        number: its position in the table.
        name: its name.
        milliseconds: time per image.
        value: the metric.
        low: lower end of its interval, or None.
        high: upper end of its interval, or None.
        standing: "best", "close" (not significantly different from the best) or "behind".
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
    """Draw a metric with its intervals over the time per image; points are labeled with their numbers.

    Args:
        points: the configurations.
        title: name of the metric.
        height: height in pixels.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for standing, (word, color, symbol, size) in _STANDINGS.items():
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
            marker={"color": color, "symbol": symbol, "size": size},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [0 if point.high is None else point.high - point.value for point in chosen],
                "arrayminus": [0 if point.low is None else point.value - point.low for point in chosen],
                "color": color,
                "thickness": 1.5,
            },
            name=word,
            hovertemplate="%{customdata}<br>%{y:.3f} at %{x:.0f} ms<extra></extra>",
        )
    most = max((point.milliseconds for point in points), default=1.0)
    ends = [end for point in points for end in (point.value, point.low, point.high) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    # The margin must not be 0 if all values are equal: Plotly would draw the axis from 0 to 2.
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
