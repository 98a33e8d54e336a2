"""The widgets with the settings of locating the part."""

from __future__ import annotations

from typing import Any

import streamlit as st

from padim.locating.settings import Align, LocatingMethod

_NARROWEST = 150
METHODS: dict[LocatingMethod | None, tuple[str, str]] = {
    None: ("As they lie", "A fixture or a stop holds every part in the same place."),
    "outline": (
        "By the outline",
        "Single parts on a plain background, anywhere and at any angle: screws, stampings, bottles.",
    ),
    "template": (
        "By marked places",
        "Parts that shift or turn a little and have a distinctive place: a hole, a corner, a print.",
    ),
    "features": (
        "By small details",
        "Printed or structured parts, also before a restless background: labels, circuit boards.",
    ),
}
_DETECTORS = {"sift": "SIFT: more exact", "orb": "ORB: faster"}
_ON_LOST = {"reject": "Reject", "review": "Review"}
# What is weighed, with the name of the setting.
_USUAL_WEIGHT = 3.0
_WEIGHTS = {"shift": "Shift", "turn": "Turn", "scale": "Size"}


def method(key: str, *, locked: bool) -> LocatingMethod | None:
    """Draw the choice of the method and return it.

    Args:
        key: key of the widget.
        locked: whether nothing can be changed.
    """
    names = list(METHODS)
    return st.radio(
        "How parts are brought to one place",
        names,
        format_func=lambda name: METHODS[name][0],
        captions=[METHODS[name][1] for name in names],
        key=key,
        persist_state="session",
        disabled=locked,
        label_visibility="collapsed",
    )


def prefill(method_key: str, align: Align) -> None:
    """Set the widgets, before they are drawn, to the settings of a model."""
    key = f"locate-{align.method}"
    values: dict[str, Any] = {
        method_key: align.method,
        f"{key}-lost": align.on_lost,
        f"{key}-resize": align.resize,
    }
    for field in ("max_shift", "max_turn", "max_scale", "min_match"):
        values[f"{key}-{field}"] = getattr(align, field)
    if align.method == "outline":
        values[f"{key}-margin"] = align.margin
    if align.method == "features":
        values[f"{key}-detector"] = align.detector
    for name in _WEIGHTS:
        weight = getattr(align, f"{name}_weight")
        values[f"{key}-judge-{name}"] = weight is not None
        if weight is not None:
            values[f"{key}-{name}-weight"] = weight
    st.session_state.update(values)


def settings(name: LocatingMethod, *, locked: bool) -> dict[str, Any]:
    """Draw a method's settings, but for what is drawn on the reference; return them by field of Align."""
    # The defaults of a method are those of the engine. Marks do not matter here.
    standard = Align(method=name, marks=((0, 0, 1, 1),) if name == "template" else ())
    key = f"locate-{name}"
    chosen: dict[str, Any] = {}
    # Values are stored in the session, not passed to the widgets: a model's settings are set there too.
    if name == "outline":
        st.session_state.setdefault(f"{key}-margin", standard.margin)
        chosen["margin"] = st.number_input(
            "Margin (%)",
            min_value=0.0,
            max_value=100.0,
            step=1.0,
            format="%.4g",
            key=f"{key}-margin",
            persist_state="session",
            disabled=locked,
            width=220,
            help="How much of the background is kept around the part, in percent of its length and width.",
        )
    if name == "features":
        chosen["detector"] = st.radio(
            "Kind of details",
            list(_DETECTORS),
            format_func=_DETECTORS.__getitem__,
            key=f"{key}-detector",
            persist_state="session",
            disabled=locked,
            horizontal=True,
        )
    chosen.update(_limits(standard, key, locked=locked))
    with st.expander("Advanced: displacement that is judged", key=f"{key}-advanced"):
        chosen.update(_weights(standard, key, locked=locked))
    return chosen


def _limits(standard: Align, key: str, *, locked: bool) -> dict[str, Any]:
    """Draw the limits beyond which a part counts as not found, and its verdict."""
    chosen: dict[str, Any] = {}
    fields: tuple[tuple[str, str, float, float, float, str], ...] = (
        ("max_shift", "Shift at most (%)", 1, 100, 1, "In percent of the longer side of the image."),
        ("max_turn", "Turn at most (°)", 0, 180, 1, "To either side. 180: any direction."),
        ("max_scale", "Size differs by at most (%)", 0, 100, 1, "From the size of the reference part."),
        (
            "min_match",
            "Weakest match",
            0,
            1,
            0.05,
            "How well the part must match the reference, from 0 to 1. “Try it” shows what good parts reach.",
        ),
    )
    grid = st.grid(min_column_width=_NARROWEST, gap="small", key=f"{key}-limits")
    for field, label, low, high, step, hint in fields:
        with grid.cell():
            st.session_state.setdefault(f"{key}-{field}", float(getattr(standard, field)))
            chosen[field] = st.number_input(
                label,
                min_value=float(low),
                max_value=float(high),
                step=float(step),
                format="%.4g",
                key=f"{key}-{field}",
                persist_state="session",
                disabled=locked,
                help=f"{hint} Beyond it the part is not found.",
            )
    chosen["on_lost"] = st.radio(
        "If the part is not found",
        list(_ON_LOST),
        format_func=_ON_LOST.__getitem__,
        key=f"{key}-lost",
        persist_state="session",
        horizontal=True,
        disabled=locked,
        help="The verdict of such an image. No part at all, two parts, or one cut by the border count too.",
    )
    st.session_state.setdefault(f"{key}-resize", standard.resize)
    chosen["resize"] = st.checkbox(
        "Bring all parts to the same size",
        key=f"{key}-resize",
        persist_state="session",
        disabled=locked,
        help="For cameras whose distance to the part varies. Otherwise a part that is larger or smaller "
        "shows as such.",
    )
    return chosen


def _weights(standard: Align, key: str, *, locked: bool) -> dict[str, Any]:
    """Draw which displacements are judged, with their weights."""
    st.caption(
        "A part that lies too far off can be a defect by itself: a label stuck on crooked. What is ticked "
        "gets a limit from the good parts, under the same false-reject promise as the map. A larger weight "
        "is more lenient."
    )
    chosen: dict[str, Any] = {}
    grid = st.grid(min_column_width=_NARROWEST, gap="small", key=f"{key}-weights")
    for name, label in _WEIGHTS.items():
        field = f"{name}_weight"
        usual = getattr(standard, field)
        with grid.cell():
            st.session_state.setdefault(f"{key}-judge-{name}", usual is not None)
            judged = st.checkbox(
                f"{label} is judged",
                key=f"{key}-judge-{name}",
                persist_state="session",
                disabled=locked,
            )
            st.session_state.setdefault(f"{key}-{name}-weight", usual or _USUAL_WEIGHT)
            weight = st.number_input(
                f"Weight of the {label.lower()}",
                min_value=0.001,
                max_value=1000.0,
                step=0.5,
                format="%.4g",
                key=f"{key}-{name}-weight",
                persist_state="session",
                disabled=locked or not judged,
            )
            chosen[field] = float(weight) if judged else None
    return chosen
