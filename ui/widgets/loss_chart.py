"""The course of trainings as a Plotly figure; Plotly is imported when it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ui.widgets.charts import GOOD, KINDS, LINE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from padim.methods.base import Losses


def figure(trainings: Sequence[Losses]) -> go.Figure:
    """Loss against epoch: solid on what was learnt from, dotted on parts held back, a dot where it ended."""
    import plotly.graph_objects as go

    chart = go.Figure()
    drawn = [value for one in trainings for value in (*one.train, *one.held_out)]
    for index, one in enumerate(trainings):
        colour = (GOOD, LINE, *KINDS)[index % (2 + len(KINDS))]
        for values, dash, what in ((one.train, "solid", "learnt from"), (one.held_out, "dot", "held back")):
            if values:
                chart.add_scatter(
                    x=list(range(1, len(values) + 1)),
                    y=list(values),
                    mode="lines",
                    line={"color": colour, "width": 2, "dash": dash},
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
                marker={"color": colour, "size": 8},
                legendgroup=str(index),
                showlegend=False,
                hovertemplate=f"kept: epoch %{{x}}, loss %{{y:.4g}}<extra>{one.name}</extra>",
            )
    chart.update_layout(
        height=320,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top", "x": 1, "xanchor": "right"},
        xaxis={"title": "Epoch", "rangemode": "tozero"},
        # What prepares a training is on another scale than the training itself.
        yaxis={"title": "Loss", "type": "log" if all(value > 0 for value in drawn) else "linear"},
    )
    return chart
