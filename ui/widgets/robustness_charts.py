"""Plotly figure of Light and fixture: error rates over the severity of one kind of change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ui.widgets import charts
from ui.widgets.charts import DEFECT, DRAFT, GOOD, LINE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from padim.decision.operating_points import Rate


@dataclass(frozen=True)
class ChangeLine:
    """One curve of the chart.

    Attributes:
        name: its name.
        rates: the counted share at each severity; counts of 0 if there are no such images.
    """

    name: str
    rates: Sequence[Rate]


REJECTED, CAUGHT, LIMIT, TOLERATED = GOOD, DEFECT, LINE, DRAFT
"""Colors of good parts rejected, defects caught, the promised rate, and the tolerated range."""


def against_severity(
    rejected: ChangeLine,
    caught: ChangeLine,
    *,
    ticks: Sequence[str],
    text: Sequence[str],
    title: str,
    limit: float | None,
    tolerated: int | None,
    height: int = 250,
) -> go.Figure:
    """Draw the shares at each severity, with their intervals.

    Args:
        rejected: the shares of good parts rejected.
        caught: the shares of defects caught.
        ticks: a short axis label for each severity.
        text: the severities with their units.
        title: title of the axis.
        limit: share of good parts that may be rejected; None if the threshold promises nothing.
        tolerated: index of the largest tolerated severity; None if it cannot be determined.
        height: height in pixels.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    if tolerated is not None:
        figure.add_vrect(
            x0=-0.3, x1=tolerated + 0.3, fillcolor=TOLERATED, opacity=0.14, line={"width": 0}, layer="below"
        )
    if limit is not None:
        figure.add_hline(y=limit, line={"color": LIMIT, "width": 1.5, "dash": "dash"})
    for line, color, symbol, aside in (
        (rejected, REJECTED, "circle", -0.04),
        (caught, CAUGHT, "square", 0.04),
    ):
        known = [(i, rate) for i, rate in enumerate(line.rates) if rate.of]
        if not known:
            continue
        figure.add_scatter(
            x=[i + aside for i, _ in known],
            y=[rate.share for _, rate in known],
            customdata=[charts.counted(text[i], rate) for i, rate in known],
            mode="lines+markers",
            name=line.name,
            line={"color": color, "width": 2},
            marker={"symbol": symbol, "size": 7},
            error_y=charts.whiskers([rate for _, rate in known], color),
            hovertemplate="%{customdata}<extra>" + line.name + "</extra>",
        )
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=False,
        xaxis={
            "title": title,
            "range": [-0.35, len(ticks) - 0.65],
            "tickmode": "array",
            "tickvals": list(range(len(ticks))),
            "ticktext": list(ticks),
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"range": [-0.04, 1.04], "tickformat": ".0%", "dtick": 0.25, "zeroline": False},
        hoverlabel={"namelength": -1},
    )
    return figure
