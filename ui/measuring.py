"""The frame of the pages that measure a model on images: bringing them, settings, the run, what came of it.

What is brought, chosen and shown is each page's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import streamlit as st

from padim.errors import PadimError
from ui.app import shell, workspace
from ui.files import bring, labelled, uploads
from ui.jobs import watch

if TYPE_CHECKING:
    from pathlib import Path

    from padim.data.labeled_images import LabeledImages
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job
    from ui.jobs.runs import Runs


class SetUp(Protocol):
    """Draws the settings of a measurement; ``again``: it has been made before."""

    def __call__(self, entry: Entry, model: Padim, images: LabeledImages, *, again: bool) -> None: ...


@dataclass(frozen=True)
class Page:
    """What differs between the pages that measure at the threshold in use.

    Attributes:
        name: begins the keys of the widgets.
        runs: this session's measurements.
        why_threshold: what one is needed for, as a sentence.
        not_done: that a run failed, as a sentence.
        stopped: what is said when one was stopped.
        do_again: what to do about another model, as a sentence.
        again: what to do about another threshold, in a few words.
        nothing_yet: heading and text of the empty page.
        bring: draws the ways to bring images.
        set_up: draws the settings.
        results: shows what came of it.
    """

    name: str
    runs: Runs
    why_threshold: str
    not_done: str
    stopped: str
    do_again: str
    again: str
    nothing_yet: tuple[str, str]
    bring: Callable[[Entry], None]
    set_up: SetUp
    results: Callable[[Entry, Any], None]

    def show(self, entry: Entry) -> None:
        """Draw the page for this model, in whatever state it is."""
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
        """What came of the last run, unless it was of another model; that it is out of date is said."""
        found = result(job, self.not_done, self.stopped)
        changed = "" if found is None else found.outdated(entry, model)
        if changed == "model":
            st.info(f"The model has changed since. {self.do_again}", icon=":material/info:")
            return None
        if changed:
            st.warning(
                "The threshold or the smallest region has changed since. What follows is for threshold "
                f"{found.threshold:.2f}; {self.again} for the one in use.",
                icon=":material/warning:",
            )
        return found

    def _images(self, entry: Entry, model: Padim, found: Any) -> None:
        images = self.runs.brought(entry)
        if images is None:
            if found is None:
                self.bring(entry)
                shell.empty(*self.nothing_yet)
            else:
                other_images(self.name, partial(self.runs.clear, entry))
        elif found is None:
            self.set_up(entry, model, images, again=False)
        else:
            with st.expander("Settings", icon=":material/tune:"):
                self.set_up(entry, model, images, again=True)


def result(job: Job[Any] | None, not_done: str, stopped: str) -> Any:
    """What a job that has ended found; None where it found nothing, and why is said."""
    if job is None:
        return None
    if job.state == "failed":
        shell.failure(not_done, job.error)
        return None
    if job.state == "cancelled":
        st.info(stopped, icon=":material/info:")
        return None
    return job.result


def bring_to(
    runs: Runs,
    entry: Entry,
    uploader: str,
    wanted: str,
    *,
    note: str,
    sample: str,
    sample_folder: Callable[[Path], Path] = lambda part: part,
    kept: Callable[[LabeledImages], LabeledImages] = lambda found: found,
    also: tuple[str, ...] = (),
) -> None:
    """Draw the ways to bring images for a measurement, labelled or not.

    Args:
        runs: take what is brought.
        entry: the model in use.
        uploader: its name.
        wanted: the images wanted, as in "images of good parts".
        note: a line below.
        sample: what the sample holds, as a sentence.
        sample_folder: where, within the sample's part.
        kept: what is kept of what was found.
        also: endings of files wanted in a folder besides images and zips.
    """

    def take(brought: bring.Brought) -> None:
        try:
            found = labelled.of(brought)
        finally:
            # What was brought holds the files as long as they are wanted; the upload store need not.
            uploads.release(uploader, brought.files)
        runs.bring(entry, kept(found))

    part = bring.sample_part()
    try:
        bring.images(
            uploader,
            wanted,
            take,
            note=note,
            sample=None
            if part is None
            else bring.SampleParts(
                sample, lambda: bring.from_folder(sample_folder(part), f"Sample: {part.name}")
            ),
            also=also,
        )
    except PadimError as error:
        shell.failure("These images cannot be used.", error)


def started(
    name: str, words: str, *, ready: bool, clear: Callable[[], None], help: str | None = None
) -> bool:
    """Draw the buttons below the settings; whether the one that starts was pressed.

    Args:
        name: begins their keys.
        words: on the one that starts.
        ready: whether it can be pressed.
        clear: drops the images; the page then runs again.
        help: shown on hovering over the one that starts.
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
    """Draw the button that makes room for other images; the page then runs again."""
    if st.button("Other images", key=f"{name}-clear", icon=":material/close:"):
        clear()
        st.rerun()
