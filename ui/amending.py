"""Changes of a fitted model in the background: its own images once more, further good parts, other layers,
parts taken out or put back where that means training anew.

One change of a model at a time, whoever asks: the job's key names the model, not the session.
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
    from padim.storage.model_folders import Entry
    from ui.files.bring import Brought
    from ui.jobs.jobs import Job
    from ui.widgets.normals import Reason

REBUILD = "rebuild"
ADD = "add"


@dataclass(frozen=True)
class Amended:
    """What a change leaves to say.

    Attributes:
        said: one sentence.
        failed: files that could not be used.
    """

    summary: str
    failed: tuple[ImageError, ...] = ()


@dataclass
class Started:
    """The changes this session has started.

    Attributes:
        models: ids of the models whose change's outcome is still to be said.
        times: how many there were.
    """

    models: set[str] = field(default_factory=set)
    times: int = 0


def job(entry: Entry) -> Job[Amended] | None:
    """The change of this model under way, anybody's; or one of this session's that has ended."""
    key = _key(entry)
    mine = entry.id in state.of(Started).models
    # Its end is of interest to whoever started it; others see it run.
    found = watch.find(key) if mine else watch.registry().get(key)
    if found is None or found.running or mine:
        return found
    return None


def _key(entry: Entry) -> str:
    return f"amend:{entry.id}"


def times() -> int:
    """How many changes this session has started so far."""
    return state.of(Started).times


def acknowledge(entry: Entry) -> None:
    """What came of a change has been read."""
    state.of(Started).models.discard(entry.id)
    found = watch.registry().get(_key(entry))
    if found is not None and not found.running:
        watch.registry().discard(found.key)


def start_rebuilding(entry: Entry, brought: Brought) -> None:
    """Read the model's own images again, so that normals can be excluded and put back."""
    title = "Reading the model’s images again"
    _start(entry, title, REBUILD, brought, lambda job: rebuild(entry, brought, job))


def start_adding(entry: Entry, brought: Brought) -> None:
    """Continue the fit with further good parts."""
    _start(entry, "Adding good parts", ADD, brought, lambda job: add(entry, brought, job))


def start_refit(entry: Entry, active: Sequence[str]) -> None:
    """Learn anew from these layers, from the features on disk."""
    _begin(entry, "Fitting with other layers", lambda job: refit(entry, active, job))


def start_excluding(entry: Entry, index: int, reason: Reason) -> None:
    """Take a part out of the fit, by a method that has to train anew without it."""
    _begin(entry, "Fitting without this part", lambda job: exclude(entry, index, reason, job))


def start_including(entry: Entry, index: int) -> None:
    """Put a part back, by a method that has to train anew with it."""
    _begin(entry, "Fitting with this part", lambda job: include(entry, index, job))


def _start(
    entry: Entry, title: str, uploader: str, brought: Brought, work: Callable[[Job[Amended]], Amended]
) -> None:
    _begin(entry, title, work)
    uploads.release(uploader, brought.files)


def _begin(entry: Entry, title: str, work: Callable[[Job[Amended]], Amended]) -> None:
    state.of(Started).models.add(entry.id)
    state.of(Started).times += 1
    watch.start(_key(entry), title, work, tag=entry.id, goes_on=True)


def rebuild(entry: Entry, brought: Brought, job: Job[Amended]) -> Amended:
    """The job: the normals' features from the very files the model was fitted on.

    Raises:
        PadimError: images are missing; names the first of them.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Rebuild

    with work_queue.handed_over(brought, job) as images:
        request = Rebuild(root=workspace.root(), model=entry.id, images=images)
        done = work_queue.run("change", request, job)
    summary = "The working features are back: parts can be excluded and put back again."
    if done.was_stale:
        summary += " The calibration is up to date."
    return Amended(summary, done.unusable)


def add(entry: Entry, brought: Brought, job: Job[Amended]) -> Amended:
    """The job: a continued fit. Images so alike that they must be shots of one part count as one.

    Raises:
        PadimError: none of the images could be used.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Add
    from ui.files.survey import survey

    looked = survey(brought.source, job)
    with work_queue.handed_over(brought, job) as images:
        request = Add(
            root=workspace.root(), model=entry.id, images=images, shots=looked.shots("near_identical")
        )
        done = work_queue.run("change", request, job)
    shots = (
        ""
        if done.parts == done.images
        else f" of {count(done.parts, 'new part')}; the others are repeat shots or copies"
    )
    return Amended(f"{count(done.images, 'image')} added{shots}.", looked.failed)


def refit(entry: Entry, active: Sequence[str], job: Job[Amended]) -> Amended:
    """The job: the same normals, compared by these layers only; the network does not run.

    Raises:
        PadimError: no layer, or the working features were deleted.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import SetLayers

    request = SetLayers(root=workspace.root(), model=entry.id, active=list(active))
    done = work_queue.run("change", request, job)
    if not done.inactive:
        return Amended("The model uses all its layers again; its threshold has followed.")
    return Amended(
        f"The model now uses {_listed(done.active)}; {_listed(done.inactive)} "
        f"{'is' if len(done.inactive) == 1 else 'are'} off. Its threshold has followed."
    )


def exclude(entry: Entry, index: int, reason: Reason, job: Job[Amended]) -> Amended:
    """The job: the fit without a part.

    Raises:
        PadimError: the working features were deleted, or nothing would be left.
        Cancelled: the user stopped it; the model is as it was.
    """
    from padim.worker.messages import Exclude

    work_queue.run("change", Exclude(root=workspace.root(), model=entry.id, index=index, reason=reason), job)
    return Amended("The part was taken out, and the threshold has followed.")


def include(entry: Entry, index: int, job: Job[Amended]) -> Amended:
    """The job: the fit with a part that was out of it; raises as :func:`exclude`."""
    from padim.worker.messages import Include

    work_queue.run("change", Include(root=workspace.root(), model=entry.id, index=index), job)
    return Amended("The part is back in, and the threshold has followed.")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
