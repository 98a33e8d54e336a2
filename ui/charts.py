"""Plotly figures. Plotly is imported when the first one is drawn: no first paint pays for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Legible on light and on dark, and apart for colour-blind eyes; the same hues as style.css.
GOOD = "#5b8fb0"
KEPT_OUT = "#a58bb8"
DEFECT = "#d9622b"
LINE = "#8a5a00"
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
    # One set of bins for all kinds, or their bars could not be compared.
    bins = {"start": low, "end": high, "size": (high - low) / 40}
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
    if in_use is not None and in_use != threshold:
        figure.add_vline(
            x=in_use, line={"color": "#888888", "width": 1.5, "dash": "dot"}, annotation_text="in use",
            annotation_position="bottom right",
        )  # fmt: skip
    if threshold is not None:
        figure.add_vline(
            x=threshold, line={"color": DEFECT, "width": 2}, annotation_text="threshold",
            annotation_position="top right",
        )  # fmt: skip
    figure.update_layout(
        barmode="stack",
        bargap=0.06,
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        showlegend=bool(len(kept_out) or len(defects)),
        xaxis={"title": unit, "range": [low, high], "zeroline": False},
        yaxis={
            "title": "parts",
            "rangemode": "tozero",
            "dtick": max(1, -(-max(bars.values(), default=1) // 5)),
        },
        hoverlabel={"namelength": -1},
    )
    return figure
