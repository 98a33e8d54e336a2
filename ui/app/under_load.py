"""Settings and shortcuts that keep pages quick while many sessions and jobs share one interpreter.

Only one thread at a time runs Python. Whoever gives way for a system call or a lock, however short, then
waits for its turn behind every busy thread, and Streamlit does so several times for each element of a page:
it wakes the server's loop, and it reads its settings under one lock. With twenty sessions, pages spent most
of their time in these waits. Nothing here changes what is sent to the browser.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["prepare_interpreter", "read_settings_without_waiting", "wake_once"]

# Seconds for which a thread may go on while others wait. Python's own 5 ms are as long as a small page takes,
# and every thread that waits adds as much.
_TURN_S = 0.0005


def prepare_interpreter() -> None:
    """Let the threads of this process take turns more often."""
    sys.setswitchinterval(_TURN_S)


def read_settings_without_waiting() -> None:
    """Have Streamlit read its settings without its lock, and keep those of a section until one is changed.

    For every run of a page or fragment it goes through all settings eight times, for the theme.
    """
    from streamlit import config

    locked = config.get_option
    locked_section = config.get_options_for_section
    change = config.set_option
    sections: dict[str, tuple[object, dict[str, Any]]] = {}

    def get_option(key: str) -> Any:
        # The dictionary is replaced as a whole when settings are read anew.
        found = config._config_options
        option = None if found is None else found.get(key)
        return locked(key) if option is None else option.value

    def get_options_for_section(section: str) -> dict[str, Any]:
        source, kept = sections.get(section, (None, {}))
        if source is None or source is not config._config_options:
            kept = locked_section(section)
            sections[section] = config._config_options, kept
        return dict(kept)

    def set_option(*args: Any, **kwargs: Any) -> None:
        change(*args, **kwargs)
        sections.clear()

    config.get_option = get_option
    config.get_options_for_section = get_options_for_section
    config.set_option = set_option


def wake_once(loop: asyncio.AbstractEventLoop) -> None:
    """Have other threads wake the server's loop by one byte at a time, not by one for every message.

    A loop that has been woken and has not read the byte yet takes all messages that have come meanwhile.
    Loops without such a byte, as uvloop's, are left as they are.
    """
    wake, woken = getattr(loop, "_write_to_self", None), getattr(loop, "_process_self_data", None)
    if wake is None or woken is None or getattr(loop, "_padim_wakes_once", False):
        return
    is_woken = False

    def write_to_self() -> None:
        nonlocal is_woken
        if not is_woken:
            is_woken = True
            wake()

    def process_self_data(data: bytes) -> None:
        # The loop is awake: whatever is handed to it from now on, it sees before it sleeps again.
        nonlocal is_woken
        is_woken = False
        woken(data)

    loop._write_to_self = write_to_self  # type: ignore[attr-defined]
    loop._process_self_data = process_self_data  # type: ignore[attr-defined]
    loop._padim_wakes_once = True  # type: ignore[attr-defined]
