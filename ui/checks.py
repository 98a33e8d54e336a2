"""What the Checks page works out: how parts lie, how repeatable their scores are, and how another day scores.

Nothing of it changes a model but :func:`use_guard` and :func:`add_to_fit`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import streamlit as st

from padim.errors import PadimError
from ui import amending
from ui.app import state, workspace
from ui.app.text import count, in_hundred
from ui.files import bring
from ui.files.media import ServedImage
from ui.jobs import watch
from ui.reviews import Review, Reviews
from ui.scoring import Kept, ScoredUpload

if TYPE_CHECKING:
    import numpy.typing as npt

    from padim.analysis.pose_spread import PoseSpread
    from padim.analysis.repeat_shots import Shots
    from padim.analysis.second_session import SecondSession
    from padim.analysis.session_check import SessionCheck
    from padim.data.parts_by_name import Part, Split
    from padim.data.sources import Source
    from padim.decision.guard_band import Guard
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.amending import Amended
    from ui.jobs.jobs import Job
    from ui.scoring import Pile

Session: TypeAlias = "SecondSession[ScoredUpload]"

REPEATS = "repeats"
SECOND = "second"

# -- alignment -------------------------------------------------------------------------------------------


def lie(model: Padim) -> Job[PoseSpread]:
    """The measurement of how the good parts lie, running or ended; started at the first call.

    It depends on the images alone and is shared by all sessions: a threshold or a fit of other features on
    the same images measures nothing anew.
    """
    from padim.analysis.pose_spread import good_images, pose_spread

    seen = [model.normals_[i].sha256 for i in good_images(model)], model.network.preprocess
    key = f"alignment:{hashlib.sha256(repr(seen).encode()).hexdigest()[:20]}"
    found = watch.find(key)
    if found is not None:
        return cast("Job[PoseSpread]", found)
    return watch.start(
        key,
        "Measuring how the parts lie",
        lambda job: pose_spread(model, progress=job.progress, cancel=job.cancelled),
    )


def measure_again(job: Job[PoseSpread]) -> None:
    """Forget a measurement that was cancelled or failed; the next :func:`lie` starts another."""
    watch.registry().discard(job.key)


# -- images that the model has seen ----------------------------------------------------------------------


def unknown(model: Padim, items: Iterable[ScoredUpload]) -> list[ScoredUpload]:
    """The images that are none of the model's own, by content, in order of arrival."""
    from padim.analysis.second_session import not_in_model

    return sorted(not_in_model(model, items), key=lambda item: item.number)


# -- repeatability -----------------------------------------------------------------------------------------


class _Repeats(Reviews):
    """The repeat shots of this session, by model."""

    kind = REPEATS


def repeats(entry: Entry) -> Review:
    """This session's repeat shots for this model."""
    return state.of(_Repeats).of(entry)


def take_repeats(entry: Entry, model: Padim, brought: bring.Brought) -> None:
    """Score repeat shots in the background."""
    repeats(entry).take("Scoring the repeat shots", brought, model, REPEATS)


SPLITS: dict[Split, str] = {
    "one": "All show one part",
    "folder": "A part for each folder",
    "name": "Parts by file name",
}


def distinct(items: Iterable[ScoredUpload]) -> list[ScoredUpload]:
    """Each file once: a copy of a file scores the same, which says nothing about repeatability."""
    first: dict[str, ScoredUpload] = {}
    for item in items:
        first.setdefault(item.sha256, item)
    return list(first.values())


def splits(items: Sequence[ScoredUpload]) -> dict[Split, list[Part]]:
    """The ways in which these images may be shots of several parts, the most telling first."""
    from padim.data import parts_by_name

    return parts_by_name.splits([item.name for item in items])


def of_pile(model: Padim, items: Sequence[ScoredUpload], parts: Iterable[Part]) -> list[Shots]:
    """The shots of each part, with their scores."""
    from padim.analysis.repeat_shots import Shots

    area, value = model.config.min_area, model.state.fitted.quantizer.to_value
    return [
        Shots(
            part,
            tuple(items[i].name for i in group),
            tuple(value(items[i].score(model, area)) for i in group),
        )
        for part, group in parts
    ]


def use_guard(entry: Entry, seen: Padim, guard: Guard | None) -> None:
    """Put a guard band to use, or remove it, and save.

    Args:
        entry: the model.
        seen: the opened model that the band was measured with.
        guard: None removes it.

    Raises:
        PadimError: the model has changed since, so that the band is no longer its own.
    """
    with workspace.edit(entry) as model:
        same = model.state.fitted.quantizer == seen.state.fitted.quantizer and model.config == seen.config
        if guard is not None and not same:
            raise PadimError("the model was changed meanwhile; measure the guard band anew")
        model.set_guard(guard)


def amount(value: float) -> str:
    """A width in map units: as thresholds are written, and to two significant digits where that is finer."""
    return f"{value:,.2f}" if value >= 0.1 or value <= 0 else f"{value:.2g}"


def in_thresholds(width: float, threshold: float) -> str:
    """A width as a multiple of the threshold, to two significant digits: "0.12 ×", "0.0034 ×"."""
    if threshold <= 0:
        return "–"
    multiple = width / threshold
    digits = 2 if multiple >= 0.1 or multiple <= 0 else min(6, 1 - math.floor(math.log10(multiple)))
    return f"{multiple:,.{digits}f} ×"


# -- second session ----------------------------------------------------------------------------------------


class _Second(Reviews):
    """The second session's images, by model."""

    kind = SECOND


@dataclass
class _Joined:
    """What became of second sessions, by model.

    Attributes:
        added: the job that was to add one to the fit.
        cleared: images that were found to be the model's own, and so taken off the list.
    """

    added: dict[str, Job[Amended]] = field(default_factory=dict)
    cleared: dict[str, int] = field(default_factory=dict)


