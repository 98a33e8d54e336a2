"""The forms of requests and answers, with examples; the OpenAPI description is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from padim.records.recipes import LONGEST_PART_NUMBER
from padim.service.rest.problems import PROBLEMS

__all__ = [
    "BatchAnswer",
    "BatchItem",
    "BatchOfPaths",
    "HealthAnswer",
    "ImageFields",
    "InspectionAnswer",
    "ModelAnswer",
    "ModelList",
    "OneOfPath",
    "PartNumberAnswer",
    "PartNumberList",
    "ProblemAnswer",
    "multipart_schema",
]

_LONGEST = 100
_LONGEST_PATH = 4_000
# Neither control characters nor line breaks.
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"

_Text = Annotated[str, Field(max_length=_LONGEST, pattern=_PLAIN)]
_Path = Annotated[str, Field(min_length=1, max_length=_LONGEST_PATH, pattern=r"^[^\x00]+$")]


class ImageFields(BaseModel):
    """What a request says about its images beside the files."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: _Text = Field("", description="Id or name of the model; without it the part number decides.")
    part_number: Annotated[str, Field(max_length=LONGEST_PART_NUMBER, pattern=_PLAIN)] = Field(
        "", description="Part number: its recipe says which model inspects."
    )
    serial: _Text = Field("", description="Serial number of the part.")
    lot: _Text = Field("", description="Production lot.")
    station: _Text = Field("", description="Inspection station.")
    shift: _Text = Field("", description="Work shift.")


class OneOfPath(ImageFields):
    """An image by its path on the service's machine, below a folder that is allowed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"path": "line1/flange_0042.png", "part_number": "4711", "serial": "A-0042"}]
        }
    )
    path: _Path = Field(description="Path of the file: absolute, or relative to an allowed folder.")


class BatchOfPaths(ImageFields):
    """Several images by their paths."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"paths": ["line1/1.png", "line1/2.png"], "lot": "L7"}]}
    )
    paths: Annotated[list[_Path], Field(min_length=1)] = Field(description="Paths of the files.")


class RegionAnswer(BaseModel):
    """A region above the threshold, in pixels of the image; score and peak in units of the anomaly map."""

    x: int
    y: int
    width: int
    height: int
    area: int
    score: float
    peak: float
    peak_x: int
    peak_y: int


_INSPECTION: dict[str, Any] = {
    "id": "0b5e7f1c2d3a4b5c8d9e0f1a2b3c4d5e",
    "name": "flange_0042.png",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "width": 1280,
    "height": 960,
    "inspected": "2026-03-02T06:00:00.250000Z",
    "verdict": "reject",
    "score": 4.31,
    "score_level": 9120,
    "threshold": 3.07,
    "threshold_level": 6497,
    "reasons": ["score 4.31 above the threshold 3.07"],
    "regions": [
        {
            "x": 412,
            "y": 300,
            "width": 38,
            "height": 22,
            "area": 512,
            "score": 4.31,
            "peak": 5.02,
            "peak_x": 431,
            "peak_y": 309,
        }
    ],
    "notes": [],
    "in_fit": False,
    "model_id": "flange-1a2b3c",
    "model_name": "Flange",
    "version": 3,
    "part_number": "4711",
    "serial": "A-0042",
    "lot": "L7",
    "station": "line 1",
    "shift": "early",
    "source": "service",
    "who": "line 1",
}


class InspectionAnswer(BaseModel):
    """The result of one inspection, as everywhere: beside a watched image, in messages to sinks, here."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_INSPECTION]})

    id: str = Field(description="32 hex digits; the same however often the request is repeated.")
    name: str
    sha256: str = Field(description="SHA-256 of the image's file.")
    width: int
    height: int
    inspected: str = Field(description="When it was scored, ISO 8601, UTC.")
    verdict: Literal["accept", "review", "reject", "none"] = Field(
        description='"none": the model has no threshold.'
    )
    score: float = Field(description="In units of the anomaly map.")
    score_level: int = Field(description="The score as an integer level, which decides.")
    threshold: float | None
    threshold_level: int | None
    reasons: list[str] = Field(description="Why it is not accepted.")
    regions: list[RegionAnswer]
    notes: list[str] = Field(description="What is unlike the good parts in the image.")
    in_fit: bool = Field(description="Whether the model was fitted on this image.")
    model_id: str
    model_name: str
    version: int | None = Field(description="Number of the model's version; null if it keeps none.")
    part_number: str
    serial: str
    lot: str
    station: str
    shift: str
    source: str
    who: str = Field(description='Name of the key; "service" without one.')


class ProblemAnswer(BaseModel):
    """Why a request is not answered as asked (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:padim:problem:unusable-image",
                    "title": PROBLEMS["unusable-image"][1],
                    "status": 422,
                    "detail": "flange_0042.png: is truncated; save it again",
                    "request_id": "5f0c7d1e9a2b4c6d",
                }
            ]
        },
    )
    type: str = Field(description="The kind of problem, for programs.")
    title: str
    status: int
    detail: str = Field(description="What is wrong, with the file or value and the remedy.")
    request_id: str = ""


class BatchItem(BaseModel):
    """What came of one image of a batch: the inspection, or the problem."""

    name: str
    status: int = Field(description="The status that the image alone would have had.")
    inspection: InspectionAnswer | None
    problem: ProblemAnswer | None


class BatchAnswer(BaseModel):
    """What came of each image of a batch, in its order."""

    items: list[BatchItem]


class ModelAnswer(BaseModel):
    """A model of the workspace, with the version that inspects."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "flange-1a2b3c",
                    "name": "Flange",
                    "version": 3,
                    "method": "padim",
                    "input_size": [256, 256],
                    "threshold": 3.07,
                    "parts": 48,
                    "expected_false_rejects": 0.041,
                    "false_rejects_upper": 0.09,
                    "problem": None,
                }
            ]
        }
    )
    id: str
    name: str
    version: int | None = Field(description="Number of the approved version; null if none is.")
    method: str | None
    input_size: list[int] | None = Field(description="Height and width in pixels of what the network sees.")
    threshold: float | None
    parts: int = Field(description="Good parts that it was fitted on.")
    expected_false_rejects: float | None = Field(description="Expected share of good parts that it rejects.")
    false_rejects_upper: float | None = Field(description="Upper 95 % bound of that share.")
    problem: str | None = Field(description="Why it cannot be opened; null if it can.")


class ModelList(BaseModel):
    """The models of the workspace, and which one inspects requests that name none."""

    default: str | None
    models: list[ModelAnswer]


class PartNumberAnswer(BaseModel):
    """The recipe of a part number."""

    part_number: str
    model_id: str
    changed: str
    who: str


class PartNumberList(BaseModel):
    """The part numbers that are inspected."""

    part_numbers: list[PartNumberAnswer]


class HealthAnswer(BaseModel):
    """Whether the service lives, or can inspect; each check is "ok" or a sentence."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "ok", "checks": {"database": "ok", "queue": "ok"}}]}
    )
    status: Literal["ok", "not ready"]
    checks: dict[str, str] = Field(default_factory=dict)


def multipart_schema(field: str, *, many: bool) -> dict[str, Any]:
    """Return the JSON schema of a form with one or many image files and the fields beside them."""
    fields = ImageFields.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "The image file, with its name."}
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    return {
        "type": "object",
        "properties": {field: files if many else file, **fields["properties"]},
        "required": [field],
        "additionalProperties": False,
    }
