"""A browser tab without a browser: pages, clicks and uploads as a :class:`Visitor`, and the page's timers.

A page's timers ask the server again and again while it is open, so sessions without them would be a lighter
load than people are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.visitor import PATIENCE, Visitor

_FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


class Tab(Visitor):
    """One open tab; between two actions :meth:`stay` keeps its timers going.

    Attributes:
        timers: seconds between two requests, by the fragment that a timer of the page draws again.
        polls: how many requests its timers have made.
        runs: how many runs of a whole page have ended, those that the page has begun itself included.
        received: bytes of all messages.
        heard: called with every message as it came, unless None.
    """

    def __init__(
        self, url: str, page: str = "", query: str = "", heard: Callable[[bytes], None] | None = None
    ) -> None:
        self.timers: dict[str, float] = {}
        self.polls, self.runs, self.received = 0, 0, 0
        self.heard = heard
        self._due: dict[str, float] = {}
        self._drawing: dict[str, list[Any]] = {}
        self._whole = True
        super().__init__(url, page, query)

    def stay(self, seconds: float, until: Callable[[], bool] = lambda: False) -> Self:
        """Leave the page open: its timers fire, and what the server sends is read.

        Args:
            seconds: for how long.
            until: ends it earlier; asked after each message.
        """
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and not until():
            for fragment, due in list(self._due.items()):
                if due <= now:
                    # As a browser's interval, which skips what a busy page has missed.
                    self._due[fragment] = now + self.timers[fragment]
                    self._poll(fragment)
            try:
                self._read(max(0.0, min([end, *self._due.values()]) - time.monotonic()))
            except TimeoutError:
                continue
        return self

    def _poll(self, fragment: str) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash = self.query, self._hash
        state.fragment_id, state.is_auto_rerun = fragment, True
        state.widget_states.widgets.extend(self._widgets.values())
        self._socket.send(message.SerializeToString())
        self.polls += 1

    def _wait_until_drawn(self) -> None:
        # The fragment of a timer may end first, and a page may run itself again.
        runs = self.runs
        while self.runs == runs:
            self._read(PATIENCE)

    def _receive(self) -> ForwardMsg:
        return self._read(PATIENCE)

    def _read(self, timeout: float) -> ForwardMsg:
        raw = self._socket.recv(timeout=timeout)
        assert isinstance(raw, bytes)
        self.received += len(raw)
        if self.heard is not None:
            self.heard(raw)
        message = ForwardMsg()
        message.ParseFromString(raw)
        self._apply(message)
        return message

    def _apply(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.session = message.new_session.initialize.session_id or self.session
            self._whole = not message.metadata.run.fragment_ids
            if self._whole:
                self._drawing, self.timers, self._due = {}, {}, {}
        elif kind == "script_finished":
            if self._whole and message.script_finished in _FINISHED:
                self.elements = self._drawing
                self.runs += 1
        elif kind == "auto_rerun":
            timer = message.auto_rerun
            self.timers[timer.fragment_id] = timer.interval
            self._due.setdefault(timer.fragment_id, time.monotonic() + timer.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self.timers.pop(fragment, None)
                self._due.pop(fragment, None)
        elif kind == "delta" and self._whole and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            name = str(element.WhichOneof("type"))
            self._drawing.setdefault(name, []).append(getattr(element, name))
        elif kind == "navigation":
            self._hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
