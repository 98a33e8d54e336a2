"""Try out locating the part: the same good parts fitted with and without it, judged on the same defects.

Both fits have the same settings and take the same parts. Good parts are compared by their held-out scores, so
that no part has to be left out; the reference part, which has none, counts in neither. Defects are labelled
images, or painted on some good parts that are then in neither fit, which is only an indication.

An image in which the part is not found is above every other, good part or defect: it is not accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from padim.analysis.trial_defects import TrialDefect, carriers_of, painted_defects
from padim.config import PadimConfig
from padim.data.loading import Cancel, Named, OnError, Progress, Watch
from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.calibration import FEWEST_PARTS, FalseRejectRate
from padim.errors import ImageError, PadimError
from padim.model import Padim
from padim.storage.normals import Groups

if TYPE_CHECKING:
    from padim.decision.prediction import Prediction
    from padim.locating.locator import Locator
    from padim.locating.pose import Pose

__all__ = [
    "MOST_PARTS",
    "AlignmentTrial",
    "Arm",
    "PoseSpread95",
    "TrialOutcome",
    "alignment_trial",
    "displaced_kinds",
]

Way = Literal["map", "displacement", "not found", "missed"]
TrialDefects = Literal["labelled", "painted", "none"]
Integers = npt.NDArray[np.int64]

# Images of good parts in a trial: more take longer and say little more about the promise.
MOST_PARTS = 100
# Words in the names of kinds of defects that say that the part does not lie as it should.
_DISPLACED = ("misplac", "displac", "shift", "rotat", "turned", "flip", "tilt", "misalign", "skew")


def displaced_kinds(kinds: Iterable[str]) -> frozenset[str]:
    """Return the kinds of defects whose names say that the part does not lie as it should."""
    return frozenset(kind for kind in kinds if any(word in kind.lower() for word in _DISPLACED))


@dataclass(frozen=True)
class TrialOutcome:
    """What became of one defect.

    Attributes:
        level: its joint level; the largest one if the part was not found.
        way: what caught it: the ``map``; else a ``displacement`` beyond its limit, or that the part was ``not
            found``; ``missed`` if it was accepted.
    """

    level: int
    way: Way

    @property
    def caught(self) -> bool:
        """Whether the image was not accepted."""
        return self.way != "missed"

    @classmethod
    def of(cls, prediction: Prediction) -> TrialOutcome:
        """Return the outcome of a scored image."""
        if prediction.lost:
            return cls(MAX_LEVEL, "not found")
        if prediction.threshold_level is None:
            return cls(prediction.joint_level, "missed")
        if prediction.score_level > prediction.threshold_level:
            return cls(prediction.joint_level, "map")
        fired = any(check.fired for check in prediction.checks)
        return cls(prediction.joint_level, "displacement" if fired else "missed")


@dataclass(frozen=True)
class PoseSpread95:
    """How far 95 % of the parts are from the reference.

    Attributes:
        shift: pixels of the reference image.
        turn: degrees.
        scale: percent of size.
    """

    shift: float
    turn: float
    scale: float

    @classmethod
    def of(cls, poses: Sequence[Pose]) -> PoseSpread95 | None:
        """Summarize poses; None without any."""
        if not poses:
            return None
        shift, turn, scale = (
            float(np.percentile(values, 95))
            for values in (
                [pose.shift for pose in poses],
                [abs(pose.turn) for pose in poses],
                [100 * (max(pose.scale, 1 / pose.scale) - 1) for pose in poses],
            )
        )
        return cls(shift, turn, scale)


@dataclass(frozen=True, eq=False)
class Arm:
    """One of the two fits.

    Attributes:
        threshold: the threshold in map units; None if the part is not found in so many good parts that
            there is none.
        false_rejects: the promise, of all parts but the reference.
        lost: name and reason of every good image in which the part was not found.
        poses: the pose of every good image in which it was found; empty without locating.
        good: int64 ``(n,)``, joint held-out level of every part, in the order of both fits.
        outcomes: of every defect, in the order of the trial.
    """

    threshold: float | None
    false_rejects: FalseRejectRate
    lost: tuple[tuple[str, str], ...]
    poses: tuple[Pose, ...]
    good: Integers
    outcomes: tuple[TrialOutcome, ...]

    @property
    def caught(self) -> npt.NDArray[np.bool_]:
        """Whether each defect was caught: bool ``(m,)``."""
        return np.array([outcome.caught for outcome in self.outcomes], np.bool_)

    @property
    def levels(self) -> Integers:
        """Joint level of each defect: int64 ``(m,)``."""
        return np.array([outcome.level for outcome in self.outcomes], np.int64)


@dataclass(frozen=True, eq=False)
class AlignmentTrial:
    """Both fits of a trial, on the same parts and defects.

    Attributes:
        config: the settings, with ``align``.
        reference: name of the image of the reference part.
        parts: number of good parts compared, without the reference and those painted on.
        without, located: the two fits.
        defects: name and kind of every defect.
        source: whether the defects are ``labelled``, ``painted``, or there are none.
        displaced: the kinds of defects that are a part that does not lie as it should.
        skipped: images that could not be used.
        void: painted defects left out, because their good part was rejected before anything was painted.
        names: the images of good parts that were used, also those painted on.
        locator: the method, prepared with the reference part.
    """

    config: PadimConfig
    reference: str
    parts: int
    without: Arm
    located: Arm
    defects: tuple[tuple[str, str], ...]
    source: TrialDefects
    displaced: frozenset[str]
    skipped: tuple[ImageError, ...] = field(default=())
    void: int = 0
    names: tuple[str, ...] = ()
    locator: Locator = field(kw_only=True)

    @property
    def spread(self) -> PoseSpread95 | None:
        """How differently the parts lie; None if none was found."""
        return PoseSpread95.of(self.located.poses)

    def ways(self, kind: str | None = None) -> list[tuple[TrialOutcome, TrialOutcome]]:
        """Return the outcomes without and with locating of every defect, or of those of one kind."""
        pairs = zip(self.defects, self.without.outcomes, self.located.outcomes, strict=True)
        return [(one, other) for (_, own), one, other in pairs if kind in (None, own)]


def alignment_trial(
    images: Iterable[Named],
    config: PadimConfig,
    labelled: Iterable[TrialDefect] | None = None,
    *,
    plain: PadimConfig | None = None,
    groups: Groups = None,
    displaced: Collection[str] | None = None,
    percentile: float | None = None,
    most: int = MOST_PARTS,
    paint: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_error: OnError | None = None,
) -> AlignmentTrial:
    """Fit good parts with and without locating them, and compare what both fits promise and catch.

    Args:
        images: (name, content) of images of good parts; they can be read several times, as a folder can.
        config: the settings, with ``align``.
        labelled: images of defective parts, which can be read several times; None or none paints some.
        plain: the settings of the fit without locating, such as another input size for whole images; None:
            the same ones.
        groups: which images show the same part, as for :meth:`padim.Padim.fit`.
        displaced: kinds of defects that are a part that does not lie as it should; None tells them by name.
        percentile: of the thresholds; None is the usual one.
        most: largest number of images of good parts, evenly over all.
        paint: whether to paint defects if none are labelled.
        seed: of the painted defects.
        progress: called as (done, total or None, stage).
        cancel: polled between images; returning True cancels.
        on_error: called with images that cannot be used; without it the first one raises.

    Raises:
        LocatingError: the reference or a mark on it cannot be used; the message says why.
        PadimError: ``config`` does not locate the part, or there are too few parts.
        Cancelled: ``cancel`` returned True.
        ImageError: an image cannot be used and ``on_error`` is not given.
    """
    if config.align is None:
        raise PadimError("there is nothing to try out: the configuration has no align")
    chosen = _Chosen(images, config.align.reference, most)
    failed: dict[str, ImageError] = {}

    def note(error: ImageError) -> None:
        if error.name not in failed:
            failed[error.name] = error
            if on_error is not None:
                on_error(error)

    report = None if on_error is None else note
    given = None if labelled is None else _Listed(labelled)
    carriers = [] if given or not paint else carriers_of(chosen.names, config.align.reference, groups)
    models = []
    for settings, title in zip((plain or _without(config), config), _TITLES, strict=True):
        model = Padim(settings)
        if percentile is not None:
            model.set_decision(percentile=percentile)
        model.fit(
            chosen.without(carriers),
            groups=groups,
            progress=_titled(progress, title),
            cancel=cancel,
            on_error=report,
        )
        if model.current_threshold is None and not any(normal.lost for normal in model.normals_):
            raise PadimError(
                f"{title.lower()} there is no threshold, which takes {FEWEST_PARTS} good parts besides the "
                "reference part; add good parts"
            )
        models.append(model)
    watch = Watch(progress, cancel, report)
    source: TrialDefects = "labelled" if given else "none"
    defects: Collection[TrialDefect] = given or ()
    void = 0
    if carriers:
        painted = painted_defects(models[0], models[1], chosen.only(carriers), seed, watch)
        defects, void, source = painted, painted.void, "painted" if len(painted) else "none"
    outcomes = [_outcomes(model, defects, watch, title) for model, title in zip(models, _TITLES, strict=True)]
    usable = [name for name in outcomes[0] if name in outcomes[1]]
    if source == "labelled" and not usable:
        raise PadimError("none of the images of defects could be used")
    levels = [_part_levels(model) for model in models]
    parts = [part for part in levels[0] if part in levels[1]]
    arms = [
        _arm(model, [own[part] for part in parts], [outcome[name] for name in usable])
        for model, own, outcome in zip(models, levels, outcomes, strict=True)
    ]
    locator = models[1].state.fitted.locator
    assert locator is not None  # it was fitted with align
    return AlignmentTrial(
        models[1].config,
        next(normal.name for normal in models[1].normals_ if normal.status == "reference"),
        len(parts),
        arms[0],
        arms[1],
        tuple(usable),
        source,
        frozenset(displaced) if displaced is not None else displaced_kinds(kind for _, kind in usable),
        tuple(failed.values()),
        void,
        tuple(chosen.names),
        locator=locator,
    )


class _Listed:
    """Labelled defects, of which the content is read anew each time."""

    def __init__(self, defects: Iterable[TrialDefect]) -> None:
        self._defects = defects
        self._count = sum(1 for _ in defects)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[TrialDefect]:
        return iter(self._defects)

    def __contains__(self, one: object) -> bool:
        return any(one is other for other in self._defects)


_TITLES = ("Without locating", "With locating")


class _Chosen:
    """Some images of a source, which can be read several times."""

    def __init__(self, images: Iterable[Named], reference: str | None, most: int) -> None:
        self._images = images
        # The content is read again for each fit, so that memory does not grow with the number of images.
        names = [name for name, _ in images]
        if len(set(names)) < len(names) or not names:
            raise PadimError("a trial takes images with different names, at least one")
        n = len(names)
        some = {names[i * n // most] for i in range(most)} if n > most else set(names)
        if reference is not None:
            some.add(reference)
        self.names = [name for name in names if name in some]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Named]:
        wanted = set(self.names)
        return ((name, content) for name, content in self._images if name in wanted)

    def only(self, names: Collection[str]) -> _Chosen:
        """Return those of some names."""
        result = object.__new__(_Chosen)
        result._images, result.names = self._images, [name for name in self.names if name in names]
        return result

    def without(self, names: Collection[str]) -> _Chosen:
        """Return all but those of some names."""
        return self.only([name for name in self.names if name not in names])


def _without(config: PadimConfig) -> PadimConfig:
    """Return the same settings without locating; those that were not given stay so."""
    given = {name: getattr(config, name) for name in config.model_fields_set - {"align"}}
    return PadimConfig.of(given)


def _titled(progress: Progress | None, title: str) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, stage: progress(done, total, f"{title}: {stage}")


def _outcomes(
    model: Padim, defects: Collection[TrialDefect], watch: Watch, title: str
) -> dict[tuple[str, str], TrialOutcome]:
    """Return the outcome of every defect that can be used, by its name and kind."""
    found: dict[tuple[str, str], TrialOutcome] = {}
    for done, defect in enumerate(defects):
        watch.step(done, len(defects), f"{title}: Scoring defects")
        for prediction in model.predict([(defect.name, defect.content)], on_error=watch.on_error):
            found[defect.name, defect.kind] = TrialOutcome.of(prediction)
    return found


def _part_levels(model: Padim) -> dict[str, int]:
    """Return the joint held-out level of every good part by its label; of one not found the largest level."""
    state, best = model.state, dict[str, int]()
    for normal, level in zip(state.fitted.normals, state.image_levels(model.config.min_area), strict=False):
        if normal.in_calibration:
            own = MAX_LEVEL if normal.lost else max(int(level), state.displaced(normal.pose, normal.lost))
            best[normal.group] = max(best.get(normal.group, 0), min(own, MAX_LEVEL))
    return best


def _arm(model: Padim, good: Sequence[int], outcomes: Sequence[TrialOutcome]) -> Arm:
    threshold = model.current_threshold
    levels = np.array(good, np.int64)
    # Not the model's own rate: both arms leave out the reference, and a part not found is not accepted
    # whether that means review or reject.
    limit = MAX_LEVEL - 1 if threshold is None else threshold.level
    rate = FalseRejectRate.counted(int((levels > limit).sum()), len(levels))
    return Arm(
        None if threshold is None else model.state.fitted.quantizer.to_value(threshold.level),
        rate,
        tuple((normal.name, normal.lost) for normal in model.normals_ if normal.lost),
        tuple(normal.pose for normal in model.normals_ if normal.pose is not None),
        levels,
        tuple(outcomes),
    )
