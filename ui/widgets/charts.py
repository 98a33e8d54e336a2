"""Plotly figures shared by the pages.

Plotly is imported when the first figure is drawn, so that the first page does not wait for it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from padim.decision.operating_points import Rate

# Legible on light and dark backgrounds, and distinct for color-blind viewers; the same hues as style.css.
GOOD = "#5b8fb0"
KEPT_OUT = "#a58bb8"
DEFECT = "#d9622b"
LINE = "#a8741a"
DRAFT = "#1f8a70"

CONFIG: dict[str, Any] = {"displayModeBar": False, "responsive": True}


def score_histogram(
    normals: Sequence[float],
    *,
    threshold: float | None = None,
    in_use: float | None = None,
    kept_out: Sequence[float] = (),
    defects: Sequence[float] = (),
    unit: str = "anomaly score",
    height: int = 300,
) -> go.Figure:
    """Draw a histogram of held-out scores with the threshold as a line.

    Args:
        normals: scores of the good parts in the fit, each scored by a model without it.
        threshold: the threshold being tried.
        in_use: the saved threshold, drawn if it differs.
        kept_out: scores of good parts that were kept out of the fit.
        defects: scores of defect images.
        unit: title of the x axis.
        height: height in pixels.
    """
    import plotly.graph_objects as go

    everything = [*normals, *kept_out, *defects, *(v for v in (threshold, in_use) if v is not None)]
    low, high = min(everything, default=0.0), max(everything, default=1.0)
    margin = 0.05 * (high - low) or 0.1 * high or 1.0
    low, high = max(0.0, low - margin), high + margin
    # All kinds share one set of bins, so that their bars can be compared. One bin edge is just above the
    # threshold, because a part whose score equals the threshold is accepted and must be drawn on that side.
    width = (high - low) / 40
    if threshold is not None:
        low = threshold * (1 + 1e-9) - width * max(1, math.ceil((threshold - low) / width))
    bins = {"start": low, "end": high + width, "size": width}
    bars = Counter(int((v - low) / bins["size"]) for values in (normals, kept_out, defects) for v in values)
    figure = go.Figure()
    for values, name, color, pattern in (
        (normals, "Good parts", GOOD, ""),
        (kept_out, "Good, excluded from the fit", KEPT_OUT, "/"),
        (defects, "Defect images", DEFECT, "x"),
    ):
        if len(values):
            figure.add_histogram(
                x=list(values),
                name=name,
                xbins=bins,
                marker={
                    "color": color,
                    "line": {"width": 0},
                    "pattern": {
                        "shape": pattern,
                        "fillmode": "overlay",
                        "fgcolor": "#ffffff",
                        "size": 5,
                        "solidity": 0.35,
                    },
                },
                hovertemplate="%{y} at %{x}<extra>" + name + "</extra>",
            )
    lines = [(threshold, "threshold", DEFECT, "solid", 0)]
    if in_use is not None and in_use != threshold:
        lines = [(threshold, "tried", DEFECT, "solid", 0), (in_use, "in use", "#888888", "dot", 15)]
    for value, label, color, dash, rise in lines:
        if value is None:
            continue
        figure.add_vline(x=value, line={"color": color, "width": 2, "dash": dash})
        # Labels are above the bars, each line's at its own height, and extend inwards at the right edge.
        right = (value - low) > 0.6 * (high - low)
        figure.add_annotation(
            x=value,
            y=1,
            yref="paper",
            yanchor="bottom",
            yshift=2 + rise,
            xanchor="right" if right else "left",
            text=f"{label} {value:.2f}",
            showarrow=False,
            font={"color": color, "size": 12},
        )
    figure.update_layout(
        barmode="stack",
        bargap=0.06,
        height=height,
        margin={"l": 8, "r": 8, "t": 36, "b": 8},
        legend={
            "orientation": "h",
            "y": -0.16,
            "yanchor": "top",
            "x": 1,
            "xanchor": "right",
            "traceorder": "normal",
        },
        showlegend=bool(len(kept_out) or len(defects)),
        xaxis={"title": unit, "range": [low, high], "zeroline": False},
        yaxis={
            "title": "parts" if not len(defects) else "parts or images",
            "rangemode": "tozero",
            "dtick": max(1, -(-max(bars.values(), default=1) // 5)),
        },
        hoverlabel={"namelength": -1},
    )
    return figure


def shift_scatter(
    shifts: Sequence[tuple[float, float]],
    *,
    cell: float,
    labels: Sequence[str] = (),
    height: int = 360,
) -> go.Figure:
    """Draw a scatter plot of the images' shifts, oriented like the images (right is right, down is down).

    Args:
        shifts: (down, right) of each image, in map pixels.
        cell: side of a grid cell in map pixels. The cell is drawn as a square, and a circle has its width as
            radius: an image shifted further has its content in another cell.
        labels: plain text shown when the pointer is over an image: its name and details.
        height: height in pixels.
    """
    import plotly.graph_objects as go

    far = [math.hypot(down, right) > cell for down, right in shifts]
    reach = 1.08 * max([1.1 * cell, *(abs(value) for shift in shifts for value in shift)])
    texts = [escape(label) for label in labels] or ["" for _ in shifts]
    figure = go.Figure()
    for beyond, name, color, symbol in (
        (False, "Within a cell’s width", GOOD, "circle"),
        (True, "Further away", DEFECT, "x"),
    ):
        chosen = [i for i, is_far in enumerate(far) if is_far == beyond]
        if chosen:
            figure.add_scatter(
                x=[shifts[i][1] for i in chosen],
                y=[shifts[i][0] for i in chosen],
                text=[texts[i] for i in chosen],
                name=name,
                mode="markers",
                marker={"color": color, "symbol": symbol, "size": 8, "opacity": 0.8},
                hovertemplate="%{text}<br>%{x:.1f} right, %{y:.1f} down<extra></extra>",
            )
    half = cell / 2
    figure.add_shape(type="rect", x0=-half, x1=half, y0=-half, y1=half, line={"color": LINE, "width": 2})
    figure.add_shape(
        type="circle", x0=-cell, x1=cell, y0=-cell, y1=cell, line={"color": LINE, "width": 1, "dash": "dot"}
    )
    for y, anchor, text in (
        (half, "top", f"grid cell, {cell:g} px"),
        (-cell, "bottom", "a cell’s width away"),
    ):
        figure.add_annotation(
            x=0, y=y, yanchor=anchor, text=text, showarrow=False, font={"color": LINE, "size": 12}
        )
    axis = {"zeroline": True, "zerolinewidth": 1, "constrain": "domain"}
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        showlegend=any(far),
        legend={"orientation": "h", "y": -0.18, "yanchor": "top", "x": 1, "xanchor": "right"},
        xaxis={**axis, "title": "shift to the right (px)", "range": [-reach, reach]},
        # The y axis points down, as in an image, and has the same scale as the x axis.
        yaxis={**axis, "title": "shift down (px)", "range": [reach, -reach], "scaleanchor": "x"},
        hoverlabel={"namelength": -1},
    )
    return figure


# Colors of kinds of defects, distinct for color-blind viewers and on light and dark backgrounds. Further
# kinds repeat them with a pattern.
KINDS = (DEFECT, "#c9a227", "#8a6fb0", "#2f9e8f", "#b5567e", "#7a8f3c", "#9c6b4a")
_PATTERNS = ("", "/", "x", ".")
# A histogram by kind ends at this multiple of the threshold, unless more than this share of the scores is
# beyond it.
_REACH = 4.0
_MOST_BEYOND = 0.1


def end_of_scale(scores: Mapping[str, Sequence[float]], threshold: float | None) -> float:
    """Return the score at which a histogram by kind ends, or infinity for no limit.

    The limit keeps a single gross defect from compressing all other scores into a corner.
    """
    end = _REACH * threshold if threshold else math.inf
    beyond = sum(value > end for values in scores.values() for value in values)
    return end if beyond <= _MOST_BEYOND * sum(map(len, scores.values())) else math.inf


def kind_histogram(
    scores: Mapping[str, Sequence[float]], *, threshold: float | None, height: int = 400
) -> go.Figure:
    """Draw a stacked histogram of scores by kind of defect, with the threshold as a line.

    Scores beyond :func:`end_of_scale` are drawn at its end.

    Args:
        scores: the scores of each kind; the kind "good" is drawn as good parts.
        threshold: the threshold in the unit of the scores, or None.
        height: height in pixels.
    """
    end = end_of_scale(scores, threshold)
    scores = {kind: [min(value, end) for value in values] for kind, values in scores.items()}
    figure = score_histogram(
        scores.get("good", ()),
        threshold=threshold,
        defects=[value for kind, values in scores.items() if kind != "good" for value in values],
        height=height,
    )
    together = [trace for trace in figure.data if trace.name == "Defect images"]
    figure.data = [trace for trace in figure.data if trace.name != "Defect images"]
    for trace in together:
        kinds = [kind for kind in scores if kind != "good"]
        for i, kind in enumerate(kinds):
            name = escape(kind)
            figure.add_histogram(
                x=list(scores[kind]),
                name=name,
                xbins=trace.xbins,
                marker={
                    "color": KINDS[i % len(KINDS)],
                    "line": {"width": 0},
                    "pattern": {"shape": _PATTERNS[i // len(KINDS) % len(_PATTERNS)], "solidity": 0.35},
                },
                hovertemplate="%{y} at %{x}<extra>" + name + "</extra>",
            )
    figure.update_layout(yaxis={"title": "images"}, showlegend=True, legend={"y": -0.2})
    return figure


def share_curve(
    x: Sequence[float],
    y: Sequence[float],
    thresholds: Sequence[float],
    *,
    titles: tuple[str, str],
    here: tuple[float, float] | None = None,
    steps: bool = False,
    chance: bool = False,
    height: int = 400,
) -> go.Figure:
    """Draw a curve of one share over another, with a point for each threshold.

    Args:
        x: shares, 0 to 1.
        y: shares, 0 to 1.
        thresholds: the thresholds of the points, in anomaly-map units.
        titles: titles of the x and the y axis.
        here: the point of the threshold in use, or None.
        steps: draw steps instead of straight lines, because values between the points cannot be attained.
        chance: draw the diagonal of random guessing.
        height: height in pixels.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    if chance:
        figure.add_scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"color": "#888888", "width": 1, "dash": "dot"},
            name="guessing",
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=list(x),
        y=list(y),
        customdata=list(thresholds),
        mode="lines+markers" if len(x) <= 60 else "lines",
        line={"color": GOOD, "width": 2, "shape": "vh" if steps else "linear"},
        marker={"size": 4},
        name="any threshold",
        hovertemplate="%{x:.1%}, %{y:.1%}<br>threshold %{customdata:.2f}<extra></extra>",
    )
    if here is not None:
        figure.add_scatter(
            x=[here[0]],
            y=[here[1]],
            mode="markers",
            marker={"color": DEFECT, "size": 12, "symbol": "diamond"},
            name="threshold in use",
            hovertemplate="%{x:.1%}, %{y:.1%}<extra>threshold in use</extra>",
        )
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%", "zeroline": False}
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 1, "xanchor": "right"},
        xaxis={**axis, "title": titles[0]},
        yaxis={**axis, "title": titles[1]},
    )
    return figure


