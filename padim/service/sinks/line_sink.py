"""A sink that shows the state of the line to a controller: what OPC UA and Modbus have in common.

The state is kept in a small file, so that counters go on after a restart. It is written before it is shown,
and a message that comes again after a kill finds itself counted.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.base import SinkBusyError
from padim.service.sinks.line_state import LineState
from padim.storage.atomic import write_atomic
from padim.text import one_line

if TYPE_CHECKING:
    from padim.records.outbox import OutboxMessage

__all__ = ["LineDisplay", "LineSink", "line_file"]

_LOGGER = logging.getLogger(__name__)
_LOOK_SECONDS = 0.02


class LineDisplay(Protocol):
    """What shows a state: a server that controllers read, or a connection to a controller."""

    def start(self, state: LineState) -> None:
        """Listen or connect, and show a state."""

    def stop(self) -> None:
        """End; calling it again does nothing."""

    def show(self, state: LineState) -> None:
        """Show a state."""

    def is_acknowledged(self, state: LineState) -> bool:
        """Return whether the controller says that it has taken the last result of a state."""

    def problem(self) -> str:
        """Return why it does not work; empty while it does."""


class LineSink:
    """Shows each message's state on a display, and waits for the controller if it acknowledges results.

    Args:
        display: what shows it.
        file: where the state is kept; None: nowhere.
        challenges: which inspections are of challenge parts.
        acknowledge: whether the controller acknowledges each result before the next one is shown.
        seconds: how long one delivery waits for that.
    """

    def __init__(
        self,
        display: LineDisplay,
        file: Path | None,
        challenges: ChallengeSettings,
        *,
        acknowledge: bool = False,
        seconds: float = 10.0,
    ) -> None:
        self._display = display
        self._file = file
        self._challenges = challenges
        self._acknowledge, self._seconds = acknowledge, seconds
        self._state = LineState()
        self._closing = threading.Event()

    def open(self) -> None:
        """Show the state as it was left."""
        self._closing.clear()
        self._state = _kept(self._file)
        self._display.start(self._state)

    def send(self, message: OutboxMessage) -> None:
        """Count a message and show it.

        Raises:
            SinkBusyError: the controller has not acknowledged it yet.
            PadimError: it cannot be shown; the message says why.
        """
        state = self._state.after(message.uid, message.kind, message.payload, self._challenges)
        if state is not self._state:
            self._keep(state)
            self._state = state
        self._display.show(state)
        if self._acknowledge and message.kind == "inspection":
            self._wait(state)

    def health(self) -> str:
        """Return why it no longer works; empty while it does."""
        return self._display.problem()

    def close(self) -> None:
        """Stop listening, or disconnect."""
        self._closing.set()
        self._display.stop()

    def _wait(self, state: LineState) -> None:
        end = time.monotonic() + self._seconds
        while not self._display.is_acknowledged(state):
            if time.monotonic() >= end or self._closing.wait(_LOOK_SECONDS):
                raise SinkBusyError(
                    f"the controller has not acknowledged result {state.sequence}; it has to write this "
                    "number whenever it is another than the one acknowledged last"
                )

    def _keep(self, state: LineState) -> None:
        if self._file is None:
            return
        try:
            write_atomic(self._file, state.model_dump_json().encode())
        except OSError as error:
            # The line goes on: a full disk costs the counters after a restart, not the result.
            _LOGGER.warning("%s: the counters cannot be kept (%s)", self._file, error)


def line_file(root: Path, name: str) -> Path:
    """Return the file that keeps the state of a sink, by its name."""
    return root / ".sinks" / f"{one_line(name, 63).casefold()}.state.json"


def _kept(file: Path | None) -> LineState:
    """Return the state in a file; a new one without a file, or if it is damaged, which costs the counters."""
    if file is None:
        return LineState()
    try:
        return LineState.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return LineState()
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        _LOGGER.warning("%s: cannot be read, counting begins anew (%s)", file, one_line(str(error), 200))
        return LineState()
