"""Background imports of the modules that the user's next click will need.

They start once the page is drawn, so that neither the first page nor the first fit or list of results has to
wait for them.
"""

from __future__ import annotations

import importlib
import logging
import threading

_LOGGER = logging.getLogger(__name__)
_STARTED: set[str] = set()
_GUARD = threading.Lock()

# Not pandas, which the first table needs: Plotly uses it from sys.modules even if it is only half imported,
# so it must never be imported in parallel with a page that draws a figure.
FIT = ("padim.model", "padim.data.grouping", "padim.output.render", "plotly.graph_objects")
LIST = ("padim.model", "natsort", "padim.output.render")


def up(modules: tuple[str, ...]) -> None:
    """Import these modules in the background, each once in the life of the server."""
    with _GUARD:
        wanted = [name for name in modules if name not in _STARTED]
        _STARTED.update(wanted)
    if wanted:
        threading.Thread(target=_load, args=(wanted,), name="warm up", daemon=True).start()


def table() -> None:
    """Import the modules that the first table needs, at the end of a page that is about to show one."""
    importlib.import_module("pandas")
    importlib.import_module("pyarrow")


def _load(modules: list[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            # The code that needs the module reports the error where the user can see it.
            _LOGGER.warning("%s cannot be imported", name, exc_info=True)
