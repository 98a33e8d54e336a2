"""What a draft of a model would change: verdicts on the images on record that flip, and the promise.

Both models score the images whose files are kept, on the same machine. An image that a model is fitted on
is decided by its held-out score, as if the model had not seen it; else every added part would be accepted by
construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from padim.decision.calibration import FalseRejectRate
from padim.errors import CalibrationError, ImageError
from padim.model import Padim
from padim.records.image_records import ImageQuery
from padim.records.inspection import InspectionVerdict
from padim.records.inspection_query import InspectionQuery
from padim.records.learning_from_review import LearningFromReview, read_original
from padim.records.library import ImageLibrary

__all__ = ["MOST_OTHERS", "LearningPreview", "PreviewedImage", "preview"]

# Images that nobody calls defective are scored up to this number, the newest first: 2 x 500 runs take a
# minute or two at 256 px on a processor. KnownAs defects are all scored.
MOST_OTHERS = 500
KnownAs = Literal["defect", "good", ""]


@dataclass(frozen=True)
class PreviewedImage:
    """An image on record, scored by the model in use and by the draft.

    Attributes:
        name: its file name.
        sha256: hex SHA-256 of its file.
        inspection_id: its latest inspection; None if only the image library has it.
        known: what people say of it; empty if nobody has.
        before, after: the verdicts of the two models.
        before_score, after_score: its scores, in map units.
        held_out: whether the draft is fitted on it, so that its score is held out.
    """

    name: str
    sha256: str
    inspection_id: int | None
    known: KnownAs
    before: InspectionVerdict
    after: InspectionVerdict
    before_score: float
    after_score: float
    held_out: bool = False

    @property
    def flips(self) -> bool:
        """Whether the two models decide it differently."""
        return self.before != self.after

    @property
    def passes(self) -> bool:
        """Whether it is a known defect that the draft would accept."""
        return self.known == "defect" and self.after == "accept"


@dataclass(frozen=True)
class LearningPreview:
    """What a draft would change of the model in use.

    Attributes:
        images: the images scored: known defects first, then the newest first.
        without_file: images on record that cannot be scored, because their files are not kept.
        defects_without_file: known defects among those.
        not_tried: further images that were not scored, as there are more than enough.
        unreadable: files that cannot be used, with the reason.
        before_threshold, after_threshold: in map units; None for none.
        before_promise, after_promise: expected share of good parts rejected with its bound and number of
            parts; None if there is nothing to estimate it from.
    """

    images: tuple[PreviewedImage, ...]
    without_file: int
    defects_without_file: int
    not_tried: int
    unreadable: tuple[ImageError, ...]
    before_threshold: float | None
    after_threshold: float | None
    before_promise: FalseRejectRate | None
    after_promise: FalseRejectRate | None

    @property
    def passing(self) -> tuple[PreviewedImage, ...]:
        """KnownAs defects that the draft would accept; those that the model in use rejects come first."""
        found = [one for one in self.images if one.passes]
        return tuple(sorted(found, key=lambda one: not one.flips))

    @property
    def flips(self) -> tuple[PreviewedImage, ...]:
        """The other images whose verdict changes."""
        return tuple(one for one in self.images if one.flips and not one.passes)


@dataclass
class _Candidate:
    """An image to be scored."""

    name: str
    sha256: str
    inspection_id: int | None
    known: KnownAs
    path: Path | None = None


def preview(
    learning: LearningFromReview,
    before: Padim,
    after: Padim,
    *,
    most_others: int = MOST_OTHERS,
    progress: Callable[[int, int | None, str], object] = lambda done, total, stage: None,
    cancel: Callable[[], bool] = lambda: False,
) -> LearningPreview:
    """Score the images on record by the model in use and by a draft, and compare their verdicts.

    Args:
        learning: the model's decisions on record.
        before: the model in use.
        after: the draft.
        most_others: how many images to score that are no known defects.
        progress: called as (done, total, stage).
        cancel: polled between batches; True stops.

    Raises:
        Cancelled: ``cancel`` returned True.
        SelfTestError: a model scores its reference inputs differently here.
    """
    defects, others, gone, defects_gone = _candidates(learning)
    chosen = [*defects, *others[:most_others]]
    total = 2 * len(chosen)
    unreadable: dict[str, ImageError] = {}
    progress(0, total, "Scoring the images on record")
    found: list[dict[str, tuple[InspectionVerdict, float, bool]]] = []
    for model in (before, after):
        start = len(found) * len(chosen)

        def report(done: int, start: int = start) -> None:
            progress(start + done, total, "Scoring the images on record")

        found.append(_decided(model, chosen, unreadable, report, cancel))
    images = [
        PreviewedImage(
            one.name,
            one.sha256,
            one.inspection_id,
            one.known,
            found[0][one.sha256][0],
            found[1][one.sha256][0],
            found[0][one.sha256][1],
            found[1][one.sha256][1],
            held_out=found[1][one.sha256][2],
        )
        for one in chosen
        if one.sha256 in found[0] and one.sha256 in found[1]
    ]
    return LearningPreview(
        tuple(images),
        gone,
        defects_gone,
        len(others[most_others:]),
        tuple(unreadable.values()),
        _threshold(before),
        _threshold(after),
        _promise(before),
        _promise(after),
    )


def _candidates(learning: LearningFromReview) -> tuple[list[_Candidate], list[_Candidate], int, int]:
    """Return known defects, other images, and how many of all and of the defects have no file."""
    kept = learning.originals()
    query = InspectionQuery(model_id=learning.model_id)
    rows = learning.records.columns(query, ["id", "sha256", "name", "decision", "disagrees"])
    images: dict[str, _Candidate] = {}
    for place in reversed(range(len(rows["id"]))):  # newest first
        known: KnownAs = ""
        if not rows["disagrees"][place]:
            known = {"accept": "good", "reject": "defect"}.get(rows["decision"][place] or "", "")  # type: ignore[assignment]
        digest = rows["sha256"][place]
        one = images.setdefault(
            digest, _Candidate(rows["name"][place], digest, rows["id"][place], "", kept.get(digest))
        )
        # The latest decision counts, whichever inspection of the image it is about.
        one.known = one.known or known
    library = ImageLibrary(learning.root, learning.model_id)
    for image in library.images(ImageQuery()):
        label: KnownAs = image.label if image.label in ("good", "defect") else ""
        one = images.setdefault(image.sha256, _Candidate(image.name, image.sha256, None, ""))
        one.known, one.path = one.known or label, one.path or image.path
    there = [one for one in images.values() if one.path is not None]
    missing = [one for one in images.values() if one.path is None]
    return (
        [one for one in there if one.known == "defect"],
        [one for one in there if one.known != "defect"],
        len(missing),
        sum(one.known == "defect" for one in missing),
    )


def _decided(
    model: Padim,
    images: list[_Candidate],
    unreadable: dict[str, ImageError],
    report: Callable[[int], object],
    cancel: Callable[[], bool],
) -> dict[str, tuple[InspectionVerdict, float, bool]]:
    """Return verdict, score, and whether it is held out, of each image that can be used, by its SHA-256."""
    decided = _held_out(model)
    wanted = {one.sha256 for one in images}
    found = {digest: value for digest, value in decided.items() if digest in wanted}
    names = {one.sha256: one.name for one in images}
    done = len(found)
    report(done)

    def contents() -> Iterator[tuple[str, bytes]]:
        for one in images:
            if one.sha256 in found:
                continue
            data = read_original(one.path, one.sha256)
            if data is None:
                failed(ImageError(one.sha256, "its file is gone"))
            else:
                yield one.sha256, data  # names may occur twice

    def failed(error: ImageError) -> None:
        unreadable[error.name] = ImageError(names.get(error.name, error.name), error.reason)

    for one in model.predict(contents(), cancel=cancel, on_error=failed):
        verdict = one.verdict if one.threshold_level is not None or one.lost else "none"
        found[one.name] = verdict, one.score, False
        done += 1
        report(done)
    return found


def _held_out(model: Padim) -> dict[str, tuple[InspectionVerdict, float, bool]]:
    """Return the same of the images that a model is fitted on, from their held-out scores."""
    state = model.state
    try:
        levels, limits = state.image_levels(model.config.min_area), model.verdict_limits()
    except CalibrationError:
        return {}
    value = state.fitted.quantizer.to_value
    return {
        normal.sha256: (
            limits.verdict(int(level), state.displaced(normal.pose, normal.lost)),
            value(int(level)),
            True,
        )
        for normal, level in zip(state.fitted.normals, levels, strict=False)
        if normal.status == "fit"
    }


def _threshold(model: Padim) -> float | None:
    return None if model.current_threshold is None else model.threshold_


def _promise(model: Padim) -> FalseRejectRate | None:
    try:
        return model.false_reject_rate_
    except CalibrationError:
        return None
