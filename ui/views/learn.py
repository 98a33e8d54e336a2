"""The Learn tab of the Inspect page: what the decisions of reviewers would change in the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.errors import BusyError, ChangedSinceOpenedError, PadimError
from ui import learn
from ui.app import clock, preload, refusals, shell
from ui.app.text import count
from ui.files.media import ServedImage
from ui.jobs import watch
from ui.views import draft_preview, good_parts
from ui.widgets import panels

if TYPE_CHECKING:
    from padim.records.inspection import Inspection
    from padim.records.learning_from_review import DefectsToKeep, GoodToAdd, LearningFromReview
    from padim.storage.model_folders import Entry


def draw(entry: Entry) -> None:
    """Draw the tab.

    Args:
        entry: the model in use.
    """
    model = shell.opened(entry)
    if model is None:
        return
    # In a container, because elements that come and go would make the browser rebuild what is below.
    with st.container():
        busy = good_parts.change_under_way(entry)
    try:
        found, draft = learn.learning(entry), learn.draft_of(entry)
        good, defects = found.good(model.normals_), found.defects()
        added = found.added(model.normals_)
    except PadimError as error:
        shell.failure("The records cannot be read.", error)
        return
    with st.container():
        if draft is not None:
            draft_preview.draw(entry, draft, busy=busy)
    if draft is None and not (good.ready or defects.ready or added or _left(good)):
        shell.empty(
            "Nothing to learn from yet",
            "Good parts that reviewers have accepted can be added to the model here, and confirmed defects "
            "to its image library.",
        )
        return
    _good(entry, found, good, busy=busy)
    if added:
        _added(entry, found, [one for _, one in added], busy=busy)
    _defects(entry, found, defects)


def _left(good: GoodToAdd) -> int:
    return good.in_fit + good.taken_out + good.disputed + good.without_file


# -- good parts ------------------------------------------------------------------------------------------


def _good(entry: Entry, found: LearningFromReview, good: GoodToAdd, *, busy: bool) -> None:
    st.subheader("Confirmed good parts")
    shown = good.ready[: learn.MOST_AT_ONCE]
    if not shown:
        st.caption("All accepted parts that can be added are in the fit.")
    else:
        st.markdown(
            f"Reviewers have accepted {count(len(good.ready), 'part')} that the model is not fitted on. With "
            "them it is, to the bit, the model that one fit on all parts gives. It stays a draft until you "
            "approve it."
        )
        chosen = _chosen(found, shown, "add", f"learn-good-{entry.revision}", checked=True)
        if st.button(
            f"Add {count(len(chosen), 'part')} as a draft",
            key="learn-add",
            type="primary",
            icon=":material/add:",
            disabled=busy or not chosen,
        ):
            _start(entry, "add confirmed good parts", lambda now: learn.start_adding(now, chosen))
    reasons = [
        (good.in_fit if shown else 0, "already in the fit"),
        (good.taken_out, "excluded from the fit before"),
        (good.disputed, "disputed: decided in two ways, or labeled as a defect"),
        (good.without_file, "without their file, which the setting of originals did not keep"),
        (len(good.ready) - len(shown), "more when these are done"),
    ]
    if text := "; ".join(f"{number:,} {what}" for number, what in reasons if number):
        st.caption(f"Not listed: {text}.")


def _added(entry: Entry, found: LearningFromReview, added: Sequence[Inspection], *, busy: bool) -> None:
    with st.expander(f"Added from reviews: {count(len(added), 'part')}", icon=":material/history:"):
        st.caption(
            "Parts taken out again leave the model as if it had never seen them. They are listed on Fit, "
            "Result, with the excluded parts."
        )
        shown = added[: learn.MOST_AT_ONCE]
        chosen = _chosen(found, shown, "out", f"learn-added-{entry.revision}", checked=False)
        if st.button(
            f"Take {count(len(chosen), 'part')} out" if chosen else "Take out",
            key="learn-take-out",
            icon=":material/undo:",
            disabled=busy or not chosen,
        ):
            digests = [one.sha256 for one in chosen]
            _start(entry, "take parts out again", lambda now: learn.start_taking_out(now, digests))


def _chosen(
    found: LearningFromReview, shown: Sequence[Inspection], what: str, key: str, *, checked: bool
) -> list[Inspection]:
    """Draw a table of inspections with a box each; return those whose box is checked."""
    preload.table()
    table: dict[str, list[Any]] = {
        what: [checked] * len(shown),
        "image": [learn.thumbnail(found.records, one.id) for one in shown],
        "name": [one.name for one in shown],
        "serial": [one.serial for one in shown],
        "verdict": [one.verdict.capitalize() for one in shown],
        "score": [one.score for one in shown],
        "by": [one.decided_by or "" for one in shown],
        "at": ["" if one.decided_at is None else clock.at(one.decided_at) for one in shown],
    }
    edited = st.data_editor(
        table,
        key=key,
        hide_index=True,
        row_height=52,
        height=min(52 * len(shown) + 38, 400),
        disabled=[name for name in table if name != what],
        column_config={
            what: st.column_config.CheckboxColumn("Add" if what == "add" else "Take out", width="small"),
            "image": st.column_config.ImageColumn("", width=64),
            "name": st.column_config.TextColumn("Name", width="medium"),
            "serial": "Serial number",
            "verdict": "Model",
            "score": st.column_config.NumberColumn("Score", format="%.2f"),
            "by": "Accepted by",
            "at": "Decided",
        },
    )
    return [one for one, box in zip(shown, edited[what], strict=True) if box]


def _start(entry: Entry, what: str, start: Callable[[Entry], None]) -> None:
    try:
        start(entry)
    except (ChangedSinceOpenedError, BusyError) as error:
        refusals.keep(entry, what, error, start)
    except (PadimError, OSError) as error:
        shell.failure("Nothing was changed.", error, in_view=True)
        return
    st.rerun()


# -- defects ---------------------------------------------------------------------------------------------


def _defects(entry: Entry, found: LearningFromReview, defects: DefectsToKeep) -> None:
    job = learn.defects_job(entry)
    if not defects.ready and not defects.without_file and not defects.disputed and job is None:
        return
    st.subheader("Confirmed defects")
    with st.container():
        if job is not None and job.running:
            watch.watch(job)
        elif job is not None and job.state == "failed":
            shell.failure("Not all defects were added to the image library.", job.error)
        elif job is not None and job.state == "done":
            st.success(
                f"{count(len(job.result.added), 'defect')} added to the image library: Calibrate and "
                "Validate use them.",
                icon=":material/check:",
            )
    shown = defects.ready[:_TILES]
    if shown and not (job is not None and job.running):
        st.markdown(
            f"The image library does not have {count(len(defects.ready), 'confirmed defect')}. There they "
            "show which threshold catches them, and test every later version."
        )
        thumbs = [
            panels.Thumb(ServedImage(data), one.name, note=one.defect_type or "no type")
            for one in shown
            if (data := found.records.thumbnail(one.id))
        ]
        st.html(panels.gallery(thumbs, small=True, more=len(defects.ready) - len(shown)))
        if st.button(
            f"Add {count(len(defects.ready), 'defect')} to the image library",
            key="learn-keep-defects",
            icon=":material/photo_library:",
        ):
            learn.start_keeping(entry, defects.ready)
            st.rerun()
    reasons = [
        (defects.in_library, "in the library, or removed from it"),
        (defects.disputed, "disputed"),
        (defects.without_file, "without their file"),
    ]
    if text := "; ".join(f"{number:,} {what}" for number, what in reasons if number):
        st.caption(f"Not listed: {text}.")


_TILES = 24
