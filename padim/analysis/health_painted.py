"""Health check: what the model catches of defects painted on parts that it does not know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from padim.analysis.health_findings import Finding, Grade, Remedy, Topic, percent
from padim.analysis.painted_check import CONTRAST, PaintedCheck, painted_check
from padim.text import count

if TYPE_CHECKING:
    from padim.data.loading import Named, Watch
    from padim.model import Padim

__all__ = ["painted_finding"]

# Below these shares of the middle size. Defects of that size and contrast are plain to see: models of parts
# held by a fixture catch nine of ten, of parts that lie anywhere none.
_BLIND, _WEAK = 0.3, 0.6


def painted_finding(
    model: Padim, images: Iterable[Named] | None, position: Finding, seed: int, watch: Watch
) -> Finding:
    """Paint defects on good parts, score them without their part, and judge the share caught.

    Args:
        model: a model with a threshold.
        images: the originals, if they are here.
        position: the finding on the parts' position; its remedy comes first.
        seed: of the defects.
        watch: reports progress and asks whether to cancel.

    Raises:
        Cancelled: the user stopped it.
    """
    topic: Topic = "painted defects"
    found = painted_check(model, images, seed=seed, watch=watch)
    if found is None or not found.middle.of:
        return Finding(
            topic, "amber", _why_not(model, found), _MEASURE, {} if found is None else found.to_json()
        )
    share = found.middle.share
    grade: Grade = "red" if share < _BLIND else "amber" if share < _WEAK else "green"
    return Finding(
        topic,
        grade,
        _sentence(found),
        None if grade == "green" else _remedy(model, position),
        found.to_json(),
    )


_MEASURE = Remedy(
    "Measure the smallest defect with good parts that the model does not know.", action="smallest defect"
)


def _why_not(model: Padim, found: PaintedCheck | None) -> str:
    if found is not None:
        return "Defects could not be painted: good parts are rejected wherever they were to be."
    if model.config.trains:
        return (
            "Whether the model sees defects was not measured: without the part painted on, its network would "
            "have to be trained again."
        )
    return (
        "Whether the model sees defects was not measured: the features of its good parts, from which it is "
        "fitted again without those painted on, are gone."
    )


def _sentence(found: PaintedCheck) -> str:
    """Return the result: "Of 72 painted defects 32 original pixels across, 66 are caught (92 %) ..."."""
    middle = len(found.sizes) // 2
    across = [f"{size * found.pixels:.0f}" for size in found.sizes]
    shares = [
        f"{percent(rate.share)} of those of {size}" for rate, size in zip(found.rates, across, strict=True)
    ]
    del shares[middle]
    rate = found.middle
    return (
        f"Of {count(rate.of, 'painted defect')} {across[middle]} original pixels across, {rate.count:,} "
        f"({percent(rate.share)}) are caught on good parts that the model does not know "
        f"({' and '.join(shares)}; contrast {percent(CONTRAST)})."
    )


def _remedy(model: Padim, position: Finding) -> Remedy:
    """Return what may help: what is wrong with the position first, then the parts, then another method."""
    if position.remedy is not None:
        return position.remedy
    if model.config.method == "patchcore":
        return Remedy(
            "Look at the most unusual good parts: one that is not good raises the threshold.", action="review"
        )
    return Remedy(
        "Fit a second model by PatchCore, and compare both on labelled defects.", {"method": "patchcore"}
    )
