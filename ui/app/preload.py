"""Imports that the next click would wait for, made in a thread once the page is drawn.

The first paint pays for none of them; a first fit or the first list of results need not either.
"""

from __future__ import annotations

import importlib
import logging
import threading

_LOGGER = logging.getLogger(__name__)
_STARTED: set[str] = set()
_GUARD = threading.Lock()

# Not pandas, which the first table needs: Plotly takes it from sys.modules, half imported as it may be, so it
# must never be imported beside a page that draws a figure.
FIT = ("padim.model", "padim.data.grouping", "padim.output.render", "plotly.graph_objects")
LIST = ("padim.model", "natsort", "padim.output.render")


def up(modules: tuple[str, ...]) -> None:
    """Import these in the background, each once in the life of the server."""
    with _GUARD:
        wanted = [name for name in modules if name not in _STARTED]
        _STARTED.update(wanted)
    if wanted:
        threading.Thread(target=_load, args=(wanted,), name="warm up", daemon=True).start()


def table() -> None:
    """Import what the first table needs, at the end of a page that is about to show one."""
    importlib.import_module("pandas")
    importlib.import_module("pyarrow")


def _load(modules: list[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            # Whoever needs it will say so where it matters.
            _LOGGER.warning("%s cannot be imported", name, exc_info=True)
