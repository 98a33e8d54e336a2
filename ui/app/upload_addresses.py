"""ASGI middleware by which no upload waits for ever for the addresses that its files are sent to.

Before a browser sends files it asks where to. Streamlit puts the answer into the queue of a session's
messages, and empties that queue when a run of the page begins: an answer that is not on its way by then
never comes, and files that were dropped into the page vanish unsaid. So a question that is not answered is
put again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Seconds until an unanswered question is put again; answers take milliseconds.
AGAIN_S = 1.0
# Answers name an address for each file; whatever is longer than this is something else.
_LONGEST = 4 * 1024 * 1024


class UploadAddresses:
    """ASGI middleware that repeats a browser's questions for upload addresses until they are answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection according to the ASGI specification."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        open_questions: dict[str, Message] = {}
        waiting: asyncio.Future[Message] | None = None

        async def receive_or_repeat() -> Message:
            nonlocal waiting
            if waiting is None:
                waiting = asyncio.ensure_future(receive())
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=AGAIN_S if open_questions else None)
                if not waiting.done() and open_questions:
                    # They take turns, in case several are open.
                    question = next(iter(open_questions))
                    open_questions[question] = open_questions.pop(question)
                    return open_questions[question]
            message, waiting = waiting.result(), None
            if message["type"] == "websocket.receive" and (asked := _question(message.get("bytes") or b"")):
                open_questions[asked] = message
            return message

        async def noted_send(message: Message) -> None:
            if open_questions and message["type"] == "websocket.send":
                open_questions.pop(_answered(message.get("bytes") or b""), None)
            await send(message)

        try:
            await self._app(scope, receive_or_repeat, noted_send)
        finally:
            if waiting is not None:
                waiting.cancel()


def _question(data: bytes) -> str:
    """Return the id of the question for upload addresses in a message of the browser; empty for others."""
    from google.protobuf.message import DecodeError
    from streamlit.proto.BackMsg_pb2 import BackMsg

    try:
        message = BackMsg.FromString(data)
    except DecodeError:  # Streamlit says so and closes the connection
        return ""
    if message.WhichOneof("type") != "file_urls_request":
        return ""
    return message.file_urls_request.request_id


def _answered(data: bytes) -> str:
    """Return the id of the question that a message of the server answers; empty for others."""
    from google.protobuf.message import DecodeError
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    if len(data) > _LONGEST:
        return ""
    try:
        message = ForwardMsg.FromString(data)
    except DecodeError:
        return ""
    return (
        message.file_urls_response.response_id if message.WhichOneof("type") == "file_urls_response" else ""
    )
