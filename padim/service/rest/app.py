"""The addresses of the service: an ASGI application made of what inspects, its limits and its keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException

from padim._version import __version__
from padim.errors import PadimError
from padim.service.allowed_roots import AllowedRoots
from padim.service.rest import listing
from padim.service.rest.answers import InspectionAnswers
from padim.service.rest.clients import ClientKeys, ServiceClientName
from padim.service.rest.documents import (
    BatchAnswer,
    HealthAnswer,
    InspectionAnswer,
    ModelAnswer,
    ModelList,
    PartNumberList,
)
from padim.service.rest.gate import ServiceGate
from padim.service.rest.intake import ImageIntake
from padim.service.rest.limits import ServiceLimits
from padim.service.rest.metrics import CONTENT_TYPE_LATEST, ServiceMetrics
from padim.service.rest.openapi import describe, images_body, problems
from padim.service.rest.problems import MEDIA_TYPE, RequestProblem, as_problem, request_id
from padim.service.rest.queue import InspectionQueue, RequestInspector
from padim.service.rest.served_models import ServedModels

__all__ = ["ServiceParts", "service_app"]

_LOGGER = logging.getLogger(__name__)


@dataclass
class ServiceParts:
    """What a service is made of.

    Attributes:
        models: finds the model of a request.
        inspector: inspects groups of images.
        roots: folders below which images may be named by their path.
        limits: what requests may take.
        require_key: whether requests without a key are refused.
        names: host names under which requests are answered; None: any.
        threads: threads that inspect.
        on_start, on_stop: called when the application starts, and after it has stopped inspecting.
        add_metrics: called with the metrics, to add more.
    """

    models: ServedModels
    inspector: RequestInspector
    roots: AllowedRoots = field(default_factory=lambda: AllowedRoots([]))
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    require_key: bool = False
    names: Iterable[str] | None = ()
    threads: int = 2
    on_start: Callable[[], None] | None = None
    on_stop: Callable[[], None] | None = None
    add_metrics: Callable[[ServiceMetrics], None] | None = None


def service_app(parts: ServiceParts) -> FastAPI:
    """Return the ASGI application of a service; its threads start with it and end with it."""
    root = parts.models.root
    queue: list[InspectionQueue] = []
    metrics = ServiceMetrics(
        lambda: queue[0].waiting if queue else 0,
        lambda: queue[0].open if queue else 0,
        parts.limits.queue_images,
    )
    if parts.add_metrics is not None:
        parts.add_metrics(metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        queue[:] = [
            InspectionQueue(
                parts.inspector,
                parts.models,
                parts.limits,
                threads=parts.threads,
                finished=lambda _, seconds: metrics.inspection_seconds.observe(seconds),
            )
        ]
        if parts.on_start is not None:
            parts.on_start()
        try:
            yield
        finally:
            await asyncio.to_thread(queue[0].close)
            if parts.on_stop is not None:
                await asyncio.to_thread(parts.on_stop)

    app = FastAPI(
        title="PaDiM inspection",
        version=__version__,
        summary="Inspect images of parts: scored, decided and on record as in the application.",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    client = _client_of(ClientKeys(root, required=parts.require_key))
    known = [Depends(client)]
    caller = Security(client)
    inspections = InspectionAnswers(
        root, ImageIntake(parts.limits, parts.roots), parts.limits, queue, metrics
    )

    @app.post(
        "/v1/inspections",
        status_code=201,
        tags=["inspections"],
        summary="Inspect an image",
        response_model=None,
        responses={
            201: {"model": InspectionAnswer, "description": "Inspected, and on record."},
            200: {
                "model": InspectionAnswer,
                "description": "Inspected; on record before, or the model is outside of the workspace.",
            },
            **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
        },
        openapi_extra=images_body(many=False),
    )
    async def inspect(request: Request, key: _Key = None, who: ServiceClientName = caller) -> Response:
        """Inspect an image that is sent, or one below a folder of the service's machine that is allowed.

        The answer comes when the result is on record. A request that is sent again with the same
        *Idempotency-Key*, because no answer came, is inspected and recorded once.
        """
        return await inspections.one(request, who, key)

    @app.post(
        "/v1/inspections/batch",
        tags=["inspections"],
        summary="Inspect several images",
        response_model=None,
        responses={
            200: {"model": BatchAnswer, "description": "What came of each, in order."},
            **problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra=images_body(many=True),
    )
    async def inspect_batch(request: Request, key: _Key = None, who: ServiceClientName = caller) -> Response:
        """Inspect several images; one that cannot be used costs only itself."""
        return await inspections.many(request, who, key)

    @app.get(
        "/v1/inspections/{inspection_id}",
        tags=["inspections"],
        summary="An inspection on record",
        response_model=None,
        responses={200: {"model": InspectionAnswer}, **problems(401, 404, 503)},
        dependencies=known,
    )
    def get_inspection(inspection_id: str) -> Response:
        """Return an inspection that is on record, whoever had it made."""
        found = listing.recorded(root, inspection_id.lower()) if len(inspection_id) == 32 else None
        if found is None:
            raise RequestProblem("no-such-inspection", "an id is the 32 hex digits of a former answer")
        return JSONResponse(found)

    @app.get(
        "/v1/models",
        tags=["models"],
        summary="The models",
        response_model=ModelList,
        responses=problems(401, 503),
        dependencies=known,
    )
    def get_models() -> dict[str, Any]:
        """Return the models of the workspace, the newest first."""
        return {"default": parts.models.default or None, "models": listing.models_of(root)}

    @app.get(
        "/v1/models/{model_id}",
        tags=["models"],
        summary="One model",
        response_model=ModelAnswer,
        responses=problems(401, 404, 503),
        dependencies=known,
    )
    def get_model(model_id: str) -> dict[str, Any]:
        """Return a model by its id."""
        return listing.model_document(root, model_id)

    @app.get(
        "/v1/part-numbers",
        tags=["models"],
        summary="The part numbers",
        response_model=PartNumberList,
        responses=problems(401, 503),
        dependencies=known,
    )
    def get_part_numbers() -> dict[str, Any]:
        """Return the part numbers that have a model."""
        return {"part_numbers": listing.part_numbers_of(root)}

    @app.get(
        "/health/live", tags=["health"], summary="Whether the service lives", response_model=HealthAnswer
    )
    async def live() -> dict[str, Any]:
        """Answer as long as the service can answer at all; no key is needed."""
        return {"status": "ok"}

    @app.get(
        "/health/ready",
        tags=["health"],
        summary="Whether it can inspect",
        response_model=None,
        responses={
            200: {"model": HealthAnswer},
            503: {"model": HealthAnswer, "description": "It cannot now."},
        },
    )
    def ready() -> Response:
        """Say whether images can be inspected and put on record now; no key is needed."""
        checks = {"database": listing.database_state(root), "queue": inspections.queue_state()}
        fine = all(value == "ok" for value in checks.values())
        document = {"status": "ok" if fine else "not ready", "checks": checks}
        return JSONResponse(document, 200 if fine else 503)

    @app.get(
        "/metrics",
        tags=["health"],
        summary="Figures for Prometheus",
        response_class=Response,
        response_model=None,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "All figures."},
            **problems(401, 503),
        },
        dependencies=known,
    )
    def get_metrics() -> Response:
        """Return the figures of the service since its start."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    _answer_problems(app, metrics)
    describe(app, require_key=parts.require_key)
    app.add_middleware(ServiceGate, metrics=metrics, names=parts.names)
    return app


