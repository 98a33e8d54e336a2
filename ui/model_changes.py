"""Background changes of a fitted model: restoring features, more good parts, other layers, excluding parts.

A model has one change at a time, in all sessions together. A change that another session asks for meanwhile
is kept there, and can be repeated when the first has ended; each session is shown the result of its own.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from padim.errors import BusyError, ChangedSinceOpenedError, ImageError
from ui.app import clock, opened, person, refusals, state, workspace
from ui.app.text import count
from ui.files import uploads
from ui.jobs import watch, work_queue
from ui.widgets import normals

if TYPE_CHECKING:
    from padim.data.account import PassedOver
    from padim.storage.model_folders import Entry
    from ui.files.image_input import ImageSet
    from ui.jobs.jobs import Job
    from ui.widgets.normals import Reason

REBUILD = "rebuild"
ADD = "add"
# Held while a change is started, so that two sessions do not start one each.
_STARTING = threading.Lock()


@dataclass(frozen=True)
class ChangeResult:
    """The result of a change, as the page reports it.

    Attributes:
        summary: one sentence.
        failed: files that could not be used.
        passed_over: files that are no images of the user's.
        revision: revision of the model as saved.
    """

    summary: str
    failed: tuple[ImageError, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    revision: str = ""


@dataclass
class StartedChange:
    """A change that this session has started.

    Attributes:
        key: key of its job.
        what: the change in a few words.
        seen: the model as the page showed it.
        again: makes the change to the model as it is then; None once it has ended other than by a refusal,
            so that the images of the change are released.
    """

    key: str
    what: str
    seen: Entry
    again: Callable[[Entry], None] | None


@dataclass
class StartedChanges:
    """The changes that this session has started.

    Attributes:
        of: the latest change by model id, until it has been acknowledged.
        times: how many changes were started.
    """

    of: dict[str, StartedChange] = field(default_factory=dict)
    times: int = 0


def job(entry: Entry) -> Job[ChangeResult] | None:
    """Return the running change of a model, of any session, or this session's change that has ended."""
    running = _under_way(entry)
    if running is not None and not is_mine(entry, running):
        # Other sessions see its progress only: its result is shown to the session that started it.
        return running
    mine = state.lasting(StartedChanges).of.get(entry.id)
    return None if mine is None else watch.find(mine.key)


def _under_way(entry: Entry) -> Job[ChangeResult] | None:
    prefix = f"amend:{entry.id}:"
    return next((one for one in watch.registry().running() if one.key.startswith(prefix)), None)


def is_mine(entry: Entry, job: Job[ChangeResult]) -> bool:
    """Return whether this session has started a change of a model."""
    mine = state.lasting(StartedChanges).of.get(entry.id)
    return mine is not None and mine.key == job.key


def others_text(job: Job[ChangeResult]) -> str:
    """Describe another session's change: "another browser session (Adding good parts, since 14:03)"."""
    return f"another browser session ({job.title}, since {clock.at(job.begun)})"


def times() -> int:
    """Return how many changes this session has started so far."""
    return state.lasting(StartedChanges).times


def acknowledge(entry: Entry) -> None:
    """Discard the result of this session's change of a model, once the user has read it."""
    mine = state.lasting(StartedChanges).of.get(entry.id)
    found = None if mine is None else watch.find(mine.key)
    if found is None or not found.running:
        state.lasting(StartedChanges).of.pop(entry.id, None)
        if found is not None:
            watch.registry().discard(found.key)


def collect_refused(entry: Entry) -> bool:
    """Take over this session's change of a model if it was refused, so that it can be repeated.

    Returns:
        Whether there was one. If so in the middle of a run, the page must run again to show it at its top.
    """
    mine = state.lasting(StartedChanges).of.get(entry.id)
    found = None if mine is None else watch.find(mine.key)
    if mine is None or found is None or mine.again is None:
        return False
    if not isinstance(found.error, ChangedSinceOpenedError | BusyError):
        return False
    refusals.keep(entry, mine.what, found.error, mine.again, seen=mine.seen)
    acknowledge(entry)
    return True


