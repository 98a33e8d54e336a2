"""Inspecting images: scored, decided and put on record, a group at a time."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.errors import ImageError, PadimError
from padim.records.inspection import InspectionContext, NewInspection
from padim.records.inspection_document import document_of_record, inspection_document
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.recording import THUMBNAIL_SIDE, new_inspection

if TYPE_CHECKING:
    from padim.decision.prediction import Prediction
    from padim.service.inspecting_models import InspectingModel

__all__ = ["InspectionRequest", "InspectionResult", "Inspector"]

_LOGGER = logging.getLogger(__name__)


def _new_uid() -> str:
    return uuid.uuid4().hex


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class InspectionRequest:
    """One image to be inspected.

    Attributes:
        name: the file's name as the user knows it.
        content: the file's bytes.
        context: where it comes from.
        uid: 32 hex digits: however often the same one is asked for, it is inspected and recorded once.
        received: when it came in, UTC.
    """

    name: str
    content: bytes = field(repr=False)
    context: InspectionContext
    uid: str = field(default_factory=_new_uid)
    received: datetime = field(default_factory=_now)


@dataclass(frozen=True, eq=False)
class InspectionResult:
    """What came of one request.

    Attributes:
        uid: the request's.
        name: the image's name.
        document: the result as plain JSON (:func:`padim.records.inspection_document.inspection_document`);
            None if the image cannot be used.
        prediction: the decided prediction, for panels and masks; None if the image cannot be used, or the
            result comes from the record.
        error: why the image cannot be used; empty if it can.
        new: the inspection as it is, or would be, recorded.
        record_id: its row; None if it is not on record.
        problem: why it is not on record, although it should be; else empty.
        repeated: whether it was on record before, and was not scored again.
    """

    uid: str
    name: str
    document: dict[str, Any] | None = None
    prediction: Prediction | None = None
    error: str = ""
    new: NewInspection | None = field(default=None, repr=False)
    record_id: int | None = None
    problem: str = ""
    repeated: bool = False


class Inspector:
    """Inspects images and puts the results on record, in the transaction of which sinks get theirs too.

    Stateless and thread-safe: several threads may inspect at a time, with one model or several.
    """

    def __init__(self, *, record: bool = True) -> None:
        """
        Args:
            record: whether results are put on record in the model's workspace; outside of one they cannot be.
        """
        self._record = record

    def inspect(
        self, requests: Sequence[InspectionRequest], using: InspectingModel
    ) -> list[InspectionResult]:
        """Inspect a group of images: score them together, and record them in one transaction.

        A result that cannot be recorded is returned all the same, with the reason in ``problem``: inspecting
        goes on while the database is away or the disk is full.

        Args:
            requests: the images; memory grows with their number, so a caller makes groups.
            using: the model.

        Returns:
            A result for each request, in order.

        Raises:
            SelfTestError: the model does not score on this machine as where it was fitted.
        """
        done = self._on_record(requests, using)
        results: dict[int, InspectionResult] = {}
        wanted: list[tuple[str, bytes]] = []
        first: dict[str, int] = {}
        for index, request in enumerate(requests):
            if (former := done.get(request.uid)) is not None:
                results[index] = former
            elif request.uid in first:
                continue  # twice in one group: the second gets the first one's result
            else:
                first[request.uid] = index
                wanted.append((str(index), request.content))
        refused: list[ImageError] = []
        model = using.model
        if wanted:
            for scored in model.predict(
                wanted, batch_size=None, thumbnail_side=THUMBNAIL_SIDE, on_error=refused.append
            ):
                index = int(scored.name)
                results[index] = self._result(requests[index], scored, using)
        for error in refused:
            request = requests[int(error.name)]
            results[int(error.name)] = InspectionResult(request.uid, request.name, error=error.reason)
        fresh = {index: one for index, one in results.items() if not one.repeated}
        for index, one in zip(fresh, self.record(list(fresh.values()), using.root), strict=True):
            results[index] = one
        return [
            results[index] if index in results else replace(results[first[request.uid]], repeated=True)
            for index, request in enumerate(requests)
        ]

    def record(self, results: Sequence[InspectionResult], root: Path | None) -> list[InspectionResult]:
        """Put results on record that are not yet, and return all of them with what came of it.

        Args:
            results: results of :meth:`inspect`.
            root: the workspace's folder; None outside of one.
        """
        if not self._record or root is None:
            return list(results)
        missing = [one for one in results if one.new is not None and one.record_id is None]
        kept = {one.uid: one for one in self._recorded(missing, root)}
        return [kept.get(one.uid, one) if one.record_id is None else one for one in results]

    def _recorded(self, missing: Sequence[InspectionResult], root: Path) -> list[InspectionResult]:
        records = InspectionRecords(root)
        news = [one.new for one in missing if one.new is not None]
        try:
            rows = records.add(news)
        except (PadimError, OSError) as error:
            return [replace(one, problem=str(error)) for one in missing]
        except Exception as error:
            if len(missing) > 1:  # one that the database does not accept must not cost the others
                return [kept for one in missing for kept in self._recorded([one], root)]
            _LOGGER.exception("an inspection cannot be recorded")
            return [replace(one, problem=f"it cannot be recorded: {error}") for one in missing]
        return [replace(one, record_id=row, problem="") for one, row in zip(missing, rows, strict=True)]

    def _on_record(
        self, requests: Sequence[InspectionRequest], using: InspectingModel
    ) -> dict[str, InspectionResult]:
        if not self._record or using.root is None or not requests:
            return {}
        records = InspectionRecords(using.root)
        try:
            found = list(records.iterate(InspectionQuery(uids=[one.uid for one in requests])))
        except (PadimError, OSError):
            return {}  # recording fails as well, and says why
        return {
            one.uid: InspectionResult(
                one.uid, one.name, document=document_of_record(one), record_id=one.id, repeated=True
            )
            for one in found
        }

    @staticmethod
    def _result(request: InspectionRequest, scored: Prediction, using: InspectingModel) -> InspectionResult:
        decided = replace(scored, name=request.name)
        new = new_inspection(
            using.model,
            decided,
            request.context,
            model_id=using.model_id,
            version_id=using.version_id,
            known=using.known,
            name=request.name,
            original=request.content,
            uid=request.uid,
            received=request.received,
        )
        document = inspection_document(new, model_name=using.name, version_number=using.version_number)
        return InspectionResult(request.uid, request.name, document, decided, new=new)
