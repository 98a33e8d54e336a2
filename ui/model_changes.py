"""Background changes of a fitted model: restoring features, more good parts, other layers, excluding parts.

A model has one change at a time, in all sessions together: the key of the job names the model alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from padim.errors import ImageError
from ui.app import state, workspace
from ui.app.text import count
from ui.files import uploads
from ui.jobs import watch, work_queue

if TYPE_CHECKING:
    from padim.data.account import PassedOver
    from padim.storage.model_folders import Entry
    from ui.files.image_input import ImageSet
    from ui.jobs.jobs import Job
    from ui.widgets.normals import Reason

REBUILD = "rebuild"
ADD = "add"


@dataclass(frozen=True)
class ChangeResult:
    """The result of a change, as the page reports it.

    Attributes:
        summary: one sentence.
        failed: files that could not be used.
        passed_over: files that are no images of the user's.
    """

    summary: str
    failed: tuple[ImageError, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


@dataclass
class StartedChanges:
    """The changes that this session has started.

    Attributes:
        models: ids of the models whose change has not been acknowledged.
        times: how many changes were started.
    """

    models: set[str] = field(default_factory=set)
    times: int = 0


def job(entry: Entry) -> Job[ChangeResult] | None:
    """Return the running change of a model, of any session, or this session's change that has ended."""
    key = _key(entry)
    mine = entry.id in state.of(StartedChanges).models
    # The session that started it is shown its result; other sessions see its progress only.
    found = watch.find(key) if mine else watch.registry().get(key)
    if found is None or found.running or mine:
        return found
    return None


def _key(entry: Entry) -> str:
    return f"amend:{entry.id}"


def times() -> int:
    """Return how many changes this session has started so far."""
    return state.of(StartedChanges).times


def acknowledge(entry: Entry) -> None:
    """Discard the result of a model's change, once the user has read it."""
    state.of(StartedChanges).models.discard(entry.id)
    found = watch.registry().get(_key(entry))
    if found is not None and not found.running:
        watch.registry().discard(found.key)


def start_rebuilding(entry: Entry, image_set: ImageSet) -> None:
    """Read the model's own images again, so that normals can be excluded and put back."""
    title = "Reading the model’s images again"
    _start(entry, title, REBUILD, image_set, lambda job: rebuild(entry, image_set, job))


def start_adding(entry: Entry, image_set: ImageSet) -> None:
    """Continue the fit with further good parts."""
    _start(entry, "Adding good parts", ADD, image_set, lambda job: add(entry, image_set, job))


def start_refit(entry: Entry, active: Sequence[str]) -> None:
    """Fit the model again with these layers, from the features on disk."""
    _begin(entry, "Fitting with other layers", lambda job: refit(entry, active, job))


def start_excluding(entry: Entry, index: int, reason: Reason) -> None:
    """Exclude a part from the fit of a method that has to be trained again without it."""
    _begin(entry, "Fitting without this part", lambda job: exclude(entry, index, reason, job))


def start_including(entry: Entry, index: int) -> None:
    """Put an excluded part back into the fit of a method that has to be trained again with it."""
    _begin(entry, "Fitting with this part", lambda job: include(entry, index, job))


def _start(
    entry: Entry,
    title: str,
    uploader: str,
    image_set: ImageSet,
    work: Callable[[Job[ChangeResult]], ChangeResult],
) -> None:
    _begin(entry, title, work)
    uploads.release(uploader, image_set.files)


def _begin(entry: Entry, title: str, work: Callable[[Job[ChangeResult]], ChangeResult]) -> None:
    state.of(StartedChanges).models.add(entry.id)
    state.of(StartedChanges).times += 1
    watch.start(_key(entry), title, work, tag=entry.id, goes_on=True)


def rebuild(entry: Entry, image_set: ImageSet, job: Job[ChangeResult]) -> ChangeResult:
    """Restore the features of the good parts from the files that the model was fitted on; runs as a job.

    Raises:
        PadimError: images are missing; names the first of them.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Rebuild

    with work_queue.handed_over(image_set, job) as images:
        request = Rebuild(root=workspace.root(), model=entry.id, images=images)
        done = work_queue.run("change", request, job)
    summary = "The working features are back: parts can be excluded and put back again."
    if done.was_stale:
        summary += " The calibration is up to date."
    return ChangeResult(summary, done.unusable, done.files_passed_over)


def add(entry: Entry, image_set: ImageSet, job: Job[ChangeResult]) -> ChangeResult:
    """Continue the fit with more good parts; runs as a job.

    Images so alike that they must be shots of one part count as one part.

    Raises:
        PadimError: none of the images could be used.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Add
    from ui.files.survey import survey

    looked = survey(image_set.source, job)
    with work_queue.handed_over(image_set, job) as images:
        request = Add(
            root=workspace.root(), model=entry.id, images=images, shots=looked.shots("near_identical")
        )
        done = work_queue.run("change", request, job)
    shots = (
        ""
        if done.parts == done.images
        else f" of {count(done.parts, 'new part')}; the others are repeat shots or copies"
    )
    return ChangeResult(f"{count(done.images, 'image')} added{shots}.", looked.failed, looked.passed_over)


def refit(entry: Entry, active: Sequence[str], job: Job[ChangeResult]) -> ChangeResult:
    """Fit the same good parts with these layers only, without running the network; runs as a job.

    Raises:
        PadimError: no layer, or the working features were deleted.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import SetLayers

    request = SetLayers(root=workspace.root(), model=entry.id, active=list(active))
    done = work_queue.run("change", request, job)
    if not done.inactive:
        return ChangeResult("The model uses all its layers again; its threshold has followed.")
    return ChangeResult(
        f"The model now uses {_listed(done.active)}; {_listed(done.inactive)} "
        f"{'is' if len(done.inactive) == 1 else 'are'} off. Its threshold has followed."
    )


def exclude(entry: Entry, index: int, reason: Reason, job: Job[ChangeResult]) -> ChangeResult:
    """Fit without one part; runs as a job.

    Raises:
        PadimError: the working features were deleted, or nothing would be left.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Exclude

    work_queue.run("change", Exclude(root=workspace.root(), model=entry.id, index=index, reason=reason), job)
    return ChangeResult("The part was taken out, and the threshold has followed.")


def include(entry: Entry, index: int, job: Job[ChangeResult]) -> ChangeResult:
    """Fit with a part that had been excluded; runs as a job and raises as :func:`exclude`."""
    from padim.worker.messages import Include

    work_queue.run("change", Include(root=workspace.root(), model=entry.id, index=index), job)
    return ChangeResult("The part is back in, and the threshold has followed.")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