def start_rebuilding(entry: Entry, image_set: ImageSet) -> None:
    """Read the model's own images again, so that normals can be excluded and restored."""
    title, what = "Reading the model’s images again", "read its images again"
    again = partial(start_rebuilding, image_set=image_set)
    begin(entry, title, what, again, partial(rebuild, image_set=image_set))
    uploads.release(REBUILD, image_set.files)


def start_adding(entry: Entry, image_set: ImageSet) -> None:
    """Continue the fit with further good parts."""
    what = f"add good parts ({image_set.label})"
    again = partial(start_adding, image_set=image_set)
    begin(entry, "Adding good parts", what, again, partial(add, image_set=image_set))
    uploads.release(ADD, image_set.files)


def start_refit(entry: Entry, active: Sequence[str]) -> None:
    """Fit the model again with these layers, from the features on disk."""
    what = f"use {_listed(active)}"
    begin(
        entry,
        "Fitting with other layers",
        what,
        partial(start_refit, active=active),
        partial(refit, active=active),
    )


def start_excluding(entry: Entry, sha256: str, reason: Reason) -> None:
    """Exclude a part from the fit of a method that has to be trained again without it.

    Args:
        entry: the model.
        sha256: hash of an image of the part; an index would be another image's in a changed model.
        reason: why it is excluded.
    """
    index, name = normals.find(workspace.open_model(entry), sha256)
    again = partial(start_excluding, sha256=sha256, reason=reason)
    work = partial(exclude, index=index, reason=reason)
    begin(entry, "Fitting without this part", f"take {name} out of the fit", again, work)


def start_including(entry: Entry, sha256: str) -> None:
    """Put an excluded part back into the fit of a method that has to be trained again with it."""
    index, name = normals.find(workspace.open_model(entry), sha256)
    again = partial(start_including, sha256=sha256)
    begin(
        entry, "Fitting with this part", f"put {name} back into the fit", again, partial(include, index=index)
    )


def begin(
    entry: Entry,
    title: str,
    what: str,
    again: Callable[[Entry], None],
    work: Callable[..., ChangeResult],
) -> None:
    """Start a change, or keep it if another session is changing the model.

    Args:
        entry: the model.
        title: the text above the progress bar.
        what: the change in a few words.
        again: makes the change to the model as it is then.
        work: makes the change; called with the model as the page showed it, and with ``job``.
    """
    mine, models, seen = state.lasting(StartedChanges), opened.models(), opened.seen(entry)
    with _STARTING:
        running = _under_way(entry)
        if running is None:
            started = StartedChange(f"amend:{entry.id}:{uuid.uuid4().hex[:12]}", what, seen, again)

            def perform(job: Job[ChangeResult]) -> ChangeResult:
                try:
                    result = work(seen, job=job)
                except (ChangedSinceOpenedError, BusyError):
                    raise  # it can be repeated, so its images are kept
                except BaseException:
                    started.again = None
                    raise
                started.again = None
                models.own.add(result.revision)
                return result

            acknowledge(entry)
            mine.of[entry.id] = started
            mine.times += 1
            watch.start(started.key, title, perform, tag=entry.id, goes_on=True, model=entry.id)
            return
    mine.times += 1  # the place for images starts closed and empty, although nothing was started
    if not is_mine(entry, running):
        refusals.keep(entry, what, BusyError.by(others_text(running)), again)
    elif mine.of[entry.id].what != what or not refusals.same(mine.of[entry.id].again, again):
        # The same again is a double click.
        refusals.keep(entry, what, BusyError.by(f"your other change ({running.title})"), again)


