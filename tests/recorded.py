"""Inspections to be recorded, made up without a model."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import cv2
import numpy as np

from padim.records.inspection import InspectionContext, InspectionVerdict, NewInspection, RecordedRegion

FIRST = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
THRESHOLD = 2.0


def new(
    number: int = 0, score: float = 3.0, *, context: dict[str, Any] | None = None, **given: Any
) -> NewInspection:
    """Return a made-up inspection: image ``number``, scored ``number`` minutes after ``FIRST``.

    Args:
        number: decides name, hash and time.
        score: in map units; the threshold is 2.0, and the verdict follows.
        context: values of its context.
        **given: other values of :class:`padim.records.inspection.NewInspection`.
    """
    data = given.pop("data", f"image {number}".encode())
    verdict: InspectionVerdict = given.pop("verdict", "reject" if score > THRESHOLD else "accept")
    regions = (RecordedRegion(4, 6, 10, 8, 60, score, score * 1.2, 8, 9),) if verdict == "reject" else ()
    levels = np.zeros((16, 16), np.uint16)
    levels[4:8, 4:8] = round(score * 1000)
    values: dict[str, Any] = {
        "uid": uuid.UUID(int=number + 1).hex,
        "model_id": "flange-abc123",
        "version_id": None,
        "sha256": sha256(data).hexdigest(),
        "name": f"part {number:04d}.png",
        "size": (48, 64),
        "taken": None,
        "judged": FIRST + timedelta(minutes=number),
        "context": InspectionContext(**{"who": "Anna", "source": "python", **(context or {})}),
        "threshold": THRESHOLD,
        "threshold_level": 2000,
        "review_above": THRESHOLD,
        "reject_above": THRESHOLD,
        "score": score,
        "score_level": round(score * 1000),
        "severity": score / THRESHOLD,
        "verdict": verdict,
        "reasons": (f"score {score:g} above the threshold 2",) if verdict == "reject" else (),
        "regions": regions,
        "brightness": 120.0,
        "sharpness": 50.0,
        "thumbnail": thumbnail(number),
        "levels": levels,
        "original": data,
    }
    return NewInspection(**{**values, **given})


def thumbnail(number: int) -> bytes:
    """Return a small JPEG of one gray."""
    return cv2.imencode(".jpg", np.full((48, 64, 3), 40 + number % 160, np.uint8))[1].tobytes()
