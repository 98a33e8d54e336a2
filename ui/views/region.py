"""The Region tab of the Fit page: draw where defects count, and see the effect on false rejects."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import region as regions
from ui import viewing
from ui.app import shell, workspace
from ui.components import roi
from ui.views.changes import apply_change

if TYPE_CHECKING:
    from padim.analysis.region_preview import RegionPreview
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.region import Drawing, EditedRegion

_EDITOR = "region-editor"


# -- drawing ---------------------------------------------------------------------------------------------


def _editor(entry: Entry, model: Padim, drawn: Drawing, region: EditedRegion) -> None:
    try:
        with st.container():  # its spinners must not move the editor
            data = regions.message(entry, model, drawn, region)
    except PadimError as error:
        shell.failure("There is no image to draw on.", error)
        return
    roi.component()(
        key=_EDITOR,
        data=data,
        on_drawing_change=lambda: regions.on_drawing(entry, model, viewing.event_value(_EDITOR, "drawing")),
    )


# -- effects ---------------------------------------------------------------------------------------------


def _table(model: Padim, now: RegionPreview, then: RegionPreview | None) -> str:
    def cell(value: str, note: str) -> str:
        small = f"<small>{escape(note)}</small>" if note else ""
        return f"<td><b>{escape(value)}</b>{small}</td>"

    head = '<th><span class="pv-unseen">Figure</span></th><th>In use</th>'
    head += "" if then is None else "<th>This draft</th>"
    rows = "".join(
        f"<tr><th>{escape(name)}{f'<small>{escape(note)}</small>' if note else ''}</th>"
        f"{''.join(cell(*one) for one in cells)}</tr>"
        for name, note, cells in regions.compared(model, now, then)
    )
    return f'<table class="pv-compare"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _effect(entry: Entry, model: Padim, region: EditedRegion, unchanged: bool) -> None:
    if region.empty:
        st.error(regions.EMPTY, icon=":material/block:")
        st.html(_table(model, regions.promise(entry, model, regions.in_use(model)), None))
        return
    with st.spinner("Scoring the good parts again", show_time=False):
        now = regions.promise(entry, model, regions.in_use(model))
        then = None if unchanged else regions.promise(entry, model, region)
    st.html(_table(model, now, then))
    if model.state.fitted.calibration == "none":
        st.caption(
            "There are no counts of false rejects: they take at least three good parts in the fit. A region "
            "can be drawn and saved all the same."
        )
    elif model.current_threshold is None:
        st.caption("There is no threshold yet, so no false rejects to count: the Calibrate page sets it.")
    if then is not None and then.threshold is None and model.current_threshold is not None:
        st.warning("No pixel of the good parts lies inside: a percentile of pixels has nothing to go by.")
    if then is not None and regions.more_sensitive(now, then):
        st.caption(
            "The threshold follows the region: saving spares no more good parts than before, it finds "
            "fainter defects. To spare good parts instead, keep the present threshold by hand, on the "
            "Calibrate page."
        )
    if regions.too_small(model, region):
        st.warning(
            f"Nothing could be rejected: no area here is as large as the smallest region that counts, "
            f"{model.config.min_area:,} px².",
            icon=":material/warning:",
        )
    elif then is not None and then.at_use is not None:
        st.caption(
            "Drawn around the very places where these good parts alarm, a draft flatters itself a little: "
            "good parts that are not in the fit tell how it really does. Defects outside the region are "
            "never found."
        )


def _save(entry: Entry, model: Padim, region: EditedRegion) -> None:
    apply_change(
        entry,
        "the region of interest that you have drawn",
        lambda now: regions.save(now, region, model.config.input_size),
        failed="The region was not saved.",
        spinner="Saving",
        done=partial(
            _notice, "This region is in use." if region.mask is not None else "Everything is scored."
        ),
    )


def _notice(text: str) -> None:
    st.session_state["region-notice"] = text


def _actions(entry: Entry, model: Padim, drawn: Drawing, region: EditedRegion, unchanged: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="region-actions"):
        if st.button(
            "Save this region",
            type="primary",
            key="region-save",
            icon=":material/check:",
            disabled=unchanged or region.empty,
        ):
            _save(entry, model, region)
        # A place of its own, so that the popover after it keeps its place: else the former popover would stay
        # beside the new one until the run has ended.
        discard = st.empty()
        if not unchanged:
            discard.button(
                "Discard the draft",
                key="region-back",
                icon=":material/undo:",
                on_click=regions.discard_draft,
                args=(drawn,),
            )
        # The key changes only with whether there is a region to remove: while it stays the same, the popover
        # stays open whatever else changes; removing the region closes it.
        nothing = model.decision.roi is None
        with st.popover(
            "Inspect the whole image",
            icon=":material/select_all:",
            disabled=nothing,
            key="region-everywhere-already" if nothing else "region-everywhere",
        ):
            st.markdown("The region in use is removed, and the whole map is scored again.")
            if not model.decision.roi_shapes and model.decision.roi is not None:
                st.markdown("It was not drawn on this page and cannot be brought back here.")
            if st.button("Remove the region", key="region-remove"):
                apply_change(
                    entry,
                    "remove the region of interest",
                    lambda now: regions.score_everywhere(now, model),
                    failed="The region was not removed.",
                    spinner="Saving",
                    done=partial(_notice, "Everything is scored. Undo brings the shapes back."),
                )
    if unchanged:
        st.caption(
            "No region is in use: everything is scored."
            if model.decision.roi is None
            else "This region is in use."
        )
        return
    shapeless = "" if region.shapes else " It has no shapes: saved like this, everything is scored."
    st.caption(
        f"A draft: it decides nothing until you save it.{shapeless} Then test images are decided again "
        "by themselves, on every page that shows some."
    )
    if model.decision.guard is not None:
        st.caption(
            "The repeatability was measured with the region in use then: measure it again after saving."
        )


# -- the page --------------------------------------------------------------------------------------------


@st.fragment
def _live(entry: Entry, model: Padim) -> None:
    # Most changes run only this fragment, with the model that it was first called with. If somebody else has
    # saved the model since, the whole page runs once this run has handled a click, which would be lost else.
    _show(entry, model)
    if workspace.changed(entry):
        st.rerun()


def _show(entry: Entry, model: Padim) -> None:
    drawn = regions.drawing(entry, model)
    region = regions.draft(drawn, model)
    unchanged = regions.same(model, region)
    with st.container(key="region-work"):
        left, right = st.columns([11, 9], gap="medium")
    with left:
        if model.decision.roi is not None and not model.decision.roi_shapes and unchanged:
            st.caption(
                "The region in use was not drawn on this page, so it has no shapes to alter. What you draw "
                "takes its place."
            )
        _editor(entry, model, drawn, region)
    with right:
        _actions(entry, model, drawn, region, unchanged)
        _effect(entry, model, region, unchanged)
        if model.state.fitted.calibration != "none" and model.current_threshold is not None:
            inside = (
                " Outside the region in use nothing is counted." if model.decision.roi is not None else ""
            )
            st.caption(
                "**False-alarm map:** where good parts, each scored by a model without it, exceed the "
                "threshold in use, and what share of them. A part counts once at each place, however small "
                "the spot." + inside
            )


def draw(entry: Entry) -> None:
    """Draw the tab for a model."""
    model = shell.opened(entry)
    if model is None:
        return
    _live(entry, model)
    notice = st.session_state.pop("region-notice", None)
    if notice:
        st.toast(notice, icon=":material/check:")
