"""Plotly figures of Smallest defect: how often painted defects are caught, and where."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ui.widgets import charts
from ui.widgets.charts import LINE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from padim.analysis.blind_spots import PlaceCount
    from padim.analysis.detection_curve import Curve

# Colors from faint to strong contrast, distinct for color-blind viewers and on light and dark backgrounds;
# the markers differ as well.
CONTRASTS = ("#8a6fb0", "#5b8fb0", "#2f9e8f", "#c9a227", "#d9622b", "#b5567e")
_MARKS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x")
# Colors of missed, partly caught and caught: the hues of the verdicts.
_SCALE = ((0.0, "#b3400c"), (0.5, "#e6c35c"), (1.0, "#1f8a70"))
_STEPS = 60


def detection(
    curves: Sequence[tuple[str, Curve]], *, factor: float, unit: str, height: int = 430
) -> go.Figure:
    """Draw the share caught over size: a curve for each contrast, with counts and intervals as points.

    Args:
        curves: name and curve of each contrast, sizes in map pixels.
        factor: size of a map pixel in ``unit``.
        unit: name of the unit.
        height: height in pixels.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    # Points of the same size are drawn side by side, so that their intervals do not overlap.
    apart = 1.03
    for i, (name, curve) in enumerate(curves):
        color, mark = CONTRASTS[i % len(CONTRASTS)], _MARKS[i % len(_MARKS)]
        aside = apart ** (i - (len(curves) - 1) / 2)
        known = [
            (value * factor, rate) for value, rate in zip(curve.values, curve.rates, strict=True) if rate.of
        ]
        if not known:
            continue
        xs = np.geomspace(curve.values[0], curve.values[-1], _STEPS)
        fitted = curve.share(xs)
        if fitted is not None:
            figure.add_scatter(
                x=(xs * factor).tolist(),
                y=fitted.tolist(),
                mode="lines",
                line={"color": color, "width": 2},
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[value * aside for value, _ in known],
            y=[rate.share for _, rate in known],
            customdata=[charts.counted(f"{value:.3g} {unit}", rate) for value, rate in known],
            # If all or none are caught, there is no fitted curve; a line shows which points belong together.
            mode="markers" if fitted is not None else "markers+lines",
            marker={"color": color, "symbol": mark, "size": 8},
            line={"color": color, "width": 2},
            error_y=charts.whiskers([rate for _, rate in known], color),
            name=name,
            hovertemplate="%{customdata}<extra>" + escape(name) + "</extra>",
        )
    for share in (0.5, 0.9):
        figure.add_hline(y=share, line={"color": LINE, "width": 1, "dash": "dot"})
    sizes = [value * factor for value in curves[0][1].values] if curves else []
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        # Plotly's own legend would cover the curves when the window is made narrower.
        showlegend=False,
        xaxis={
            "title": f"size of the defect ({unit})",
            "type": "log",
            "tickmode": "array",
            "tickvals": sizes,
            "ticktext": [f"{size:.3g}" for size in sizes],
            "zeroline": False,
        },
        yaxis={
            "title": "caught",
            "range": [-0.03, 1.03],
            "tickformat": ".0%",
            "tickvals": [0, 0.25, 0.5, 0.75, 0.9, 1],
            "zeroline": False,
        },
        hoverlabel={"namelength": -1},
    )
    return figure


def place_map(
    share: npt.NDArray[np.float64],
    spots: Sequence[PlaceCount],
    *,
    map_shape: tuple[int, int],
    aspect: float,
    backdrop: bytes,
    height: int = 430,
) -> go.Figure:
    """Draw the share caught by place, as a grid of colors and the places themselves, on an image of the part.

    Args:
        share: share caught per cell, float64 ``(rows, columns)``, NaN where nothing was tried.
        spots: the places.
        map_shape: (h, w) of the map in pixels.
        aspect: aspect ratio (width over height) of a map pixel in the original images.
        backdrop: JPEG of the part as the model sees it.
        height: height in pixels.
    """
    import plotly.graph_objects as go

    high, wide = map_shape
    down, across = (
        [(i + 0.5) * length / cells for i in range(cells)]
        for length, cells in zip(map_shape, share.shape, strict=True)
    )
    texts = [["" if np.isnan(value) else f"{value * 100:.0f} %" for value in row] for row in share]
    figure = go.Figure()
    figure.add_heatmap(
        x=across,
        y=down,
        z=[[None if np.isnan(value) else float(value) for value in row] for row in share],
        zmin=0,
        zmax=1,
        colorscale=[list(step) for step in _SCALE],
        opacity=0.5,
        xgap=1,
        ygap=1,
        hoverinfo="skip",
        colorbar={"tickformat": ".0%", "thickness": 12, "len": 0.9, "title": {"text": "caught"}},
    )
    for blind, name, symbol, size in ((False, "Place", "circle", 9), (True, "Blind spot", "x", 11)):
        chosen = [spot for spot in spots if spot.blind == blind]
        figure.add_scatter(
            x=[spot.x for spot in chosen],
            y=[spot.y for spot in chosen],
            customdata=[
                f"{spot.count} of {spot.of} caught<br>{escape(spot.image)}"
                + ("<br>even the largest and strongest missed" if spot.blind else "")
                for spot in chosen
            ],
            mode="markers",
            name=name,
            marker={
                "color": [spot.count / spot.of for spot in chosen],
                "cmin": 0,
                "cmax": 1,
                "colorscale": [list(step) for step in _SCALE],
                "symbol": symbol,
                "size": size,
                "line": {"color": "#ffffff", "width": 1.2},
            },
            hovertemplate="%{customdata}<extra></extra>",
        )
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            if text:
                figure.add_annotation(
                    x=across[column],
                    y=down[row],
                    text=text,
                    showarrow=False,
                    font={"color": "#ffffff", "size": 12},
                    bgcolor="rgba(20, 25, 29, 0.55)",
                    borderpad=2,
                )
    axis: dict[str, Any] = {"visible": False, "constrain": "domain"}
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 8, "b": 8},
        showlegend=False,
        plot_bgcolor="rgba(0,0,0,0)",
        images=[
            {
                "source": f"data:image/jpeg;base64,{base64.b64encode(backdrop).decode()}",
                "xref": "x",
                "yref": "y",
                "x": 0,
                "y": 0,
                "sizex": wide,
                "sizey": high,
                "sizing": "stretch",
                "layer": "below",
            }
        ],
        xaxis={**axis, "range": [0, wide]},
        # The y axis points down, as in an image, and is scaled to the part's original aspect ratio.
        yaxis={**axis, "range": [high, 0], "scaleanchor": "x", "scaleratio": 1 / aspect},
    )
    return figure
