"""The client sends again what was not answered, with the same key, for as long as it has patience."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from padim.records.inspection_document import inspection_document
from padim.service.client import ServiceClient, ServiceError
from tests.service.fakes import made_up, request

DOCUMENT = inspection_document(made_up(request()), model_name="Flange", version_number=3)
PROBLEM = {"type": "urn:padim:problem:queue-full", "title": "t", "status": 503, "detail": "come later"}

Answer = Callable[[httpx.Request], httpx.Response]
Made = tuple[ServiceClient, list[httpx.Request]]


def client(answers: list[Answer], waits: list[float], **given: Any) -> Made:
    seen: list[httpx.Request] = []

    def handle(asked: httpx.Request) -> httpx.Response:
        seen.append(asked)
        return answers[min(len(seen), len(answers)) - 1](asked)

    transport = httpx.MockTransport(handle)
    return ServiceClient("http://x", transport=transport, sleep=waits.append, **given), seen


def ok(_: httpx.Request) -> httpx.Response:
    return httpx.Response(201, json=DOCUMENT)


def later(_: httpx.Request) -> httpx.Response:
    return httpx.Response(503, json=PROBLEM, headers={"Retry-After": "7"})


def broken(asked: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset", request=asked)


def test_it_sends_again_with_the_same_key() -> None:
    waits: list[float] = []
    service, seen = client([later, broken, ok], waits)
    found = service.inspect(b"x", name="a.png", part_number="4711")
    assert (found.id, found.version, found.accepted) == (DOCUMENT["id"], 3, DOCUMENT["verdict"] == "accept")
    assert len({one.headers["Idempotency-Key"] for one in seen}) == 1
    assert len(seen) == 3
    assert waits == [7.0, 0.4]


def test_its_patience_ends() -> None:
    service, seen = client([later], [], patience=5)
    with pytest.raises(ServiceError, match="come later") as refused:
        service.inspect(b"x")
    assert (refused.value.kind, refused.value.status, len(seen)) == ("queue-full", 503, 1)
    service, _ = client([broken], [], patience=0)
    with pytest.raises(ServiceError, match="connection reset") as refused:
        service.models()
    assert refused.value.kind == "no-answer"


def test_other_answers_are_final() -> None:
    service, seen = client([lambda _: httpx.Response(404, text="<html>")], [])
    with pytest.raises(ServiceError, match="answered 404"):
        service.inspection("0" * 32)
    assert len(seen) == 1


def test_keys_and_fields_are_sent() -> None:
    service, seen = client([ok], [], key="padim_x")
    service.inspect_path("in/a.png", idempotency_key="k", serial="A1")
    assert seen[0].headers["Authorization"] == "Bearer padim_x"
    assert seen[0].headers["Idempotency-Key"] == "k"
    assert json.loads(seen[0].content) == {"path": "in/a.png", "serial": "A1"}


def test_it_is_not_ready_without_an_answer() -> None:
    service, _ = client([broken], [])
    assert not service.ready()
