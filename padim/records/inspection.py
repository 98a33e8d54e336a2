"""One inspection on record: an image, what a version of a model decided about it, and what people said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Inspection",
    "InspectionContext",
    "InspectionEvidence",
    "InspectionSource",
    "InspectionVerdict",
    "NewInspection",
    "RecordedRegion",
    "ReviewDecision",
]

# What the model said; "none": it had no threshold.
InspectionVerdict = Literal["accept", "review", "reject", "none"]
# The way an image came in: by the app, by the shell, from Python, from a watched folder, through the REST
# service, or because a machine asked for it.
InspectionSource = Literal["app", "shell", "python", "watch", "service", "trigger"]
# What a person said.
ReviewDecision = Literal["accept", "reject", "unsure"]


@dataclass(frozen=True)
class RecordedRegion:
    """One region above the threshold, in pixels of the image; score and peak in units of the anomaly map."""

    x: int
    y: int
    width: int
    height: int
    area: int
    score: float
    peak: float
    peak_x: int
    peak_y: int


@dataclass(frozen=True)
class InspectionContext:
    """Where an image comes from, as people or file names say; texts are empty where nothing is known.

    Attributes:
        who: the person or program that had it inspected.
        source: the way it came in.
        part_number: the kind of part, as in recipes.
        serial: the serial number of this part.
        lot, station, shift: production lot, inspection station and work shift.
    """

    who: str
    source: InspectionSource = "python"
    part_number: str = ""
    serial: str = ""
    lot: str = ""
    station: str = ""
    shift: str = ""


@dataclass(frozen=True, eq=False)
class NewInspection:
    """An inspection to be recorded.

    Attributes:
        uid: 32 hex digits that identify it; recording it again changes nothing.
        model_id: the model.
        version_id: row of the version of the model; None if the model keeps no versions.
        sha256: hex SHA-256 of the image's file.
        name: the file's name as the user knows it.
        size: (height, width) of the image in pixels.
        taken: when the image was taken, as its file says; None if it does not.
        judged: when it was scored, UTC.
        received: when it came in, UTC, from which the time to its sinks is counted; not recorded. None: as
            ``judged``.
        context: where it comes from.
        threshold: the threshold in map units; None without one.
        threshold_level: the threshold as a level.
        review_above, reject_above: the ends of the guard band; both are the threshold without a band.
        score: the image's score, in map units.
        score_level: the same as a level.
        severity: what decides over the threshold, or without a threshold the score; large if the part was not
            found.
        verdict: what the model says.
        reasons: why it is not accepted, as phrases.
        regions: the regions above the threshold.
        notes: what is unlike the good parts in the image, as sentences.
        in_fit: whether the model was fitted on the image.
        brightness: mean of the image's luminance, 0 to 255; None if not known.
        sharpness: variance of the Laplacian of its small copy; None if not known.
        shift: (right, down) displacement of the part in pixels; None if the model does not locate it.
        thumbnail: a small JPEG.
        levels: uint16 ``(h, w)``, its level map; None if it is not to be kept.
        place: where the image lies in the map, see :func:`padim.records.evidence.place_of`.
        original: the file's bytes, or its path; None if it cannot be kept.
    """

    uid: str
    model_id: str
    version_id: int | None
    sha256: str
    name: str
    size: tuple[int, int]
    taken: datetime | None
    judged: datetime
    context: InspectionContext
    threshold: float | None
    threshold_level: int | None
    review_above: float | None
    reject_above: float | None
    score: float
    score_level: int
    severity: float
    verdict: InspectionVerdict
    reasons: tuple[str, ...] = ()
    regions: tuple[RecordedRegion, ...] = ()
    notes: tuple[str, ...] = ()
    in_fit: bool = False
    brightness: float | None = None
    sharpness: float | None = None
    shift: tuple[float, float] | None = None
    thumbnail: bytes = field(default=b"", repr=False)
    levels: npt.NDArray[np.uint16] | None = field(default=None, repr=False)
    place: Mapping[str, Any] = field(default_factory=dict, repr=False)
    original: bytes | Path | None = field(default=None, repr=False)
    received: datetime | None = None

    def row(self) -> dict[str, Any]:
        """Return the columns that it sets in the table of inspections."""
        context = self.context
        height, width = self.size
        return {
            "uid": self.uid,
            "model_id": self.model_id,
            "version_id": self.version_id,
            "sha256": self.sha256,
            "name": self.name,
            "width": width,
            "height": height,
            "taken": None if self.taken is None else self.taken.isoformat(timespec="seconds"),
            "judged": self.judged.isoformat(timespec="microseconds"),
            **asdict(context),
            "threshold": self.threshold,
            "threshold_level": self.threshold_level,
            "review_above": self.review_above,
            "reject_above": self.reject_above,
            "score": self.score,
            "score_level": self.score_level,
            "severity": self.severity,
            "nearness": abs(self.severity - 1.0),
            "verdict": self.verdict,
            "reasons": json.dumps(self.reasons, ensure_ascii=False),
            "regions": json.dumps([asdict(region) for region in self.regions]),
            "notes": json.dumps(self.notes, ensure_ascii=False),
            "in_fit": self.in_fit,
            "brightness": self.brightness,
            "sharpness": self.sharpness,
            "shift_x": None if self.shift is None else self.shift[0],
            "shift_y": None if self.shift is None else self.shift[1],
        }


@dataclass(frozen=True)
class Inspection:
    """An inspection as it is on record; the attributes up to ``shift_y`` as of :class:`NewInspection`.

    Attributes:
        id: its row.
        version_number: number of the model's version; None if it is not known.
        model_name: the model's name when the version was made; empty if it is not known.
        audited: whether it was drawn at random from the accepted, for a person to look at.
        audit_probability: the probability with which an accepted one was drawn; None for others.
        waits: whether it awaits a person.
        decision: what a person decided last; None if nobody has.
        decided_by, decided_at: who, and when.
        defect_type: the type of defect that was found; empty if none was named.
        second_decision, second_by, second_at, second_type: the same of a second person, who did not know of
            the first.
        disagrees: whether the two contradict each other, and nobody has settled it since.
    """

    id: int
    uid: str
    model_id: str
    version_id: int | None
    sha256: str
    name: str
    width: int
    height: int
    taken: datetime | None
    judged: datetime
    who: str
    source: str
    part_number: str
    serial: str
    lot: str
    station: str
    shift: str
    threshold: float | None
    threshold_level: int | None
    review_above: float | None
    reject_above: float | None
    score: float
    score_level: int
    severity: float
    nearness: float
    verdict: InspectionVerdict
    reasons: tuple[str, ...]
    regions: tuple[RecordedRegion, ...]
    notes: tuple[str, ...]
    in_fit: bool
    brightness: float | None
    sharpness: float | None
    shift_x: float | None
    shift_y: float | None
    audited: bool
    audit_probability: float | None
    waits: bool
    decision: ReviewDecision | None
    decided_by: str | None
    decided_at: datetime | None
    defect_type: str
    second_decision: ReviewDecision | None
    second_by: str | None
    second_at: datetime | None
    second_type: str
    disagrees: bool
    version_number: int | None = None
    model_name: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""
        return self.height, self.width

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Inspection:
        """Return the inspection in a row of the table, with the number and name of its version."""
        values = dict(row)
        for name in ("taken", "judged", "decided_at", "second_at"):
            values[name] = None if values[name] is None else datetime.fromisoformat(values[name])
        for name in ("reasons", "notes"):
            values[name] = tuple(json.loads(values[name]))
        values["regions"] = tuple(RecordedRegion(**region) for region in json.loads(values["regions"]))
        values["model_name"] = values.get("model_name") or ""
        return cls(**values)


@dataclass(frozen=True)
class InspectionEvidence:
    """What is kept of the image of an inspection.

    Attributes:
        has_map: whether its level map is kept.
        has_original: whether the image's file is kept.
        original_gone: why the file is not kept, as a sentence; empty if it is.
        place: where the image lies in the map, see :func:`padim.records.evidence.place_of`.
    """

    has_map: bool
    has_original: bool
    original_gone: str
    place: Mapping[str, Any]


def regions_of(regions: Sequence[Mapping[str, Any]]) -> tuple[RecordedRegion, ...]:
    """Return regions from the rows of :func:`padim.output.results.decision_document`."""
    names = RecordedRegion.__dataclass_fields__
    return tuple(RecordedRegion(**{name: region[name] for name in names}) for region in regions)
