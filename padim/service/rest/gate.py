"""What stands in front of the service's addresses: names, foreign pages, request ids, headers and figures."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from padim.service.rest.problems import CURRENT_REQUEST, MEDIA_TYPE, RequestProblem, as_problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from padim.service.rest.metrics import ServiceMetrics

__all__ = ["ServiceGate", "is_loopback"]

_LOGGER = logging.getLogger("padim.service.requests")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def is_loopback(name: str) -> bool:
    """Return whether an address or a host's name is that of this machine alone."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


class ServiceGate:
    """ASGI middleware that refuses what is not meant for this service, and notes every request.

    A server of this machine alone can be reached by pages of other sites in a browser on this machine. Under
    a foreign name (DNS rebinding) it is not answered, and neither are requests that a browser says come from
    another site's page.

    Args:
        app: the service.
        metrics: gets the figures of each request.
        names: host names under which requests are answered; None: any.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, names: Iterable[str] | None) -> None:
        self._app, self._metrics = app, metrics
        self._names = None if names is None else frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request according to the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        own = given if _ID.fullmatch(given) else uuid.uuid4().hex[:16]
        token = CURRENT_REQUEST.set(own)
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = list(message.get("headers", ()))
                message["headers"] = [*there, *_HEADERS, (b"x-request-id", own.encode())]
            await send(message)

        try:
            problem = self._refused(headers)
            if problem is None:
                await self._app(scope, receive, answer)
            else:
                self._metrics.problems.labels(problem.kind).inc()
                await _send(problem, own, answer)
        except Exception as error:
            problem = as_problem(error)
            self._metrics.problems.labels(problem.kind).inc()
            if status:
                raise  # half an answer cannot become another
            await _send(problem, own, answer)
        finally:
            CURRENT_REQUEST.reset(token)
            self._note(scope, status, time.perf_counter() - began, own)

    def _refused(self, headers: dict[bytes, str]) -> RequestProblem | None:
        host = headers.get(b"host", "")
        if self._names is not None:
            name = _name(f"//{host}")
            if not (is_loopback(name) or name in self._names):
                shown = (
                    f"not to “{name[:100]}”" if name and name.isprintable() else "and the request names none"
                )
                return RequestProblem(
                    "wrong-host",
                    f"This service answers to localhost, {shown}; where it stands behind a proxy, start it "
                    "with --allowed-host and the proxy's name",
                )
        origin = headers.get(b"origin")
        other = origin is not None and _place(origin) != host.lower()
        if other or headers.get(b"sec-fetch-site") in ("cross-site", "same-site"):
            return RequestProblem("foreign-page", "The request comes from a page of another site")
        return None

    def _note(self, scope: Scope, status: int, seconds: float, own: str) -> None:
        # The address's pattern: the address itself has ids, and every wrong one would be a figure of its own.
        route = getattr(scope.get("route"), "path", "")
        method = scope["method"] if scope["method"].isalpha() and len(scope["method"]) < 8 else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        level = logging.WARNING if status >= 500 else logging.INFO
        milliseconds = round(seconds * 1000, 1)
        extra: dict[str, Any] = {
            "request_id": own,
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": milliseconds,
        }
        _LOGGER.log(
            level, "%s %s %s %.1f ms [%s]", method, route or "-", status, milliseconds, own, extra=extra
        )


async def _send(problem: RequestProblem, own: str, send: Send) -> None:
    body = json.dumps(problem.document(own), ensure_ascii=False).encode()
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers()}
    raw = [(key.lower().encode(), value.encode("latin-1")) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # malformed, such as an unclosed bracket
        return ""


def _place(origin: str) -> str | None:
    """Return host and port of an Origin header, in lower case; None if it has none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
