"""The queue: bounded, in order, one inspection an id, finished before it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from padim.records.inspection import InspectionContext
from padim.service.inspecting_models import InspectingModels
from padim.service.rest.limits import Admission, RateLimit, ServiceLimits
from padim.service.rest.problems import RequestProblem
from padim.service.rest.queue import InspectionQueue, QueuedImage
from padim.service.rest.served_models import RequestTarget, ServedModels
from tests.service.fakes import FakeInspector, FakeModels

CONTEXT = InspectionContext(who="Anna", source="service")


def image(number: int, target: str = "flange", uid: str = "") -> QueuedImage:
    return QueuedImage(
        uid or f"{number:032x}",
        RequestTarget(target),
        CONTEXT,
        lambda: (f"{number}.png", b"x" * (number + 1)),
    )


def queue(inspector: FakeInspector, threads: int, group: int = 16) -> InspectionQueue:
    limits = ServiceLimits(queue_images=6)
    return InspectionQueue(inspector, FakeModels(None), limits, threads=threads, group=group)


def until(done: Callable[[], bool]) -> None:
    """Wait for another thread."""
    while not done():
        threading.Event().wait(0.001)


@pytest.fixture
def held() -> FakeInspector:
    """An inspector that waits until its gate is set."""
    inspector = FakeInspector()
    inspector.gate.clear()
    return inspector


def test_what_waits_is_scored_together_by_model(held: FakeInspector) -> None:
    one = queue(held, threads=1, group=3)
    (first,) = one.submit([image(0)])
    until(lambda: one.waiting == 0)
    others = one.submit([image(1), image(2), image(3, "cap"), image(4), image(5)])
    held.gate.set()
    results = [future.result(30) for future in (first, *others)]
    assert [result.name for result in results] == [f"{i}.png" for i in range(6)]
    assert held.groups == [1, 3, 1, 1]
    one.close()


def test_a_full_queue_takes_all_or_nothing(held: FakeInspector) -> None:
    one = queue(held, threads=1)
    one.submit([image(0)])
    until(lambda: one.waiting == 0)
    one.submit([image(i) for i in range(1, 5)])
    with pytest.raises(RequestProblem, match="--queue-images is 6") as refused:
        one.submit([image(i) for i in range(5, 8)])
    assert refused.value.retry_after
    assert one.waiting == 4
    one.submit([image(5), image(6)])
    held.gate.set()
    one.close()
    assert sum(held.groups) == 7


def test_an_empty_queue_takes_any_request(held: FakeInspector) -> None:
    one = queue(held, threads=1)
    futures = one.submit([image(i) for i in range(20)])
    held.gate.set()
    assert len(wait(futures, 30).done) == 20
    one.close()


def test_one_id_that_comes_twice_is_inspected_once(held: FakeInspector) -> None:
    one = queue(held, threads=2)
    futures = [one.submit([image(0, uid="a")])[0] for _ in range(2)]
    assert futures[0] is futures[1]
    held.gate.set()
    assert futures[0].result(30).uid == "a"
    one.close()
    assert held.groups == [1]


def test_closing_finishes_what_was_taken(held: FakeInspector) -> None:
    one = queue(held, threads=2)
    futures = one.submit([image(i) for i in range(6)])
    closing = threading.Thread(target=one.close)
    closing.start()
    until(lambda: one.closing)
    with pytest.raises(RequestProblem, match="started next"):
        one.submit([image(9)])
    held.gate.set()
    closing.join(30)
    assert all(future.done() for future in futures)


def test_an_unknown_model_costs_only_its_images() -> None:
    inspector = FakeInspector()
    one = queue(inspector, threads=1)
    bad, good = one.submit([image(0, "none"), image(1)])
    assert isinstance(bad.exception(30), RequestProblem)
    assert good.result(30).document is not None
    one.close()


def test_models_of_no_workspace_have_no_default(tmp_path: Path) -> None:
    models = ServedModels(InspectingModels(tmp_path))
    with pytest.raises(RequestProblem, match="one of the two is needed"):
        models.find(RequestTarget())
    with pytest.raises(RequestProblem, match="has no model"):
        models.find(RequestTarget(part_number="4711"))
    for name in ("none", "../x", str(tmp_path), "/etc/passwd"):
        with pytest.raises(RequestProblem, match="there is none of this id or name"):
            models.find(RequestTarget(name))


def test_requests_are_let_in_by_number_and_size() -> None:
    admission = Admission(ServiceLimits(queue_images=2, waiting_megabytes=1, request_megabytes=0.5))
    with ExitStack() as first:
        first.enter_context(admission.entered(2_000_000, lambda: 3))  # the first one, however large
        with pytest.raises(RequestProblem, match="--waiting-megabytes"):
            first.enter_context(admission.entered(1, lambda: 3))
    with ExitStack() as two:
        two.enter_context(admission.entered(10, lambda: 3))
        two.enter_context(admission.entered(10, lambda: 3))
        with pytest.raises(RequestProblem, match="--queue-images") as full:
            two.enter_context(admission.entered(1, lambda: 3))
        assert full.value.retry_after == 3
    assert admission.requests == 0


def test_a_rate_refills_and_forgives_no_debt() -> None:
    now = [0.0]
    rate = RateLimit(60, lambda: now[0])
    rate.take("a", 15)  # a quarter of a minute at once
    with pytest.raises(RequestProblem) as refused:
        rate.take("a")
    assert refused.value.retry_after == 1
    rate.take("b")
    now[0] = 1.0
    rate.take("a", 31)
    with pytest.raises(RequestProblem) as refused:
        rate.take("a")
    assert refused.value.retry_after == 31
    now[0] = 31.0
    with pytest.raises(RequestProblem):
        rate.take("a")
    now[0] = 32.1
    rate.take("a")


def test_no_rate_is_no_limit() -> None:
    rate = RateLimit(0)
    for _ in range(1000):
        rate.take("a", 1000)


def test_a_model_found_holds_for_a_moment(tmp_path: Path) -> None:
    now, asked = [0.0], []

    class Models(InspectingModels):
        def of_part_number(self, part_number: str) -> Any:
            asked.append(part_number)
            return object()

        def wrong_part(self, part_number: str, using: Any) -> str:
            return ""

    models = ServedModels(Models(tmp_path), clock=lambda: now[0])
    found = models.find(RequestTarget(part_number="4711"))
    assert models.find(RequestTarget(part_number="4711")) is found
    assert models.find(RequestTarget(part_number="4712")) is not found
    now[0] = 0.3
    models.find(RequestTarget(part_number="4712"))
    assert asked == ["4711", "4712", "4712"]