_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Made by the sender, another for each image, such as a UUID, which becomes the "
        "inspection's id. Sent again with the same key, an image is inspected once.",
    ),
]


def _client_of(keys: ClientKeys) -> Callable[..., ServiceClientName]:
    """Return the dependency that says who sends a request."""
    bearer = APIKeyHeader(name="Authorization", scheme_name="bearer", auto_error=False)
    plain = APIKeyHeader(name="X-API-Key", scheme_name="api key", auto_error=False)

    def client(
        request: Request,
        authorization: str | None = Security(bearer),
        api_key: str | None = Security(plain),
    ) -> ServiceClientName:
        address = request.client.host if request.client else ""
        return keys.client(authorization, api_key, address)

    return client


def _answer_problems(app: FastAPI, metrics: ServiceMetrics) -> None:
    """Have every error answered in the one form."""

    async def answer(_: Request, error: Exception, *, headers: dict[str, str] | None = None) -> Response:
        problem = as_problem(error)
        metrics.problems.labels(problem.kind).inc()
        return JSONResponse(
            problem.document(request_id()),
            problem.status,
            headers={**(headers or {}), **problem.headers()},
            media_type=MEDIA_TYPE,
        )

    async def of_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kinds = {404: "not-found", 405: "method-not-allowed"}
        kind = kinds.get(error.status_code, "malformed")
        detail = f"{request.method} {request.url.path[:200]}; GET /openapi.json lists the addresses"
        if kind == "malformed":
            detail = str(error.detail)
        return await answer(request, RequestProblem(kind, detail), headers=dict(error.headers or {}))

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        detail = f"{first['loc'][-1]}: {first['msg']}"
        return await answer(request, RequestProblem("wrong-field", detail))

    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(PadimError, answer)
