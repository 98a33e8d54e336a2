"""What the worker can be asked for: fits, changes of a model that fit anew, studies.

A model is opened from the workspace, changed under its lock and saved there; whoever asked opens it again.
Nothing is removed here when a fit fails: whoever prepared the folder does that, also after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, assert_never

from padim.errors import Cancelled, ImageError, PadimError
from padim.worker.images import open_images
from padim.worker.messages import (
    Add,
    Exclude,
    Fit,
    Include,
    Rebuild,
    Request,
    SetLayers,
    StudyRequest,
    WorkerResult,
)

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.data.decode_budget import Cancel
    from padim.storage import resume
    from padim.storage.normals import Normal


class ReportProgress(Protocol):
    """Told how far the work is: ``done`` of ``total`` items, or bytes, of a stage."""

    def __call__(
        self, done: int, total: int | None = None, stage: str = "", *, in_bytes: bool = False
    ) -> None: ...


def perform(request: Request, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Do what a request asks for.

    Args:
        request: the request.
        progress: told how far it is.
        cancel: asked between steps; True stops.

    Raises:
        PadimError: it cannot be done; a model that was to be changed is as it was.
        Cancelled: ``cancel`` said so.
    """
    match request:
        case Fit():
            return _fit(request, progress, cancel)
        case Rebuild():
            return _rebuild(request, progress, cancel)
        case Add():
            return _add(request, progress, cancel)
        case SetLayers() | Exclude() | Include():
            return _refit(request, progress, cancel)
        case StudyRequest():
            return _study(request, progress, cancel)
        case _:
            assert_never(request)


def _fit(request: Fit, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """``images`` of the model, and what ``failed``.

    What is done is kept in the model's working folder until it is saved: after a kill, the same request goes
    on from there.
    """
    from padim.config import PadimConfig
    from padim.storage import resume

    config = PadimConfig.of(request.config)
    fetch_weights(config, progress, cancel)
    # The first fit with these layers makes the network's file, which takes a while and reports nothing.
    progress(0, None, "Preparing the network")
    from padim.model import Padim
    from padim.workspace import Workspace

    store, failed = Workspace(request.root), list[ImageError]()
    source = open_images(request.images)
    work = store.work_dir(request.model)
    if resume.Request.read(work) is None:
        kept_request = _kept_request(request, len(source))
        kept_request.write(work)
    model = Padim(config, work_dir=work)
    model.fit(
        source,
        groups=request.groups,
        progress=progress,
        cancel=cancel,
        on_error=failed.append,
        unfinished=work,
    )
    store.save(request.model, model)
    resume.forget(work)
    return WorkerResult(images=len(model.normals_), failed=_as_pairs((*source.skipped, *failed)))


def _kept_request(request: Fit, total: int) -> resume.Request:
    """What to keep of a request, to go on with it after a kill."""
    from padim.storage import resume
    from padim.worker.images import AtPath, Files

    given = request.images
    return resume.Request.now(
        total,
        images=str(given.path) if isinstance(given, AtPath) else None,
        files=tuple((name, str(path)) for name, path in given.files) if isinstance(given, Files) else (),
        label=request.label,
        config=request.config,
        parts=request.groups,
    )


def fetch_weights(config: PadimConfig, progress: ReportProgress, cancel: Cancel) -> None:
    """Download the network's weights, should they not be here.

    Raises:
        BackboneError: they cannot be had; says what to bring.
        Cancelled: ``cancel`` said so; nothing of the file is kept.
    """
    from padim.network import registry, weights

    parts = registry.get(config.backbone).parts
    missing = [part for part in parts if not weights.available(part).at_hand and weights.find(part) is None]
    if config.weights == "random" or not missing:
        return

    def received(had: int, total: int) -> None:
        if cancel():
            raise Cancelled("stopped while fetching the network")
        progress(had, total or None, "Fetching the network", in_bytes=True)

    progress(0, None, "Fetching the network")
    for part in missing:
        weights.origin(part, received)


def _rebuild(request: Rebuild, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Whether the calibration ``was_stale``, and what ``failed``."""
    from padim.workspace import Workspace

    failed: list[ImageError] = []
    source = open_images(request.images)
    with Workspace(request.root).edit(request.model) as model:
        stale = model.state.fitted.calibration == "stale"
        model.working_set.rebuild(source, progress=progress, cancel=cancel, on_error=failed.append)
        progress(0, None, "Saving")
    return WorkerResult(was_stale=stale, failed=_as_pairs((*source.skipped, *failed)))


def _add(request: Add, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """How many ``images`` were added, and how many new ``parts`` they show."""
    from padim.workspace import Workspace

    failed: list[ImageError] = []
    source = open_images(request.images)
    with Workspace(request.root).edit(request.model) as model:
        before, parts_before = len(model.normals_), _parts(model.normals_)
        # A label of its part that no part of the model has.
        groups = {name: f"added after {before}: {first}" for name, first in request.shots.items()}
        model.partial_fit(source, groups=groups, progress=progress, cancel=cancel, on_error=failed.append)
        added = len(model.normals_) - before
        if not added:
            raise PadimError("None of the images could be used.")
        parts = _parts(model.normals_) - parts_before
        progress(0, None, "Saving")
    return WorkerResult(images=added, parts=parts, failed=_as_pairs((*source.skipped, *failed)))


def _refit(request: SetLayers | Exclude | Include, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """The layers now ``active`` and ``inactive``."""
    from padim.workspace import Workspace

    with Workspace(request.root).edit(request.model) as model:
        match request:
            case SetLayers():
                model.set_layers(request.active, progress=progress, cancel=cancel)
            case Exclude():
                model.exclude(request.index, request.reason, progress=progress, cancel=cancel)
            case Include():
                model.include(request.index, progress=progress, cancel=cancel)
        config = model.config
        progress(0, None, "Saving")
    return WorkerResult(active=list(config.active_layers), inactive=list(config.inactive_layers))


def _study(request: StudyRequest, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """How many runs were there ``again``; the study itself is in its folder."""
    from padim.config import PadimConfig
    from padim.study.plan import Variant
    from padim.study.runner import run

    variants = [Variant(name, PadimConfig.of(config)) for name, config in request.variants]
    done = run(request.folder, variants, request.images.categories(), progress=progress, cancel=cancel)
    return WorkerResult(again=done.again)


def _parts(normals: Iterable[Normal]) -> int:
    return len({normal.group for normal in normals})


def _as_pairs(errors: Iterable[ImageError]) -> list[tuple[str, str]]:
    return [(error.name, error.reason) for error in errors]
