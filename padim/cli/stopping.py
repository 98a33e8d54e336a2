"""Ctrl-C and SIGTERM: the first is a request, heard between batches; the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

from padim.cli.terminal import Terminal


class Stop:
    """While it is entered, signals ask to stop; the engine asks it, as ``cancel``."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._former: dict[int, Any] = {}
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """As shells count: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.signal or signal.SIGINT)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        if not self._terminal.quiet:
            # Not through the console, which may be half way through a line of its own.
            os.write(2, b"\nstopping after this batch; once more stops at once\n")
