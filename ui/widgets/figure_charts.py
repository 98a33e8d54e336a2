"""Plotly charts of the tab Figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from ui.widgets.charts import DEFECT, DRAFT, GOOD, KEPT_OUT, LINE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from padim.records.figures.agreement import ReviewerAgreement
    from padim.records.figures.part_heat import PartHeat
    from padim.records.figures.reject_chart import RejectChart

OPEN = "#8a949e"
# More labels than this on an axis are thinned by Plotly.
_FEW = 14
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"}


def _layout(figure: go.Figure, title: str, *, height: int = 320, **more: Any) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
        legend=_LEGEND,
        yaxis={"title": title, "rangemode": "tozero", "zeroline": False, "automargin": True},
        hoverlabel={"namelength": -1},
    )
    figure.update_layout(**more)
    return figure


def _labels(figure: go.Figure, labels: Sequence[str]) -> go.Figure:
    """Name the places 0, 1, ... of the x axis, as many as there is room for."""
    step = max(1, -(-len(labels) // _FEW))
    places = list(range(0, len(labels), step))
    texts = [escape(one if len(one) <= 22 else f"{one[:21]}…") for one in labels]
    return figure.update_layout(
        xaxis={
            "tickmode": "array",
            "tickvals": places,
            "ticktext": [texts[place] for place in places],
            "automargin": True,
            "zeroline": False,
            "range": [-0.6, max(0, len(labels) - 1) + 0.6],
        }
    )


def outcome_bars(
    labels: Sequence[str], outcomes: Sequence[tuple[str, Sequence[int]]], inspected: Sequence[int]
) -> go.Figure:
    """Draw stacked bars of what became of rejects and reviews, a bar for each group.

    Args:
        labels: names of the groups.
        outcomes: name and counts of each outcome, at most five, in the order of the stack.
        inspected: inspections of each group, shown when the pointer is over it.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    colors = (DEFECT, LINE, "#c9a227", OPEN, KEPT_OUT)
    patterns = ("", "/", "x", "", ".")
    for (name, counts), color, pattern in zip(outcomes, colors, patterns, strict=False):
        if any(counts):
            figure.add_bar(
                x=list(range(len(labels))),
                y=list(counts),
                name=name,
                marker={
                    "color": color,
                    "line": {"width": 0},
                    "pattern": {
                        "shape": pattern,
                        "fillmode": "overlay",
                        "solidity": 0.3,
                        "fgcolor": "#ffffff",
                        "size": 6,
                    },
                },
                customdata=[
                    f"{escape(label)}: {count:,} of {of:,} inspected"
                    for label, count, of in zip(labels, counts, inspected, strict=True)
                ],
                hovertemplate="%{customdata}<extra>" + escape(name) + "</extra>",
            )
    _layout(figure, "inspections", barmode="stack", bargap=0.25, showlegend=True)
    return _labels(figure, labels)


def share_points(
    labels: Sequence[str],
    shares: Sequence[float | None],
    intervals: Sequence[tuple[float, float]],
    *,
    title: str,
    notes: Sequence[str] = (),
    color: str = DEFECT,
) -> go.Figure:
    """Draw shares of groups as points with their intervals; a group without a share has none."""
    import plotly.graph_objects as go

    known = [place for place, share in enumerate(shares) if share is not None]
    values = [shares[place] or 0.0 for place in known]
    texts = list(notes) or list(labels)
    figure = go.Figure()
    figure.add_scatter(
        x=known,
        y=values,
        mode="markers",
        marker={"color": color, "size": 8},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [
                max(0.0, intervals[place][1] - value) for place, value in zip(known, values, strict=True)
            ],
            "arrayminus": [
                max(0.0, value - intervals[place][0]) for place, value in zip(known, values, strict=True)
            ],
            "color": color,
            "thickness": 1,
            "width": 3,
        },
        customdata=[escape(texts[place]) for place in known],
        hovertemplate="%{customdata}<extra></extra>",
    )
    _layout(figure, title, showlegend=False, margin={"l": 8, "r": 12, "t": 12, "b": 8})
    figure.update_layout(yaxis={"tickformat": ".1~%"})
    return _labels(figure, labels)