def interval_bars(
    names: Sequence[str],
    values: Sequence[float | None],
    intervals: Sequence[tuple[float | None, float | None]],
    *,
    title: str,
    texts: Sequence[str] = (),
    notes: Sequence[str] = (),
    height: int | None = None,
) -> go.Figure:
    """Draw horizontal bars of shares with their intervals.

    Args:
        names: names of the bars, the first on top.
        values: shares, 0 to 1; None draws no bar.
        intervals: (low, high) of each share.
        title: title of the axis.
        texts: texts on the bars; by default the values.
        notes: texts shown when the pointer is over a bar.
        height: height in pixels; None derives it from the number of bars.
    """
    import plotly.graph_objects as go

    known = [0.0 if value is None else value for value in values]
    ends = [
        (value, value) if low is None or high is None else (low, high)
        for value, (low, high) in zip(known, intervals, strict=True)
    ]
    labels = [escape(name if len(name) <= 28 else f"{name[:27]}…") for name in names]
    figure = go.Figure()
    figure.add_bar(
        # Bars are placed by number, because two long names may be shortened to the same text.
        y=list(range(len(names))),
        x=known,
        orientation="h",
        marker={"color": DEFECT, "opacity": 0.75},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - value for value, (_, high) in zip(known, ends, strict=True)],
            "arrayminus": [value - low for value, (low, _) in zip(known, ends, strict=True)],
            "color": "#5a6570",
            "thickness": 2,
        },
        text=list(texts) or ["–" if value is None else f"{value:.3f}" for value in values],
        textposition="inside",
        insidetextanchor="start",
        customdata=[escape(note) for note in notes] or names,
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.update_layout(
        height=height or 90 + 42 * len(names),
        margin={"l": 8, "r": 16, "t": 8, "b": 8},
        showlegend=False,
        xaxis={"title": title, "range": [0, 1.02], "zeroline": False},
        yaxis={
            "autorange": "reversed",
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": labels,
            "automargin": True,
        },
    )
    return figure


def whiskers(rates: Sequence[Rate], color: str) -> dict[str, Any]:
    """Return Plotly error bars with the 95 % intervals of counted shares."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [rate.high - rate.share for rate in rates],
        "arrayminus": [rate.share - rate.low for rate in rates],
        "color": color,
        "thickness": 1,
        "width": 3,
    }


def counted(of: str, rate: Rate) -> str:
    """Return the text shown when the pointer is over a counted share."""
    return f"{of}: {rate.count} of {rate.of}<br>{rate.low * 100:.0f} to {rate.high * 100:.0f} %"
