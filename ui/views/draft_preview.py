"""A draft before its approval: what it would change on the images on record, and what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import learn
from ui.app import clock, preload, shell
from ui.app.text import count, percent
from ui.jobs import watch
from ui.widgets import panels

if TYPE_CHECKING:
    from padim.decision.calibration import FalseRejectRate
    from padim.records.learning_preview import LearningPreview, PreviewedImage
    from padim.storage.model_folders import Entry
    from ui.learn import DraftInView

_ROWS = 200


def draw(entry: Entry, found: DraftInView, *, busy: bool) -> None:
    """Draw a draft, what it would change, and the buttons that approve or discard it.

    Args:
        entry: the model.
        found: the draft, with the version that it would replace.
        busy: whether the model is being changed at the moment.
    """
    draft, former = found.draft, found.former
    st.subheader(f"Version {draft.number}, a draft")
    made = f"Made by {panels.plain(draft.who)} at {clock.at(draft.made)}: {panels.plain(draft.changed)}."
    used = (
        f" Inspect uses version {former.number} until you approve this one."
        if found.in_use and former
        else ""
    )
    st.markdown(f"{made}{used}")
    job = learn.preview_job(entry, found)
    if job is not None and job.running:
        watch.watch(job)
        return
    if job is not None and job.state == "failed":
        shell.failure("What the draft changes could not be found out.", job.error)
    preview = job.result if job is not None and job.state == "done" else None
    if preview is not None:
        _changes(entry, found, preview)
    approved_at_all = _second_click(found, preview)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Show what it changes" if preview is None else "Look again",
            key="learn-preview",
            type="primary" if preview is None else "secondary",
            icon=":material/compare_arrows:",
            disabled=former is None,
        ):
            learn.start_preview(entry, found)
            st.rerun()
        if st.button(
            f"Approve version {draft.number}",
            key="learn-approve",
            type="secondary" if preview is None else "primary",
            icon=":material/verified:",
            disabled=busy or not approved_at_all,
            help="First look at what it changes." if preview is None and former is not None else None,
        ):
            _approve(entry, found, preview)
        if st.button("Discard the draft", key="learn-discard", icon=":material/delete:", disabled=busy):
            _discard(entry, found)


def _second_click(found: DraftInView, preview: LearningPreview | None) -> bool:
    """Ask whether known defects may pass; return whether the draft can be approved."""
    if preview is None:
        return found.former is None
    if not preview.passing:
        return True
    return st.checkbox(
        f"Approve although {_would_pass(len(preview.passing))}",
        key=f"learn-although-{found.draft.revision}-{len(preview.passing)}",
    )


def _would_pass(number: int) -> str:
    return f"{count(number, 'known defect')} would pass"


def _approve(entry: Entry, found: DraftInView, preview: LearningPreview | None) -> None:
    passing = len(preview.passing) if preview is not None else 0
    try:
        learn.approve(entry, found, f"although {_would_pass(passing)}" if passing else "")
    except (PadimError, OSError) as error:
        shell.failure("The draft was not approved.", error, in_view=True)
        return
    st.toast(f"Version {found.draft.number} is approved: Inspect uses it.", icon=":material/verified:")
    st.rerun()


def _discard(entry: Entry, found: DraftInView) -> None:
    try:
        with st.spinner("Restoring the version before"):
            learn.discard(entry, found)
    except (PadimError, OSError) as error:
        shell.failure("The draft was not discarded.", error, in_view=True)
        return
    st.toast(f"Version {found.draft.number} was discarded.", icon=":material/delete:")
    st.rerun()


# -- what it changes -------------------------------------------------------------------------------------


def _changes(entry: Entry, found: DraftInView, preview: LearningPreview) -> None:
    if preview.passing:
        new = sum(one.flips for one in preview.passing)
        of_them = "" if new == len(preview.passing) else f" {new:,} of them do not pass today."
        st.error(f"**{_would_pass(len(preview.passing))}.**{of_them}", icon=":material/dangerous:")
        _table(entry, preview.passing, "learn-passing")
    if preview.flips:
        what = "other verdict" if preview.passing else "verdict"
        changes = "changes" if len(preview.flips) == 1 else "change"
        st.markdown(f"**{count(len(preview.flips), what)} {changes}.**")
        _table(entry, preview.flips, "learn-flips")
    elif preview.images:
        other = "other " if preview.passing else ""
        st.success(f"No {other}verdict changes.", icon=":material/check:")
    st.html(_promise(found, preview))
    _account(preview)


def _table(entry: Entry, images: Sequence[PreviewedImage], key: str) -> None:
    preload.table()
    records = learn.learning(entry).records
    shown = images[:_ROWS]
    known = {"defect": "Defect", "good": "Good", "": "–"}
    st.dataframe(
        {
            "image": [learn.thumbnail(records, one.inspection_id) for one in shown],
            "name": [one.name for one in shown],
            "known": [known[one.known] for one in shown],
            "before": [one.before.capitalize() for one in shown],
            "after": [one.after.capitalize() for one in shown],
            "before_score": [one.before_score for one in shown],
            "after_score": [one.after_score for one in shown],
        },
        key=key,
        hide_index=True,
        row_height=52,
        height=min(52 * len(shown) + 38, 400),
        column_config={
            "image": st.column_config.ImageColumn("", width=64),
            "name": st.column_config.TextColumn("Name", width="medium"),
            "known": "People say",
            "before": "Today",
            "after": "Draft",
            "before_score": st.column_config.NumberColumn("Score today", format="%.2f"),
            "after_score": st.column_config.NumberColumn("Score by the draft", format="%.2f"),
        },
    )


def _promise(found: DraftInView, preview: LearningPreview) -> str:
    """Return HTML of a table of threshold and promise, before and after."""

    def value(number: float | None) -> str:
        return "–" if number is None else f"{number:.2f}"

    def shares(rate: FalseRejectRate | None) -> tuple[str, str, str]:
        if rate is None:
            return "–", "–", "–"
        return percent(rate.expected), percent(rate.upper, up=True), f"{rate.n:,}"

    one, other = shares(preview.before_promise), shares(preview.after_promise)
    rows = [
        ("Threshold", value(preview.before_threshold), value(preview.after_threshold)),
        ("Expected false rejects (overkill)", one[0], other[0]),
        ("at most, with 95 % confidence", one[1], other[1]),
        ("estimated from parts", one[2], other[2]),
    ]
    former = "today" if found.former is None else f"Version {found.former.number}"
    head = "".join(
        f"<th>{escape(text)}</th>" for text in ("", former, f"Version {found.draft.number}, draft")
    )
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(before)}</td><td><b>{escape(after)}</b></td></tr>"
        for name, before, after in rows
    )
    return f'<table class="pv-compare"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'


def _account(preview: LearningPreview) -> None:
    defects = sum(one.known == "defect" for one in preview.images)
    held_out = sum(one.held_out for one in preview.images)
    parts = [
        f"{count(len(preview.images), 'image')} on record and in the library scored by both versions, "
        f"{defects:,} of them known defects"
    ]
    if held_out:
        parts.append(f"{held_out:,} in the draft’s own fit, each scored without itself")
    if preview.without_file:
        known = (
            f" ({count(preview.defects_without_file, 'known defect')})"
            if preview.defects_without_file
            else ""
        )
        parts.append(f"{preview.without_file:,} not scored{known}: their files are not kept")
    if preview.not_tried:
        parts.append(f"{preview.not_tried:,} older ones not tried")
    if preview.unreadable:
        first = preview.unreadable[0]
        parts.append(
            f"{count(len(preview.unreadable), 'file')} not usable, first {panels.plain(first.name)}: "
            f"{panels.plain(first.reason)}"
        )
    st.caption("; ".join(parts) + ".")
