"""Turning a scored image into an inspection to be recorded."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from padim.analysis.fit_overlap import KnownImages
from padim.output.results import decision_document, place_of
from padim.records import evidence
from padim.records.inspection import InspectionContext, InspectionVerdict, NewInspection, regions_of

if TYPE_CHECKING:
    from padim.decision.prediction import Prediction
    from padim.model import Padim

# Longest side in pixels of the small image of a record.
THUMBNAIL_SIDE = 384
# Severity of an image in which the part was not found: above all others, and finite.
NOT_FOUND = 1e6
# EXIF: tag of the block of camera data, and in it when the image was taken and its offset from UTC.
_EXIF_BLOCK, _TAKEN, _OFFSET = 0x8769, 0x9003, 0x9011
# Longest name kept; file systems allow 255 bytes a part.
_LONGEST_NAME = 1_000


def new_inspection(
    model: Padim,
    prediction: Prediction,
    context: InspectionContext,
    *,
    model_id: str,
    version_id: int | None = None,
    known: KnownImages | None = None,
    name: str | None = None,
    original: bytes | Path | None = None,
    thumbnail: bytes | None = None,
    uid: str | None = None,
    judged: datetime | None = None,
    received: datetime | None = None,
) -> NewInspection:
    """Return the inspection of a scored image.

    Args:
        model: the model that scored it.
        prediction: the image's prediction, with the model's threshold, or without one.
        context: where the image comes from.
        model_id: the model's id in its workspace.
        version_id: row of the version of the model.
        known: the images that the model was fitted on, if many are recorded; default: of the model.
        name: the file's name; default: the prediction's.
        original: the file's bytes or path, to be kept if the settings say so.
        thumbnail: a small JPEG; default: the prediction's.
        uid: identifies the inspection, so that it is recorded once; default: a new one.
        judged: when it was scored; default: now.
        received: when it came in; default: when it was scored.
    """
    small = (prediction.thumbnail if thumbnail is None else thumbnail) or b""
    in_fit = (known or KnownImages.of(model)).in_fit(prediction)
    place = place_of(model, prediction)
    level = prediction.threshold_level
    decided = level is not None or bool(prediction.lost)
    verdict: InspectionVerdict = prediction.verdict if decided else "none"
    regions: tuple[Any, ...] = ()
    if level is not None and not prediction.lost:
        row = decision_document(
            prediction.name,
            prediction.sha256,
            prediction.original_size,
            prediction.score_level,
            prediction.quantizer,
            prediction,
            verdict,
            in_fit=in_fit,
        )
        regions = regions_of(row["regions"])
    limits = None if level is None else model.verdict_limits(level)
    value = prediction.quantizer.to_value
    brightness, sharpness = look_of(small)
    data = original.read_bytes() if isinstance(original, Path) else original
    return NewInspection(
        uid=uid or uuid.uuid4().hex,
        model_id=model_id,
        version_id=version_id,
        sha256=prediction.sha256,
        name=(prediction.name if name is None else name)[:_LONGEST_NAME],
        size=prediction.original_size,
        taken=None if data is None else taken_at(data),
        judged=(judged or datetime.now(UTC)).astimezone(UTC),
        context=context,
        threshold=prediction.threshold,
        threshold_level=level,
        review_above=None if limits is None else value(max(0, limits.accept_up_to)),
        reject_above=None if limits is None else value(limits.reject_above),
        score=prediction.score,
        score_level=prediction.score_level,
        severity=_severity(prediction),
        verdict=verdict,
        reasons=prediction.reasons if decided else (),
        regions=regions,
        notes=prediction.notes,
        in_fit=in_fit,
        brightness=brightness,
        sharpness=sharpness,
        shift=_shift(place),
        thumbnail=small,
        levels=None if prediction.lost or not prediction.levels.size else prediction.levels,
        place=evidence.place_of(prediction),
        original=original,
        received=received,
    )


def look_of(jpeg: bytes) -> tuple[float | None, float | None]:
    """Return brightness (mean luminance, 0 to 255) and sharpness (variance of the Laplacian) of a JPEG.

    Pech-Pacheco et al., 2000, "Diatom autofocusing in brightfield microscopy", section 2.4, has the latter as
    LAPV. Both are None if there is no image to decode.
    """
    if not jpeg:
        return None, None
    gray = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    if gray is None:
        return None, None
    return float(gray.mean()), float(cv2.Laplacian(gray, cv2.CV_64F).var())


def taken_at(data: bytes) -> datetime | None:
    """Return when an image was taken, by its EXIF block; None if it does not say so.

    A time without an offset from UTC is the camera's local time, and returned without a time zone.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            block = image.getexif().get_ifd(_EXIF_BLOCK)
        text, offset = str(block.get(_TAKEN, "")), str(block.get(_OFFSET, ""))
        taken = datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except Exception:  # as in `decode`: a broken EXIF block does not cost the image
        return None
    try:
        return datetime.fromisoformat(f"{taken.isoformat()}{offset.strip(chr(0) + ' ')}")
    except ValueError:
        return taken


def _severity(prediction: Prediction) -> float:
    if prediction.lost:
        return NOT_FOUND
    if not prediction.threshold:
        return prediction.score
    return prediction.joint_score / prediction.threshold


def _shift(place: Mapping[str, Any] | None) -> tuple[float, float] | None:
    if place is None or place.get("shift_x") is None:
        return None
    return float(place["shift_x"]), float(place["shift_y"])
