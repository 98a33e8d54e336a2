"""The work for each kind of request: fits, changes of a model that refit it, health checks, and studies.

A model is opened from the workspace, changed under its lock and saved there; the parent process then opens it
again. When a fit fails nothing is removed here: that is done by the parent process, which prepared the
folder, so that it also works after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from padim.errors import Cancelled, ImageError, PadimError
from padim.storage.holder import acting
from padim.worker.images import open_images
from padim.worker.messages import (
    Add,
    CheckHealth,
    Exclude,
    Fit,
    Include,
    Rebuild,
    Request,
    SetLayers,
    StudyRequest,
    TakeOut,
    WorkerResult,
)

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.data.account import AccountedFor
    from padim.data.datasets import Dataset
    from padim.data.decode_budget import Cancel
    from padim.data.sources import Source
    from padim.model import Padim
    from padim.storage import resume
    from padim.storage.normals import Normal


class ReportProgress(Protocol):
    """A progress callback, called with ``done`` of ``total`` items, or bytes, of a stage."""

    def __call__(
        self, done: int, total: int | None = None, stage: str = "", *, in_bytes: bool = False
    ) -> None: ...


def perform(request: Request, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Carry out a request.

    Args:
        request: the request.
        progress: called with progress reports.
        cancel: called between steps; the work stops when it returns True.

    Returns:
        The outcome.

    Raises:
        PadimError: the request cannot be carried out; a model to be changed is unchanged.
        Cancelled: ``cancel`` returned True.
    """
    if isinstance(request, StudyRequest):
        return _study(request, progress, cancel)
    with acting(request.who, request.what):
        match request:
            case Fit():
                return _fit(request, progress, cancel)
            case Rebuild():
                return _rebuild(request, progress, cancel)
            case Add():
                return _add(request, progress, cancel)
            case SetLayers() | Exclude() | Include():
                return _refit(request, progress, cancel)
            case TakeOut():
                return _take_out(request, progress, cancel)
            case CheckHealth():
                return _check(request, progress, cancel)
            case _:
                assert_never(request)