def second(entry: Entry) -> Review:
    """This session's images of another day, for this model."""
    return state.of(_Second).of(entry)


def take_second(entry: Entry, model: Padim, brought: bring.Brought) -> None:
    """Score images of good parts of another day in the background."""
    forget_outcome(entry)
    second(entry).take(f"Scoring {brought.label}", brought, model, SECOND, "good")


def sample_second() -> bring.SampleParts | None:
    """The sample's unseen good parts, or None where the sample is not installed."""
    part = bring.sample_part()
    if part is None or not (part / "test" / "good").is_dir():
        return None
    return bring.SampleParts(
        "The sample has good parts that its model has not seen.",
        lambda: bring.from_folder(part / "test" / "good", f"Sample: {part.name}, more good parts"),
    )


def session(model: Padim, items: Sequence[ScoredUpload], level: int) -> Session:
    """Compare good parts with the promise at a threshold.

    Images so alike that they must be shots of one part count as one: what is certain enough without asking,
    as when they are added to the fit.

    Args:
        model: that scored them.
        items: at least one image, none of them the model's own.
        level: the threshold.
    """
    from padim.analysis.second_session import second_session
    from padim.data.survey import alike

    prints = np.stack([_fingerprint(item.thumb, item.sha256) for item in items])
    part_of = alike([item.name for item in items], [item.sha256 for item in items], prints)
    return second_session(model, items, part_of, level)


@st.cache_resource(max_entries=2000, show_spinner=False)
def _fingerprint(_thumb: ServedImage, sha256: str) -> npt.NDArray[np.float32]:
    from padim.data.decode import decode
    from padim.data.grouping import fingerprint

    return fingerprint(decode(_thumb.data, "a scored image"))


def verdict(check: SessionCheck) -> str:
    """Whether the session keeps to the promise, in plain words."""
    realised = f"{check.rejected:,} of {count(check.n, 'good part')} {'is' if check.rejected == 1 else 'are'}"
    promised = f"about {in_hundred(check.expected)}"
    if check.disagrees == "more":
        return (
            f"**More good parts are rejected than promised.** {realised} rejected where {promised} were "
            f"promised; chance alone brings that about in {_chance(check.p_more)} such sessions. Something "
            "differs from what the model was fitted on: light, camera, position or the parts themselves. "
            "Until that is put right, or these parts are in the fit, the promise does not hold."
        )
    if check.disagrees == "fewer":
        return (
            f"**Fewer good parts are rejected than promised.** {realised} rejected where {promised} were "
            f"promised; chance alone brings that about in {_chance(check.p_fewer)} such sessions. These "
            "parts are more alike than those the model was fitted on: the promise is too high for them, and "
            "a lower threshold might do."
        )
    return (
        f"{realised} rejected where {promised} were promised: no further apart than chance explains. As far "
        f"as {count(check.n, 'part')} can tell, the promise holds for this session."
    )


def _chance(p: float) -> str:
    return "fewer than 1 in 1,000" if p < 0.001 else in_hundred(p)


def overlay_of(entry: Entry, item: ScoredUpload, model: Padim, level: int) -> ServedImage:
    """A scored image's small copy with its heat at this threshold."""
    identity = workspace.scoring_identity(entry)
    return ServedImage(_overlay_of(item, model, identity, item.sha256, level, model.config.min_area))


@st.cache_resource(max_entries=500, show_spinner=False)
def _overlay_of(
    _item: ScoredUpload, _model: Padim, identity: str, sha256: str, level: int, min_area: int
) -> bytes:
    from padim.data.decode import decode
    from padim.output.small_overlays import overlay_jpeg

    rgb = decode(_item.thumb.data, _item.name)
    return overlay_jpeg(rgb, _item.levels(_model), level, min_area, _item.content_box)


class Picked(Kept):
    """Some images of a pile, as a source."""

    def __init__(self, pile: Pile, items: Iterable[ScoredUpload]) -> None:
        super().__init__(pile)
        self._picked = list(items)

    def __len__(self) -> int:
        return len(self._picked)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for item in self._picked:
            yield item.name, item.file.read_bytes()


def add_to_fit(entry: Entry, found: Session) -> None:
    """Continue the fit with these good parts, in the background."""
    images = Picked(second(entry).pile, (item for part in found.parts for item in part))
    # The pile's files lie on disk as long as the source is held, whatever becomes of the list meanwhile.
    source = cast("Source", images)
    amending.start_adding(entry, bring.Brought(source, "a second session", "Second session"))
    job = amending.job(entry)
    if job is not None:
        state.of(_Joined).added[entry.id] = job


def clear_joined(entry: Entry, model: Padim) -> None:
    """Clear the second session once all its images are the model's own.

    ScoredUpload by a model that has learnt from them, they would only confirm themselves.
    """
    review = second(entry)
    items = review.pile.items
    if items and not review.running and not unknown(model, items):
        state.of(_Joined).cleared[entry.id] = len(items)
        review.clear()


def outcome(entry: Entry) -> tuple[Job[Amended] | None, int]:
    """What became of this model's second session since images were last brought.

    Returns:
        The job that was to add it to the fit, if one was asked for; how many images were taken off the
        list, because they are the model's own.
    """
    joined = state.of(_Joined)
    return joined.added.get(entry.id), joined.cleared.get(entry.id, 0)


def forget_outcome(entry: Entry) -> None:
    """Another second session begins."""
    joined = state.of(_Joined)
    joined.added.pop(entry.id, None)
    joined.cleared.pop(entry.id, None)
