"""The middleware that drops what timers of a former page still ask for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from ui.app.late_timers import LateTimers


def asks(page: str, fragment: str = "", *, timer: bool = False) -> dict[str, Any]:
    """What a browser sends: for a whole page, for a fragment that was clicked, or for a timer's."""
    message = BackMsg()
    message.rerun_script.page_script_hash = page
    message.rerun_script.fragment_id = fragment
    message.rerun_script.is_auto_rerun = timer
    return {"type": "websocket.receive", "bytes": message.SerializeToString()}


def starts(page: str) -> dict[str, Any]:
    """What the server sends at the start of a run: the main page, until the script has found the page."""
    message = ForwardMsg()
    message.new_session.page_script_hash = page
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def draws(page: str) -> dict[str, Any]:
    """What the server sends when it draws a whole page."""
    message = ForwardMsg()
    message.navigation.page_script_hash = page
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def passed(*messages: dict[str, Any], scope: str = "websocket") -> list[dict[str, Any]]:
    """Let messages of both directions through, in their order; return those of the browser that arrive."""
    left, arrived = list(messages), []

    async def receive() -> Any:
        return left.pop(0) if left else {"type": "websocket.disconnect"}

    async def send(message: Any) -> None:
        pass

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            while left and left[0]["type"] == "websocket.send":
                await send(left.pop(0))
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            arrived.append(message)

    asyncio.run(LateTimers(app)({"type": scope}, receive, send))
    return arrived


def test_a_timer_of_the_page_that_is_left_is_dropped() -> None:
    late, own = asks("fit", "list", timer=True), asks("inspect", "list", timer=True)
    kept = [asks("fit"), asks("inspect"), own]
    assert passed(kept[0], late, kept[1], late, own) == [kept[0], late, kept[1], own]


def test_the_server_too_opens_pages() -> None:
    click, late = asks("fit", "button"), asks("fit", "list", timer=True)
    after = asks("calibrate", "list", timer=True)
    assert passed(asks("fit"), click, draws("calibrate"), late, after)[1:] == [click, after]


def test_a_page_opened_by_its_address_has_its_timers() -> None:
    own = asks("fit", "list", timer=True)
    assert passed(asks(""), starts("home"), draws("fit"), own) == [asks(""), own]


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([starts("home")], id="a run that starts"),
        pytest.param([asks("fit", "button")], id="a late click in a fragment"),
    ],
)
def test_what_opens_no_page_changes_nothing(between: list[dict[str, Any]]) -> None:
    own = asks("inspect", "list", timer=True)
    assert own in passed(asks("fit"), asks("inspect"), *between, own)


@pytest.mark.parametrize(
    "other",
    [
        asks("", "list", timer=True),
        {"type": "websocket.receive", "bytes": b"\xff\xff"},
        {"type": "websocket.receive", "bytes": None, "text": "words"},
        {"type": "websocket.receive", "bytes": BackMsg(stop_script=True).SerializeToString()},
    ],
)
def test_all_else_passes(other: dict[str, Any]) -> None:
    assert passed(asks("fit"), other) == [asks("fit"), other]


def test_a_connection_that_has_opened_no_page_passes_all() -> None:
    timer = asks("fit", "list", timer=True)
    assert passed(timer) == [timer]
    assert passed(asks(""), timer) == [asks(""), timer]


def test_requests_for_files_pass_untouched() -> None:
    message = {"type": "http.request", "body": b""}
    assert passed(message, scope="http") == [message]


def test_a_run_in_the_name_of_a_former_page_is_not_sent() -> None:
    def of_run(run: str, page: str = "", *fragments: str) -> dict[str, Any]:
        message = ForwardMsg()
        if page:
            message.new_session.page_script_hash = page
        else:
            message.delta.SetInParent()
        message.metadata.run.script_run_id = run
        message.metadata.run.fragment_ids.extend(fragments)
        return {"type": "websocket.send", "bytes": message.SerializeToString()}

    own = [of_run("2", "calibrate", "list"), of_run("2")]
    messages = [draws("calibrate"), of_run("1", "fit", "list"), of_run("1"), *own, of_run("1")]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    asyncio.run(LateTimers(app)({"type": "websocket"}, receive, send))
    assert sent == [draws("calibrate"), *own, of_run("1")]
