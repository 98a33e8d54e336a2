"""Handling of Ctrl-C and SIGTERM: the first stops after the current batch, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

from padim.cli.terminal import Terminal


class Stop:
    """A stop request set by SIGINT or SIGTERM, passed to the engine as its ``cancel`` callback.

    Signal handlers are installed while the context is entered, in the main thread only.

    Attributes:
        signal: the number of the first signal received; None before.
    """

    def __init__(self, terminal: Terminal, what: str = "stopping after this batch") -> None:
        """
        Args:
            terminal: of the command.
            what: what happens at the first signal, for people.
        """
        self._terminal, self._what = terminal, what
        self._former: dict[int, Any] = {}
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code by shell convention: 130 after Ctrl-C, 143 after SIGTERM."""
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
            # Written directly: the signal may interrupt the console while it prints a line.
            os.write(2, f"\n{self._what}; press Ctrl-C again to stop at once\n".encode())
