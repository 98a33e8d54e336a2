"""The line between page and server: a test can hold the server's answers back, or lose a run of the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.looking import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocketRoute


class Wire:
    """Passes every message on; while held, those of the server wait, in their order.

    Attributes:
        sent: number of things that the page has said.
        lost: number of runs that were lost.
        drawn: the pages that the server has drawn, as it names them, one for each whole run.
        timed: the pages for which timers have asked.
    """

    def __init__(self, page: Page) -> None:
        """To be made before the page is opened."""
        self.page = page
        self.sent = 0
        self.lost = 0
        self.drawn: list[str] = []
        self.timed: list[str] = []
        self._held = False
        self._to_lose = 0
        self._losing = False
        self._waiting: list[tuple[WebSocketRoute, str | bytes]] = []
        page.route_web_socket(re.compile(r"/_stcore/stream"), self._connect)

    def _connect(self, here: WebSocketRoute) -> None:
        server = here.connect_to_server()

        def outward(message: str | bytes) -> None:
            self.sent += 1
            asked = BackMsg.FromString(_bytes(message)).rerun_script
            if asked.is_auto_rerun:
                self.timed.append(asked.page_script_hash)
            server.send(message)

        def inward(message: str | bytes) -> None:
            told = ForwardMsg.FromString(_bytes(message))
            if told.WhichOneof("type") == "navigation":
                self.drawn.append(told.navigation.page_script_hash)
            if self._is_lost(told):
                return
            if self._held:
                self._waiting.append((here, message))
            else:
                here.send(message)

        here.on_message(outward)
        server.on_message(inward)

    def _is_lost(self, told: ForwardMsg) -> bool:
        kind = told.WhichOneof("type")
        if self._to_lose and kind == "new_session" and not told.metadata.run.fragment_ids:
            self._to_lose -= 1
            self._losing = True
        lost = self._losing
        if lost and kind == "script_finished":
            self._losing = False
            self.lost += 1
        return lost

    def lose_a_run(self) -> None:
        """Lose all messages of the next whole run; what parts of it say on their own still comes."""
        self._to_lose = 1

    def hold(self) -> None:
        """From now on the page hears nothing."""
        self._held = True

    def release(self) -> None:
        """Deliver what was held back."""
        self._held = False
        waiting, self._waiting = self._waiting, []
        for here, message in waiting:
            here.send(message)

    def wait_answered(self, sent: int) -> None:
        """Wait until the page has said so many things in all, and the server has answered since."""
        for _ in range(PATIENCE // 20):
            if self.sent >= sent:
                break
            self.page.wait_for_timeout(20)  # between two looks, not instead of one
        answers = len(self._waiting)
        for _ in range(PATIENCE // 20):
            if len(self._waiting) > answers or (answers and self.sent >= sent):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"the page said {self.sent} of {sent} things, and got {answers} answers")


def _bytes(message: str | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.encode()
