"""What stands in for models and scoring where a test concerns requests alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from padim.records.inspection import InspectionContext, NewInspection
from padim.records.inspection_document import inspection_document
from padim.service.inspecting_models import InspectingModel, InspectingModels
from padim.service.inspector import InspectionRequest, InspectionResult
from padim.service.rest.app import ServiceParts
from padim.service.rest.problems import RequestProblem
from padim.service.rest.served_models import RequestTarget, ServedModels

BAD = b"not an image"


def made_up(request: InspectionRequest) -> NewInspection:
    """An inspection that follows from the image's bytes."""
    score = len(request.content) % 7 / 2
    return NewInspection(
        uid=request.uid,
        model_id="flange-abc123",
        version_id=None,
        sha256=sha256(request.content).hexdigest(),
        name=request.name,
        size=(48, 64),
        taken=None,
        judged=datetime(2026, 3, 2, 6, tzinfo=UTC),
        context=request.context,
        threshold=2.0,
        threshold_level=2000,
        review_above=2.0,
        reject_above=2.0,
        score=score,
        score_level=round(score * 1000),
        severity=score / 2,
        verdict="reject" if score > 2 else "accept",
    )


@dataclass
class FakeInspector:
    """Accepts any bytes but :data:`BAD`, and remembers what it has inspected as a database would.

    Attributes:
        gate: cleared, inspecting waits.
        groups: the sizes of the groups inspected.
        problem: why nothing is put on record; empty if it is.
        mistake: raised while inspecting, if set.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    groups: list[int] = field(default_factory=list)
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    problem: str = ""
    mistake: Exception | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def inspect(
        self, requests: Sequence[InspectionRequest], using: InspectingModel
    ) -> list[InspectionResult]:
        self.gate.wait(30)
        self.groups.append(len(requests))
        if self.mistake is not None:
            raise self.mistake
        return [self._one(request) for request in requests]

    def _one(self, request: InspectionRequest) -> InspectionResult:
        if request.uid in self.done:
            former = self.done[request.uid]
            return InspectionResult(request.uid, former["name"], former, record_id=1, repeated=True)
        if request.content == BAD:
            return InspectionResult(request.uid, request.name, error="is no image; save it as PNG")
        new = made_up(request)
        document = inspection_document(new, model_name="Flange", version_number=3)
        if self.problem:
            return InspectionResult(request.uid, request.name, document, new=new, problem=self.problem)
        self.done[request.uid] = document
        return InspectionResult(request.uid, request.name, document, new=new, record_id=1)


class FakeModels(ServedModels):
    """Has the models "flange" and "cap", of which "flange" inspects part number 4711."""

    def __init__(self, root: Path | None) -> None:
        super().__init__(InspectingModels(root))

    def find(self, target: RequestTarget) -> InspectingModel:
        if target.model not in ("", "flange", "cap"):
            raise RequestProblem("unknown-model", f"{target.model}: there is no such model")
        if target.part_number not in ("", "4711"):
            raise RequestProblem("unknown-part-number", f"{target.part_number}: has no model")
        if target.part_number and target.model == "cap":
            raise RequestProblem("wrong-part", "cap does not inspect 4711")
        return cast(InspectingModel, object())


def fake_parts(root: Path, **given: Any) -> ServiceParts:
    """Parts of a service that scores nothing, in an empty workspace."""
    return ServiceParts(**{"models": FakeModels(root), "inspector": FakeInspector(), **given})


def request(number: int = 0, content: bytes = b"an image") -> InspectionRequest:
    """A request to inspect."""
    return InspectionRequest(f"{number}.png", content, InspectionContext(who="Anna", source="service"))
