"""Takes requests with images, has them inspected, and makes the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

from padim.records.inspection import InspectionContext
from padim.service.inspector import InspectionResult
from padim.service.rest import listing
from padim.service.rest.clients import ServiceClientName
from padim.service.rest.documents import ImageFields
from padim.service.rest.intake import GivenImage, ImageIntake, uid_of
from padim.service.rest.limits import Admission, RateLimit, ServiceLimits
from padim.service.rest.metrics import ServiceMetrics
from padim.service.rest.problems import RequestProblem, as_problem, request_id
from padim.service.rest.queue import InspectionQueue, QueuedImage
from padim.service.rest.served_models import RequestTarget

__all__ = ["InspectionAnswers"]


class InspectionAnswers:
    """Answers requests with images.

    Args:
        root: the workspace's folder; None if there is none.
        intake: reads the images of requests.
        limits: what requests may take.
        queue: the queue; empty before the service has started.
        metrics: counts what comes of the images.
    """

    def __init__(
        self,
        root: Path | None,
        intake: ImageIntake,
        limits: ServiceLimits,
        queue: Sequence[InspectionQueue],
        metrics: ServiceMetrics,
    ) -> None:
        self._root, self._intake, self._limits = root, intake, limits
        self._queue, self._metrics = queue, metrics
        self._admission = Admission(limits)
        self._rate = RateLimit(limits.images_per_minute)

    def queue_state(self) -> str:
        """Return "ok" if images are taken, else why not."""
        if not self._queue or self._queue[0].closing:
            return "the service is being stopped"
        full = self._queue[0].waiting >= self._limits.queue_images
        return "as many images wait as may" if full else "ok"

    async def one(self, request: Request, who: ServiceClientName, key: str | None) -> Response:
        """Answer a request with one image."""
        with self._entered(request, who):
            image, fields = await self._intake.one(request)
            uid = uid_of(key, who.counted_by)
            try:
                result = (await self._results([image], [uid], fields, who))[0]
                document = self._document(result)
            except RequestProblem as problem:
                if problem.kind != "no-such-file" or key is None:
                    raise
                # The file was moved away after it was inspected, and the request comes a second time.
                former = await asyncio.to_thread(listing.recorded, self._root, uid)
                if former is None:
                    raise
                return JSONResponse(former, 200)
        fresh = result.record_id is not None and not result.repeated
        headers = {} if result.record_id is None else {"Location": f"/v1/inspections/{uid}"}
        return JSONResponse(document, 201 if fresh else 200, headers=headers)

    async def many(self, request: Request, who: ServiceClientName, key: str | None) -> Response:
        """Answer a request with several images."""
        with self._entered(request, who):
            images, fields = await self._intake.many(request)
            self._rate.charge(who.counted_by, len(images) - 1)
            uids = [uid_of(key, who.counted_by, index) for index in range(len(images))]
            results = await self._results(images, uids, fields, who, apart=True)
            items = [self._item(image, result) for image, result in zip(images, results, strict=True)]
        return JSONResponse({"items": items})

    @contextmanager
    def _entered(self, request: Request, who: ServiceClientName) -> Iterator[None]:
        self._rate.take(who.counted_by)
        told = request.headers.get("content-length", "")
        size = min(int(told), self._limits.request_bytes) if told.isdecimal() else None
        with self._admission.entered(size, self._queue[0].retry_after):
            yield

    async def _results(
        self,
        images: list[GivenImage],
        uids: list[str],
        fields: ImageFields,
        who: ServiceClientName,
        *,
        apart: bool = False,
    ) -> list[Any]:
        """Return the results, and with ``apart`` exceptions in the places of those that have none."""
        context = InspectionContext(who=who.who, source="service", **fields.model_dump(exclude={"model"}))
        target = RequestTarget(fields.model, fields.part_number)
        waiting = [
            QueuedImage(uid, target, context, image.load) for image, uid in zip(images, uids, strict=True)
        ]
        futures = self._queue[0].submit(waiting)
        # Shielded: two requests may wait for one image, and one of them may be given up.
        tasks = [asyncio.shield(asyncio.wrap_future(one)) for one in futures]
        return await asyncio.gather(*tasks, return_exceptions=apart)

    def _document(self, result: InspectionResult) -> dict[str, Any]:
        """Return the answer of a result, and count it.

        Raises:
            RequestProblem: the image cannot be used, or the result is not on record.
        """
        if result.document is None:
            raise RequestProblem("unusable-image", f"{result.name}: {result.error}")
        if result.repeated:
            self._metrics.repeated.inc()
        else:
            self._metrics.inspections.labels(result.document["model_id"], result.document["verdict"]).inc()
        if result.problem:
            raise RequestProblem(
                "not-on-record",
                f"{result.name}: {result.problem}; the result is in this answer, and the same request with "
                "the same Idempotency-Key puts it on record",
                retry_after=5,
                more={"inspection": result.document},
            )
        return result.document

    def _item(self, image: GivenImage, result: InspectionResult | BaseException) -> dict[str, Any]:
        try:
            if isinstance(result, BaseException):
                raise result
            document = self._document(result)
        except Exception as error:
            problem = as_problem(error)
            self._metrics.problems.labels(problem.kind).inc()
            return {
                "name": image.name,
                "status": problem.status,
                "inspection": None,
                "problem": problem.document(request_id()),
            }
        fresh = result.record_id is not None and not result.repeated
        return {
            "name": image.name,
            "status": 201 if fresh else 200,
            "inspection": document,
            "problem": None,
        }
