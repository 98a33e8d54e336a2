"""A sink of the tests' own, and how they wait for what threads do."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from padim.records.inspection_document import inspection_document
from padim.records.inspections import InspectionRecords
from padim.records.outbox import MessageKind, OutboxMessage
from padim.records.sink_settings import AnySink
from padim.service.sinks.base import SinkAwayError, SinkRefusedError
from tests import recorded

CSV = "- {{name: {0}, kind: csv, folder: /nowhere}}\n"


def sinks(root: Path, *names: str, text: str = "") -> None:
    """Write a file of sinks, each a drop of CSV files unless ``text`` says otherwise."""
    (root / "sinks.yaml").write_text("sinks:\n" + "".join(CSV.format(name) for name in names) + text)


def record(root: Path, *numbers: int, score: float = 3.0) -> None:
    """Put made-up inspections on record, each in its own transaction."""
    for number in numbers:
        context = {"part_number": f"P-{number}"}
        InspectionRecords(root).add([recorded.new(number, score, context=context)])


def until(done: Callable[[], object], what: str = "", seconds: float = 60.0) -> None:
    """Wait until something is so; a test fails if it never is."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not done():
        assert time.monotonic() < end, f"never came: {what or done}"
        pause.wait(0.01)


class FakeReceiver:
    """What several sinks of one name deliver to, and how it behaves.

    Attributes:
        got: names of the images, or texts, in the order of delivery, also repeated ones.
        uids: the messages' ids in the same order.
        away: whether it can be reached.
        refuses: names that it never takes.
        hold: cleared: it takes for ever.
    """

    def __init__(self) -> None:
        self.got: list[str] = []
        self.uids: list[str] = []
        self.away = False
        self.sick = ""
        self.refuses: set[str] = set()
        self.surprises: set[str] = set()
        self.hold = threading.Event()
        self.hold.set()
        self.opened = self.closed = 0


class FakeSink:
    """Delivers to a receiver of the tests."""

    def __init__(self, receiver: FakeReceiver) -> None:
        self._receiver = receiver

    def open(self) -> None:
        if self._receiver.away:
            raise SinkAwayError("nobody there")
        self._receiver.opened += 1

    def send(self, message: OutboxMessage) -> None:
        self._receiver.hold.wait()
        if self._receiver.away:
            raise SinkAwayError("gone")
        name = message.payload.get("name") or message.payload["text"]
        if name in self._receiver.refuses:
            raise SinkRefusedError(f"never {name}")
        if name in self._receiver.surprises:
            raise KeyError(name)
        self._receiver.got.append(name)
        self._receiver.uids.append(message.uid)

    def health(self) -> str:
        return self._receiver.sick

    def close(self) -> None:
        self._receiver.closed += 1


class FakeMaker:
    """Makes sinks; the receivers by the sinks' names."""

    def __init__(self) -> None:
        self.receivers: dict[str, FakeReceiver] = {}

    def __getitem__(self, name: str) -> FakeReceiver:
        return self.receivers.setdefault(name, FakeReceiver())

    def __call__(self, settings: AnySink, root: Path) -> FakeSink:
        return FakeSink(self[settings.name])


def message(kind: MessageKind = "inspection", **given: Any) -> OutboxMessage:
    """Return a message to a sink, of a made-up inspection whose document has ``given`` instead."""
    payload = {**inspection_document(recorded.new(1), model_name="Flange", version_number=3), **given}
    if kind != "inspection":
        payload = {"subject": "disk full", "text": "The disk is full.", **given}
    return OutboxMessage(1, uuid.uuid4().hex, "line", kind, 1, payload, datetime.now(UTC))
