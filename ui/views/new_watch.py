"""The form that has a folder watched: what inspects, which folder, where results go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import watches
from ui.app import shell, workspace
from ui.files import folders

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry

__all__ = ["draw"]

_FAILED, _ADDED = "new-watch-failed", "new-watch-added"
_TEXTS = (("lot", "Lot"), ("station", "Station"), ("shift", "Shift"))
_LONGEST = 100


def draw(entry: Entry | None, *, opened: bool) -> None:
    """Draw the form, or what is missing for it.

    Args:
        entry: the model in use, which is proposed.
        opened: whether to open the form, because there is nothing else to see.
    """
    try:
        known = watches.targets(workspace.store().models())
    except (PadimError, OSError) as error:
        shell.failure("The part numbers cannot be read.", error)
        return
    # The key changes with the first watch, so that the form closes behind it.
    form = st.expander("Watch a folder", icon=":material/add:", expanded=opened, key=f"new-watch-{opened}")
    with form:
        if not known:
            st.markdown("There is no model yet. Fit one on images of good parts first.")
        elif not folders.roots():
            _no_folders()
        else:
            _form(known, entry)


def _no_folders() -> None:
    st.markdown(
        "No folder of this server is open to the app yet. Start it with the folders that may be watched and "
        "written to, or name them in `settings.yaml`:"
    )
    st.code(f"{folders.VARIABLE}=/data/line-3 streamlit run app.py", language="bash")
    st.markdown("From a shell any folder can be watched; it then appears here, too:")
    st.code('padim watch "Plate" /data/line-3/images --out /data/line-3/results', language="bash")


def _form(known: dict[str, str], entry: Entry | None) -> None:
    with st.container():
        if failed := st.session_state.pop(_FAILED, None):
            shell.failure("The folder is not watched.", failed)
    targets = list(known)
    proposed = targets.index(entry.id) if entry is not None and entry.id in known else 0
    example = next((name for name in folders.suggestions() if not name.endswith(".zip")), "line-3")
    with st.form("new-watch-form", border=False):
        st.selectbox(
            "Inspected by",
            targets,
            index=proposed,
            format_func=lambda target: known.get(target, target),
            key="new-watch-target",
            help="A part number follows its recipe: with another one, its model inspects from the next image "
            "on. A model inspects with its approved version.",
        )
        left, right = st.columns(2)
        left.text_input(
            "Folder to watch",
            placeholder=example,
            key="new-watch-folder",
            help="On the server, below a folder that its operator has opened to the app.",
        )
        right.text_input(
            "Folder for results",
            placeholder=f"{example}-results",
            key="new-watch-output",
            help="Each image gets a four-panel image and a JSON file with the result there. Empty: beside "
            "the watched folder.",
        )
        with st.popover("More settings", icon=":material/tune:"):
            _more()
        st.form_submit_button(
            "Watch this folder",
            type="primary",
            icon=":material/play_arrow:",
            key="new-watch-add",
            on_click=_add,
        )


def _more() -> None:
    st.toggle("Sub-folders too", value=True, key="new-watch-sub_folders")
    st.toggle(
        "Four-panel images",
        value=True,
        key="new-watch-panels",
        help="Original, heatmap, mask and overlay side by side; otherwise JSON files alone.",
    )
    st.toggle(
        "Look every second",
        key="new-watch-polling",
        help="For folders that send no notice of new files. Network folders are recognized by themselves.",
    )
    st.text_input(
        "Move inspected files to",
        key="new-watch-move_to",
        placeholder="They stay where they are",
        help="A folder outside the watched one; files go to a sub-folder named after the verdict.",
    )
    for column, (name, label) in zip(st.columns(len(_TEXTS)), _TEXTS, strict=True):
        column.text_input(label, key=f"new-watch-{name}", max_chars=_LONGEST)
    st.text_input(
        "Read them from file names",
        key="new-watch-name_pattern",
        placeholder="Such as {lot}-{serial}_{shift}",
        help="Fields in braces: {part_number}, {serial}, {lot}, {station}, {shift}; {} is skipped.",
    )


def _add() -> None:
    typed = st.session_state
    names = ("sub_folders", "panels", "polling", "name_pattern", *(name for name, _ in _TEXTS))
    try:
        watches.add(
            typed["new-watch-target"],
            typed["new-watch-folder"],
            typed["new-watch-output"],
            typed["new-watch-move_to"],
            {name: typed[f"new-watch-{name}"] for name in names},
        )
    except (PadimError, OSError) as error:
        typed[_FAILED] = error
        return
    for name in ("folder", "output", "move_to"):
        typed[f"new-watch-{name}"] = ""
