"""Exclusion of a good part from the fit: the question why, and what became of the part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import calibrate, good_parts_review, model_changes
from ui.app import shell
from ui.views.changes import apply_change
from ui.widgets import normals, panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.analysis.good_parts import RankedNormal
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.widgets.normals import Reason


def draw(entry: Entry, model: Padim, item: RankedNormal, *, locked: bool, place: str = "") -> None:
    """Draw the button that asks why a part is to be excluded, and excludes it.

    Args:
        entry: the saved model.
        model: the same model, opened.
        item: an image of the part.
        locked: whether nothing can be excluded at the moment.
        place: prefix of the widgets' keys, if the part has such a button in several places.
    """
    with st.popover("Exclude", key=f"{place}why-{item.index}", disabled=locked):
        st.markdown("**Why exclude it?**")
        if item.shots > 1:
            st.caption(f"All {item.shots} images of this part are excluded together.")
        for reason, text in normals.REASONS.items():
            if st.button(text, key=f"{place}{reason}-{item.index}", width="stretch"):
                exclude(entry, model, item.index, reason)
        st.caption(
            "A good part kept out stays in the calibration as an image the model has not seen, so that the "
            "false-reject rate stays honest."
        )


def exclude(entry: Entry, model: Padim, index: int, reason: Reason) -> None:
    """Exclude the part of an image from the fit, at once or in the background."""
    normal = model.normals_[index]
    change = model_changes.start_excluding if model.config.trains else normals.exclude
    good_parts_review.review_state(entry).excluded = normal.sha256
    make(entry, model, f"exclude {normal.name}", lambda now: change(now, normal.sha256, reason))


def restore(entry: Entry, model: Padim, index: int) -> None:
    """Put the part of an image back into the fit."""
    normal = model.normals_[index]
    change = model_changes.start_including if model.config.trains else normals.include
    make(entry, model, f"put {normal.name} back into the fit", lambda now: change(now, normal.sha256))


def make(entry: Entry, model: Padim, what: str, change: Callable[[Entry], None]) -> None:
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


def outcome(entry: Entry, model: Padim, items: list[RankedNormal], *, locked: bool) -> None:
    """Say how the part excluded last scores now, and offer it as the first defect."""
    found = good_parts_review.last_excluded(entry, model, items)
    # A container, because elements that come and go would make the browser rebuild what is below.
    with st.container():
        if found is None:
            return
        name = panels.plain(found.item.name)
        st.info(f"**{name}** was excluded. {found.sentence}", icon=":material/info:")
        with st.container(horizontal=True):
            if st.button("Restore it", key="fit-restore-last", icon=":material/undo:", disabled=locked):
                restore(entry, model, found.item.index)
            if found.not_good:
                _offer(entry, model, found)


def _offer(entry: Entry, model: Padim, found: good_parts_review.Excluded) -> None:
    """Lead to Calibrate, which shows the excluded part as a defect of the library."""
    if not good_parts_review.offered_as_defect(entry, model, found.item):
        return
    if st.button("Calibrate with it as a defect", key="fit-first-defect", icon=":material/arrow_forward:"):
        calibrate.show_defect(entry, model.normals_[found.item.index].sha256)
        shell.go_to("pages/calibrate.py", "threshold")
