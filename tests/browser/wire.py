"""The line between page and server, with the server's answers held back for as long as a test wants."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.browser.looking import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocketRoute


class Wire:
    """Passes every message on; while held, those of the server wait, in their order."""

    def __init__(self, page: Page) -> None:
        """To be made before the page is opened."""
        self.page = page
        self.sent = 0
        self._held = False
        self._waiting: list[tuple[WebSocketRoute, str | bytes]] = []
        page.route_web_socket(re.compile(r"/_stcore/stream"), self._connect)

    def _connect(self, here: WebSocketRoute) -> None:
        server = here.connect_to_server()

        def outward(message: str | bytes) -> None:
            self.sent += 1
            server.send(message)

        def inward(message: str | bytes) -> None:
            if self._held:
                self._waiting.append((here, message))
            else:
                here.send(message)

        here.on_message(outward)
        server.on_message(inward)

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
