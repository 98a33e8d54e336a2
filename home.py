"""The Models page: the first steps, the saved models and the interrupted fits. ``app.py`` serves it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import ChangedSinceOpenedError, PadimError
from padim.output.file_names import flat_name
from padim.storage import bin as model_bin
from padim.storage import stopped_fits
from padim.storage.holder import acting
from ui import exports
from ui import fit as fitting
from ui.app import clock, next_step, opened, shell, tabs, workspace
from ui.app.pages import page_of
from ui.app.text import count
from ui.views import part_numbers, versions
from ui.widgets import leftover_files, panels

if TYPE_CHECKING:
    from padim.storage.bin import DeletedModel
    from padim.storage.model_folders import Entry
    from padim.storage.stopped_fits import StoppedFit

_STEPS = (
    (
        "pages/fit.py",
        "images",
        "Drag in images of good parts. The model learns what good looks like, place by place.",
    ),
    (
        "pages/calibrate.py",
        "threshold",
        "Set the threshold by the scores of the good parts, and read what it costs.",
    ),
    (
        "pages/inspect.py",
        None,
        "Drag in test images: original, heatmap, mask and overlay side by side, with a verdict.",
    ),
)


def _start(current: Entry | None) -> None:
    # Each card is a link: its words are in the link's box, which the style stretches over the card.
    columns = st.columns(len(_STEPS), gap="small")
    for number, (column, (path, tab, text)) in enumerate(zip(columns, _STEPS, strict=True), 1):
        with column, st.container(border=True, height="stretch", key=f"home-step-{number}"):
            query = {**workspace.link(), **({tabs.PARAMETER: tab} if tab else {})}
            st.page_link(path, label=f"{number} · {page_of(path).label}", query_params=query)
            st.caption(text)
    with st.container(horizontal=True):
        if st.button(
            "Fit a model", type="secondary" if current else "primary", icon=":material/add:", key="home-fit"
        ):
            fitting.start_afresh()
            shell.go_to("pages/fit.py", "images")
        if fitting.sample() is not None and st.button(
            "Try it with the sample",
            icon=":material/science:",
            key="home-sample",
            help="Generated images of one part, good and defective: the whole way in a minute.",
        ):
            fitting.start_afresh(with_sample=True)
            shell.go_to("pages/fit.py", "images")


def _models(entries: list[Entry], in_use: Entry | None) -> None:
    st.subheader("Saved models")
    if not entries:
        shell.empty("No models yet", "The models you fit are kept here, also when the server restarts.")
        return
    for entry in entries:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row-{entry.id}"):
            _row(entry, in_use is not None and entry.id == in_use.id)


def _stopped_fits() -> None:
    """Show the fits that a restart or a kill of the server interrupted, each to be resumed or discarded."""
    found = stopped_fits.in_workspace(workspace.store())
    if not found:
        return
    st.subheader("Fits that were stopped")
    for fit in found:
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", key=f"stopped-{fit.model_id}"
        ):
            _stopped_row(fit)


def _stopped_row(fit: StoppedFit) -> None:
    of = "" if fit.total is None else f" of {fit.total:,}"
    detail = f"{fit.done:,}{of} images done · begun {clock.when(fit.begun)}"
    if fit.request is not None and fit.request.label:
        detail += f" · {fit.request.label}"
    if not fit.can_go_on:
        detail += ". Its images are no longer on this server: fit anew with them."
    st.html(f'<div class="pv-row"><b>{escape(fit.name)}</b><div>{escape(detail)}</div></div>')
    with st.container(horizontal=True, wrap=False, width="content"):
        resume = st.button(
            "Resume",
            key=f"resume-{fit.model_id}",
            icon=":material/resume:",
            disabled=not fit.can_go_on,
            help="Go on from the images that are done. The model is the same as without the stop.",
        )
        discard = st.button("Discard", key=f"discard-{fit.model_id}", icon=":material/delete:")
    try:
        if resume:
            fitting.resume(fit)
        elif discard:
            stopped_fits.discard(fit, workspace.store())
    except (PadimError, OSError) as error:
        shell.failure("The fit did not go on." if resume else "The fit was not discarded.", error)
        return
    if resume:
        shell.go_to("pages/fit.py", "images")
    elif discard:
        st.rerun()


def _row(entry: Entry, in_use: bool) -> None:
    if entry.broken:
        detail = f"Cannot be opened. {entry.broken}"
    else:
        threshold = workspace.threshold_value(entry)
        at = "no threshold yet" if threshold is None else f"threshold {threshold:.2f}"
        detail = f"{count(entry.n_parts, 'part')} · {at} · {_dates(entry)}"
        if workspace.calibration(entry) == "stale":
            detail += " · calibration out of date"
    mark = '<span class="pv-tag">in use</span>' if in_use else ""
    if workspace.random_weights(entry):
        mark += '<span class="pv-tag pv-doubtful">random weights, for trials only</span>'
    st.html(f'<div class="pv-row"><b>{escape(entry.name)}</b>{mark}<div>{escape(detail)}</div></div>')
    if not entry.broken and st.button(
        "In use" if in_use else "Select", key=f"open-{entry.id}", disabled=in_use
    ):
        workspace.use(entry.id)
        st.rerun()
    # As the page showed it when the user clicked: others may have changed it since.
    seen = opened.models().rows.get(entry.id, entry)
    opened.models().rows[entry.id] = entry
    with st.popover("Manage", key=f"manage-{entry.id}"):
        with st.form(f"rename-{entry.id}", border=False):
            name = st.text_input("Name", value=entry.name, max_chars=80, key=f"name-{entry.id}")
            if st.form_submit_button("Rename"):
                _rename(entry, seen, name)
        if not entry.broken:
            _scorer(entry)
        _delete_form(entry, seen, in_use)


def _dates(entry: Entry) -> str:
    """Return when a model was fitted and, if that was at another time, when it was last changed."""
    fitted, changed = entry.fitted, entry.created
    if fitted is None:
        return "" if changed is None else f"changed {clock.when(changed)}"
    text = f"fitted {clock.when(fitted)}"
    if changed is None or (changed - fitted).total_seconds() < 60:
        return text
    return f"{text}, changed {clock.when(changed)}"


def _delete_form(entry: Entry, seen: Entry, in_use: bool) -> None:
    """Draw the form that deletes a model once its name is typed."""
    with st.form(f"delete-form-{entry.id}", border=False):
        typed = st.text_input(
            "Type its name to delete it",
            key=f"delete-name-{entry.id}",
            placeholder=entry.name,
            help=f"It goes to the bin with everything stored with it. For {model_bin.DAYS} days it can be "
            "restored from there.",
        )
        if st.form_submit_button("Delete", key=f"delete-{entry.id}", icon=":material/delete:"):
            if " ".join(typed.split()).casefold() != entry.name.casefold():
                st.error("This is not its name: nothing was deleted.", icon=":material/error:")
            else:
                _delete(seen, in_use)


def _scorer(entry: Entry) -> None:
    """Show the button that downloads the model as one ONNX file, which is built when it is clicked.

    A model that locates the part is a ZIP with a folder, as one ONNX file cannot find a part.
    """
    aligned = exports.locates(entry)
    hindrance = exports.scorer_hindrance(entry)
    plain = st.checkbox(
        "For TensorRT (level map as float32)",
        key=f"scorer-float32-{entry.id}",
        disabled=hindrance is not None,
        help="TensorRT has no uint16. The numbers are the same.",
    )
    st.download_button(
        "Scorer for the line PC (folder, ZIP)" if aligned else "Scorer for the line PC (ONNX)",
        partial(
            exports.scorer_folder_bytes if aligned else exports.scorer_bytes,
            entry,
            "float32" if plain else "uint16",
        ),
        file_name=flat_name(f"{entry.name} scorer", ".zip" if aligned else ".onnx", set()),
        mime="application/octet-stream",
        on_click="ignore",
        icon=":material/download:",
        key=f"scorer-{entry.id}",
        disabled=hindrance is not None,
        help=hindrance or (_FOLDER_HELP if aligned else _SCORER_HELP),
    )


_SCORER_HELP = (
    "Network, Gaussians and threshold in one file that needs nothing but ONNX Runtime; the scripts in "
    "examples/ show how. It carries a SHA-256 of itself, by which they refuse a damaged copy. It takes a "
    "few seconds to make."
)
_FOLDER_HELP = (
    "This model locates the part before it scores, which one ONNX file cannot do. The folder has the "
    "scorer, the reference part and inspect_images.py, which finds the part and gives the same verdict, "
    "reasons and mask; it needs numpy, OpenCV and ONNX Runtime. It takes a few seconds to make."
)


def _rename(entry: Entry, seen: Entry, name: str) -> None:
    try:
        with acting("a browser session", "renaming it"):
            workspace.store().rename(entry.id, name, instead_of=seen.name)
    except (PadimError, OSError) as error:
        shell.failure("The model keeps its name.", error)
    else:
        st.rerun()


def _delete(entry: Entry, in_use: bool) -> None:
    try:
        with acting("a browser session", "deleting it"):
            model_bin.put(workspace.store(), entry.id, 2.0, revision=entry.revision)
    except ChangedSinceOpenedError:
        now = workspace.store().get(entry.id)
        changes = opened.changes(entry, now)
        st.error(
            f"“{panels.plain(now.name)}” was not deleted: someone else has changed it since this page showed "
            f"it{f' ({panels.plain(changes)})' if changes else ''}. Delete it again if it is to go anyway.",
            icon=":material/group:",
        )
        return
    except (PadimError, OSError) as error:
        shell.failure("The model was not deleted.", error)
        return
    opened.models().shown.pop(entry.id, None)  # it was not somebody else
    if in_use:
        workspace.use(None)
    st.rerun()


def _bin() -> None:
    """Show the deleted models, each to be restored or removed for good."""
    from padim.records import deleted_models

    with suppress(PadimError):  # a read-only workspace keeps them
        deleted_models.sweep(workspace.store())
    deleted = model_bin.contents(workspace.store())
    if not deleted:
        return
    with st.expander(f"Bin: {count(len(deleted), 'deleted model')}", icon=":material/delete:", key="bin"):
        for one in deleted:
            with st.container(
                border=True, horizontal=True, vertical_alignment="center", key=f"bin-{one.folder.name}"
            ):
                _bin_row(one)


def _bin_row(deleted: DeletedModel) -> None:
    from padim.records import deleted_models

    detail = f"deleted {clock.when(deleted.deleted)} · kept until {clock.day(deleted.until)}"
    st.html(f'<div class="pv-row"><b>{escape(deleted.name)}</b><div>{escape(detail)}</div></div>')
    key = deleted.folder.name
    with st.container(horizontal=True, wrap=False, width="content"):
        restore = st.button("Restore", key=f"restore-{key}", icon=":material/restore_from_trash:")
        remove = st.button("Delete for good", key=f"purge-{key}", icon=":material/delete_forever:")
    try:
        if restore:
            workspace.use(model_bin.restore(workspace.store(), deleted, 2.0).id)
        elif remove:
            deleted_models.remove(workspace.store(), deleted, 2.0)
    except (PadimError, OSError) as error:
        shell.failure("The model stays in the bin.", error)
        return
    if restore or remove:
        st.rerun()


page, current = shell.begin("home.py")
leftover_files.sweep_once()
tab, place = tabs.draw(page)
with place:
    if tab == "models":
        saved = workspace.store().models()
        _start(current)
        _stopped_fits()
        _models(saved, current)
        _bin()
    elif tab == "part-numbers":
        part_numbers.draw()
    elif current is None:
        shell.needs_model()
    else:
        versions.draw(current)
next_step.draw(page, None, current)
