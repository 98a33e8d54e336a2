"""Mounts the browser components, whose ES modules Streamlit serves straight from the folder ``modules``.

Streamlit serves a component's asset folder under ``_stcore/bidi-components/<name>/``, below the app's own
base path, so that modules import each other by relative paths and nothing comes from elsewhere. It knows such
folders from the ``pyproject.toml`` of installed packages alone: not from a checkout, and not from an
application that lies inside another package, as in our wheel. So the folder is registered here, in the same
way in both, by the call that Streamlit itself makes for what it finds installed. That call is not public:
where a release of Streamlit no longer has it, :func:`component` says so, and the tests fail
(``tests/browser/test_modules.py``).

A browser loads a module once for each URL. The component's name is part of the URL of every module, not only
of the first one, and a digest of all files is part of the name: changed files have other URLs.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.components.v2.component_manager import BidiComponentManager
    from streamlit.components.v2.types import ComponentRenderer

FOLDER = Path(__file__).parent
_MODULES = "modules"
_SUFFIXES = (".js", ".html", ".css")
# To register a folder replaces, for a moment, what was registered under the name: only the first mount may.
_registering = Lock()

_State = tuple[tuple[str, int, int], ...]


def component(name: str, *, html: str, css: str, module: str) -> ComponentRenderer:
    """Register a component with the server that runs, and return what mounts it. Call it at every mount.

    Args:
        name: of the component, in letters.
        html: its markup, a file in this folder.
        css: its style, a file in this folder.
        module: its first module, below ``modules``.

    Raises:
        RuntimeError: this release of Streamlit does not register asset folders in the way known here.
    """
    key = f"padim-{_digest(_state())}.{name}"
    _register(key)
    return st.components.v2.component(
        key,
        html=(FOLDER / html).read_text(encoding="utf-8"),
        css=(FOLDER / css).read_text(encoding="utf-8"),
        js=module,
    )


def _register(key: str) -> None:
    """Register the folder of modules under a component's name, unless it is."""
    try:
        from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
        from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest

        # Of the server that runs, which may be another one than at the last mount.
        manager: BidiComponentManager = get_bidi_component_manager()
        with _registering:
            if manager.get_component_asset_root(key) is None:
                package, _, name = key.rpartition(".")
                manifest = ComponentManifest(package, "1", [ComponentConfig(name, asset_dir=_MODULES)])
                manager.register_from_manifest(manifest, FOLDER)
    except (ImportError, AttributeError, TypeError) as error:
        raise RuntimeError(
            f"Streamlit {st.__version__} does not register a component's asset folder as the releases known "
            f"to this application do (ui/components/assets.py): {error}"
        ) from error


def _state() -> _State:
    """Which files there are, and when they were last written: changes when one of them does."""
    found = []
    # At every mount: os.walk takes a tenth of the time of Path.rglob.
    for folder, _, names in os.walk(FOLDER):
        for name in names:
            if name.endswith(_SUFFIXES):
                path = os.path.join(folder, name)  # noqa: PTH118
                stat = os.stat(path)  # noqa: PTH116
                found.append((path, stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))


@lru_cache(maxsize=1)
def _digest(state: _State) -> str:
    """Sixteen hexadecimal digits that stand for the content of these files."""
    digest = hashlib.sha256()
    for path, _, _ in state:
        content = Path(path).read_bytes()
        digest.update(f"{Path(path).relative_to(FOLDER).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
