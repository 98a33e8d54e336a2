"""The Watched folders tab of the Line page: folders whose new images are inspected as they come."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from padim.text import clipped
from ui import watches
from ui.app import shell, workspace
from ui.app.text import count
from ui.views import new_watch, watch_results
from ui.widgets import panels
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry
    from ui.watches import ShownPhase, ShownWatch

__all__ = ["draw"]

# Seconds between two looks at what the processes say, which they do once a second.
_PACE = 2.0
_FAILED = "watches-failed"
# What a phase is called, and how its words are colored.
_PHASES: dict[ShownPhase, tuple[str, str]] = {
    "starting": ("Starting", ""),
    "watching": ("Watching", "pv-approved"),
    "inspecting": ("Inspecting", "pv-approved"),
    "no folder": ("Folder is away", "pv-doubtful"),
    "problem": ("Needs attention", "pv-doubtful"),
    "stopping": ("Stopping", ""),
    "stopped": ("Stopped", ""),
    "failed": ("Does not run", "pv-doubtful"),
    "not running": ("Does not run", "pv-doubtful"),
}


def draw(entry: Entry | None) -> None:
    """Draw the tab.

    Args:
        entry: the model in use.
    """
    st.caption(
        "A watched folder is looked at all the time: each new image is inspected once it is whole, by the "
        "approved version of the model, and put on record. It goes on without a browser, and after a restart "
        "of this server. The images stay where they are."
    )
    try:
        some = bool(watches.all_shown()) or watches.removed() is not None
    except (PadimError, OSError) as error:
        shell.failure("The watched folders cannot be read.", error)
        return
    # Without a timer where there is nothing to look at.
    st.fragment(_list, run_every=_PACE if some else None)()
    new_watch.draw(entry, opened=not some)


def _list() -> None:
    try:
        shown = watches.all_shown()
        known = watches.targets(workspace.store().models())
    except (PadimError, OSError) as error:
        shell.failure("The watched folders cannot be read.", error)
        return
    # In a container, because elements that come and go above the list would make the browser rebuild it.
    with st.container():
        if failed := st.session_state.pop(_FAILED, None):
            shell.failure("The change was not made.", failed)
        _removed()
    for one in shown:
        with st.container(border=True, key=f"watch-{one.watch.uid}"):
            _card(one, watches.target_words(one.watch.target, known, one.status))


def _removed() -> None:
    watch = watches.removed()
    if watch is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"“{plain(watches.shown_path(watch.folder))}” is no longer watched. Its results stay in "
            f"“{plain(watches.shown_path(watch.output))}”.",
            width="content",
        )
        st.button(
            "Undo",
            key="watch-undo",
            icon=":material/undo:",
            type="tertiary",
            on_click=_do,
            args=(watches.restore,),
        )


def _card(one: ShownWatch, inspected_by: str) -> None:
    watch = one.watch
    words, look = _PHASES[one.phase]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(
            f"**{plain(watches.shown_path(watch.folder))}** · {plain(clipped(inspected_by, 80))}",
            width="content",
        )
        st.html(f'<span class="pv-tag {look}">{words}</span>', width="content")
    st.html(panels.facts(_figures(one)))
    with st.container():
        if one.problem:
            st.warning(plain(_sentence(one.problem)), icon=":material/warning:")
    watch_results.draw(one)
    _buttons(one)


def _figures(one: ShownWatch) -> list[tuple[str, str]]:
    """Return the figures of a watch; those that are rare only where there are some."""
    figures = [(label, f"{one.count(name):,}") for label, name in _COUNTS]
    figures += [(label, f"{one.count(name):,}") for label, name in _RARE if one.count(name)]
    if one.status is not None and one.status.running:
        figures.append(("In the last minute", count(one.status.rate, "image")))
    return figures


_COUNTS = (
    ("Inspected", "inspected"),
    ("Accept", "accept"),
    ("Review", "review"),
    ("Reject", "reject"),
    ("Refused", "refused"),
    ("Waiting", "waiting"),
)
_RARE = (
    ("Without verdict", "none"),
    ("Still being written", "unfinished"),
    ("No images", "passed_over"),
    ("Not on record", "not_on_record"),
    ("Without files", "without_files"),
)


def _buttons(one: ShownWatch) -> None:
    watch = one.watch
    with st.container(horizontal=True, vertical_alignment="center"):
        if watch.wanted and one.phase != "not running":
            _button("Stop", one, ":material/stop:", partial(watches.set_wanted, watch, False))
            if one.phase == "failed":
                _button("Try again now", one, ":material/refresh:", partial(watches.set_wanted, watch, True))
        else:
            _button(
                "Start",
                one,
                ":material/play_arrow:",
                partial(watches.set_wanted, watch, True),
                disabled=one.phase == "stopping",
            )
        _button("Remove", one, ":material/close:", partial(watches.remove, watch), quiet=True)
        by = "" if watch.starter == "app" else " · started from a shell"
        st.caption(f"Results in {plain(watches.shown_path(watch.output))}{by}", width="content")


def _button(
    label: str,
    one: ShownWatch,
    icon: str,
    act: Callable[[], None],
    *,
    quiet: bool = False,
    disabled: bool = False,
) -> None:
    name = label.split()[0].lower()
    st.button(
        label,
        key=f"watch-{name}-{one.watch.uid}",
        icon=icon,
        type="tertiary" if quiet else "secondary",
        disabled=disabled,
        on_click=_do,
        args=(act,),
    )


def _do(act: Callable[[], None]) -> None:
    try:
        act()
    except (PadimError, OSError) as error:
        st.session_state[_FAILED] = error


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".")