def rebuild(entry: Entry, image_set: ImageSet, job: Job[ChangeResult]) -> ChangeResult:
    """Restore the features of the good parts from the files that the model was fitted on; runs as a job.

    Raises:
        PadimError: images are missing; names the first of them.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Rebuild

    with work_queue.handed_over(image_set, job) as images:
        request = Rebuild(**about(entry, "reading its images again"), images=images)
        done = work_queue.run("change", request, job)
    summary = "The working features are back: parts can be excluded and restored again."
    if done.was_stale:
        summary += " The calibration is up to date."
    return ChangeResult(summary, done.unusable, done.files_passed_over, done.revision)


def add(entry: Entry, image_set: ImageSet, job: Job[ChangeResult]) -> ChangeResult:
    """Continue the fit with more good parts; runs as a job.

    Images so alike that they must be shots of one part count as one part.

    Raises:
        PadimError: none of the images could be used.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.config import BIT_DEPTH_BEFORE
    from padim.worker.messages import Add
    from ui.files.survey import survey

    looked = survey(image_set.source, job, entry.manifest["config"].get("bit_depth", BIT_DEPTH_BEFORE))
    with work_queue.handed_over(image_set, job) as images:
        request = Add(
            **about(entry, "adding good parts"), images=images, shots=looked.shots("near_identical")
        )
        done = work_queue.run("change", request, job)
    shots = (
        ""
        if done.parts == done.images
        else f" of {count(done.parts, 'new part')}; the others are repeat shots or copies"
    )
    summary = f"{count(done.images, 'image')} added{shots}."
    return ChangeResult(summary, looked.failed, looked.passed_over, done.revision)


def refit(entry: Entry, active: Sequence[str], job: Job[ChangeResult]) -> ChangeResult:
    """Fit the same good parts with these layers only, without running the network; runs as a job.

    Raises:
        PadimError: no layer, or the working features were deleted.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import SetLayers

    request = SetLayers(**about(entry, "fitting with other layers"), active=list(active))
    done = work_queue.run("change", request, job)
    if not done.inactive:
        text = "The model uses all its layers again; its threshold has followed."
        return ChangeResult(text, revision=done.revision)
    return ChangeResult(
        f"The model now uses {_listed(done.active)}; {_listed(done.inactive)} "
        f"{'is' if len(done.inactive) == 1 else 'are'} off. Its threshold has followed.",
        revision=done.revision,
    )


def exclude(entry: Entry, index: int, reason: Reason, job: Job[ChangeResult]) -> ChangeResult:
    """Fit without one part; runs as a job.

    Raises:
        PadimError: the working features were deleted, or nothing would be left.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Exclude

    request = Exclude(**about(entry, "excluding a part from the fit"), index=index, reason=reason)
    done = work_queue.run("change", request, job)
    normals.label_excluded(entry, _sha256_of(entry, index), reason)
    return ChangeResult("The part was excluded, and the threshold has followed.", revision=done.revision)


def include(entry: Entry, index: int, job: Job[ChangeResult]) -> ChangeResult:
    """Fit with a part that had been excluded; runs as a job and raises as :func:`exclude`."""
    from padim.worker.messages import Include

    request = Include(**about(entry, "putting a part back into the fit"), index=index)
    done = work_queue.run("change", request, job)
    normals.label_included(entry, _sha256_of(entry, index))
    return ChangeResult("The part is back in, and the threshold has followed.", revision=done.revision)


def _sha256_of(entry: Entry, index: int) -> str:
    """Return the hash of one of a model's images, from the model as it is saved now."""
    from padim.workspace import Workspace

    return Workspace(workspace.root()).open(entry.id).normals_[index].sha256


def about(entry: Entry, what: str) -> dict[str, Any]:
    """Return what every request states: the model, the revision that the user saw, and who asks."""
    return {
        "root": workspace.root(),
        "model": entry.id,
        "revision": entry.revision,
        "who": person.acting_as(),
        "what": what,
    }


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
