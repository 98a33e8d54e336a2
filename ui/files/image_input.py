"""The control to choose images: files and zips, a local folder, a folder on the server, or the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit as st

from padim.data.decode import FORMATS
from padim.errors import LabeledInputError, PadimError
from padim.installation import application_folder
from ui.app import server, state
from ui.app.text import count
from ui.files import folder_question, folders, uploads
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from padim.data.sources import Source
    from padim.worker.images import InLibrary
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
        in_library: the images of a model's library behind the source; None for anything else.
        in_place: by name, files that need no copy because they stay where they are.
        folder: the folder in these files, or in this folder or zip, that the source is limited to; ``.`` if
            the user has said that all images are good parts; None for all of it.
    """

    source: Source
    label: str
    name: str
    files: list[Named] = field(default_factory=list)
    path: Path | None = None
    folder: str | None = None
    in_library: InLibrary | None = None
    in_place: Mapping[str, Path] | None = None

    def inside(self, folder: str) -> ImageSet:
        """Return the images of one folder of these; ``.`` for all of them, known to be good parts.

        Raises:
            InputError: there is no such folder.
        """
        from padim.data.sub_folder import EVERYTHING, in_folder

        source = in_folder(self.source, folder, self.label)
        if folder == EVERYTHING:
            return replace(self, source=source, folder=self.folder or EVERYTHING)
        above = f"{self.folder}/" if self.folder not in (None, EVERYTHING) else ""
        return replace(self, source=source, label=f"{self.label}: {folder}", folder=f"{above}{folder}")


@dataclass
class _Questions:
    """Chosen images that are labelled data, by the name of the control, with the question about them."""

    of: dict[str, tuple[ImageSet, LabeledInputError]] = field(default_factory=dict)


@dataclass(frozen=True)
class Camera:
    """A camera of the user's computer as a further origin of images.

    Attributes:
        take: called with each image that was taken.
        place: the container to draw it in, so that it can stay open from image to image; None: where the
            control is.
        disabled: whether no image can be taken now.
    """

    take: Callable[[ImageSet], None]
    place: DeltaGenerator | None = None
    disabled: bool = False


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
    good_parts: bool = False,
    camera: Camera | None = None,
) -> None:
    """Draw the control to choose images; pass the choice to ``take`` and then run the page again.

    Where good parts are wanted and labelled data is chosen, the user is asked for the folder first.

    Args:
        name: distinguishes several such controls.
        what: the images wanted, as in "images of good parts".
        take: called with the chosen images.
        note: a caption below the control.
        sample: the sample, offered to users who have no images of their own.
        good_parts: whether all of the images must be good parts.
        camera: offers the camera too.
    """
    if good_parts:
        if name in state.of(_Questions).of:
            _ask(name, take)
            return
        take = partial(_take_good_parts, name, take)
    kinds = {"files": "Images or a zip", "folder": "A folder of this computer"}
    if folders.roots():
        kinds["server"] = "A folder on the server"
    if camera is not None:
        kinds["camera"] = "Camera"
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
    if kind == "camera" and camera is not None:
        with nullcontext() if camera.place is None else camera.place:
            _from_camera(name, camera)
    elif kind == "server":
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


def _take_good_parts(name: str, take: Callable[[ImageSet], None], image_set: ImageSet) -> None:
    """Take images of good parts, or remember the question if they are labelled data."""
    from padim.data.sub_folder import check_source

    try:
        check_source(image_set.source, image_set.label)
    except LabeledInputError as question:
        state.of(_Questions).of[name] = image_set, question
    else:
        take(image_set)


def _ask(name: str, take: Callable[[ImageSet], None]) -> None:
    """Draw the question which folder is meant, and take the images once it is answered."""
    questions = state.of(_Questions).of
    image_set, question = questions[name]
    # In a folder that was chosen already, all of it is what was chosen.
    answer = folder_question.ask(name, question, all_of_it=image_set.folder is None)
    if answer is None:
        return
    del questions[name]
    if answer.other:
        uploads.release(name, image_set.files)
    else:
        _take_good_parts(name, take, image_set.inside(answer.folder))
    st.rerun()


def _from_camera(name: str, camera: Camera) -> None:
    """Draw the camera, and take each image."""
    address = urlsplit(st.context.url or "")
    if address.scheme == "http" and not server.is_this_machine(address.hostname or ""):
        # The control itself would only ask for a permission that the browser never offers.
        st.warning(
            "Browsers open a camera only for addresses with https, or of this machine (localhost). Whoever "
            "runs the server can put it behind a proxy with https.",
            icon=":material/no_photography:",
        )
        return
    shot = uploads.shot(name, "Camera", disabled=camera.disabled)
    if shot is not None and not camera.disabled:
        camera.take(ImageSet(from_uploads([shot]).source, shot[0], "Model", [shot]))
        st.rerun()
    st.caption(
        "Each image is scored as it is taken. No image? The computer needs a camera that no other program "
        "uses, and the browser your permission."
    )


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
