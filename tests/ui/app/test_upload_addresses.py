"""The middleware that puts a question for upload addresses again until it is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from ui.app import upload_addresses
from ui.app.upload_addresses import UploadAddresses


def question(name: str) -> dict[str, Any]:
    message = BackMsg()
    message.file_urls_request.request_id = name
    return {"type": "websocket.receive", "bytes": message.SerializeToString()}


def answer(name: str) -> dict[str, Any]:
    message = ForwardMsg()
    message.file_urls_response.response_id = name
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


CLICK = {"type": "websocket.receive", "bytes": BackMsg(stop_script=True).SerializeToString()}


def conversation(browser: list[dict[str, Any]], answers: list[str]) -> list[dict[str, Any]]:
    """Return what arrives at a server that answers these questions, each when it next hears of anything.

    The browser leaves when all has been answered.
    """
    arrived: list[dict[str, Any]] = []

    async def talk() -> None:
        said, gone = asyncio.Queue[dict[str, Any]](), asyncio.Event()
        for message in browser:
            said.put_nowait(message)

        async def receive() -> Any:
            if not said.empty():
                return said.get_nowait()
            await gone.wait()
            return {"type": "websocket.disconnect"}

        async def send(message: Any) -> None:
            pass

        async def app(scope: Any, receive: Any, send: Any) -> None:
            left = list(answers)
            while (message := await receive())["type"] != "websocket.disconnect":
                arrived.append(message)
                heard = message["bytes"]
                if left and heard == question(left[0])["bytes"] and arrived.count(message) > 1:
                    await send(answer(left.pop(0)))
                if not left and said.empty():
                    gone.set()

        await UploadAddresses(app)({"type": "websocket"}, receive, send)

    asyncio.run(talk())
    return arrived


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_addresses, "AGAIN_S", 0.01)


def test_a_question_whose_answer_was_dropped_is_put_again() -> None:
    asked = question("one")
    assert conversation([asked, CLICK], ["one"]) == [asked, CLICK, asked]


def test_several_take_turns_until_each_is_answered() -> None:
    one, two = question("one"), question("two")
    arrived = conversation([one, two], ["two", "one"])
    assert arrived[:2] == [one, two]
    assert arrived.count(one) >= 2
    assert arrived.count(two) >= 2
    # Once answered, it is not put again.
    assert arrived[-1] == one


def test_an_answered_question_is_put_once() -> None:
    asked: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(await receive())
        await send(answer("one"))
        asked.append(await receive())

    messages = [question("one"), {"type": "websocket.disconnect"}]

    async def receive() -> Any:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def send(message: Any) -> None:
        pass

    asyncio.run(UploadAddresses(app)({"type": "websocket"}, receive, send))
    assert [one["type"] for one in asked] == ["websocket.receive", "websocket.disconnect"]


@pytest.mark.parametrize("data", [b"\xff\xff", None, b""])
def test_all_else_passes(data: bytes | None) -> None:
    other = {"type": "websocket.receive", "bytes": data}
    assert conversation([other], []) == [other]
