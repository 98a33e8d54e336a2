"""A second session: good parts of another day, scored, compared with the promise, and added to the fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import streamlit as st

from ui import library, model_changes
from ui.app import state, workspace
from ui.app.text import count, in_hundred, percent
from ui.files import image_input
from ui.files.media import ServedImage
from ui.reviews import Review, Reviews, unknown
from ui.scoring import PileSelection, ScoredUpload

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from padim.analysis.second_session import SecondSession
    from padim.analysis.session_check import SessionCheck
    from padim.data.sources import Source
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job
    from ui.model_changes import ChangeResult

Session: TypeAlias = "SecondSession[ScoredUpload]"
SECOND = "second"


class _SecondSessions(Reviews):
    """The lists of images of another day of this browser, one for each model."""

    kind = SECOND


@dataclass
class _Outcomes:
    """The outcomes of second sessions, by model id.

    Attributes:
        added: the job that adds the images to the fit.
        cleared: number of images removed from the list because they are the model's own.
    """

    added: dict[str, Job[ChangeResult]] = field(default_factory=dict)
    cleared: dict[str, int] = field(default_factory=dict)


def review_of(entry: Entry) -> Review:
    """Return this browser's list of images of another day for a model."""
    return state.of_browser(_SecondSessions).of(entry)


def take_second(entry: Entry, model: Padim, image_set: image_input.ImageSet) -> None:
    """Score images of good parts of another day in the background."""
    forget_outcome(entry)
    keep = library.keeper(entry, image_set, "good")
    review_of(entry).take(f"Scoring {image_set.label}", image_set, model, SECOND, "good", keep)


def sample_second(entry: Entry) -> image_input.SampleParts | None:
    """Return the sample's good parts outside the fit; None for a model that is not of the sample."""
    part = image_input.sample_part()
    if part is None or not library.is_of_sample(entry) or not (part / "test" / "good").is_dir():
        return None
    return image_input.SampleParts(
        "The sample has good parts that its model has not seen.",
        lambda: image_input.from_folder(part / "test" / "good", f"Sample: {part.name}, more good parts"),
    )


def session(model: Padim, items: Sequence[ScoredUpload], level: int) -> Session:
    """Compare good parts with the expected false-reject rate at a threshold.

    Images so similar that they must be shots of one part count as one part, as when they are added to the
    fit.

    Args:
        model: the model that scored them.
        items: at least one image, none of them the model's own.
        level: the threshold, as a level.
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
    """Describe in a sentence whether the false rejects of the session agree with the expected rate."""
    realized = f"{check.rejected:,} of {count(check.n, 'good part')} {'is' if check.rejected == 1 else 'are'}"
    promised = percent(check.expected)
    if check.disagrees == "more":
        return (
            f"**More false rejects than expected.** {realized} rejected where {promised} are "
            f"expected; chance alone brings that about in {_chance(check.p_more)} such sessions. Something "
            "differs from what the model was fitted on: light, camera, position or the parts themselves. "
            "Until that is put right, or these parts are in the fit, the promise does not hold."
        )
    if check.disagrees == "fewer":
        return (
            f"**Fewer false rejects than expected.** {realized} rejected where {promised} are "
            f"expected; chance alone brings that about in {_chance(check.p_fewer)} such sessions. These "
            "parts are more alike than those the model was fitted on: the promise is too high for them, and "
            "a lower threshold might do."
        )
    return (
        f"{realized} rejected where {promised} are expected: no further apart than chance explains. As far "
        f"as {count(check.n, 'part')} can tell, the promise holds for this session."
    )


def _chance(p: float) -> str:
    return "fewer than 1 in 1,000" if p < 0.001 else in_hundred(p)


def add_to_fit(entry: Entry, found: Session) -> None:
    """Continue the fit with these good parts, in the background."""
    images = PileSelection(review_of(entry).pile, (item for part in found.parts for item in part))
    # The source keeps the pile's files on disk, even if the list is cleared meanwhile.
    source = cast("Source", images)
    # Which folder of labelled data is meant was asked when the images were chosen.
    chosen = image_input.ImageSet(source, "a second session", "Second session", folder=".")
    model_changes.start_adding(entry, chosen)
    job = model_changes.job(entry)
    # Not another session's work, because of which this change may have been refused.
    if job is not None and model_changes.is_mine(entry, job):
        state.lasting(_Outcomes).added[entry.id] = job


def clear_joined(entry: Entry, model: Padim) -> None:
    """Clear the second session once all its images are the model's own.

    A model that was fitted on them would only confirm itself.
    """
    review = review_of(entry)
    items = review.pile.items
    if items and not review.running and not unknown(model, items):
        state.lasting(_Outcomes).cleared[entry.id] = len(items)
        review.clear()


def outcome_of(entry: Entry) -> tuple[Job[ChangeResult] | None, int]:
    """Return the outcome of a model's second session since images were last chosen.

    Returns:
        The job that adds the images to the fit, or None; and the number of images removed from the list
        because they are the model's own.
    """
    outcomes = state.lasting(_Outcomes)
    return outcomes.added.get(entry.id), outcomes.cleared.get(entry.id, 0)


def forget_outcome(entry: Entry) -> None:
    """Drop the outcome of a model's second session when another one begins."""
    outcomes = state.lasting(_Outcomes)
    outcomes.added.pop(entry.id, None)
    outcomes.cleared.pop(entry.id, None)


def overlay_of(entry: Entry, item: ScoredUpload, model: Padim, level: int) -> ServedImage:
    """Return a scored image's small copy with its heatmap at this threshold."""
    identity = workspace.scoring_identity(entry)
    return ServedImage(_overlay_of(item, model, identity, item.sha256, level, model.config.min_area))


@st.cache_resource(max_entries=500, show_spinner=False)
def _overlay_of(
    _item: ScoredUpload, _model: Padim, identity: str, sha256: str, level: int, min_area: int
) -> bytes:
    from padim.data.decode import decode
    from padim.output.small_overlays import overlay_jpeg

    rgb = decode(_item.thumb.data, _item.name)
    place = _item.place_on((rgb.shape[0], rgb.shape[1]))
    return overlay_jpeg(rgb, _item.levels(_model), level, min_area, _item.content_box, placement=place)
