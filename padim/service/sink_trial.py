"""Send a test message to a sink, and say what became of it."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from padim._version import __version__
from padim.errors import PadimError
from padim.records.outbox import Outbox, OutboxMessage
from padim.records.sink_settings import AnySink
from padim.service.dispatcher import is_delivered_to
from padim.service.sinks.making import make_sink
from padim.text import one_line

__all__ = ["SinkTrial", "try_sink"]

_LOOK = 0.1
_LONGEST_ERROR = 500


@dataclass(frozen=True)
class SinkTrial:
    """What became of a test message.

    Attributes:
        delivered: whether the receiver has confirmed it.
        seconds: how long that took, or how long was waited.
        problem: why it did not arrive, with the remedy as far as it is known; empty if it did.
        message_id: what the receiver has got as ``message_id``.
    """

    delivered: bool
    seconds: float
    problem: str
    message_id: str


def try_sink(root: str | Path, settings: AnySink, *, timeout: float | None = None) -> SinkTrial:
    """Send a test message, which says that it is one, past the messages that wait.

    A sink that is a server itself is asked where it runs, if a program delivers to it: its message waits for
    those before.

    Args:
        root: the workspace's folder.
        settings: the sink; it needs not be in the file of sinks yet.
        timeout: seconds until it is given up; default: the sink's, and a few more to connect.
    """
    text = f"Test message of padim {__version__}."
    began = time.monotonic()
    uid, problem = uuid.uuid4().hex, ""
    try:
        if settings.listens and is_delivered_to(root, settings.name):
            uid, problem = _through_outbox(root, settings, text, timeout or settings.timeout + 10)
        else:
            _directly(root, settings, uid, text)
    except PadimError as error:
        problem = str(error)
    except Exception as error:  # a reply that nobody has thought of must not end the page or the command
        problem = f"{type(error).__name__}: {error}"
    problem = one_line(problem, _LONGEST_ERROR)
    return SinkTrial(not problem, time.monotonic() - began, problem, uid)


def _directly(root: str | Path, settings: AnySink, uid: str, text: str) -> None:
    message = OutboxMessage(0, uid, settings.name, "test", None, {"text": text}, datetime.now(UTC))
    sink = make_sink(settings, Path(root), testing=True)
    try:
        sink.open()
        sink.send(message)
    finally:
        sink.close()


def _through_outbox(root: str | Path, settings: AnySink, text: str, timeout: float) -> tuple[str, str]:
    outbox = Outbox(root)
    uid = outbox.test(settings.name, text)
    end = time.monotonic() + timeout
    pause = threading.Event()
    while outbox.is_waiting(uid):
        if time.monotonic() > end:
            error = outbox.counts()[settings.name].last_error
            return uid, error or f"not delivered within {timeout:.0f} seconds; others wait before it"
        pause.wait(_LOOK)
    refused = outbox.messages(settings.name, refused=True, number=1000)
    return uid, next((one.error for one in refused if one.uid == uid), "")
