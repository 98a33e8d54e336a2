"""The Fit page's state in a session, and the background jobs that read the images and fit the model."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from padim.data.account import PassedOver
from padim.errors import BackboneError, ImageError, PadimError
from padim.storage.leftovers import held_folder
from ui import health
from ui.app import state, workspace
from ui.files import image_input, uploads
from ui.files.grouping import Confirmed
from ui.files.image_input import ImageSet
from ui.files.survey import survey
from ui.jobs import watch, work_queue
from ui.jobs.jobs import Job

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.data.bit_depth import BitDepthQuestion
    from padim.data.survey import Survey
    from padim.storage.model_folders import ModelFolders
    from padim.storage.stopped_fits import StoppedFit
    from padim.worker.images import Images

UPLOADER = "normals"

_NamedFile = TypeVar("_NamedFile", bound=ImageError | PassedOver)


@dataclass(frozen=True)
class SettingsOfModel:
    """Settings taken over from a model, for a new fit on its images."""

    name: str
    config: PadimConfig


@dataclass
class FitState:
    """The state of the Fit page in one session and, after a reload, the next.

    Attributes:
        image_set: the chosen images; None until there are some.
        sets: number of image sets chosen so far; part of the widgets' keys, which differ for each set.
        suggested_name: name suggested for the model.
        survey_key: key of the job that reads the images.
        shown_with: bit depth with which the images are shown; None for the one proposed.
        fit_key: key of the job that fits.
        sample_asked: another page requested that the sample be loaded.
        afresh: another page requested a new model.
        failed: files that the last fit could not use.
        passed_over: files that the last fit did not read, because they are no images of the user's.
        confirmed: which of these images the user confirmed as shots of the same part.
        library_note: why the last fit's images are not all in the image library; empty if they are.
        tried: the settings of the last fit that was started.
        like: the settings of a model that the new one takes over; None: those of the form.
    """

    image_set: ImageSet | None = None
    sets: int = 0
    suggested_name: str = ""
    survey_key: str | None = None
    shown_with: int | None = None
    fit_key: str | None = None
    sample_asked: bool = False
    afresh: bool = False
    failed: tuple[ImageError, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    confirmed: Confirmed = field(default_factory=Confirmed)
    library_note: str = ""
    tried: PadimConfig | None = None
    like: SettingsOfModel | None = None

    def held_bytes(self) -> int:
        """Return the bytes of the chosen uploads."""
        return 0 if self.image_set is None else sum(file.size for _, file in self.image_set.files)

    def release(self) -> None:
        """Drop the chosen images."""
        self.image_set = None


@dataclass(frozen=True)
class FitOutcome:
    """The result of a fit: the id of the model in the workspace, and the files that were not used."""

    model_id: str
    name: str
    n_images: int
    failed: tuple[ImageError, ...]
    passed_over: tuple[PassedOver, ...]
    library_note: str = ""


def memory() -> FitState:
    """Return this session's state of the Fit page."""
    return state.lasting(FitState)


def sample() -> image_input.SampleParts | None:
    """Return the good parts of the sample, or None if the sample is not installed."""
    part = image_input.sample_part()
    if part is None:
        return None
    return image_input.SampleParts(
        "No images at hand? Generated images of one part show the whole way.",
        lambda: replace(
            image_input.from_folder(part / "train" / "good", f"Sample: {part.name}, good parts"),
            name=f"Sample {part.name}",
        ),
    )


def fit_like(name: str, config: PadimConfig) -> None:
    """Make the page start a new model with the settings of this one."""
    start_afresh()
    memory().like = SettingsOfModel(name, config)


def start_afresh(*, with_sample: bool = False) -> None:
    """Discard the chosen images and release their memory, so that the Fit page starts a new model.

    Args:
        with_sample: whether the page then loads the sample.
    """
    now = memory()
    if now.survey_key:
        watch.registry().discard(now.survey_key)
    if now.image_set is not None:
        uploads.release(UPLOADER, now.image_set.files)
    now.image_set, now.suggested_name, now.survey_key = None, "", None
    now.sample_asked, now.afresh = with_sample, True


