"""Changes of this session that were not made because of somebody else: kept until repeated or dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.errors import BusyError, ChangedSinceOpenedError, PadimError
from ui.app import opened, state, workspace
from ui.jobs import watch
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job


@dataclass(frozen=True, eq=False)
class RefusedChange:
    """A change that was not made.

    Attributes:
        what: the change, as the continuation of "Your change was not saved:".
        reason: why, as a sentence; for work of somebody else, who that is.
        changed: whether the model had changed; otherwise somebody was at work on it.
        again: makes the change to the model as it is then.
    """

    what: str
    reason: str
    changed: bool
    again: Callable[[Entry], None]


@dataclass
class Refusals:
    """The refused changes of one session.

    Attributes:
        of: the changes by model id.
        announced: by model id, the changes and the notice that the user was pointed to.
    """

    of: dict[str, list[RefusedChange]] = field(default_factory=dict)
    announced: dict[str, tuple[object, ...]] = field(default_factory=dict)


def keep(
    entry: Entry,
    what: str,
    error: ChangedSinceOpenedError | BusyError,
    again: Callable[[Entry], None],
    *,
    seen: Entry | None = None,
) -> None:
    """Keep a change that was refused; :func:`draw` offers to repeat it.

    Args:
        entry: the model.
        what: the change, in a few words.
        error: why it was refused.
        again: makes the change to the model that it is called with.
        seen: the model as it was when the user asked for the change; default: as the page showed it.
    """
    refused = RefusedChange(
        what, _reason(entry, error, seen), isinstance(error, ChangedSinceOpenedError), again
    )
    kept = state.lasting(Refusals).of.setdefault(entry.id, [])
    # The latest of several attempts at the same change counts.
    kept[:] = [one for one in kept if one.what != what or not same(one.again, again)]
    kept.append(refused)
    opened.models().notices.pop(entry.id, None)


def same(one: Callable[[Entry], None] | None, other: Callable[[Entry], None]) -> bool:
    """Return whether two changes described alike are the same: other images are another change."""
    return getattr(one, "keywords", None) == getattr(other, "keywords", None)


def _reason(entry: Entry, error: ChangedSinceOpenedError | BusyError, seen: Entry | None) -> str:
    if isinstance(error, BusyError):
        holder = error.holder.replace("a browser session", "another browser session", 1)
        return f"{holder[:1].upper()}{holder[1:]}"
    changes = error.changes
    if not changes:
        try:
            changes = opened.changes(seen or opened.seen(entry), workspace.store().get(entry.id))
        except PadimError:  # the model was deleted
            changes = ""
    return f"Someone else changed this model{f' ({changes})' if changes else ''} since you opened it."


def draw(entry: Entry, failure: Callable[[str, BaseException], None], busy: Job[Any] | None) -> None:
    """Draw the refused changes of a model, or else a notice of what somebody else has changed.

    Args:
        entry: the model in use.
        failure: shows an error.
        busy: the job that is changing it, so that no other change can be made now; None if there is none.
    """
    kept = state.lasting(Refusals).of.get(entry.id, [])
    _announce(entry, kept)
    at_work = busy is not None or (bool(kept) and workspace.store().holder(entry.id) is not None)
    for number, one in enumerate(list(kept)):
        reason = (
            one.reason if one.changed else f"{one.reason} {'is' if at_work else 'was'} working on this model."
        )
        with st.container(key=f"refused-{number}"):
            st.warning(
                f"**{plain(reason)}** Your change was not saved: {plain(one.what)}. "
                + ("The page shows the model as it is now." if one.changed else ""),
                icon=":material/group:",
            )
            with st.container(horizontal=True, vertical_alignment="center"):
                repeat = st.button(
                    "Apply my change to it" if one.changed else "Try again",
                    key=f"refused-again-{number}",
                    type="primary",
                    icon=":material/redo:",
                    disabled=busy is not None,
                )
                if st.button("Drop my change", key=f"refused-drop-{number}", icon=":material/close:"):
                    kept.remove(one)
                    st.rerun()
            if busy is not None:
                st.caption("It can be repeated when this has ended:")
                watch.glance(busy)  # runs the page again at the end
        if repeat:
            kept.remove(one)
            opened.models().notices.pop(entry.id, None)
            try:
                one.again(entry)
            except (ChangedSinceOpenedError, BusyError) as error:
                keep(entry, one.what, error, one.again)
            except (PadimError, OSError, ValueError) as error:
                failure("Your change was not saved.", error)
                return
            st.rerun()
    notice = opened.models().notices.get(entry.id)
    if notice is not None and not any(one.changed for one in kept):
        _draw_notice(entry, notice)


def _draw_notice(entry: Entry, notice: opened.Notice) -> None:
    """Say what somebody else has changed, and let the user choose between it and the own threshold."""
    text = notice.text()
    with st.container(key="changed-elsewhere", horizontal=True, vertical_alignment="center"):
        st.info(
            f"**Someone else changed this model{f' ({plain(text)})' if text else ''} since you opened it.** "
            "This page shows it as it is now. A click made just before has changed nothing.",
            icon=":material/group:",
        )
        if not notice.decision:
            read, keep_mine = st.button("Got it", key="changed-elsewhere-read"), False
        else:
            read = st.button(
                "Load it",
                key="changed-elsewhere-read",
                help="Go on with the threshold that is saved now. One that you were trying is dropped.",
            )
            keep_mine = st.button(
                "Keep mine",
                key="changed-elsewhere-keep",
                help="Keep your threshold as a draft on the Calibrate page. Nothing is saved "
                "until you press “Use this threshold” there.",
            )
    if not (read or keep_mine):
        return
    from ui import calibrate

    del opened.models().notices[entry.id]
    if keep_mine:
        calibrate.keep_former(entry, notice.before)
    elif notice.decision:
        calibrate.discard_draft(entry)
    st.rerun()


def _announce(entry: Entry, kept: list[RefusedChange]) -> None:
    """Point to what is new at the top of the page, which is out of sight of who has clicked far below."""
    notice = opened.models().notices.get(entry.id)
    now = (*kept, *([] if notice is None else [notice]))
    announced = state.lasting(Refusals).announced
    if any(one not in announced.get(entry.id, ()) for one in now):
        what = "Your change was not saved" if kept else "Someone else changed this model"
        st.toast(f"{what}: see the top of the page.", icon=":material/group:")
    announced[entry.id] = now
