"""Plotly figures. Plotly is imported when the first one is drawn: no first paint pays for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Legible on light and on dark, and apart for colour-blind eyes; the same hues as style.css.
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
    """Histogram of held-out scores with the threshold as a line.

    Args:
        normals: scores of the good parts in the fit, each scored by a model without it.
        threshold: the threshold being tried.
        in_use: the saved threshold, drawn when it differs.
        kept_out: scores of good parts that were kept out of the fit.
        defects: scores of defect pictures.
        unit: title of the x axis.
        height: pixels.
    """
    import plotly.graph_objects as go

    everything = [*normals, *kept_out, *defects, *(v for v in (threshold, in_use) if v is not None)]
    low, high = min(everything, default=0.0), max(everything, default=1.0)
    margin = 0.05 * (high - low) or 0.1 * high or 1.0
    low, high = max(0.0, low - margin), high + margin
    # One set of bins for all kinds, or their bars could not be compared. One of their edges lies just above
    # the threshold: a part that scores as much as that passes, and must not stand on the other side.
    width = (high - low) / 40
    if threshold is not None:
        low = threshold * (1 + 1e-9) - width * max(1, math.ceil((threshold - low) / width))
    bins = {"start": low, "end": high + width, "size": width}
    bars = Counter(int((v - low) / bins["size"]) for values in (normals, kept_out, defects) for v in values)
    figure = go.Figure()
    for values, name, colour, pattern in (
        (normals, "Good parts", GOOD, ""),
        (kept_out, "Good, kept out of the fit", KEPT_OUT, "/"),
        (defects, "Defect pictures", DEFECT, "x"),
    ):
        if len(values):
            figure.add_histogram(
                x=list(values),
                name=name,
                xbins=bins,
                marker={
                    "color": colour,
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
    for value, label, colour, dash, rise in lines:
        if value is None:
            continue
        figure.add_vline(x=value, line={"color": colour, "width": 2, "dash": dash})
        # Above the bars, each line's label on a level of its own, and turned inwards at the right edge.
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
            font={"color": colour, "size": 12},
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
            "title": "parts" if not len(defects) else "parts or pictures",
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
    """Scatter of how pictures are shifted, as they are seen: right is right, down is down.

    Args:
        shifts: (down, right) of each picture, in map pixels.
        cell: side of a grid cell in map pixels. A cell is drawn as a square, and how far a whole cell's width
            reaches as a circle: beyond it, what lay in one cell lies in another.
        labels: a picture's name and what else to say of it, as plain text, shown when it is pointed at.
        height: pixels.
    """
    import plotly.graph_objects as go

    far = [math.hypot(down, right) > cell for down, right in shifts]
    reach = 1.08 * max([1.1 * cell, *(abs(value) for shift in shifts for value in shift)])
    texts = [escape(label) for label in labels] or ["" for _ in shifts]
    figure = go.Figure()
    for beyond, name, colour, symbol in (
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
                marker={"color": colour, "symbol": symbol, "size": 8, "opacity": 0.8},
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
        # Downwards, as in a picture, and to the same scale.
        yaxis={**axis, "title": "shift down (px)", "range": [reach, -reach], "scaleanchor": "x"},
        hoverlabel={"namelength": -1},
    )
    return figure
