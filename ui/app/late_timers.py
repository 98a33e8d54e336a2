"""ASGI middleware against timers that still ask for a page after the browser has gone to another one.

While a page is being left, the browser's timers go on and name the former page. Streamlit joins the requests
that wait for one run and takes the page of the last one, so that a click on another page's link is lost. It
also answers a timer that comes after the next page was drawn by a run in the name of the former page, which
drops what the widgets of the new one hold, or even leads back. So such requests never reach Streamlit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What tells which page is drawn is shorter than this; images and tables need not be looked into.
_LONGEST = 64 * 1024


class LateTimers:
    """ASGI middleware that drops requests of timers for another page than the one that was opened last."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection according to the ASGI specification."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        page = _OpenPage()

        async def receive_in_time() -> Message:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive" or not page.is_late(message.get("bytes") or b""):
                    return message

        async def noted_send(message: Message) -> None:
            if message["type"] != "websocket.send" or page.is_to_be_sent(message.get("bytes") or b""):
                await send(message)

        await self._app(scope, receive_in_time, noted_send)


class _OpenPage:
    """The page of one connection: what the browser last asked for, or the server has drawn since."""

    def __init__(self) -> None:
        self._hash = ""
        self._late_run = ""

    def is_late(self, data: bytes) -> bool:
        """Note which page a message asks for; return whether it is a timer's of another page."""
        from google.protobuf.message import DecodeError
        from streamlit.proto.BackMsg_pb2 import BackMsg

        try:
            message = BackMsg.FromString(data)
        except DecodeError:  # Streamlit says so and closes the connection
            return False
        if message.WhichOneof("type") != "rerun_script":
            return False
        asked = message.rerun_script
        if asked.is_auto_rerun:
            return bool(self._hash and asked.page_script_hash) and asked.page_script_hash != self._hash
        # Only a run of the whole page opens it; a click within a fragment may itself be late.
        if not asked.fragment_id:
            self._hash = asked.page_script_hash
        return False

    def is_to_be_sent(self, data: bytes) -> bool:
        """Note which page the server draws; return False for a run of fragments in the name of another page.

        A timer's request may have been waiting on the server when its page was left.
        """
        from google.protobuf.message import DecodeError
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        if len(data) > _LONGEST and not self._late_run:
            return True
        try:
            message = ForwardMsg.FromString(data)
        except DecodeError:
            return True
        kind, run = message.WhichOneof("type"), message.metadata.run
        # Not the start of a run, which names the main page where the browser gave the page's address alone.
        if kind == "navigation":
            self._hash = message.navigation.page_script_hash
        elif kind == "new_session" and run.fragment_ids:
            is_late = bool(self._hash) and message.new_session.page_script_hash != self._hash
            self._late_run = run.script_run_id if is_late else ""
        return not self._late_run or run.script_run_id != self._late_run
