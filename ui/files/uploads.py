"""Files dragged into the browser: the uploader, and giving their memory back.

Streamlit keeps uploaded bytes until the session ends. A fit needs them once; :func:`release` drops them and
shows an empty uploader in place of the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import streamlit as st
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile

from ui.app import state

# Above this the browser's uploader grows slow, and near twice that it hangs: a zip is one file.
MANY = 500
_TYPES = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "zip"]

Named = tuple[str, UploadedFile]


@dataclass
class _Generations:
    """How often each uploader was emptied: its key carries the count, so a new one starts empty."""

    of: dict[str, int] = field(default_factory=dict)


def _key(name: str) -> str:
    return f"{name}-{state.of(_Generations).of.get(name, 0)}"


def uploader(
    name: str,
    label: str,
    *,
    kind: Literal["files", "folder"] = "files",
    help: str | None = None,
    also: Sequence[str] = (),
) -> list[Named]:
    """An uploader for many images and zips, or for one folder of the user's computer.

    Args:
        name: this uploader's name, for :func:`release`.
        label: what to drop here.
        kind: single files, or a whole folder.
        help: the tooltip.
        also: endings of files wanted besides images and zips.

    Returns:
        ``(file name, file)`` in the order the browser sent them; for a folder the name carries the path.
    """
    files: Sequence[UploadedFile] = st.file_uploader(
        label,
        # A folder's listing is left unfiltered but for the types, so that nothing is dropped without a word.
        type=[*_TYPES, *also],
        accept_multiple_files="directory" if kind == "folder" else True,
        key=f"{_key(name)}-{kind}",
        help=help,
    )
    return [(file.name, file) for file in files]


def one(name: str, label: str, types: Sequence[str], *, help: str | None = None) -> UploadedFile | None:
    """An uploader for a single file that is no image.

    Args:
        name: this uploader's name, for :func:`release`.
        label: what to drop here.
        types: endings of the files it takes, with or without a dot.
        help: the tooltip.
    """
    return st.file_uploader(label, type=list(types), key=_key(name), help=help)


def release(name: str, files: Sequence[Named]) -> None:
    """Forget uploaded files on the server and start the uploader afresh; what still reads them may go on."""
    generations = state.of(_Generations).of
    generations[name] = generations.get(name, 0) + 1
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return
    # Without this the bytes stay until the browser tab is closed. Only Streamlit's own store can forget
    # single files; one that a host plugs in manages itself.
    manager = runtime.get_instance().uploaded_file_mgr
    if isinstance(manager, MemoryUploadedFileManager):
        for _, file in files:
            manager.remove_file(context.session_id, file.file_id)
