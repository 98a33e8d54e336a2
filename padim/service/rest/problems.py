"""What can go wrong in a request: one catalog, and one form of answer (RFC 9457, ``problem+json``)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from padim.errors import ImageError, PadimError
from padim.service.logs import REQUEST_ID

__all__ = ["CURRENT_REQUEST", "MEDIA_TYPE", "PROBLEMS", "RequestProblem", "as_problem", "request_id"]

_LOGGER = logging.getLogger(__name__)
# The id of the request that is being answered; empty outside of one.
CURRENT_REQUEST = REQUEST_ID

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:padim:problem:"

# Kind of problem -> (HTTP status, title). The title is the same for each kind; the detail names the image,
# the value or the limit, and the remedy.
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "key-missing": (401, "A key is needed"),
    "key-unknown": (401, "The key is unknown or revoked"),
    "wrong-host": (403, "The request is meant for another server"),
    "foreign-page": (403, "Pages of other sites are not answered"),
    "path-not-allowed": (403, "This path may not be read"),
    "not-found": (404, "There is no such address"),
    "no-such-inspection": (404, "No inspection of this id is on record"),
    "no-such-file": (404, "There is no such file"),
    "unknown-model": (404, "There is no such model"),
    "unknown-part-number": (404, "The part number has no model"),
    "method-not-allowed": (405, "The address has no such method"),
    "too-slow": (408, "The request took too long to arrive"),
    "wrong-part": (409, "The model does not inspect this part number"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The request is of an unknown kind"),
    "wrong-field": (422, "A field of the request is wrong"),
    "unusable-image": (422, "The image cannot be used"),
    "key-reused": (409, "The idempotency key belongs to another image"),
    "rate-limit": (429, "Too many images in too short a time"),
    "internal": (500, "The service has failed"),
    "model-unusable": (500, "The model cannot be used"),
    "queue-full": (503, "Too many images are waiting"),
    "stopping": (503, "The service is being stopped"),
    "not-on-record": (503, "The result could not be put on record"),
    "database-away": (503, "The records cannot be read"),
}


class RequestProblem(PadimError):
    """A request that is not answered as asked.

    Attributes:
        kind: which of :data:`PROBLEMS` it is.
        detail: what is wrong with this request, and the remedy.
        retry_after: seconds after which the same request may succeed; None if it will not.
        more: further members of the document.
    """

    def __init__(
        self, kind: str, detail: str, *, retry_after: int | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.retry_after = kind, detail, retry_after
        self.more = dict(more or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEMS[self.kind][0]

    def document(self, request_id: str = "") -> dict[str, Any]:
        """Return the answer as plain JSON."""
        status, title = PROBLEMS[self.kind]
        found = {
            "type": _PREFIX + self.kind,
            "title": title,
            "status": status,
            "detail": self.detail,
            **({"request_id": request_id} if request_id else {}),
            **({} if self.retry_after is None else {"retry_after": self.retry_after}),
        }
        return {**found, **self.more}

    def headers(self) -> dict[str, str]:
        """Return the headers that the answer has beside its media type."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            found["WWW-Authenticate"] = 'Bearer realm="padim"'
        return found


def request_id() -> str:
    """Return the id of the request that is being answered; empty outside of one."""
    return CURRENT_REQUEST.get()


def as_problem(error: Exception) -> RequestProblem:
    """Return the problem that an error is for whoever sent the request; one of ours is logged."""
    if isinstance(error, RequestProblem):
        return error
    if isinstance(error, ImageError):
        return RequestProblem("unusable-image", str(error))
    if isinstance(error, PadimError):
        return RequestProblem("model-unusable", str(error))
    _LOGGER.error("request %s failed", request_id(), exc_info=error)
    return RequestProblem("internal", "the service's log has the reason under this request's id")
