"""Comparison of good parts from another session with the false-reject rate that held-out scores promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from padim.analysis.fit_overlap import KnownImages
from padim.analysis.session_check import SessionCheck, check_session
from padim.analysis.stored_score import StoredScore
from padim.decision.guard_band import VerdictLimits
from padim.decision.part_scores import PartScores
from padim.decision.verdicts import VerdictCounts, count_verdicts

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["SecondSession", "not_in_model", "second_session"]

Image = TypeVar("Image", bound=StoredScore)


@dataclass(frozen=True)
class SecondSession(Generic[Image]):
    """The good parts of another session.

    Attributes:
        parts: the images of each part.
        decided: the scores of each part, with its displacement where that is judged.
        limits: the limits of the verdicts.
        check: the comparison of the share rejected; None without held-out scores.
    """

    parts: tuple[tuple[Image, ...], ...]
    decided: PartScores
    limits: VerdictLimits
    check: SessionCheck | None

    @property
    def scores(self) -> npt.NDArray[np.int64]:
        """Return the joint level of each part: int64 ``(parts,)``."""
        return self.decided.joint

    @property
    def images(self) -> int:
        """Return the number of images of all parts."""
        return sum(map(len, self.parts))

    @property
    def verdicts(self) -> VerdictCounts:
        """Return the verdicts of the parts."""
        return count_verdicts(self.decided, self.limits)

    def not_accepted(self, model: Padim) -> list[tuple[int, Image]]:
        """Return the highest joint level and its image of each part rejected or in review, highest first."""
        area, level = model.config.min_area, self.limits.threshold
        marked = [
            [
                (image.joint(model, area), image)
                for image in part
                if image.verdict(model, level, area) != "accept"
            ]
            for part in self.parts
        ]
        worst = [max(images, key=lambda pair: pair[0]) for images in marked if images]
        return sorted(worst, key=lambda pair: -pair[0])


def not_in_model(model: Padim, images: Iterable[Image]) -> list[Image]:
    """Return the images that the model does not contain, by content, in their order.

    An image in the fit scores lower than it would otherwise, and a good part kept out of the fit is already
    included in the promised rate: neither is evidence about new parts.
    """
    own = KnownImages.of(model)
    return [image for image in images if own.status(image) is None]


def second_session(
    model: Padim, images: Sequence[Image], part_of: Sequence[int], level: int
) -> SecondSession[Image]:
    """Compare the rejected share of good parts with the promised rate at a threshold.

    With a guard band these are the parts above it, in the session and in the promise alike.

    Args:
        model: the model that scored the images.
        images: at least one image, none of them contained in the model.
        part_of: the number of the part in each image, as returned by :func:`padim.data.survey.alike`.
        level: the threshold.
    """
    grouped: dict[int, list[Image]] = {}
    for image, part in zip(images, part_of, strict=True):
        grouped.setdefault(part, []).append(image)
    parts = tuple(tuple(part) for part in grouped.values())
    area = model.config.min_area
    decided = PartScores.of(
        (
            max(image.score(model, area) for image in part),
            max(image.displaced(model) for image in part),
            any(image.to_review(model) for image in part),
        )
        for part in parts
    )
    limits, check = model.verdict_limits(level), None
    if model.state.fitted.calibration != "none":
        held_out = model.state.parts(area).rejected(limits)
        check = check_session(held_out.astype(np.int64), decided.rejected(limits).astype(np.int64), 0)
    return SecondSession(parts, decided, limits, check)
