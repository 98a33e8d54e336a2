"""A line that has inspected and reviewed for some days: synthetic records whose truth is known."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import insert

from padim.records.database import RecordsDatabase
from padim.records.inspection import InspectionContext, NewInspection, RecordedRegion
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from padim.records.schema import VERSIONS

TYPES = ("scratch", "dent", "=stain")


@dataclass(frozen=True)
class ALine:
    """What the line makes and how it is looked at.

    Attributes:
        model_id: the model.
        identity: scoring identity of its only version.
        threshold: in map units, with the level per unit.
        per_unit: levels of a map unit.
        held_out: scores in map units that those of good parts are drawn from.
        promise: expected share of false rejects and its upper bound, and the number of parts.
    """

    model_id: str
    identity: str
    threshold: float
    per_unit: float
    held_out: npt.NDArray[np.float64]
    promise: tuple[float, float, int]


def record(
    root: Path,
    line: ALine,
    number: int,
    *,
    begin: datetime,
    every: timedelta,
    decided: float = 0.8,
    audit: float = 0.05,
    second: float = 0.0,
    defective: float = 0.04,
    drift: float = 0.0,
    thumbnails: Sequence[bytes] = (),
    seed: int = 0,
) -> dict[int, bool]:
    """Record inspections and reviews; return whether each part is defective, by the inspection's row.

    Args:
        root: the workspace.
        line: the line.
        number: how many.
        begin, every: time of the first, and between two.
        decided: share of what awaits a person that is decided.
        audit: share of the accepted that is drawn.
        second: share of the decided that a second person decides too.
        defective: share of defective parts.
        drift: how many standard deviations of the scores they rise, from the first to the last.
        thumbnails: small images, taken in turn.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    with RecordsDatabase(root).writing() as connection:
        expected, upper, parts = line.promise
        done = connection.execute(
            insert(VERSIONS).values(
                model_id=line.model_id,
                model_name="Flange",
                number=1,
                revision="0" * 64,
                scoring_identity=line.identity,
                made=begin.isoformat(timespec="microseconds"),
                who="Anna",
                cause="fit",
                reason="",
                changed="",
                based_on=None,
                state="approved",
                threshold=line.threshold,
                n_parts=parts,
                expected=expected,
                upper=upper,
                bytes=0,
                pruned=None,
            )
        )
        assert done.inserted_primary_key is not None
        version = int(done.inserted_primary_key[0])
    spread = float(line.held_out.std())
    new, truth = [], []
    for place in range(number):
        bad = bool(rng.random() < defective)
        score = float(
            rng.choice(line.held_out) + rng.normal(0, 0.15 * spread) + drift * spread * place / number
        )
        if bad:
            score = float(line.threshold * rng.uniform(0.85, 3.0))
        score = max(0.0, score)
        rejected = score > line.threshold
        side = int(rng.integers(10, 50))
        x, y = (int(np.clip(rng.normal(at, 70), 0, 440)) for at in (330, 180))
        when = begin + place * every
        new.append(
            NewInspection(
                uid=uuid.UUID(bytes=rng.bytes(16)).hex,
                model_id=line.model_id,
                version_id=version,
                sha256=rng.bytes(32).hex(),
                name=f"part-{place:05d}.png",
                size=(480, 640),
                taken=None,
                judged=when,
                context=InspectionContext(
                    "Anna",
                    lot=f"L{1 + place * 4 // number}",
                    station=("north", "south")[place % 2],
                    shift=("night", "early", "late")[when.hour // 8],
                ),
                threshold=line.threshold,
                threshold_level=round(line.threshold * line.per_unit),
                review_above=line.threshold,
                reject_above=line.threshold,
                score=score,
                score_level=round(score * line.per_unit),
                severity=score / line.threshold,
                verdict="reject" if rejected else "accept",
                regions=(RecordedRegion(x, y, side, side, side * side, score, score, x, y),)
                if rejected
                else (),
                brightness=float(rng.normal(120 + 8 * drift * place / number, 4)),
                sharpness=float(rng.normal(300, 30)),
                shift=(float(rng.normal(0, 1)), float(rng.normal(0, 1))),
                thumbnail=thumbnails[place % len(thumbnails)] if thumbnails else b"",
            )
        )
        truth.append(bad)
    records = InspectionRecords(root, draw=lambda: float(rng.random()) * 0.02 / audit)
    rows = records.add(new)
    known = dict(zip(rows, truth, strict=True))
    reviews = ReviewRecords(root)
    for row, waits in zip(rows, records.columns(None, ["waits"])["waits"], strict=False):
        if waits and rng.random() < decided:
            of_type = str(rng.choice(TYPES, p=(0.6, 0.3, 0.1))) if known[row] else ""
            reviews.decide(row, "Anna", "reject" if known[row] else "accept", of_type)
            if rng.random() < second:
                right = known[row] == (rng.random() < 0.9)
                reviews.decide(row, "Ben", "reject" if right else "accept", second=True)
    return known
