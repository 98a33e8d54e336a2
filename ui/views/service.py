"""The Service tab of the Line page: keys for other programs, and how they ask for an inspection."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import service
from ui.app import clock, shell
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.records.api_keys import ApiKey
    from padim.storage.model_folders import Entry

__all__ = ["draw"]

_PACE = 5.0
_FAILED = "service-failed"


def draw(entry: Entry | None) -> None:
    """Draw the tab.

    Args:
        entry: the model in use, which the examples name.
    """
    st.caption(
        "The service inspects images that other programs send over HTTP, with the same models, records and "
        "verdicts as this app. It is a program of its own, so that it goes on when the app is updated."
    )
    st.fragment(_state, run_every=_PACE)()
    st.subheader("Ask for an inspection")
    _examples(entry)
    st.subheader("Keys")
    _keys()


def _state() -> None:
    found = service.find()
    with st.container():
        if found.state == "ready":
            st.success(f"A service is ready at `{service.URL}`.", icon=":material/check_circle:")
        elif found.state == "not ready":
            st.warning(
                f"A service answers at `{service.URL}`, but cannot inspect now: {plain(found.why)}",
                icon=":material/warning:",
            )
        else:
            st.info(
                f"No service answers at `{service.URL}`, where it listens unless it is told otherwise. Start "
                "it on this machine:",
                icon=":material/info:",
            )
            st.code("padim serve", language="bash")
            st.caption(
                "As a service of the system it starts with the machine: see “Connect” in the documentation. "
                "Other machines reach it with `--address 0.0.0.0`, and then every request needs a key."
            )


def _examples(entry: Entry | None) -> None:
    model = entry.id if entry is not None else "MODEL"
    kind = st.segmented_control(
        "Example for",
        ["A shell", "Python"],
        default="A shell",
        required=True,
        key="service-example",
        persist_state="session",
        label_visibility="collapsed",
    )
    if kind == "Python":
        st.code(
            "from padim.service.client import ServiceClient\n\n"
            f'with ServiceClient("{service.URL}", key=None) as client:\n'
            f'    result = client.inspect("part.png", model="{model}")\n'
            "    print(result.verdict, result.score, result.reasons)",
            language="python",
        )
    else:
        st.code(
            f"curl -F image=@part.png -F {shlex.quote(f'model={model}')} {service.URL}/v1/inspections\n"
            "# with a key, and by part number:\n"
            'curl -H "Authorization: Bearer $API_KEY" -F image=@part.png -F part_number=4711 '
            f"{service.URL}/v1/inspections",
            language="bash",
        )
    st.caption(
        f"The answer comes once the result is on record. `{service.URL}/openapi.json` describes every "
        "address, with examples; `/metrics` is for Prometheus."
    )


def _keys() -> None:
    st.caption(
        "Each program has a key of its own, so that one can be revoked alone; its name stands in the "
        "records. On this machine none is needed, unless the service is started with `--require-key`."
    )
    with st.container():
        if failed := st.session_state.pop(_FAILED, None):
            shell.failure("The keys were not changed.", failed)
        _made()
    try:
        keys = service.keys()
    except (PadimError, OSError) as error:
        shell.failure("The keys cannot be read.", error)
        return
    for number, key in enumerate(keys):
        _row(number, key)
    with st.form("service-key-form", border=False, clear_on_submit=True):
        left, right, _ = st.columns([3, 1, 2], vertical_alignment="bottom")
        left.text_input(
            "Name of the program", key="service-key-name", placeholder="Such as line 3", max_chars=80
        )
        right.form_submit_button(
            "Make a key", key="service-key-make", icon=":material/key:", on_click=_make, width="stretch"
        )


def _made() -> None:
    made = service.made()
    if made is None:
        return
    name, key = made
    with st.container(border=True, key="service-key-made"):
        st.markdown(f"**The key of “{plain(name)}”.** Copy it now: it is shown this once, and kept nowhere.")
        st.code(key, language=None)
        st.button("I have copied it", key="service-key-put-away", on_click=service.put_away)


def _row(number: int, key: ApiKey) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(key.name)}**" if key.revoked is None else plain(key.name), width="content")
        made = f"{plain(key.who)}, {clock.when(key.made)}"
        if key.revoked is not None:
            st.caption(f"{made} · revoked {clock.when(key.revoked)}", width="content")
            return
        st.caption(made, width="content")
        with st.popover("Revoke", icon=":material/key_off:", type="tertiary", key=f"service-revoke-{number}"):
            st.markdown(
                f"The program that uses the key of “{plain(key.name)}” is refused from then on, for good."
            )
            st.button(
                "Revoke the key",
                key=f"service-revoke-sure-{number}",
                type="primary",
                on_click=_do,
                args=(partial(service.revoke, key.name),),
            )


def _make() -> None:
    _do(partial(service.make, st.session_state["service-key-name"].strip()))


def _do(act: Callable[[], None]) -> None:
    try:
        act()
    except (PadimError, OSError) as error:
        st.session_state[_FAILED] = error