def take(image_set: ImageSet) -> None:
    """Use these images for the new model, and start reading them in the background."""
    now = memory()
    if now.survey_key:
        watch.registry().discard(now.survey_key)
    now.image_set, now.sets, now.confirmed = image_set, now.sets + 1, Confirmed()
    now.suggested_name = f"{image_set.name} {datetime.now():%d %b %H:%M}"
    _survey(image_set, None)


def show_with(bit_depth: int, question: BitDepthQuestion) -> None:
    """Show the chosen images, and group repeat shots, with this range of their values."""
    now = memory()
    if now.image_set is None or bit_depth == (now.shown_with or question.proposed):
        return
    if now.survey_key:
        watch.registry().discard(now.survey_key)
    now.confirmed = Confirmed()
    _survey(now.image_set, bit_depth)


def _survey(image_set: ImageSet, bit_depth: int | None) -> None:
    now = memory()
    now.shown_with = bit_depth
    now.survey_key = f"survey:{state.session_id()}"
    watch.start(now.survey_key, "Looking at the images", lambda job: survey(image_set.source, job, bit_depth))


def take_sample() -> None:
    """Use the good parts of the sample for the new model."""
    memory().sample_asked = False
    found = sample()
    if found is not None:
        take(found.load())


def survey_job() -> Job[Survey] | None:
    """Return the job that reads the chosen images, running or ended."""
    key = memory().survey_key
    return watch.find(key) if key else None


def fit_job() -> Job[FitOutcome] | None:
    """Return this session's fit job, running or ended."""
    key = memory().fit_key
    return watch.find(key) if key else None


def lacking() -> str | None:
    """Return the backbone whose weights were missing or unusable in the last fit; None for other outcomes."""
    job, tried = fit_job(), memory().tried
    if job is None or tried is None or not isinstance(job.error, BackboneError):
        return None
    return tried.backbone


def forget_failure() -> None:
    """Discard a failed fit, once the cause of its failure has been removed."""
    job = fit_job()
    if job is not None and job.state == "failed":
        watch.registry().discard(job.key)
        memory().fit_key = None


def finish() -> bool:
    """Put the model of a fit that has succeeded into use, and release its uploads.

    Returns:
        Whether there was such a fit.
    """
    now = memory()
    job = fit_job()
    if job is None or job.state != "done":
        return False
    fitted = job.result
    watch.registry().discard(job.key)
    # The fit gets copies of uploads, so what could not be copied is known from the survey only.
    survey = survey_job()
    looked = None if survey is None or survey.state != "done" else survey.result.account
    start_afresh()
    now.fit_key, now.afresh, now.like = None, False, None
    now.library_note = fitted.library_note
    now.failed = _by_name(fitted.failed, () if looked is None else looked.refused)
    now.passed_over = _by_name(fitted.passed_over, () if looked is None else looked.passed_over)
    workspace.use(fitted.model_id)
    return True


def _by_name(first: Iterable[_NamedFile], more: Iterable[_NamedFile]) -> tuple[_NamedFile, ...]:
    """Join two lists of files and keep the first entry of each name."""
    return tuple({one.name: one for one in (*more, *first)}.values())


def start_fit(name: str, config: PadimConfig, parts: Mapping[str, str]) -> None:
    """Fit a model on the chosen images, in the background.

    Args:
        name: the model's name, as the user typed it.
        config: the settings.
        parts: each image's part, by image name; images of one part carry the same label.

    Raises:
        PadimError: no images chosen, or a name that cannot be used.
    """
    image_set = memory().image_set
    if image_set is None:
        raise PadimError("Choose images of good parts first.")
    begin(name, config, parts, lambda job: work_queue.handed_over(image_set, job), image_set.label)


