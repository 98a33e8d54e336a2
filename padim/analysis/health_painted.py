"""Health check: what the model catches of defects painted on parts that it does not know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from padim.analysis.health_findings import Finding, Grade, Remedy, Topic, percent
from padim.analysis.left_out_part import can_refit
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
    model: Padim,
    images: Iterable[Named] | None,
    position: Finding,
    *,
    retrain: bool,
    seed: int,
    watch: Watch,
) -> Finding:
    """Paint defects on good parts, score them without their part, and judge the share caught.

    Args:
        model: a model with a threshold.
        images: the originals, if they are here.
        position: the finding on the parts' position; its remedy comes first.
        retrain: whether to train a method's network again, without the parts painted on.
        seed: of the defects.
        watch: reports progress and asks whether to cancel.

    Raises:
        Cancelled: the user stopped it.
    """
    topic: Topic = "painted defects"
    found = painted_check(model, images, retrain=retrain, seed=seed, watch=watch)
    if found is None or not found.middle.of:
        figures = {} if found is None else found.to_json()
        return Finding(topic, "amber", _why_not(model, found), _other_measure(model, found), figures)
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


_RETRAIN = Remedy(
    "Train its network once more without a fifth of the parts, and paint defects on those.", action="retrain"
)


def _other_measure(model: Padim, found: PaintedCheck | None) -> Remedy:
    """Return how to measure it all the same."""
    return _RETRAIN if found is None and can_refit(model, retrain=True) else _MEASURE


def _why_not(model: Padim, found: PaintedCheck | None) -> str:
    if found is not None:
        return "Defects could not be painted: good parts are rejected wherever they were to be."
    if can_refit(model, retrain=True):
        return (
            "Whether the model sees defects was not measured: its network would have to be trained again "
            "without the parts painted on, which takes as long as the fit."
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
