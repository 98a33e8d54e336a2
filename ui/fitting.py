"""From pictures to a saved model: what the Fit page remembers, and the background work behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from padim.errors import BackboneError, Cancelled, ImageError, PadimError
from ui import bring, state, uploads, watch, workspace
from ui.bring import Brought
from ui.grouping import Confirmed
from ui.jobs import Job
from ui.survey import Survey, survey

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.sources import Source
    from padim.store import Workspace

UPLOADER = "normals"


@dataclass
class FitState:
    """The Fit page's memory for one session.

    Attributes:
        brought: the pictures chosen; None until some are.
        sets: how many sets of pictures were chosen so far; keeps their answers apart.
        suggested_name: offered for the model.
        survey_key: the job that looks at them.
        fit_key: the job that fits.
        sample_asked: the sample was asked for on another page and is to be loaded.
        afresh: a new model was asked for on another page.
        failed: files that the last fit could not use.
        confirmed: which of these pictures show the same part.
        tried: the settings of the last fit that was started.
        view: what the page shows where there is a model: a ``new`` one, or its ``normals``.
    """

    brought: Brought | None = None
    sets: int = 0
    suggested_name: str = ""
    survey_key: str | None = None
    fit_key: str | None = None
    sample_asked: bool = False
    afresh: bool = False
    failed: tuple[ImageError, ...] = ()
    confirmed: Confirmed = field(default_factory=Confirmed)
    tried: PadimConfig | None = None
    view: Literal["new", "normals"] = "new"


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves: the model's id in the workspace, and the files it passed over."""

    model_id: str
    name: str
    n_pictures: int
    failed: tuple[ImageError, ...]


def memory() -> FitState:
    """This session's state of the Fit page."""
    return state.of(FitState)


def sample() -> bring.Sample | None:
    """The sample's good parts, or None where the sample is not installed."""
    part = bring.sample_part()
    if part is None:
        return None
    return bring.Sample(
        "No pictures at hand? Generated pictures of one part show the whole way.",
        lambda: replace(
            bring.from_folder(part / "train" / "good", f"Sample: {part.name}, good parts"),
            name=f"Sample {part.name}",
        ),
    )


def show_normals() -> None:
    """Let the Fit page open on the normals of the model in use."""
    memory().view = "normals"


def start_afresh(*, with_sample: bool = False) -> None:
    """Forget the chosen pictures and give their memory back; or ask the Fit page to load the sample."""
    now = memory()
    if now.survey_key:
        watch.registry().discard(now.survey_key)
    if now.brought is not None:
        uploads.release(UPLOADER, now.brought.files)
    now.brought, now.suggested_name, now.survey_key = None, "", None
    now.sample_asked, now.afresh = with_sample, True


def take(brought: Brought) -> None:
    """Take these pictures, and start looking at them in the background."""
    now = memory()
    if now.survey_key:
        watch.registry().discard(now.survey_key)
    now.brought, now.sets, now.confirmed = brought, now.sets + 1, Confirmed()
    now.suggested_name = f"{brought.name} {datetime.now():%d %b %H:%M}"
    now.survey_key = f"survey:{state.session_id()}"
    watch.registry().start(now.survey_key, "Looking at the pictures", lambda job: survey(brought.source, job))


def take_sample() -> None:
    """Take the sample's good parts."""
    memory().sample_asked = False
    found = sample()
    if found is not None:
        take(found.load())


def survey_job() -> Job[Survey] | None:
    """The job that looks at the chosen pictures, running or ended."""
    key = memory().survey_key
    return watch.registry().get(key) if key else None


def fit_job() -> Job[Fitted] | None:
    """This session's fit, running or ended."""
    key = memory().fit_key
    return watch.registry().get(key) if key else None


def lacking() -> str | None:
    """The network that the last fit failed for: its weights could not be had, or could not be used."""
    job, tried = fit_job(), memory().tried
    if job is None or tried is None or not isinstance(job.error, BackboneError):
        return None
    return tried.backbone


def forget_failure() -> None:
    """What the last fit failed for has been put right."""
    job = fit_job()
    if job is not None and job.state == "failed":
        watch.registry().discard(job.key)
        memory().fit_key = None


def finish() -> bool:
    """Take a fit that has succeeded since the last look: its model comes into use, its uploads are let go.

    Returns:
        Whether there was one.
    """
    now = memory()
    job = fit_job()
    if job is None or job.state != "done":
        return False
    fitted = job.result
    watch.registry().discard(job.key)
    start_afresh()
    now.fit_key, now.failed, now.afresh = None, fitted.failed, False
    workspace.use(fitted.model_id)
    return True


def start_fit(name: str, config: PadimConfig, parts: Mapping[str, str]) -> None:
    """Fit a model on the chosen pictures, in the background.

    Args:
        name: the model's name, as the user typed it.
        config: the settings.
        parts: each picture's part, by picture name; pictures of one part carry the same label.

    Raises:
        PadimError: no pictures chosen, or a name that cannot be used.
    """
    now = memory()
    if now.brought is None:
        raise PadimError("Choose pictures of good parts first.")
    source = now.brought.source
    store = workspace.store()
    entry_id = store.create(name).id
    now.tried = config
    now.fit_key = f"fit:{state.session_id()}"
    watch.registry().start(
        now.fit_key,
        f"Fitting “{name}”",
        lambda job: fit(store, entry_id, config, source, parts, job),
        tag="fit",
    )


def fit(
    store: Workspace,
    entry_id: str,
    config: PadimConfig,
    source: Source,
    parts: Mapping[str, str],
    job: Job[Fitted],
) -> Fitted:
    """Fit, calibrate and save one model into its prepared folder; removes that if it fails or is cancelled.

    Raises:
        PadimError: no picture can be used, or whatever ``Padim.fit`` refuses.
        Cancelled: the user stopped it.
    """
    from padim.model import Padim

    failed: list[ImageError] = []
    try:
        fetch_weights(config, job)
        # The first fit with these layers makes the network's file, which takes a while and reports nothing.
        job.progress(0, None, "Preparing the network")
        entry = store.get(entry_id)
        model = Padim(config, work_dir=store.work_dir(entry_id))
        model.fit(source, groups=parts, progress=job.progress, cancel=job.cancelled, on_error=failed.append)
        store.save(entry_id, model)
    except BaseException:
        store.delete(entry_id)
        raise
    return Fitted(entry_id, entry.name, len(model.normals_), (*source.skipped, *failed))


def fetch_weights(config: PadimConfig, job: Job[Fitted]) -> None:
    """Download the network's weights, should they not be here.

    Raises:
        BackboneError: they cannot be had; says what to bring.
        Cancelled: the user stopped it; nothing of the file is kept.
    """
    from padim import registry, weights

    parts = registry.get(config.backbone).parts
    missing = [part for part in parts if weights.find(part) is None]
    if config.weights == "random" or not missing:
        return

    def told(had: int, total: int) -> None:
        if job.cancelled():
            raise Cancelled("stopped while fetching the network")
        job.progress(had, total or None, "Fetching the network", in_bytes=True)

    job.progress(0, None, "Fetching the network")
    for part in missing:
        weights.locate(part, told)
