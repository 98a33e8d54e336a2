"""The result of one inspection as plain JSON: the same from the service, beside a file, and to sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from padim.records.inspection import Inspection, NewInspection, RecordedRegion

__all__ = ["document_of_record", "inspection_document"]

# What a result has of an inspection as it stands there, in this order.
_SAME = (
    *("verdict", "score", "score_level", "threshold", "threshold_level", "review_above", "reject_above"),
    *("severity", "in_fit"),
)
_CONTEXT = ("part_number", "serial", "lot", "station", "shift", "source", "who")


def inspection_document(
    new: NewInspection, *, model_name: str = "", version_number: int | None = None
) -> dict[str, Any]:
    """Return what is said about an inspected image.

    Args:
        new: the inspection.
        model_name: the model's name.
        version_number: number of the version that inspected; None if it is not known.

    Returns:
        ``id`` (the same however often the inspection is sent), name, hash and size of the image, verdict,
        score and threshold in units of the anomaly map and as levels, reasons, regions in pixels of the
        image, notes, the model and its version, and where the image comes from. Without a threshold the
        verdict is "none".
    """
    return _document(
        new,
        {name: getattr(new.context, name) for name in _CONTEXT},
        new.size,
        new.regions,
        model_name,
        version_number,
    )


def document_of_record(inspection: Inspection) -> dict[str, Any]:
    """Return the same of an inspection that is on record."""
    return _document(
        inspection,
        {name: getattr(inspection, name) for name in _CONTEXT},
        inspection.size,
        inspection.regions,
        inspection.model_name,
        inspection.version_number,
    )


def _document(
    of: NewInspection | Inspection,
    context: Mapping[str, str],
    size: tuple[int, int],
    regions: Sequence[RecordedRegion],
    model_name: str,
    version_number: int | None,
) -> dict[str, Any]:
    height, width = size
    return {
        "id": of.uid,
        "name": of.name,
        "sha256": of.sha256,
        "width": width,
        "height": height,
        "taken": None if of.taken is None else of.taken.isoformat(timespec="seconds"),
        "inspected": _utc(of.judged),
        **{name: getattr(of, name) for name in _SAME},
        "reasons": list(of.reasons),
        "regions": [asdict(region) for region in regions],
        "notes": list(of.notes),
        "model_id": of.model_id,
        "model_name": model_name,
        "version": version_number,
        **context,
    }


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