def agreement_table(found: ReviewerAgreement) -> go.Figure:
    """Draw the counts of first against second decisions as a square of numbers."""
    import plotly.graph_objects as go

    names = [name.capitalize() for name in found.categories]
    counts = found.table.tolist()
    same = [
        [count if row == column else -count for column, count in enumerate(line)]
        for row, line in enumerate(counts)
    ]
    most = max(1, *(count for line in counts for count in line))
    figure = go.Figure()
    figure.add_heatmap(
        z=same,
        x=names,
        y=names,
        zmin=-most,
        zmax=most,
        colorscale=[[0, DEFECT], [0.5, "rgba(138,148,158,0.06)"], [1, GOOD]],
        showscale=False,
        xgap=3,
        ygap=3,
        text=[[f"{count:,}" for count in line] for line in counts],
        texttemplate="%{text}",
        textfont={"size": 16},
        hovertemplate="First: %{y}<br>Second: %{x}<br>%{text} inspections<extra></extra>",
    )
    return figure.update_layout(
        height=300,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        xaxis={"title": "second opinion", "showgrid": False},
        yaxis={"title": "first decision", "autorange": "reversed", "showgrid": False},
    )


def heat(found: PartHeat, backdrop: str | None = None) -> go.Figure:
    """Draw where regions lie on the part: the image's shape, the darker the more of their area.

    Args:
        found: the shares of the cells.
        backdrop: address of an image of a part to draw it on.
    """
    import plotly.graph_objects as go

    rows, columns = found.share.shape
    z = [[value * 100 if value else None for value in line] for line in found.share.tolist()]
    figure = go.Figure()
    figure.add_heatmap(
        z=z,
        colorscale=[[0, "rgba(217,98,43,0.25)"], [1, "rgba(190,50,10,0.95)"]],
        zmin=0,
        colorbar={"title": {"text": "% of area"}, "thickness": 12, "outlinewidth": 0},
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate="%{z:.1f} % of the area of all regions<extra></extra>",
    )
    if backdrop:
        figure.add_layout_image(
            source=backdrop,
            xref="x",
            yref="y",
            x=-0.5,
            y=-0.5,
            sizex=columns,
            sizey=rows,
            sizing="stretch",
            layer="below",
            opacity=0.55,
        )
    axis = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "constrain": "domain"}
    width = {"visible": True, "showline": True, "linecolor": OPEN, "mirror": True}
    return figure.update_layout(
        height=380,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        xaxis={**axis, **width, "range": [-0.5, columns - 0.5]},
        yaxis={
            **axis,
            **width,
            "range": [rows - 0.5, -0.5],
            "scaleanchor": "x",
            "scaleratio": found.aspect * columns / rows,
        },
    )


