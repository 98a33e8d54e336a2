"""Limits of the service: what one request, one client and all waiting requests may take."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from padim.service.rest.problems import RequestProblem
from padim.text import count, megabytes

__all__ = ["Admission", "RateLimit", "ServiceLimits"]

MB = 1_000_000
# Clients whose use is remembered; those beyond that have not asked for longest.
_MOST_CLIENTS = 10_000
# Share of a minute that may be used up at once after a pause.
_BURST = 0.25


@dataclass(frozen=True)
class ServiceLimits:
    """The limits of a running service.

    Attributes:
        upload_megabytes: size of one image file.
        request_megabytes: size of one request, with all of its images.
        batch_images: images of one request.
        queue_images: images that wait for the models, those of all clients together.
        waiting_megabytes: size of all requests together that are being received or wait.
        images_per_minute: images of one client, by its key or else its address; 0: no limit.
        receive_seconds: time in which a request must have arrived.
    """

    upload_megabytes: float = 64
    request_megabytes: float = 256
    batch_images: int = 100
    queue_images: int = 256
    waiting_megabytes: float = 1024
    images_per_minute: int = 12_000
    receive_seconds: float = 60

    @property
    def upload_bytes(self) -> int:
        """Size of one image file in bytes."""
        return round(self.upload_megabytes * MB)

    @property
    def request_bytes(self) -> int:
        """Size of one request in bytes; at least that of one image."""
        return max(round(self.request_megabytes * MB), self.upload_bytes)


class Admission:
    """Counts the requests with images that are in the service, so that their memory is bounded.

    Args:
        limits: ``queue_images`` requests of ``waiting_megabytes`` together are let in.
    """

    def __init__(self, limits: ServiceLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._requests = self._bytes = 0

    @property
    def requests(self) -> int:
        """Number of requests that are in."""
        return self._requests

    @contextmanager
    def entered(self, size: int | None, retry_after: Callable[[], int]) -> Iterator[None]:
        """Let a request in until the block ends.

        Args:
            size: its bytes; None if it does not say so, and then it counts as the largest one.
            retry_after: returns the seconds after which one that is not let in may come again.

        Raises:
            RequestProblem: too many are in.
        """
        size = self._limits.request_bytes if size is None else size
        most = self._limits.waiting_megabytes * MB
        with self._lock:
            full = self._requests >= self._limits.queue_images
            # A single request is let in however large it is, as far as one may be.
            heavy = self._requests > 0 and self._bytes + size > most
            if not full and not heavy:
                self._requests += 1
                self._bytes += size
        if full or heavy:
            what = (
                f"{count(self._limits.queue_images, 'request')} are being worked on, the limit set by "
                "--queue-images"
                if full
                else f"{megabytes(most)} are being worked on, the limit set by --waiting-megabytes"
            )
            raise RequestProblem("queue-full", f"{what}; send it again later", retry_after=retry_after())
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1
                self._bytes -= size


class RateLimit:
    """The images of each client within a minute: a bucket of tokens that refills steadily (thread-safe).

    A client that has any token left may send a request, also one with more images than it has tokens; it then
    waits until its debt is paid. So no request is too large for ever.

    Args:
        per_minute: images of a client; 0: no limit.
        clock: returns seconds; monotonic.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._most = max(1.0, per_minute * _BURST)
        self._lock = threading.Lock()
        # Client -> (tokens, when they were counted).
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, images: int = 1) -> None:
        """Take tokens for the images of a request.

        Raises:
            RequestProblem: the client has no tokens left; nothing is taken.
        """
        if not self._per_minute:
            return
        with self._lock:
            left = self._left(client)
            if left < 1:
                wait = (1 - left) * 60 / self._per_minute
                raise RequestProblem(
                    "rate-limit",
                    f"{self._per_minute:,} images a minute is the limit of one client, set by "
                    "--images-per-minute; send it again later",
                    retry_after=max(1, -int(-wait // 1)),
                )
            self._set(client, left - images)

    def charge(self, client: str, images: int) -> None:
        """Take tokens for further images of a request that was let in."""
        if self._per_minute and images > 0:
            with self._lock:
                self._set(client, self._left(client) - images)

    def _left(self, client: str) -> float:
        tokens, counted = self._tokens.get(client, (self._most, self._clock()))
        return min(self._most, tokens + (self._clock() - counted) * self._per_minute / 60)

    def _set(self, client: str, tokens: float) -> None:
        self._tokens[client] = tokens, self._clock()
        self._tokens.move_to_end(client)
        while len(self._tokens) > _MOST_CLIENTS:
            self._tokens.popitem(last=False)
