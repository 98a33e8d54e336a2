"""Robustness of a model to changes of lighting, camera or fixture, measured on altered images.

Each image is altered as if the camera had seen the change, at its original resolution and before
preprocessing, and scored at the model's threshold. Good parts rejected and defective parts caught are counted
as a function of the severity of the change; severity 0 is the unaltered image, bit for bit. Caught is what is
not accepted: rejected or, with a guard band, in review.

The *tolerance* of a model for a kind of change is the largest severity tried such that, at it and at all
smaller ones, the share of good parts rejected does not exceed the upper bound that the threshold promises,
and the share of defects caught falls by less than a given margin (:mod:`padim.analysis.tolerated_change`).

The changes are those of :mod:`padim.analysis.image_changes`, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.analysis.fit_overlap import ContentHashes, KnownImages
from padim.analysis.image_changes import KINDS, MOST, SEVERITIES, ChangeKind, alter, words
from padim.analysis.robustness_examples import ChangedExampleKeeper, ChangedExamples
from padim.analysis.tolerated_change import Outcomes, Tolerance, tolerated_change
from padim.data.datasets import GOOD
from padim.data.decode import decode
from padim.data.loading import RGB, Cancel, Image, OnError, Progress, Watch, content_hash
from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.guard_band import Guard
from padim.decision.operating_points import Rate
from padim.decision.regions import region_score
from padim.errors import ImageError, PadimError
from padim.locating.cut import Cut
from padim.scoring import ScoringState

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["BAND_NOTE", "MARGIN", "Robustness", "Series", "Tolerance", "measure"]

MARGIN = 0.05
BAND_NOTE = (
    "with the guard band, good parts count as rejected above it, and defects as caught when they are "
    "rejected or in review"
)
"""What the counts mean for a model with a guard band."""
STAGE = "Scoring altered images"


@dataclass(frozen=True)
class Series:
    """The counts as a function of the severity of one kind of change.

    Attributes:
        kind: the kind of change.
        severities: the severities, increasing from 0.
        false_rejects: the share of good images rejected at each severity.
        caught: the share of defective images not accepted at each severity: rejected or in review.
        by_defect: the shares of each kind of defect.
        outcomes: by good image and by defective image, what the shares count; None: not kept.
    """

    kind: ChangeKind
    severities: tuple[float, ...]
    false_rejects: tuple[Rate, ...]
    caught: tuple[Rate, ...]
    by_defect: Mapping[str, tuple[Rate, ...]]
    outcomes: tuple[Outcomes, Outcomes] | None = None

    def tolerance(self, limit: float | None, margin: float = MARGIN) -> Tolerance:
        """Return the largest severity that neither rejects too many good parts nor misses too many defects.

        It is read from monotone estimates of the shares, see :mod:`padim.analysis.tolerated_change`.

        Args:
            limit: the largest acceptable share of good images rejected; None without a promise.
            margin: the decrease in the share of defects caught, from severity 0, that is not acceptable.

        Raises:
            ValueError: ``limit`` or ``margin`` is not a share, or ``margin`` is 0.
        """
        return tolerated_change(
            self.severities,
            [rate.count for rate in self.false_rejects],
            self.false_rejects[0].of,
            [rate.count for rate in self.caught],
            self.caught[0].of,
            limit=limit,
            margin=margin,
            in_words=[words(self.kind, severity) for severity in self.severities],
            outcomes=self.outcomes,
        )


@dataclass(frozen=True)
class Robustness:
    """The results of a robustness measurement for all kinds of change.

    Attributes:
        series: the counts of each kind of change, in the order requested.
        good, defects: the number of good and of defective images scored.
        in_fit: the number of images skipped because the model was fitted on them.
        limit: the promised 95 % upper bound of the false-reject rate at the threshold; None without a
            promise. It is a share of parts, and is compared here with a share of images.
        threshold: the threshold used, a level.
        min_area: the smallest region used, in map pixels.
        seed: the seed of noise and directions.
        examples: one image under every change; None unless requested.
        guard: the model's guard band; None for none.
    """

    series: tuple[Series, ...]
    good: int
    defects: int
    in_fit: int
    limit: float | None
    threshold: int
    min_area: int
    seed: int
    examples: ChangedExamples | None = None
    guard: Guard | None = None


def measure(
    model: Padim,
    images: Iterable[Image],
    kind_of: Callable[[str], str] | None = None,
    *,
    severities: Mapping[ChangeKind, Sequence[float]] | None = None,
    seed: int = 0,
    examples: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_error: OnError | None = None,
    on_known: Callable[[str], None] | None = None,
) -> Robustness:
    """Score every image under every change.

    The same arguments give the same result. One decoded image and one batch are in memory at a time; for
    every image, ``1 + all severities`` images are scored.

    Args:
        model: a fitted model with a threshold; is not modified.
        images: (name, file bytes or uint8 RGB array) pairs. Images that the model was fitted on are skipped
            and counted, because it rejects fewer of them than of new ones.
        kind_of: returns ``good`` or the kind of defect for a name; None if all images are good.
        severities: for each kind of change to try, severities above 0, increasing; None is ``SEVERITIES``.
        seed: the seed of noise and directions; combined with the content of each image.
        examples: keep the first good image, or else the first one, under every change.
        progress: called as (done, total or None, stage), counting images scored.
        cancel: called between batches; returning True cancels.
        on_error: called with images that cannot be used; without it the first one raises.
        on_known: called with the name of each image that is skipped, because the model was fitted on it.

    Raises:
        NotFittedError, CalibrationError: the model is not fitted, or has no threshold.
        Cancelled: ``cancel`` returned True.
        ImageError: an image cannot be used and ``on_error`` is not given.
        PadimError: a severity is out of range, or no image could be used.
    """
    state, level, min_area = model.state, model.threshold_level, model.config.min_area
    limits = model.verdict_limits(level)
    chosen = {
        kind: tuple(map(float, of)) for kind, of in (SEVERITIES if severities is None else severities).items()
    }
    _check(chosen)
    watch = Watch(progress, cancel, on_error)
    known = KnownImages.of(model)
    # The first setting is the unaltered image, which is severity 0 of every kind.
    settings: list[tuple[ChangeKind, float]] = [(next(iter(chosen)), 0.0)]
    settings += [(kind, severity) for kind, of in chosen.items() for severity in of]
    rejected: dict[str, list[npt.NDArray[np.bool_]]] = {}
    in_fit = done = 0
    total = len(images) * len(settings) if isinstance(images, Sized) else None
    size = model.network.extractor.batch_size()
    keeper = ChangedExampleKeeper(GOOD) if examples else None
    for name, content in images:
        watch.step(done, total, STAGE)
        kind = GOOD if kind_of is None else kind_of(name)
        digest = content_hash(content)
        try:
            rgb = _decoded(name, content, model.config.bit_depth, cancel)
        except ImageError as error:
            watch.bad(error)
            done += len(settings)
            continue
        if known.in_fit(ContentHashes(digest, content_hash(state.preprocess(rgb)))):
            in_fit += 1
            if on_known is not None:
                on_known(name)
            done += len(settings)
            continue
        box = state.content_box((rgb.shape[0], rgb.shape[1]))
        # Seeded by content, so that an image is altered in the same way at any place in the list.
        own = [seed, int(digest[:16], 16)]
        if keeper is not None:
            keeper.begin(name, kind, box, (rgb.shape[0], rgb.shape[1]))
        inputs = _inputs(state, rgb, settings, own, keeper)
        image_size = rgb.shape[0], rgb.shape[1]
        limit = limits.reject_above if kind == GOOD else limits.accept_up_to
        above = np.zeros(len(settings), bool)
        for start, batch in _chunks(inputs, size):
            watch.step(done + start, total, STAGE)
            shown = [state.shown(one.placement, image_size) for one in batch]
            _, maps = state.scorer(np.stack([one.rgb for one in batch]), [box] * len(batch), shown)
            for place, (one, found) in enumerate(zip(batch, maps, strict=True), start):
                # Where the part is not found, the map does not show it.
                q = np.zeros_like(found) if one.lost else found
                score = region_score(q, min_area)
                displaced = state.displaced(one.pose, one.lost)
                above[place] = score > limit or displaced > limits.threshold
                if keeper is not None:
                    keeper.scored(min(max(score, displaced), MAX_LEVEL), q, one.placement)
        rejected.setdefault(kind, []).append(above)
        done += len(settings)
    if not rejected:
        raise PadimError(
            f"none of the images can be counted: the model was fitted on {in_fit} of them, and it "
            "rejects fewer of those than of new ones; give good parts it has not seen, or labelled defects"
            if in_fit
            else "none of the images could be used"
        )
    watch.step(done, done, STAGE)
    return Robustness(
        series=tuple(_series(chosen, settings, rejected)),
        good=len(rejected.get(GOOD, ())),
        defects=sum(len(of) for kind, of in rejected.items() if kind != GOOD),
        in_fit=in_fit,
        limit=None if model.state.fitted.calibration == "none" else model.false_reject_rate_.upper,
        threshold=level,
        min_area=min_area,
        seed=seed,
        examples=None if keeper is None else keeper.examples(tuple(chosen)),
        guard=model.decision.guard,
    )


def _inputs(
    state: ScoringState,
    rgb: RGB,
    settings: Sequence[tuple[ChangeKind, float]],
    seed: Sequence[int],
    keeper: ChangedExampleKeeper | None,
) -> Iterator[Cut]:
    """Yield the image under every change, preprocessed for the network."""
    for kind, severity in settings:
        changed = alter(rgb, kind, severity, seed)
        if keeper is not None:
            keeper.altered(kind, severity, changed)
        yield state.preprocess.cut(changed)


def _check(chosen: Mapping[ChangeKind, Sequence[float]]) -> None:
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown or not chosen:
        raise PadimError(f"changes are {', '.join(KINDS)}; got {', '.join(unknown) or 'none'}")
    for kind, of in chosen.items():
        growing = list(of) == sorted(set(of))
        if not of or not growing or not all(0 < severity <= MOST[kind] for severity in of):
            raise PadimError(
                f"severities of {kind} must grow, above 0 and up to {MOST[kind]:g}; "
                f"got {', '.join(f'{severity:g}' for severity in of) or 'none'}"
            )


def _decoded(name: str, content: bytes | RGB, bit_depth: int | None, cancel: Cancel | None) -> RGB:
    if not isinstance(content, np.ndarray):
        return decode(content, name, bit_depth=bit_depth, cancel=cancel)
    if content.dtype != np.uint8 or content.ndim != 3 or content.shape[2] != 3 or content.size == 0:
        raise ImageError(name, f"must be uint8 (h, w, 3), got {content.dtype} {content.shape}")
    return content


def _chunks(items: Iterator[Cut], size: int) -> Iterator[tuple[int, list[Cut]]]:
    """Yield batches of ``size`` items with the index of their first item."""
    start = 0
    batch: list[Cut] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield start, batch
            start, batch = start + size, []
    if batch:
        yield start, batch


def _series(
    chosen: Mapping[ChangeKind, Sequence[float]],
    settings: Sequence[tuple[ChangeKind, float]],
    rejected: Mapping[str, Sequence[npt.NDArray[np.bool_]]],
) -> Iterator[Series]:
    good = rejected.get(GOOD, ())
    by_defect = {kind: rejected[kind] for kind in sorted(rejected) if kind != GOOD}
    defects = [one for of in by_defect.values() for one in of]
    for kind, severities in chosen.items():
        rows = [0, *(i for i, (of, severity) in enumerate(settings) if of == kind and severity > 0)]

        def rates(images: Sequence[npt.NDArray[np.bool_]], rows: list[int] = rows) -> tuple[Rate, ...]:
            return tuple(Rate.counted(sum(bool(one[row]) for one in images), len(images)) for row in rows)

        def outcomes(images: Sequence[npt.NDArray[np.bool_]], rows: list[int] = rows) -> Outcomes:
            return tuple(sorted(tuple(map(bool, one[rows])) for one in images))

        yield Series(
            kind,
            (0.0, *severities),
            rates(good),
            rates(defects),
            {defect: rates(of) for defect, of in by_defect.items()},
            (outcomes(good), outcomes(defects)),
        )
