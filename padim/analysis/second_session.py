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
        scores: int64 ``(parts,)``, the highest level of each part.
        limits: the limits of the verdicts.
        check: the comparison of the share rejected; None without held-out scores.
    """

    parts: tuple[tuple[Image, ...], ...]
    scores: npt.NDArray[np.int64]
    limits: VerdictLimits
    check: SessionCheck | None

    @property
    def images(self) -> int:
        """Return the number of images of all parts."""
        return sum(map(len, self.parts))

    @property
    def verdicts(self) -> VerdictCounts:
        """Return the verdicts of the parts."""
        return count_verdicts(self.scores, self.limits)

    def not_accepted(self, model: Padim) -> list[tuple[int, Image]]:
        """Return the highest score and its image of each part rejected or in review, highest score first."""
        area = model.config.min_area
        worst = [
            max(((image.score(model, area), image) for image in part), key=lambda pair: pair[0])
            for part in self.parts
        ]
        return sorted(
            (pair for pair in worst if pair[0] > self.limits.accept_up_to), key=lambda pair: -pair[0]
        )


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
    scores = np.array([max(image.score(model, area) for image in part) for part in parts], np.int64)
    promised = model.state.fitted.calibration != "none"
    limits = model.verdict_limits(level)
    check = check_session(model.state.part_scores(area), scores, limits.reject_above) if promised else None
    return SecondSession(parts, scores, limits, check)
