"""Review of the good parts: exclude those that do not belong, put back those that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.errors import PadimError
from padim.locating.wording import located_by, settings_text
from ui import fit, model_changes
from ui.app import shell
from ui.app.text import count, multiple
from ui.views.changes import apply_change
from ui.widgets import layers, normals, panels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from padim.analysis.good_parts import RankedNormal
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.widgets.normals import Reason

_SHOWN_AT_ONCE = 12


def draw_located(entry: Entry, model: Padim, busy: bool) -> None:
    """Draw how the part is located: the reference part, and the good images in which it was not found."""
    align = model.config.align
    st.subheader("Where the part lies")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Parts are compared as they lie."
            if align is None
            else f"Each part is located {located_by(align)}. {settings_text(align)}"
        )
        if st.button(
            "Locate the parts" if align is None else "Locate them otherwise",
            key="fit-like",
            icon=":material/center_focus_strong:",
            help="Where the part lies decides what the network sees, so that it takes another fit: bring the "
            "same images again, try it out, and fit a new model with the settings of this one. This one "
            "stays as it is.",
        ):
            fit.fit_like(entry.name, model.config)
            st.rerun()
    if align is None:
        return
    lost = [i for i, n in enumerate(model.normals_) if n.lost and n.status == "kept_out"]
    grid = st.grid(min_column_width=160, gap="small", key="fit-located")
    for index, normal in enumerate(model.normals_):
        if normal.status == "reference":
            with grid.cell():
                image = normals.overlay_of(entry, model, index)
                st.html(panels.gallery([panels.Thumb(image, normal.name, "Reference part")]))
    locked = busy or not model.working_set.has_features
    for index in lost:
        with grid.cell():
            normal = model.normals_[index]
            image = normals.overlay_of(entry, model, index)
            st.html(panels.gallery([panels.Thumb(image, normal.name, f"Not found: {normal.lost}")]))
            if st.button("Not a good part", key=f"lost-{index}", disabled=locked, width="stretch"):
                exclude = model_changes.start_excluding if model.config.trains else normals.exclude
                what = f"take {normal.name} out of the calibration"
                _make(entry, model, what, _bound(exclude, normal.sha256, "not_good"))
    st.caption(
        "The reference part is neither in the fit nor in the calibration: it lies at its own place by "
        "definition."
        + (
            f" In {count(len(lost), 'image')} of good parts the part was not found: they are not in the fit, "
            "and count in the calibration as what becomes of such images, so that the false-reject rate "
            "stays honest."
            if lost
            else " It was found in all images of good parts."
        )
    )


def draw_excluded(entry: Entry, model: Padim, items: list[RankedNormal], busy: bool) -> None:
    """Draw the parts that were taken out of the fit, each with a button that puts it back."""
    st.subheader("Taken out of the fit")
    locked = busy or not model.working_set.has_features
    grid = st.grid(min_column_width=160, gap="small", key="fit-taken-out")
    for item in items:
        with grid.cell():
            why = normals.REASONS[_reason(model, item)]
            if item.shots > 1:
                why += f"; {item.shots} images of one part"
            image = normals.overlay_of(entry, model, item.index)
            st.html(panels.gallery([panels.Thumb(image, item.name, why)]))
            if st.button("Put back", key=f"back-{item.index}", icon=":material/undo:", disabled=locked):
                sha256 = model.normals_[item.index].sha256
                include = model_changes.start_including if model.config.trains else normals.include
                what = f"put {item.name} back into the fit"
                _make(entry, model, what, _bound(include, sha256))


def _bound(change: Callable[..., None], *arguments: Any) -> Callable[[Entry], None]:
    return lambda entry: change(entry, *arguments)


def _make(entry: Entry, model: Padim, what: str, change: Callable[[Entry], None]) -> None:
    """Make a change at once, or start it in the background if the method has to be trained again."""
    if not model.config.trains:
        apply_change(entry, what, change)
        return
    try:
        change(entry)
    except PadimError as error:
        shell.failure("Nothing was changed.", error)
    else:
        st.rerun()


def _reason(model: Padim, item: RankedNormal) -> Reason:
    return "kept_out" if model.normals_[item.index].status == "kept_out" else "not_good"


def draw_least_normal(entry: Entry, model: Padim, items: list[RankedNormal], busy: bool) -> None:
    """Draw the good parts with the highest held-out scores, each with the ways to exclude it."""
    st.subheader("The least normal-looking")
    st.caption(
        "An image that does not belong among the good ones blunts the model. Take out what is not a good "
        "part. A good part that looks odd should stay, or the model will reject its like."
    )
    threshold = model.current_threshold
    limit = model.state.fitted.quantizer.to_value(threshold.level) if threshold is not None else 0.0
    shown = items[: _SHOWN_AT_ONCE * (1 + st.session_state.get("fit-more", 0))]
    split = _layers_of_each(entry, model, shown)
    grid = st.grid(min_column_width=160, gap="small", key="fit-normals")
    locked = busy or not model.working_set.has_features
    for item in shown:
        with grid.cell():
            _normal(entry, model, item, limit, locked, split.get(item.index, ""))
    if len(shown) < len(items) and st.button(f"Show more of the {len(items):,}", key="fit-show-more"):
        st.session_state["fit-more"] = st.session_state.get("fit-more", 0) + 1
        st.rerun()


def _layers_of_each(entry: Entry, model: Padim, shown: Sequence[RankedNormal]) -> dict[int, str]:
    """Return HTML bars of the layers’ shares in each good part’s score, by index; empty unless asked for."""
    from padim.analysis.layer_questions import can_attribute

    if (
        model.state.fitted.calibration != "exact"
        or not model.working_set.has_features
        or not shown
        or not can_attribute(model)
    ):
        return {}
    if not st.toggle(
        "Show which layer finds each one odd",
        key="fit-odd-by-layer",
        persist_state="session",
        help="How much each layer of the network adds to the distance at the place that an image’s score "
        "comes from, scored by a model without that part.",
    ):
        return {}
    try:
        with st.spinner("Working it out"):
            explanation = layers.of_each(entry, model, [item.index for item in shown])
    except (PadimError, OSError) as error:
        shell.failure("The layers cannot be looked into.", error)
        return {}
    bars = {index: layers.bars_of(model, one.shares.tolist()) for index, one in explanation.items()}
    st.html(panels.legend(next(iter(bars.values()))))
    return {index: panels.stack(rows) for index, rows in bars.items()}


def _normal(entry: Entry, model: Padim, item: RankedNormal, limit: float, locked: bool, split: str) -> None:
    note = f"{multiple(item.value, limit)} threshold" if limit > 0 and item.level is not None else ""
    verdict: panels.Verdict | None = None
    if limit > 0 and item.level is not None and (found := model.verdict(item.level)) != "accept":
        verdict = found
    st.html(
        panels.gallery([panels.Thumb(normals.overlay_of(entry, model, item.index), item.name, note, verdict)])
        + split
    )
    with st.popover("Exclude", key=f"why-{item.index}", disabled=locked):
        st.markdown("**Why take it out?**")
        if item.shots > 1:
            st.caption(f"All {item.shots} images of this part leave together.")
        for reason, text in normals.REASONS.items():
            if st.button(text, key=f"{reason}-{item.index}", width="stretch"):
                sha256 = model.normals_[item.index].sha256
                exclude = model_changes.start_excluding if model.config.trains else normals.exclude
                what = f"take {item.name} out of the fit"
                _make(entry, model, what, _bound(exclude, sha256, reason))
        st.caption(
            "A good part kept out stays in the calibration as an image the model has not seen, so that the "
            "false-reject rate stays honest."
        )
