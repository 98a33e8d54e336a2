"""The flow shared by pages that measure a model on images: upload, settings, progress and results.

Each page supplies its own ways to upload, its settings and its results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import streamlit as st

from padim.errors import PadimError
from ui import library
from ui.app import shell, workspace
from ui.app.text import count
from ui.files import image_input, labeled, uploads
from ui.jobs import watch
from ui.views import library_choice

if TYPE_CHECKING:
    from pathlib import Path

    from padim.data.labeled_images import LabeledImages
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job
    from ui.jobs.runs import Runs


class SetUp(Protocol):
    """Draws the settings of a measurement; ``again`` is true if there is a result already."""

    def __call__(self, entry: Entry, model: Padim, images: LabeledImages, *, again: bool) -> None: ...


@dataclass(frozen=True)
class Page:
    """The parts in which pages that measure at the threshold in use differ.

    Attributes:
        name: prefix of the widgets' keys.
        runs: this session's measurements.
        why_threshold: why the page needs a threshold, as a sentence.
        not_done: message when a run failed.
        stopped: message when a run was cancelled.
        do_again: what to do once the model has changed, as a sentence.
        again: what to do once the threshold has changed, in a few words.
        nothing_yet: heading and text of the empty page.
        choose_images: draws the ways to choose images.
        set_up: draws the settings.
        results: draws the results.
    """

    name: str
    runs: Runs
    why_threshold: str
    not_done: str
    stopped: str
    do_again: str
    again: str
    nothing_yet: tuple[str, str]
    choose_images: Callable[[Entry], None]
    set_up: SetUp
    results: Callable[[Entry, Any], None]

    def show(self, entry: Entry) -> None:
        """Draw the page for a model: missing threshold, upload, settings, progress or results."""
        model = shell.opened(entry)
        if model is None:
            return
        job = self.runs.job(entry)
        if job is not None and job.running:
            watch.watch(job)
            return
        if model.current_threshold is None:
            shell.empty("No threshold yet", f"{self.why_threshold} Set one on the Calibrate page.")
            st.page_link(
                "pages/calibrate.py",
                label="Open the Calibrate page",
                icon=":material/arrow_forward:",
                query_params=workspace.link(),
            )
            return
        with st.container():
            found = self._found(entry, model, job)
        with st.container():
            self._images(entry, model, found)
        if found is not None:
            self.results(entry, found)

    def _found(self, entry: Entry, model: Padim, job: Job[Any] | None) -> Any:
        """Return the last result, with a warning if it is out of date; None after a change of model."""
        found = result(job, self.not_done, self.stopped)
        changed = "" if found is None else found.outdated(entry, model)
        if changed == "model":
            st.info(f"The model has changed since. {self.do_again}", icon=":material/info:")
            return None
        if changed:
            st.warning(
                "The threshold, its guard band or the smallest region has changed since. What follows is for "
                f"threshold {found.threshold:.2f} as it was then; {self.again} for the one in use.",
                icon=":material/warning:",
            )
        return found

    def _images(self, entry: Entry, model: Padim, found: Any) -> None:
        images = self.runs.images_of(entry)
        if images is None:
            if found is None:
                self.choose_images(entry)
                shell.empty(*self.nothing_yet)
            else:
                other_images(self.name, partial(self.runs.clear, entry))
        elif found is None:
            self.set_up(entry, model, images, again=False)
        else:
            with st.expander("Settings", icon=":material/tune:"):
                self.set_up(entry, model, images, again=True)


def result(job: Job[Any] | None, not_done: str, stopped: str) -> Any:
    """Return the result of a job that has ended; show why if it failed or was cancelled, and return None."""
    if job is None:
        return None
    if job.state == "failed":
        shell.failure(not_done, job.error)
        return None
    if job.state == "cancelled":
        st.info(stopped, icon=":material/info:")
        return None
    return job.result


def choose_images_for(
    runs: Runs,
    entry: Entry,
    uploader: str,
    wanted: str,
    *,
    note: str,
    sample: str,
    sample_folder: Callable[[Path], Path] = lambda part: part,
    kept: Callable[[LabeledImages], LabeledImages] = lambda found: found,
) -> None:
    """Draw the ways to upload images for a measurement, with or without labels.

    Args:
        runs: receive the images.
        entry: the model in use.
        uploader: name of the upload widget.
        wanted: the images wanted, as in "images of good parts".
        note: a line below.
        sample: description of the sample, as a sentence.
        sample_folder: the folder to use within the sample.
        kept: selects the images to keep.
    """

    def take(image_set: image_input.ImageSet) -> None:
        try:
            found = labeled.of(image_set)
            library.keep_labeled(entry, found, image_set)
        finally:
            # The images hold their files as long as they are needed; the upload store can drop them.
            uploads.release(uploader, image_set.files)
        runs.set_images(entry, kept(found))

    part = image_input.sample_part() if library.is_of_sample(entry) else None
    of_library = library.labeled_set(entry)
    try:
        library_choice.offer(
            entry,
            uploader,
            of_library,
            take,
            "" if of_library is None else count(len(of_library.source), "labelled image"),
        )
        image_input.choose(
            uploader,
            wanted,
            take,
            note=note,
            sample=None
            if part is None
            else image_input.SampleParts(
                sample, lambda: image_input.from_folder(sample_folder(part), f"Sample: {part.name}")
            ),
        )
    except PadimError as error:
        shell.failure("These images cannot be used.", error)


def started(
    name: str, words: str, *, ready: bool, clear: Callable[[], None], help: str | None = None
) -> bool:
    """Draw the buttons below the settings, and return whether the start button was pressed.

    Args:
        name: prefix of their keys.
        words: label of the start button.
        ready: whether it is enabled.
        clear: drops the images; the page runs again afterwards.
        help: tooltip of the start button.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            words,
            key=f"{name}-start",
            type="primary",
            icon=":material/play_arrow:",
            disabled=not ready,
            help=help,
        ):
            return True
        other_images(name, clear)
    return False


def other_images(name: str, clear: Callable[[], None]) -> None:
    """Draw the button that drops the images so that others can be uploaded; the page runs again then."""
    if st.button("Other images", key=f"{name}-clear", icon=":material/close:"):
        clear()
        st.rerun()
