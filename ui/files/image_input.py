"""The control to choose images: files and zips, a local folder, a folder on the server, or the sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from padim.data.decode import FORMATS
from padim.errors import PadimError
from padim.installation import application_folder
from ui.app.text import count
from ui.files import folders, uploads
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.data.sources import Source
    from ui.files.uploads import Named


@dataclass(frozen=True)
class ImageSet:
    """A set of images that the user has chosen.

    Attributes:
        source: the images, read lazily and as often as needed.
        label: describes them to the user (a file's or folder's name, or a number of files).
        name: a short name, from which the names of models are made.
        files: the uploads behind the source, to be released once they are no longer needed.
        path: the folder or zip on the server behind the source; None for anything else.
    """

    source: Source
    label: str
    name: str
    files: list[Named] = field(default_factory=list)
    path: Path | None = None


@dataclass(frozen=True)
class SampleParts:
    """Images of the installed sample, offered by a button with a note beside it."""

    note: str
    load: Callable[[], ImageSet]


def choose(
    name: str,
    what: str,
    take: Callable[[ImageSet], None],
    *,
    note: str = "",
    sample: SampleParts | None = None,
) -> None:
    """Draw the control to choose images; pass the choice to ``take`` and then run the page again.

    Args:
        name: distinguishes several such controls.
        what: the images wanted, as in "images of good parts".
        take: called with the chosen images.
        note: a caption below the control.
        sample: the sample, offered to users who have no images of their own.
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
        )
        if files:
            take(from_uploads(files))
            st.rerun()
        # The uploader takes any file, because a browser would drop others unsaid, so it names no formats.
        st.caption(f"{FORMATS}{', or a zip of them' if kind == 'files' else ''}. {note}".rstrip())
    if sample is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Use the sample", key=f"{name}-sample", icon=":material/science:"):
                take(sample.load())
                st.rerun()
            st.caption(sample.note)


def _on_server(name: str, take: Callable[[ImageSet], None]) -> None:
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
                image_set = from_folder(path, path.name)
            except PadimError as error:
                st.error(plain(str(error)), icon=":material/error:")
            else:
                take(image_set)
                st.rerun()


def from_uploads(files: list[Named]) -> ImageSet:
    """Return an image set of uploaded images and zips, in any mixture."""
    from padim.data.opening import expand_uploads

    label = files[0][0] if len(files) == 1 else count(len(files), "uploaded file")
    return ImageSet(expand_uploads(files), label, "Model", files)


def from_folder(path: Path, label: str) -> ImageSet:
    """Return an image set of a folder or a zip on the server.

    Raises:
        ImageError: the path is neither.
    """
    from padim.data.opening import open_source

    return ImageSet(open_source(path), label, path.stem, path=path)


def from_files(paths: list[tuple[str, Path]], label: str, name: str) -> ImageSet:
    """Return an image set of a few files on the server, which are read into memory now."""
    from padim.data.sources import UploadSource

    return ImageSet(UploadSource([(shown, path.read_bytes()) for shown, path in paths]), label, name)


def sample_part() -> Path | None:
    """Return the sample's folder, in MVTec AD layout, or None if the sample is not installed."""
    sample = application_folder() / "sample_data"
    found = sorted(folder.parent.parent for folder in sample.glob("*/train/good"))
    return found[0] if found else None