def _fit(request: Fit, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Fit a model and save it; the outcome has the number of the model's images, and the files not used.

    Completed work is kept in the model's working folder until the model is saved, so that the same request
    resumes it after a kill.
    """
    from padim.config import PadimConfig
    from padim.storage import resume

    config = PadimConfig.of(request.config)
    fetch_weights(config, progress, cancel)
    # The first fit with these layers exports the network, which takes a while and reports no progress.
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
    store.save(request.model, model, request.change)
    resume.forget(work)
    result = WorkerResult(images=len(model.normals_), revision=model.revision, **_files(source, failed))
    return _with_originals(result, request, source, model, request.label, progress, cancel)


def _with_originals(
    result: WorkerResult,
    request: Fit | Rebuild | Add,
    source: Source | Dataset,
    model: Padim,
    label: str,
    progress: ReportProgress,
    cancel: Cancel,
) -> WorkerResult:
    """Keep the images of a saved model in its library; the result says if that was not possible."""
    from padim.worker.images import InLibrary
    from padim.worker.originals import keep_originals

    if isinstance(request.images, InLibrary) and request.images.model == request.model:
        return result
    note = keep_originals(request.root, request.model, source, model.normals_, label, progress, cancel)
    return result.model_copy(update={"library_note": note})


def _kept_request(request: Fit, total: int) -> resume.Request:
    """Build the record of a request that is stored, so that the fit can be resumed after a kill."""
    from padim.storage import resume
    from padim.worker.images import AtPath, Files

    given = request.images
    return resume.Request.now(
        total,
        images=str(given.path) if isinstance(given, AtPath) else None,
        files=tuple((name, str(path)) for name, path in given.files) if isinstance(given, Files) else (),
        folder=given.folder if isinstance(given, AtPath | Files) else None,
        label=request.label,
        config=request.config,
        parts=request.groups,
    )


def fetch_weights(config: PadimConfig, progress: ReportProgress, cancel: Cancel) -> None:
    """Download the network's weights if they are not on this machine.

    Raises:
        BackboneError: the weights cannot be downloaded; the message names the files to provide.
        Cancelled: ``cancel`` returned True; a partial download is discarded.
    """
    from padim.network import registry, weights

    parts = registry.get(config.backbone).parts
    missing = [part for part in parts if not weights.available(part).at_hand and weights.find(part) is None]
    if config.weights == "random" or not missing:
        return

    def on_bytes(received: int, total: int) -> None:
        if cancel():
            raise Cancelled("stopped while fetching the network")
        progress(received, total or None, "Fetching the network", in_bytes=True)

    progress(0, None, "Fetching the network")
    for part in missing:
        weights.origin(part, on_bytes)


def _rebuild(request: Rebuild, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Extract a model's features again; the outcome has ``was_stale`` and the files not used."""
    from padim.workspace import Workspace

    failed: list[ImageError] = []
    source = open_images(request.images)
    with Workspace(request.root).edit(
        request.model, revision=request.revision, change=request.change
    ) as model:
        stale = model.state.fitted.calibration == "stale"
        model.working_set.rebuild(source, progress=progress, cancel=cancel, on_error=failed.append)
        progress(0, None, "Saving")
    result = WorkerResult(was_stale=stale, revision=model.revision, **_files(source, failed))
    return _with_originals(result, request, source, model, "", progress, cancel)


def _add(request: Add, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Add images to a model; the outcome has the numbers added, and the files not used."""
    from padim.workspace import Workspace

    failed: list[ImageError] = []
    source = open_images(request.images)
    with Workspace(request.root).edit(
        request.model, revision=request.revision, change=request.change
    ) as model:
        before, parts_before = len(model.normals_), _parts(model.normals_)
        # A part's label that no part of the model has yet.
        groups = {name: f"added after {before}: {first}" for name, first in request.shots.items()}
        model.partial_fit(source, groups=groups, progress=progress, cancel=cancel, on_error=failed.append)
        added = len(model.normals_) - before
        if not added:
            raise PadimError("None of the images could be used.")
        parts = _parts(model.normals_) - parts_before
        progress(0, None, "Saving")
    result = WorkerResult(images=added, parts=parts, revision=model.revision, **_files(source, failed))
    return _with_originals(result, request, source, model, "", progress, cancel)


def _refit(request: SetLayers | Exclude | Include, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Refit a model with other layers or parts; the outcome has its ``active`` and ``inactive`` layers."""
    from padim.workspace import Workspace

    with Workspace(request.root).edit(
        request.model, revision=request.revision, change=request.change
    ) as model:
        match request:
            case SetLayers():
                model.set_layers(request.active, progress=progress, cancel=cancel)
            case Exclude():
                model.exclude(request.index, request.reason, progress=progress, cancel=cancel)
            case Include():
                model.include(request.index, progress=progress, cancel=cancel)
        config = model.config
        progress(0, None, "Saving")
    return WorkerResult(
        active=list(config.active_layers),
        inactive=list(config.inactive_layers),
        revision=model.revision,
    )


def _take_out(request: TakeOut, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Refit a model without some parts; the outcome has their number."""
    from padim.workspace import Workspace

    with Workspace(request.root).edit(
        request.model, revision=request.revision, change=request.change
    ) as model:
        before = _parts_in_fit(model.normals_)
        for sha256 in request.sha256s:
            index = next(
                (i for i, one in enumerate(model.normals_) if one.sha256 == sha256 and one.status == "fit"),
                None,
            )
            if index is not None:
                model.exclude(index, "not_good", progress=progress, cancel=cancel)
        parts = before - _parts_in_fit(model.normals_)
        if not parts:
            raise PadimError("None of these parts is in the fit any more.")
        progress(0, None, "Saving")
    return WorkerResult(parts=parts, revision=model.revision)


def _parts_in_fit(normals: Iterable[Normal]) -> int:
    return _parts(normal for normal in normals if normal.status == "fit")


def _check(request: CheckHealth, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Check a model, on the originals of its images if its library has them; the outcome has ``health``."""
    from padim.analysis.health import check_health
    from padim.worker.originals import originals_of
    from padim.workspace import Workspace

    progress(0, None, "Opening the model")
    model = Workspace(request.root).open(request.model)
    originals = originals_of(request.root, request.model, model.normals_)
    health = check_health(model, originals, retrain=request.retrain, progress=progress, cancel=cancel)
    return WorkerResult(health=health.to_json())


def _study(request: StudyRequest, progress: ReportProgress, cancel: Cancel) -> WorkerResult:
    """Run a study in its folder; the outcome has ``again``, the number of runs that were complete before."""
    from padim.config import PadimConfig
    from padim.study.plan import Variant
    from padim.study.runner import run

    variants = [Variant(name, PadimConfig.of(config)) for name, config in request.variants]
    done = run(request.folder, variants, request.images.categories(), progress=progress, cancel=cancel)
    return WorkerResult(again=done.again)


def _parts(normals: Iterable[Normal]) -> int:
    return len({normal.group for normal in normals})


def _files(source: AccountedFor, failed: Iterable[ImageError]) -> dict[str, Any]:
    """Return what a result says about the files of a source that were not used."""
    return {
        "failed": [(error.name, error.reason) for error in (*source.skipped, *failed)],
        "passed_over": [(one.name, one.reason, one.system, one.files) for one in source.passed_over],
    }