def control_chart(chart: RejectChart) -> go.Figure:
    """Draw a p-chart: the reject rate of each subgroup between its limits, and what is expected."""
    import plotly.graph_objects as go

    points = chart.points
    places = list(range(len(points)))
    figure = go.Figure()
    lines: tuple[tuple[str, list[float]], ...] = (
        ("limits", [point.high / point.rate.of for point in points]),
        ("lower limit", [point.low / point.rate.of for point in points]),
    )
    for number, (name, values) in enumerate(lines):
        figure.add_scatter(
            x=places,
            y=values,
            mode="lines",
            line={"color": LINE, "width": 1.5, "shape": "hvh"},
            name=name,
            showlegend=number == 0,
            hovertemplate=("at most" if number == 0 else "at least")
            + " %{y:.1%}<extra>expected of good parts</extra>",
        )
    figure.add_scatter(
        x=places,
        y=[chart.expected] * len(points),
        mode="lines",
        line={"color": GOOD, "width": 1, "dash": "dash"},
        name="expected",
        hoverinfo="skip",
    )
    for side, name, color, symbol in (
        (0, "within the limits", GOOD, "circle"),
        (1, "more rejects than good parts explain", DEFECT, "x"),
        (-1, "fewer rejects than expected", DRAFT, "triangle-down"),
    ):
        chosen = [place for place in places if points[place].side == side]
        if chosen:
            figure.add_scatter(
                x=chosen,
                y=[points[place].rate.share for place in chosen],
                mode="markers+lines" if side == 0 and len(chosen) == len(points) else "markers",
                line={"color": color, "width": 1},
                marker={"color": color, "size": 8, "symbol": symbol},
                name=name,
                customdata=[
                    f"{escape(points[place].label)}: {points[place].rate.count:,} of "
                    f"{points[place].rate.of:,} rejected<br>expected {points[place].low:,} to "
                    f"{points[place].high:,}"
                    for place in chosen
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
    _layout(figure, "rejected", height=340, showlegend=True)
    figure.update_layout(yaxis={"tickformat": ".1~%"})
    return _labels(figure, [point.label for point in points])


def moving_average(
    times: Sequence[datetime],
    average: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    mean: float,
    numbers: Sequence[int],
) -> go.Figure:
    """Draw the moving average of scores with its limits.

    Args:
        times: local times of the scores drawn, rising.
        average, low, high: the average and its limits at each.
        mean: mean of the calibration's held-out scores.
        numbers: how many scores each average has behind it.
    """
    import plotly.graph_objects as go

    # By their order, because nights and weekends would be most of a time axis.
    places = list(range(len(times)))
    figure = go.Figure()
    for number, values in enumerate((high, low)):
        figure.add_scatter(
            x=places,
            y=list(values),
            mode="lines",
            line={"color": LINE, "width": 1.5},
            name="limits",
            showlegend=number == 0,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=places,
        y=[mean] * len(times),
        mode="lines",
        line={"color": "#888888", "width": 1, "dash": "dash"},
        name="mean of the calibration",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=places,
        y=list(average),
        mode="lines",
        line={"color": GOOD, "width": 1.5},
        name="average of the scores",
        customdata=[f"{when:%Y-%m-%d %H:%M}, score {n:,}" for when, n in zip(times, numbers, strict=True)],
        hovertemplate="%{y:.3g}<br>%{customdata}<extra></extra>",
    )
    beyond = [place for place in places if average[place] > high[place] or average[place] < low[place]]
    if beyond:
        figure.add_scatter(
            x=beyond,
            y=[average[place] for place in beyond],
            mode="markers",
            marker={"color": DEFECT, "size": 4},
            name="outside",
            hoverinfo="skip",
        )
    _layout(figure, "anomaly score", height=340, showlegend=True)
    figure.update_layout(yaxis={"rangemode": "normal"})
    return _labels(figure, [f"{when:%d %b %H:%M}" for when in times])


def cost_curve(
    thresholds: Sequence[float],
    cost: Sequence[float],
    *,
    in_use: tuple[float, float],
    best: tuple[float, float],
) -> go.Figure:
    """Draw the cost of a day over the threshold, with the threshold in use and the cheapest one."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(
        x=list(thresholds),
        y=list(cost),
        mode="lines",
        line={"color": GOOD, "width": 2, "shape": "hv"},
        name="any threshold",
        hovertemplate="threshold %{x:.3g}: %{y:,.2f} a day<extra></extra>",
    )
    for name, (x, y), color, symbol in (
        ("threshold in use", in_use, DEFECT, "diamond"),
        ("cheapest", best, DRAFT, "star"),
    ):
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            marker={"color": color, "size": 13, "symbol": symbol},
            name=name,
            hovertemplate="threshold %{x:.3g}: %{y:,.2f} a day<extra>" + name + "</extra>",
        )
    _layout(figure, "cost a day", showlegend=True)
    return figure.update_layout(xaxis={"title": "threshold (anomaly score)", "zeroline": False})
