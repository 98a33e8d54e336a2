"""A webhook against a real HTTP server that behaves, refuses, is slow, or never ends."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from padim.errors import PadimError
from padim.records.outbox import Outbox
from padim.records.sink_settings import WebhookSettings
from padim.records.sinks_file import SinksFile
from padim.service.dispatcher import SinkDispatcher
from padim.service.sink_trial import try_sink
from padim.service.sinks.base import SinkAwayError, SinkRefusedError
from padim.service.sinks.webhook import WebhookSink
from tests.service.sinking import message, record, until

Reply = Callable[[BaseHTTPRequestHandler], None]


class Receiver:
    """What has been posted, and how the next posts are answered.

    Attributes:
        posts: headers (in lower case) and body of each.
        replies: what answers the next ones; then each gets 204.
    """

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.replies: list[Reply] = []
        self.url = ""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a server for the duration of a block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
            (receiver.replies.pop(0) if receiver.replies else status(204))(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook?token=1"
        yield receiver
        server.shutdown()


def status(code: int, text: str = "", **headers: str) -> Reply:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def settings(receiver: Receiver, **given: Any) -> WebhookSettings:
    return WebhookSettings(**{"name": "line", "url": receiver.url, "timeout": 20.0, **given})


@contextmanager
def opened(one: WebhookSettings) -> Iterator[WebhookSink]:
    sink = WebhookSink(one, Path())
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def test_a_post_is_signed_as_the_guide_says() -> None:
    with (
        receiving() as receiver,
        opened(settings(receiver, secret="s3cret", headers={"X-Line": "4"})) as sink,
    ):
        one = message(name="Teil ü.png")
        sink.send(one)
        ((headers, body),) = receiver.posts
        # As a receiver would check it.
        signed = hmac.new(b"s3cret", headers["x-padim-timestamp"].encode() + b"." + body, sha256)
        assert headers["x-padim-signature"] == "v1=" + signed.hexdigest()
        assert headers["content-type"] == "application/json"
        assert headers["idempotency-key"] == headers["x-padim-message"] == one.uid
        assert (headers["x-padim-kind"], headers["x-line"]) == ("inspection", "4")
        assert json.loads(body) == one.document()
        assert json.loads(body)["inspection"]["name"] == "Teil ü.png"


@pytest.mark.parametrize("code", [400, 401, 404, 410, 413, 422])
def test_what_the_receiver_does_not_take_is_refused_for_good(code: int) -> None:
    with receiving() as receiver, opened(settings(receiver)) as sink:
        receiver.replies = [status(code, "no\n such <thing>")]
        with pytest.raises(SinkRefusedError, match=f"127.0.0.1 replied {code} .*: no such <thing>"):
            sink.send(message())


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503])
def test_what_asks_to_come_later_is_away(code: int) -> None:
    with receiving() as receiver, opened(settings(receiver)) as sink:
        receiver.replies = [status(code, Retry_After="17")]
        with pytest.raises(SinkAwayError, match=f"replied {code}") as caught:
            sink.send(message())
        assert caught.value.retry_after == 17


def test_a_redirection_is_not_followed() -> None:
    with receiving() as other, receiving() as receiver, opened(settings(receiver)) as sink:
        receiver.replies = [status(307, Location=other.url)]
        with pytest.raises(SinkRefusedError, match="it sends messages on to"):
            sink.send(message())
        assert other.posts == []


def test_a_receiver_that_is_slow_is_away_and_one_that_never_ends_is_not_waited_for() -> None:
    release = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        release.wait()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000000")
        handler.end_headers()
        handler.wfile.write(b"x" * 4096)
        handler.wfile.flush()
        release.wait()

    with receiving() as receiver, opened(settings(receiver, timeout=0.3)) as sink:
        receiver.replies = [slow, endless]
        with pytest.raises(SinkAwayError, match=r"no reply within 0\.3 seconds"):
            sink.send(message())
        sink.send(message())  # the status is all that counts
        release.set()
        assert len(receiver.posts) == 2


def test_what_waits_arrives_in_order_when_the_receiver_is_back(tmp_path: Path) -> None:
    with receiving() as receiver:
        SinksFile(tmp_path).put(settings(receiver))
        receiver.replies = [status(503), status(500), status(204), status(400, "unknown part")]
        with SinkDispatcher(tmp_path, first_pause=0.02):
            record(tmp_path, *range(4))
            until(lambda: len(receiver.posts) == 6)
            until(lambda: not Outbox(tmp_path).with_messages(["line"]))
        bodies = [json.loads(body) for _, body in receiver.posts]
        assert [one["inspection"]["name"][5:9] for one in bodies] == ["0000"] * 3 + ["0001", "0002", "0003"]
        assert len({one["message_id"] for one in bodies[:3]}) == 1
    (aside,) = Outbox(tmp_path).messages("line", refused=True)
    assert "400 Bad Request: unknown part" in aside.error


def test_a_test_message_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        receiver.replies = [status(204), status(401, "bad token")]
        assert try_sink(tmp_path, settings(receiver)).delivered
        assert (
            try_sink(tmp_path, settings(receiver)).problem == "127.0.0.1 replied 401 Unauthorized: bad token"
        )
        secret = settings(receiver, secret="${PADIM_TESTED_SECRET}")
        assert "PADIM_TESTED_SECRET is not set" in try_sink(tmp_path, secret).problem
        monkeypatch.setenv("PADIM_TESTED_SECRET", "now it is")
        assert try_sink(tmp_path, secret).delivered
        assert "x-padim-signature" in receiver.posts[-1][0]
    gone = try_sink(tmp_path, settings(receiver)).problem
    assert "refused" in gone
    assert "token" not in gone


def test_a_header_that_cannot_be_sent_is_said() -> None:
    with (
        receiving() as receiver,
        opened(settings(receiver, headers={"X": "ü"})) as sink,
        pytest.raises(PadimError, match="headers are not usable"),
    ):
        sink.send(message())
