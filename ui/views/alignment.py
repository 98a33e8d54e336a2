"""Alignment: how far the good parts are displaced and rotated against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from ui import alignment
from ui.app import shell
from ui.app.text import count
from ui.jobs import watch
from ui.widgets import charts, panels

if TYPE_CHECKING:
    from padim.analysis.pose_spread import PoseSpread
    from padim.model import Padim


def draw(model: Padim) -> None:
    """Draw the progress of the measurement, or its result with advice."""
    st.subheader("Alignment")
    st.caption(
        "The model compares each place of a part with the same place of the good parts. How far apart they "
        "lie in their images decides how well that works."
    )
    job = alignment.pose_spread_job(model)
    if job.running:
        watch.watch(job)
        return
    if job.state != "done":
        if job.state == "failed":
            shell.failure("How the parts lie could not be measured.", job.error)
        else:
            st.info("The measurement was cancelled.", icon=":material/info:")
        if st.button("Measure again", key="checks-measure", icon=":material/refresh:"):
            alignment.measure_again(job)
            st.rerun()
        return
    _result(model, job.result)


def _result(model: Padim, spread: PoseSpread) -> None:
    from padim.analysis.alignment import advise

    cell, (height, width) = model.config.grid_stride, model.config.input_shape
    found = spread.alignment
    too_far, advice = advise(found, cell, width)
    if not found.measurable:
        st.info(f"**Not measurable.** {advice}", icon=":material/info:")
        return

    def shift(pixels: float) -> str:
        return (
            f"{pixels:.1f} px · {pixels / cell:.2f} {'cell' if 0.995 <= pixels / cell < 1.005 else 'cells'}"
        )

    # One above the other where there is little width.
    halves = st.grid(2, min_column_width=400, gap="medium", key="checks-alignment")
    with halves.cell():
        st.html(
            panels.facts(
                [
                    ("Typical shift", shift(spread.typical)),
                    ("95 % shifted by at most", shift(found.shift95)),
                    ("95 % turned by at most", f"{found.angle95:.1f}°"),
                    ("Shift and turn at the edge", shift(found.edge95)),
                ]
            )
        )
        if too_far:
            st.warning(f"**Parts lie further apart than a grid cell.** {advice}", icon=":material/warning:")
        else:
            st.success(advice, icon=":material/check:")
        st.caption(
            f"Measured on {_measured(spread)} of good parts, against their common position; in pixels of the "
            f"{width} × {height} map, of which a grid cell takes {cell} × {cell}."
        )
        if spread.without_outline:
            st.caption(
                f"Not counted: {count(spread.without_outline, 'image')} that shared no outline with the rest."
            )
        far = spread.farthest(cell) if too_far else []
        if far:
            st.caption("Shifted furthest")
            st.html(
                panels.gallery(
                    (
                        panels.Thumb(
                            panels.ServedImage(model.working_set.thumbnail(index)),
                            model.normals_[index].name,
                            f"{length:.1f} px",
                        )
                        for index, length in far
                    ),
                    small=True,
                )
            )
    with halves.cell():
        known = [i for i, length in enumerate(spread.lengths) if np.isfinite(length)]
        st.plotly_chart(
            charts.shift_scatter(
                [(float(found.shifts[i, 0]), float(found.shifts[i, 1])) for i in known],
                cell=cell,
                labels=[
                    f"{model.normals_[spread.measured[i]].name}, turned {found.angles[i]:.1f}°" for i in known
                ],
            ),
            config=charts.CONFIG,
            key="checks-shifts",
        )


def _measured(spread: PoseSpread) -> str:
    """Return how many of the good images were measured, in words."""
    n = len(spread.measured)
    return count(n, "image") if n == spread.good else f"{n:,} of {count(spread.good, 'image')}"
