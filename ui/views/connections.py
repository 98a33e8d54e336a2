"""The Connections tab of the Line page: the machines that are sent results, or ask for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import streamlit as st

from padim.errors import PadimError
from ui import connections
from ui.app import clock, shell
from ui.app.text import count
from ui.connection_fields import KINDS
from ui.views import connection_form
from ui.widgets import panels
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.service.sink_overview import SinkCondition, SinkOverview

__all__ = ["draw"]

# Seconds between two looks at how the connections are doing.
_PACE = 2.0
_FAILED, _EDITED, _TRIED = "connections-failed", "connection-edited", "connections-tried"
# What a condition is called, and how its words are colored.
_CONDITIONS: dict[SinkCondition, tuple[str, str]] = {
    "idle": ("Connected", "pv-approved"),
    "delivering": ("Delivering", "pv-approved"),
    "away": ("Away", "pv-doubtful"),
    "stopped": ("Nobody delivers", "pv-doubtful"),
    "off": ("Off", ""),
    "removed": ("Removed", ""),
}


def draw() -> None:
    """Draw the tab."""
    st.caption(
        "Every result on record is sent to these machines, whatever inspects: the app, the shell, watched "
        "folders or the service. While one is away its messages are kept, and no verdict waits for it. Some "
        "may ask for inspections as well."
    )
    try:
        found = connections.shown()
    except (PadimError, OSError) as error:
        shell.failure("The connections cannot be read.", error)
        connection_form.draw_yaml()
        return
    edited = st.session_state.get(_EDITED)
    of = next((one.settings for one in found if one.name == edited and one.settings is not None), None)
    if of is not None:
        # Alone, so that it is in sight wherever its button was.
        connection_form.draw_edit(of.name, of.shown())
        return
    if not found:
        with st.container():
            _undo()
        shell.empty("No connections yet", "Add the first one: its form begins below.")
    else:
        st.fragment(_list, run_every=_PACE)()
    connection_form.draw_new(opened=not found)
    connection_form.draw_yaml()


def _list() -> None:
    try:
        found = connections.shown()
    except (PadimError, OSError) as error:
        shell.failure("The connections cannot be read.", error)
        return
    # In a container, because elements that come and go above the list would make the browser rebuild it.
    with st.container():
        if failed := st.session_state.pop(_FAILED, None):
            shell.failure("The change was not made.", failed)
        if problem := connections.delivery_problem():
            st.warning(
                f"This server delivers nothing. {plain(_sentence(problem))}", icon=":material/warning:"
            )
        _undo()
    for one in found:
        with st.container(border=True, key=f"connection-card-{one.name}"):
            _card(one)


def _undo() -> None:
    what = connections.last_change()
    if not what:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(plain(what), width="content")
        st.button(
            "Undo",
            key="connections-undo",
            icon=":material/undo:",
            type="tertiary",
            on_click=_do,
            args=(connections.undo,),
        )


def _card(one: SinkOverview) -> None:
    words, look = _CONDITIONS[one.condition]
    settings = one.settings
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        # As code, because an address would become a link.
        where = "" if settings is None else settings.where.replace("`", "'")
        kind = "" if settings is None else f" · {KINDS[settings.kind]} · `{where}`"
        st.markdown(f"**{plain(one.name)}**{kind}", width="content")
        st.html(f'<span class="pv-tag {look}">{words}</span>', width="content")
    st.html(panels.facts(_figures(one)))
    with st.container():
        _messages(one)
    with st.container(horizontal=True, vertical_alignment="center"):
        _buttons(one)


def _figures(one: SinkOverview) -> list[tuple[str, str]]:
    counts = one.counts
    figures = [("Delivered", f"{counts.delivered:,}"), ("Waiting", f"{counts.waiting:,}")]
    if counts.refused:
        figures.append(("Refused", f"{counts.refused:,}"))
    if counts.latency_last is not None and counts.latency_mean is not None:
        figures.append(
            (
                "From image to delivery",
                f"{_duration(counts.latency_last)}, mean {_duration(counts.latency_mean)}",
            )
        )
    if counts.last_delivered is not None:
        figures.append(("Last delivered", clock.when(counts.last_delivered)))
    if counts.waiting and counts.oldest is not None:
        figures.append(("Oldest waiting", clock.when(counts.oldest)))
    return figures


def _duration(seconds: float) -> str:
    """Return "0.12 s", "45 s", "12 min", "5 h" or "3 days"."""
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:,.0f} days"


def _messages(one: SinkOverview) -> None:
    if one.condition == "away" and one.counts.last_error:
        st.warning(plain(_sentence(one.counts.last_error)), icon=":material/warning:")
    elif one.condition == "stopped":
        st.warning("No program delivers: start the app's server, the service, or `padim sinks run`.")
    elif one.condition == "removed":
        st.caption("It is no longer in the list of connections. Add one of this name, or drop its messages.")
    if one.counts.refused:
        error = next((message.error for message in connections.refused(one.name, 1)), "")
        what = f"The receiver refused {count(one.counts.refused, 'message')} for good"
        st.warning(f"{what}: {plain(_sentence(error))}" if error else f"{what}.", icon=":material/block:")
    trial = st.session_state.get(_TRIED, {}).get(one.name)
    if trial is None:
        return
    if trial.delivered:
        st.success(f"A test message arrived in {_duration(trial.seconds)}.", icon=":material/check:")
    else:
        st.error(
            f"The test message did not arrive. {plain(_sentence(trial.problem))}", icon=":material/error:"
        )


def _buttons(one: SinkOverview) -> None:
    settings, name = one.settings, one.name
    if settings is not None and st.button("Test", key=f"connection-test-{name}", icon=":material/send:"):
        _try_out(name)
    if one.counts.refused or one.counts.waiting:
        retry = partial(connections.retry, name)
        _button("Try again now", f"connection-retry-{name}", ":material/refresh:", retry)
    if settings is not None:
        _button(
            "Switch off" if settings.enabled else "Switch on",
            f"connection-enable-{name}",
            ":material/pause:" if settings.enabled else ":material/play_arrow:",
            partial(connections.enable, name, not settings.enabled),
        )
        if st.button("Change", key=f"connection-change-{name}", icon=":material/edit:", type="tertiary"):
            st.session_state[_EDITED] = name
            st.rerun()
    if one.counts.refused or settings is None:
        n = one.counts.refused + (one.counts.waiting if settings is None else 0)
        with st.popover(f"Drop {count(n, 'message')}", type="tertiary", key=f"connection-drop-{name}"):
            st.markdown("They are deleted for good, and the receiver never gets them.")
            _button(
                f"Drop {count(n, 'message')}",
                f"connection-drop-now-{name}",
                ":material/delete:",
                partial(connections.drop_refused, name, gone=settings is None),
            )
    if settings is not None:
        _button("Remove", f"connection-remove-{name}", ":material/close:", partial(_remove, name), quiet=True)


def _try_out(name: str) -> None:
    with st.spinner("A test message is sent…"):
        try:
            trial = connections.try_out(name)
        except (PadimError, OSError) as error:
            st.session_state[_FAILED] = error
        else:
            st.session_state.setdefault(_TRIED, {})[name] = trial
    st.rerun()


def _remove(name: str) -> None:
    connections.remove(name)
    if st.session_state.get(_EDITED) == name:
        del st.session_state[_EDITED]
    st.session_state.get(_TRIED, {}).pop(name, None)


def _button(label: str, key: str, icon: str, act: Callable[[], None], *, quiet: bool = False) -> None:
    kind: Literal["tertiary", "secondary"] = "tertiary" if quiet else "secondary"
    if st.button(label, key=key, icon=icon, type=kind, on_click=_do, args=(act,)):
        st.rerun()  # what stands below the list shows the change too


def _do(act: Callable[[], None]) -> None:
    try:
        act()
    except (PadimError, OSError) as error:
        st.session_state[_FAILED] = error


def _sentence(text: str) -> str:
    if "://" in text.partition(" ")[0]:
        return text  # an address
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".")
