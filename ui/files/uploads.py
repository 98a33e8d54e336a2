"""Uploads: the upload control for images and other files, and the release of their memory.

Streamlit keeps uploaded bytes until the session ends, but a fit needs them only once. :func:`release` drops
them and replaces the uploader by an empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import streamlit as st
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile

from ui.app import clock, state

# Above this number of files the browser's uploader grows slow, and near twice as many it hangs. A zip counts
# as one file.
MANY = 500
# Pixels: the camera with its button fits a window without scrolling.
_CAMERA_WIDTH = 520

Named = tuple[str, UploadedFile]


@dataclass
class _Generations:
    """How often each uploader was emptied: the count is part of its key, so that a new one starts empty."""

    of: dict[str, int] = field(default_factory=dict)


def _key(name: str) -> str:
    return f"{name}-{state.of(_Generations).of.get(name, 0)}"


def uploader(
    name: str,
    label: str,
    *,
    kind: Literal["files", "folder"] = "files",
    help: str | None = None,
) -> list[Named]:
    """Draw an uploader for many images and zips, or for one folder of the user's computer.

    Args:
        name: this uploader's name, for :func:`release`.
        label: the uploader's label.
        kind: single files, or a whole folder.
        help: the tooltip.
    Returns:
        ``(file name, file)`` in the order the browser sent them; for a folder the name includes the path.
    """
    files: Sequence[UploadedFile] = st.file_uploader(
        label,
        # The browser would drop files of other types unsaid; they come, and the account names them.
        type=None,
        accept_multiple_files="directory" if kind == "folder" else True,
        key=f"{_key(name)}-{kind}",
        help=help,
    )
    return [(file.name, file) for file in files]


def one(name: str, label: str, types: Sequence[str], *, help: str | None = None) -> UploadedFile | None:
    """Draw an uploader for a single file that is not an image.

    Args:
        name: this uploader's name, for :func:`release`.
        label: the uploader's label.
        types: accepted file name endings, with or without a dot.
        help: the tooltip.
    """
    return st.file_uploader(label, type=list(types), key=_key(name), help=help)


def shot(name: str, label: str, *, disabled: bool = False) -> Named | None:
    """Draw a camera that takes one image; after :func:`release` it is ready for the next one.

    Args:
        name: this control's name, for :func:`release`.
        label: its label, for assistive technology.
        disabled: whether no image can be taken now.

    Returns:
        The image, named by the time in the browser's time zone; None while there is none.
    """
    taken = st.camera_input(
        label,
        key=f"{_key(name)}-camera",
        disabled=disabled,
        label_visibility="collapsed",
        # The highest: the network sees no more of an image than the camera gave.
        resolution="1080p",
        width=_CAMERA_WIDTH,
    )
    if taken is None:
        return None
    now = datetime.now(clock.zone() or UTC)
    # Without colons, which Windows allows in no name.
    return f"camera {now:%Y-%m-%d %H-%M-%S}.jpg", taken


def release(name: str, files: Sequence[Named]) -> None:
    """Drop uploaded files on the server and empty the uploader; code that holds a file can still read it."""
    generations = state.of(_Generations).of
    generations[name] = generations.get(name, 0) + 1
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return
    # Otherwise the bytes stay until the browser tab is closed. Only Streamlit's own store can drop single
    # files; a store plugged in by a hosting platform manages its own memory.
    manager = runtime.get_instance().uploaded_file_mgr
    if isinstance(manager, MemoryUploadedFileManager):
        for _, file in files:
            manager.remove_file(context.session_id, file.file_id)
