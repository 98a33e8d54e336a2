"""The images that wait for the models: a bounded queue, worked off in small groups by a few threads.

A group is what waits when a thread becomes free, so that nothing waits for a group to fill: one client alone
is answered at once, and under load the network runs over several images together.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from padim.errors import PadimError
from padim.records.inspection import InspectionContext
from padim.service.inspecting_models import InspectingModel
from padim.service.inspector import InspectionRequest, InspectionResult
from padim.service.rest.limits import ServiceLimits
from padim.service.rest.problems import RequestProblem
from padim.service.rest.served_models import RequestTarget
from padim.text import count

__all__ = ["InspectionQueue", "ModelFinder", "QueuedImage", "RequestInspector"]

_LOGGER = logging.getLogger(__name__)
# Images that one thread scores together.
GROUP = 16
# Share that the latest group has in the estimate of images a second.
_NEWEST = 0.2
_LONGEST_RETRY = 60


class ModelFinder(Protocol):
    """Finds the model that a request means, see :class:`padim.service.rest.served_models.ServedModels`."""

    def find(self, target: RequestTarget) -> InspectingModel:
        """Return it, or raise RequestProblem."""


class RequestInspector(Protocol):
    """Inspects groups of images, see :class:`padim.service.inspector.Inspector`."""

    def inspect(
        self, requests: Sequence[InspectionRequest], using: InspectingModel
    ) -> list[InspectionResult]:
        """Return a result for each request."""


@dataclass(eq=False)
class QueuedImage:
    """An image that waits, and the place where its result will be.

    Attributes:
        uid: identifies the inspection.
        target: the model that is meant.
        context: where the image comes from.
        load: returns the image's name and content; called when its turn has come. Errors are PadimErrors.
        result: the result; or the RequestProblem, as its exception.
        received: when it came in, in seconds of ``time.perf_counter``.
    """

    uid: str
    target: RequestTarget
    context: InspectionContext
    load: Callable[[], tuple[str, bytes]]
    result: Future[InspectionResult] = field(default_factory=Future)
    received: float = field(default_factory=time.perf_counter)


class InspectionQueue:
    """Inspects images in the order of arrival, by threads that are started at once (thread-safe).

    Args:
        inspector: inspects groups of images.
        models: finds the model of each.
        limits: how many may wait.
        threads: number of threads: while one waits for the disk, another scores.
        group: most images that one thread takes at a time.
        finished: called with each image and its seconds from arrival to result, from the threads.
    """

    def __init__(
        self,
        inspector: RequestInspector,
        models: ModelFinder,
        limits: ServiceLimits,
        *,
        threads: int = 2,
        group: int = GROUP,
        finished: Callable[[QueuedImage, float], None] | None = None,
    ) -> None:
        self._inspector, self._models, self._limits = inspector, models, limits
        self._group, self._finished = group, finished
        self._changed = threading.Condition()
        self._waiting: deque[QueuedImage] = deque()
        # Those that wait or are being inspected, by uid: one that comes twice is inspected once.
        self._open: dict[str, QueuedImage] = {}
        self._closing = False
        self._rate = 0.0
        self._threads = [
            threading.Thread(target=self._work, name=f"inspection {index}", daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Number of images that wait."""
        return len(self._waiting)

    @property
    def open(self) -> int:
        """Number of images that wait or are being inspected."""
        return len(self._open)

    @property
    def closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._closing

    def retry_after(self) -> int:
        """Return the seconds after which what waits now will be done, 1 to 60, as estimated."""
        rate = self._rate
        return max(1, min(_LONGEST_RETRY, round(len(self._open) / rate) if rate > 0 else 2))

    def submit(self, images: Sequence[QueuedImage]) -> list[Future[InspectionResult]]:
        """Put images at the end of the queue: all of them or none.

        Returns:
            The future of each. One whose ``uid`` is in the queue already gets the future of that one.

        Raises:
            RequestProblem: they do not fit, or the service is being stopped.
        """
        with self._changed:
            if self._closing:
                raise RequestProblem(
                    "stopping", "send it again to the service that is started next", retry_after=5
                )
            there = [self._open.get(one.uid) for one in images]
            new = [one for one, former in zip(images, there, strict=True) if former is None]
            # One request is taken by an empty queue however small that is.
            if self._waiting and len(self._waiting) + len(new) > self._limits.queue_images:
                raise RequestProblem(
                    "queue-full",
                    f"{count(len(self._waiting), 'image is', 'images are')} waiting, and the limit set by "
                    f"--queue-images is {self._limits.queue_images:,}; send it again later",
                    retry_after=self.retry_after(),
                )
            found = []
            for one in images:
                former = self._open.setdefault(one.uid, one)
                if former is one:
                    self._waiting.append(one)
                found.append(former.result)
            self._changed.notify(len(new))
            return found

    def close(self) -> None:
        """Take nothing more, finish what was taken, and return then."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # -- in the threads ----------------------------------------------------------------------------------

    def _work(self) -> None:
        while group := self._next():
            began = time.perf_counter()
            try:
                self._inspect(group)
            except Exception as error:
                # Neither the thread nor those who wait may be lost to a mistake of ours.
                _LOGGER.exception("a group of images failed")
                for one in group:
                    self._end(one, error)
            self._note_rate(len(group), time.perf_counter() - began)

    def _next(self) -> list[QueuedImage]:
        """Return the next images of one model, waiting for some; none if the queue is closed."""
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return []
                self._changed.wait()
            first = self._waiting.popleft()
            group = [first]
            others: list[QueuedImage] = []
            # What waits is shared out, so that the other threads have work, too.
            most = min(self._group, -(-(len(self._waiting) + 1) // len(self._threads)))
            while self._waiting and len(group) < most:
                one = self._waiting.popleft()
                (group if one.target == first.target else others).append(one)
            self._waiting.extendleft(reversed(others))
            return group

    def _inspect(self, group: Sequence[QueuedImage]) -> None:
        try:
            using = self._models.find(group[0].target)
        except RequestProblem as problem:
            for one in group:
                self._end(one, problem)
            return
        requests, images = [], []
        for one in group:
            try:
                name, content = one.load()
            except PadimError as error:
                self._end(one, error)
                continue
            requests.append(InspectionRequest(name, content, one.context, uid=one.uid))
            images.append(one)
        try:
            results = self._inspector.inspect(requests, using) if requests else []
        except PadimError as error:
            for one in images:
                self._end(one, RequestProblem("model-unusable", str(error)))
            return
        for one, request, result in zip(images, requests, results, strict=True):
            self._end(one, _same_image(request, result) or result)

    def _end(self, one: QueuedImage, outcome: InspectionResult | Exception) -> None:
        with self._changed:
            self._open.pop(one.uid, None)
        if one.result.done():
            return
        if isinstance(outcome, Exception):
            one.result.set_exception(outcome)
        else:
            one.result.set_result(outcome)
        if self._finished is not None:
            self._finished(one, time.perf_counter() - one.received)

    def _note_rate(self, images: int, seconds: float) -> None:
        rate = images * len(self._threads) / max(seconds, 1e-6)
        with self._changed:
            self._rate = rate if not self._rate else (1 - _NEWEST) * self._rate + _NEWEST * rate


def _same_image(request: InspectionRequest, result: InspectionResult) -> RequestProblem | None:
    """Return the problem of a request whose key was used for another image; None if it is the same."""
    if not result.repeated or result.document is None:
        return None
    if result.document.get("sha256") == sha256(request.content).hexdigest():
        return None
    return RequestProblem(
        "key-reused",
        f"{request.name}: the inspection {request.uid} is on record with another image; send each image "
        "with an Idempotency-Key of its own",
    )
