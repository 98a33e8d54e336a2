"""What is on record of a version of a model: data alone, usable without the database's packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from padim.storage import holder

__all__ = [
    "CAUSES",
    "ModelVersion",
    "VersionCause",
    "VersionChange",
    "VersionEvent",
    "VersionState",
    "cause_of",
]

VersionState = Literal["draft", "approved", "retired"]
VersionCause = Literal[
    "fit", "exclusion", "inclusion", "addition", "region", "threshold", "band", "layers", "other"
]
CAUSES: dict[VersionCause, str] = {
    "fit": "fitted",
    "exclusion": "parts taken out of the fit",
    "inclusion": "parts put back into the fit",
    "addition": "parts added",
    "region": "region of interest",
    "threshold": "threshold",
    "band": "guard band",
    "layers": "layers in use",
    "other": "other change",
}
"""What makes a version, in the words of tables."""


@dataclass(frozen=True)
class VersionChange:
    """Who is about to change a model, and why; the version that is made of it says so.

    Attributes:
        who: name of the person, or the kind of program.
        cause: what is done; None: found by comparing the model before and after.
        reason: the words of whoever does it; may be empty.
        draft: whether the version stays a draft even where versions are approved when they are made.
    """

    who: str
    cause: VersionCause | None = None
    reason: str = ""
    draft: bool = False

    @classmethod
    def by_holder(cls) -> VersionChange:
        """Return the change of whoever this thread acts for (:func:`padim.storage.holder.acting`)."""
        return cls(holder.acting_now()[0])


@dataclass(frozen=True)
class ModelVersion:
    """One immutable version of a model.

    Attributes:
        id: row in the database, by which inspections name it.
        model_id, model_name: the model, and its name when the version was made.
        number: counts from 1 in each model.
        revision: the seal of its manifest.
        scoring_identity: versions of the same one give the same scores.
        made: when, in UTC.
        who, cause, reason: who made it, what was done, and why in their words.
        changed: what it changed of the version before, as a sentence.
        based_on: number of the version that was changed; None for the first.
        state: ``approved``: the one that inspects; ``draft``: not yet; ``retired``: no more.
        threshold: in map units; None if it has none.
        n_parts: parts in the fit.
        expected, upper: the expected false-reject rate at the threshold and its upper bound, as shares; None
            if there is no threshold, or nothing to estimate it from.
        bytes: size of all its files, of which most are shared with other versions.
        pruned: when its files were deleted; None if they are there.
    """

    id: int
    model_id: str
    model_name: str
    number: int
    revision: str
    scoring_identity: str
    made: datetime
    who: str
    cause: VersionCause
    reason: str
    changed: str
    based_on: int | None
    state: VersionState
    threshold: float | None
    n_parts: int
    expected: float | None
    upper: float | None
    bytes: int
    pruned: datetime | None


@dataclass(frozen=True)
class VersionEvent:
    """One thing that happened to a version; events are never changed.

    Attributes:
        number: the version.
        at: when, in UTC.
        who: who did it.
        kind: "made", "approved", "retired", "reopened" (a draft again), "restored" (the working copy
            again) or "pruned" (its files deleted).
        comment: their words, or what brought it about.
    """

    number: int
    at: datetime
    who: str
    kind: str
    comment: str


def cause_of(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> VersionCause:
    """Return what was done to a model, by its manifests before and after."""
    if before is None:
        return "fit"
    try:
        return _cause(before, now)
    except (AttributeError, KeyError, TypeError, ValueError):
        return "other"  # a manifest that is incomplete


# Settings that can be changed without a fit.
_LATER = frozenset({"min_area", "pixel_size_mm", "inactive_layers", "n_features"})


def _cause(before: Mapping[str, Any], now: Mapping[str, Any]) -> VersionCause:
    one, other = before["config"], now["config"]
    if any(one.get(key) != other.get(key) for key in {*one, *other} - _LATER):
        return "fit"
    if any(one.get(key) != other.get(key) for key in ("inactive_layers", "n_features")):
        return "layers"
    counts, new = before["counts"], now["counts"]
    if counts["images"] != new["images"]:
        return "addition" if new["images"] > counts["images"] else "other"
    out = sum(new[key] - counts[key] for key in ("kept_out", "not_good"))
    if out:
        return "exclusion" if out > 0 else "inclusion"
    hashes = [manifest["files"].get("roi.npy", {}).get("sha256") for manifest in (before, now)]
    if hashes[0] != hashes[1]:
        return "region"
    if before.get("guard") != now.get("guard"):
        return "band"
    if before["choice"] != now["choice"] or one.get("min_area") != other.get("min_area"):
        return "threshold"
    return "fit" if before.get("fitted") != now.get("fitted") else "other"
