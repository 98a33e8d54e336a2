"""Bringing images: files and zips, a folder of this computer, a folder on the server, or the sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from padim.installation import application_folder
from ui.app.text import count
from ui.files import folders, uploads
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.data.sources import Source
    from ui.files.uploads import Named


@dataclass(frozen=True)
class Brought:
    """Images someone brought.

    Attributes:
        source: the images, read lazily and as often as needed.
        label: what they are, as the user knows it.
        name: a word for them, to name things after.
        files: the uploads behind the source, to be released once they are no longer needed.
        path: the folder or zip on the server behind it; None for anything else.
    """

    source: Source
    label: str
    name: str
    files: list[Named] = field(default_factory=list)
    path: Path | None = None


@dataclass(frozen=True)
class SampleParts:
    """Images of the sample, offered by a button with a note beside it."""

    note: str
    load: Callable[[], Brought]


def images(
    name: str,
    what: str,
    take: Callable[[Brought], None],
    *,
    note: str = "",
    sample: SampleParts | None = None,
    also: Sequence[str] = (),
) -> None:
    """Draw the ways to bring images; ``take`` gets what was brought, and the page then runs again.

    Args:
        name: keeps several such places apart.
        what: the images wanted, as in "images of good parts".
        take: told what was brought.
        note: a line below.
        sample: offered where nothing is at hand.
        also: endings of files wanted in a folder besides images and zips.
    """
    kinds = {"files": "Images or a zip", "folder": "A folder of this computer"}
    if folders.roots():
        kinds["server"] = "A folder on the server"
    kind = st.segmented_control(
        "Where are the images?",
        list(kinds),
        format_func=lambda key: kinds.get(key, key),
        default="files",
        required=True,
        key=f"{name}-origin",
        persist_state="session",
        label_visibility="collapsed",
    )
    if kind == "server":
        _on_server(name, take)
    else:
        wording = f"Drop {what} here" if kind == "files" else f"Choose a folder of {what}"
        files = uploads.uploader(
            name,
            wording,
            kind="folder" if kind == "folder" else "files",
            also=also if kind == "folder" else (),
        )
        if files:
            take(from_uploads(files))
            st.rerun()
        if note:
            st.caption(note)
    if sample is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Use the sample", key=f"{name}-sample", icon=":material/science:"):
                take(sample.load())
                st.rerun()
            st.caption(sample.note)


def _on_server(name: str, take: Callable[[Brought], None]) -> None:
    with st.form(f"{name}-server", border=False):
        named = st.text_input(
            "Folder or zip on the server",
            placeholder=", ".join(folders.suggestions(3)) or "line-3/good",
            help="Relative to a folder that this server’s operator has opened to the app.",
            key=f"{name}-server-path",
        )
        if st.form_submit_button("Use this folder"):
            try:
                path = folders.resolve(named)
                brought = from_folder(path, path.name)
            except PadimError as error:
                st.error(plain(str(error)), icon=":material/error:")
            else:
                take(brought)
                st.rerun()


def from_uploads(files: list[Named]) -> Brought:
    """Uploaded images and zips, mixed as they may be."""
    from padim.data.opening import expand_uploads

    label = files[0][0] if len(files) == 1 else count(len(files), "uploaded file")
    return Brought(expand_uploads(files), label, "Model", files)


def from_folder(path: Path, label: str) -> Brought:
    """A folder or a zip on the server.

    Raises:
        ImageError: it is neither.
    """
    from padim.data.opening import open_source

    return Brought(open_source(path), label, path.stem, path=path)


def from_files(paths: list[tuple[str, Path]], label: str, name: str) -> Brought:
    """A few files of this server, read now."""
    from padim.data.sources import UploadSource

    return Brought(UploadSource([(shown, path.read_bytes()) for shown, path in paths]), label, name)


def sample_part() -> Path | None:
    """The sample's part, a folder in MVTec AD layout, or None where the sample is not installed."""
    sample = application_folder() / "sample_data"
    found = sorted(folder.parent.parent for folder in sample.glob("*/train/good"))
    return found[0] if found else None
