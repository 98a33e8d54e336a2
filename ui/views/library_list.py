"""The list of a model's image library: what each image shows, where it came from, and undo."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.errors import PadimError
from ui import library
from ui.app import preload, shell, workspace
from ui.app.text import count, megabytes

if TYPE_CHECKING:
    from padim.records.library import ImageLabel, LibraryImage
    from padim.storage.model_folders import Entry

PAGE = 25
_THUMB_SIDE = 96
LABELS: dict[ImageLabel, str] = {"good": "Good part", "defect": "Defect", "unknown": "Not labelled"}
_FILTERS = {"all": "All", **{str(key): word for key, word in LABELS.items()}, "fit": "Of the fit"}
_ORIGINS = {"files": "Files", "inspect": "Inspect", "fit": "Fit"}
_EDITOR = "library-list"


@st.dialog("Image library", width="large", icon=":material/perm_media:", on_dismiss="rerun")
def dialog(entry: Entry) -> None:
    """Show the list in a dialog; the page runs again when it is closed."""
    draw(entry)


def draw(entry: Entry) -> None:
    """Draw the list with its filters, page by page."""
    store = library.library(entry)
    st.caption(
        f"Every image once, for all pages. {count(store.count(), 'image')}, {megabytes(store.size)} of "
        f"{megabytes(store.limit)}. Labels and types of defects are stored at once; images of the fit never "
        "count as test images."
    )
    if unsaved := st.session_state.pop("library-unsaved", None):
        shell.failure("The change was not saved.", unsaved)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = st.segmented_control(
            "Show",
            list(_FILTERS),
            format_func=lambda key: _FILTERS.get(key, key),
            default="all",
            required=True,
            key="library-show",
            label_visibility="collapsed",
        )
        contains = st.text_input(
            "Name contains",
            key="library-contains",
            placeholder="Name or folder",
            label_visibility="collapsed",
            width=200,
        )
        _undo_buttons(entry)
    query = _query(entry, str(shown), str(contains or ""))
    number = store.count(query)
    if not number:
        st.info("No image of the library is like that.", icon=":material/info:")
        return
    pages = -(-number // PAGE)
    page = 1
    if pages > 1:
        page = int(
            st.number_input(
                f"Page, of {pages:,}", min_value=1, max_value=pages, key=f"library-page-{shown}", width=160
            )
        )
    images = store.images(query, offset=(page - 1) * PAGE, number=PAGE, newest_first=True)
    _table(entry, images)


def _query(entry: Entry, shown: str, contains: str) -> Any:
    from padim.records.library import ImageQuery

    model = workspace.open_model(entry)
    if shown == "fit":
        return ImageQuery(only=library.in_fit(model), contains=contains)
    chosen: list[ImageLabel] = [label for label in LABELS if label == shown]
    return ImageQuery(labels=chosen or None, contains=contains)


def _undo_buttons(entry: Entry) -> None:
    store = library.library(entry)
    for name, change, act, icon in (
        ("Undo", store.to_undo(), store.undo, ":material/undo:"),
        ("Redo", store.to_redo(), store.redo, ":material/redo:"),
    ):
        what = ""
        if change is not None:
            done = "labelled" if change.kind == "label" else "removed"
            what = f"{name}: {count(change.images, 'image')} {done}."
        st.button(
            name,
            key=f"library-{name.lower()}",
            icon=icon,
            disabled=change is None,
            help=what or None,
            on_click=_act,
            args=(act,),
        )


def _act(act: Any) -> None:
    try:
        act()
    except (PadimError, OSError) as error:
        st.session_state["library-unsaved"] = error


def _table(entry: Entry, images: list[LibraryImage]) -> None:
    preload.table()
    own = library.in_fit(workspace.open_model(entry))
    rows = [
        {
            "Image": _thumbnail(image),
            "Name": image.name,
            "Shows": LABELS[image.label],
            "Type of defect": image.defect_type,
            "Role": "Fit" if image.sha256 in own else "Test",
            "From": image.origin_name or _ORIGINS.get(image.origin, image.origin.capitalize()),
            "Added": image.added,
            "KB": image.bytes / 1e3,
            "Remove": False,
        }
        for image in images
    ]
    # Another key whenever the rows are others, so that an edit never reaches another row.
    key = f"{_EDITOR}-{library.library(entry).identity}-{images[0].id}-{len(images)}"
    st.data_editor(
        rows,
        key=key,
        hide_index=True,
        row_height=56,
        disabled=["Image", "Name", "Role", "From", "Added", "KB"],
        column_config={
            "Image": st.column_config.ImageColumn("Image", width="small"),
            "Shows": st.column_config.SelectboxColumn(options=list(LABELS.values()), required=True),
            "Type of defect": st.column_config.TextColumn(max_chars=60),
            "Added": st.column_config.DatetimeColumn(
                format="D MMM YYYY, HH:mm", timezone=st.context.timezone
            ),
            "KB": st.column_config.NumberColumn(format="%.0f"),
            "Remove": st.column_config.CheckboxColumn(help="Out of the library; Undo brings it back."),
        },
        on_change=_edited,
        args=(entry, images, key),
    )


def _edited(entry: Entry, images: list[LibraryImage], key: str) -> None:
    try:
        apply_edits(entry, images, st.session_state[key]["edited_rows"])
    except (PadimError, OSError) as error:
        st.session_state["library-unsaved"] = error


def apply_edits(entry: Entry, images: list[LibraryImage], edits: dict[int, dict[str, Any]]) -> None:
    """Store what was changed in the table.

    Args:
        entry: the model.
        images: the images of the rows.
        edits: by row, the new value of each column that was changed.

    Raises:
        PadimError: a type of defect has no usable name, or the workspace is read-only.
        OSError: the model was deleted.
    """
    store = library.library(entry)
    words = {word: label for label, word in LABELS.items()}
    removed = [images[row].sha256 for row, edit in edits.items() if edit.get("Remove")]
    if removed:
        store.remove(removed)
    for row, edit in edits.items():
        image = images[row]
        if "Type of defect" in edit:
            # Only defects have a type: who names one says that it is a defect.
            store.set_label([image.sha256], "defect", str(edit["Type of defect"] or ""))
        elif "Shows" in edit:
            store.set_label([image.sha256], words[edit["Shows"]])


def _thumbnail(image: LibraryImage) -> str | None:
    data = _small(image, image.sha256)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else None


@st.cache_resource(max_entries=2000, show_spinner=False)
def _small(_image: LibraryImage, sha256: str) -> bytes:
    from padim.data.bit_depth import AS_PROPOSED
    from padim.data.decode import decode
    from padim.data.preprocess import thumbnail

    try:
        rgb = decode(_image.path.read_bytes(), _image.name, bit_depth=AS_PROPOSED)
    except (PadimError, OSError):
        return b""  # the file is gone; the row stays, so that it can be removed
    return thumbnail(rgb, _THUMB_SIDE)
