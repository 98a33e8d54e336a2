"""Plotly figure of training losses; Plotly is imported when it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ui.widgets.charts import GOOD, KINDS, LINE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from padim.methods.base import Losses


def figure(trainings: Sequence[Losses]) -> go.Figure:
    """Draw loss over epoch: solid on training parts, dotted on held-out parts, a dot at the epoch kept."""
    import plotly.graph_objects as go

    chart = go.Figure()
    drawn = [value for one in trainings for value in (*one.train, *one.held_out)]
    for index, one in enumerate(trainings):
        color = (GOOD, LINE, *KINDS)[index % (2 + len(KINDS))]
        for values, dash, what in ((one.train, "solid", "trained on"), (one.held_out, "dot", "held back")):
            if values:
                chart.add_scatter(
                    x=list(range(1, len(values) + 1)),
                    y=list(values),
                    mode="lines",
                    line={"color": color, "width": 2, "dash": dash},
                    name=one.name,
                    legendgroup=str(index),
                    showlegend=dash == "solid",
                    hovertemplate=f"epoch %{{x}}, loss %{{y:.4g}}<extra>{one.name}, {what}</extra>",
                )
        kept = one.held_out or one.train
        if 0 <= one.best < len(kept):
            chart.add_scatter(
                x=[one.best + 1],
                y=[kept[one.best]],
                mode="markers",
                marker={"color": color, "size": 8},
                legendgroup=str(index),
                showlegend=False,
                hovertemplate=f"kept: epoch %{{x}}, loss %{{y:.4g}}<extra>{one.name}</extra>",
            )
    chart.update_layout(
        height=320,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top", "x": 1, "xanchor": "right"},
        xaxis={"title": "Epoch", "rangemode": "tozero"},
        # A preparatory training may have losses on another scale than the main one.
        yaxis={"title": "Loss", "type": "log" if all(value > 0 for value in drawn) else "linear"},
    )
    return chart
