"""Good parts of another session, part by part, against what the held-out scores promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from padim.analysis.session_check import SessionCheck, check_session
from padim.analysis.stored_score import StoredScore

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["SecondSession", "not_in_model", "second_session"]

Image = TypeVar("Image", bound=StoredScore)


@dataclass(frozen=True)
class SecondSession(Generic[Image]):
    """Another session's good parts.

    Attributes:
        parts: the images of each part.
        scores: int64 ``(parts,)`` levels, each part's highest.
        check: the comparison; None where there are no held-out scores, and so no promise.
    """

    parts: tuple[tuple[Image, ...], ...]
    scores: npt.NDArray[np.int64]
    check: SessionCheck | None

    @property
    def images(self) -> int:
        """How many there are in all parts."""
        return sum(map(len, self.parts))

    def rejected(self, model: Padim, level: int) -> list[tuple[int, Image]]:
        """Each rejected part's image with the highest score, and the score; the worst part first."""
        area = model.config.min_area
        worst = [
            max(((image.score(model, area), image) for image in part), key=lambda pair: pair[0])
            for part in self.parts
        ]
        return sorted((pair for pair in worst if pair[0] > level), key=lambda pair: -pair[0])


def not_in_model(model: Padim, images: Iterable[Image]) -> list[Image]:
    """The images that are none of the model's own, by content, in their order.

    A model's own image scores lower than it would unseen, and a good part kept out of the fit has already
    gone into the promise: neither tells anything about new parts.
    """
    own = {normal.sha256 for normal in model.normals_}
    return [image for image in images if image.sha256 not in own]


def second_session(
    model: Padim, images: Sequence[Image], part_of: Sequence[int], level: int
) -> SecondSession[Image]:
    """Compare good parts with the promise at a threshold.

    Args:
        model: scored them.
        images: at least one, none of them the model's own.
        part_of: the part that each image shows, as :func:`padim.data.survey.alike` gives it.
        level: the threshold.
    """
    grouped: dict[int, list[Image]] = {}
    for image, part in zip(images, part_of, strict=True):
        grouped.setdefault(part, []).append(image)
    parts = tuple(tuple(part) for part in grouped.values())
    area = model.config.min_area
    scores = np.array([max(image.score(model, area) for image in part) for part in parts], np.int64)
    promised = model.state.fitted.calibration != "none"
    check = check_session(model.state.part_scores(model.config.min_area), scores, level) if promised else None
    return SecondSession(parts, scores, check)