def begin(
    name: str,
    config: PadimConfig,
    parts: Mapping[str, str],
    images: Callable[[Job[FitOutcome]], AbstractContextManager[Images]],
    label: str = "",
) -> str:
    """Start this session's fit in the background, on images from any source; return the new model's id.

    Args:
        name: the model's name.
        config: the settings.
        parts: each image's part, by image name.
        images: context manager that gives the worker process access to them during the fit.
        label: description of the images for the user.

    Raises:
        PadimError: the name cannot be used.
    """
    _must_be_free()
    model_id = workspace.store().create(name).id
    _start(name, model_id, config, parts, images, label, resumed=False)
    return model_id


def _must_be_free() -> None:
    job = fit_job()
    if job is not None and job.running:
        raise PadimError("a fit of yours is running; wait for it, or cancel it on the Fit page")


def resume(fit: StoppedFit) -> None:
    """Resume a fit that was stopped, as a job of this session.

    Raises:
        PadimError: its images or its settings no longer exist, or it is running already.
    """
    from padim.config import BEFORE_IT_WAS_A_SETTING, PadimConfig

    request = fit.request
    if fit.model_id is None or request is None or request.config is None or not fit.images_here:
        raise PadimError(f"{fit.name}: its images are no longer on this server; fit a new model on them")
    _must_be_free()
    _start(
        fit.name,
        fit.model_id,
        # An earlier version, without some of the present settings, may have written it.
        PadimConfig.of({**BEFORE_IT_WAS_A_SETTING, **request.config}),
        request.parts or {},
        lambda _: work_queue.kept(fit),
        request.label,
        resumed=True,
    )


def _start(
    name: str,
    entry_id: str,
    config: PadimConfig,
    parts: Mapping[str, str],
    images: Callable[[Job[FitOutcome]], AbstractContextManager[Images]],
    label: str,
    *,
    resumed: bool,
) -> None:
    now, store = memory(), workspace.store()
    held = ExitStack()
    # While the folder is held, the fit is not listed as one that was stopped.
    if not held.enter_context(held_folder(store.get(entry_id).path)):
        held.close()
        raise PadimError(f"{name}: is being fitted already")
    now.tried, owner = config, state.owner()
    now.fit_key = f"fit:{uuid.uuid4().hex}"
    watch.start(
        now.fit_key,
        f"Fitting “{name}”",
        lambda job: _held_fit(
            held, owner, store, entry_id, config, parts, images, job, label=label, resumed=resumed
        ),
        tag="fit",
        goes_on=True,
        model=entry_id,
    )


def _held_fit(
    held: ExitStack, owner: str | None, store: ModelFolders, entry_id: str, *arguments: Any, **more: Any
) -> FitOutcome:
    with held:
        done = fit(store, entry_id, *arguments, **more)
    health.start(store.get(entry_id), owner)
    return done


def fit(
    store: ModelFolders,
    entry_id: str,
    config: PadimConfig,
    parts: Mapping[str, str],
    images: Callable[[Job[FitOutcome]], AbstractContextManager[Images]],
    job: Job[FitOutcome],
    *,
    label: str = "",
    resumed: bool = False,
) -> FitOutcome:
    """Fit, calibrate and save one model into its prepared folder.

    The folder is removed if the fit fails or is cancelled, unless it resumes an earlier one.

    Raises:
        PadimError: no image can be used, ``Padim.fit`` refuses the settings, or the worker was killed.
        Cancelled: the user stopped it.
    """
    from padim.worker import messages

    try:
        name = store.get(entry_id).name
        with images(job) as given:
            request = messages.Fit(
                root=store.root,
                model=entry_id,
                config=config.model_dump(mode="json"),
                groups=dict(parts),
                images=given,
                label=label,
            )
            done = work_queue.run("fit", request, job)
    except BaseException:
        if not resumed:
            store.delete(entry_id)
        raise
    return FitOutcome(entry_id, name, done.images, done.unusable, done.files_passed_over, done.library_note)
