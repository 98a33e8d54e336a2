"""MQTT against Debian's mosquitto, and against brokers that are gone, slow or lie."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from padim.errors import PadimError
from padim.records.outbox import Outbox
from padim.records.sink_settings import MqttSettings
from padim.records.sinks_file import SinksFile
from padim.service.dispatcher import SinkDispatcher
from padim.service.sink_trial import try_sink
from padim.service.sinks.base import SinkAwayError, SinkRefusedError
from padim.service.sinks.mqtt import MqttSink, topic_of
from tests.service.certificates import certificates
from tests.service.mosquitto import Mosquitto, broker, free_port, needs_mosquitto, subscriber
from tests.service.sinking import message, record, until


def settings(port: int, **given: Any) -> MqttSettings:
    return MqttSettings(**{"name": "line", "host": "127.0.0.1", "port": port, "timeout": 20.0, **given})


@contextmanager
def opened(root: Path, one: MqttSettings) -> Iterator[MqttSink]:
    sink = MqttSink(one, root)
    try:
        sink.open()
        yield sink
    finally:
        sink.close()


@needs_mosquitto
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_message_arrives_with_its_id(tmp_path: Path, version: str) -> None:
    with broker(tmp_path) as running, subscriber(running.port) as heard:
        given = settings(running.port, version=version, topic="line/{model}/{part_number}/{verdict}")
        with opened(tmp_path, given) as sink:
            one = message(name="Teil ü.png", model_name="flange/A", part_number="")
            sink.send(one)
            topic = "line/flange_A/-/reject"
            until(lambda: heard.of(topic))
            document = json.loads(heard.of(topic)[0])
            assert document["message_id"] == one.uid
            assert document["inspection"]["name"] == "Teil ü.png"
            assert sink.health() == ""


@needs_mosquitto
def test_the_retained_status_follows_the_connection(tmp_path: Path) -> None:
    def states(got: list[bytes]) -> list[str]:
        return [json.loads(one)["state"] for one in got]

    with broker(tmp_path) as running, subscriber(running.port) as heard:
        with opened(tmp_path, settings(running.port)):
            until(lambda: heard.of("padim/status"))
        until(lambda: len(heard.of("padim/status")) == 2)
        with opened(tmp_path, settings(running.port)) as sink:
            # Who comes later sees the state, too.
            with subscriber(running.port) as late:
                until(lambda: late.messages)
                assert late.messages[0] == ("padim/status", heard.of("padim/status")[-1], True)
            # As if the power had failed: nobody says goodbye.
            assert sink._client is not None
            connection = sink._client.socket()
            assert isinstance(connection, socket.socket)
            connection.shutdown(socket.SHUT_RDWR)
            until(lambda: len(heard.of("padim/status")) == 4)
            until(sink.health)
            with pytest.raises(SinkAwayError, match="the connection is lost"):
                sink.send(message())
        assert states(heard.of("padim/status")) == ["online", "offline", "online", "offline"]


@needs_mosquitto
def test_a_test_message_disturbs_nobody(tmp_path: Path) -> None:
    with broker(tmp_path) as running, subscriber(running.port) as heard:
        with opened(tmp_path, settings(running.port)) as sink:
            trial = try_sink(tmp_path, settings(running.port, retain=True))
            assert trial.delivered, trial.problem
            until(lambda: heard.of("padim/inspections"))
            document = json.loads(heard.of("padim/inspections")[0])
            assert (document["kind"], document["message_id"]) == ("test", trial.message_id)
            assert sink.health() == ""
            assert len(heard.of("padim/status")) == 1
        with subscriber(running.port) as late:
            until(lambda: late.messages)
            assert {topic for topic, _, _ in late.messages} == {"padim/status"}


@needs_mosquitto
def test_a_broker_that_goes_and_comes_back_gets_everything(tmp_path: Path) -> None:
    port = free_port()
    # Each message is kept in a topic of its own, for who listens later.
    SinksFile(tmp_path).put(settings(port, topic="line/{part_number}", retain=True))
    running, got = Mosquitto(tmp_path, port), set()
    with SinkDispatcher(tmp_path, first_pause=0.02):
        for round_ in range(3):
            record(tmp_path, 2 * round_, 2 * round_ + 1)
            until(lambda round_=round_: Outbox(tmp_path).counts()["line"].failed > round_)  # type: ignore[misc]
            running.start()
            try:
                until(lambda: not Outbox(tmp_path).with_messages(["line"]))
                with subscriber(port) as heard:
                    until(lambda heard=heard: len(heard.messages) >= 3)  # type: ignore[misc]
                    texts = [text for topic, text, _ in heard.messages if topic != "padim/status"]
                    got |= {json.loads(text)["inspection"]["name"] for text in texts}
            finally:
                running.stop()
    assert got == {f"part {number:04d}.png" for number in range(6)}
    counts = Outbox(tmp_path).counts()["line"]
    assert (counts.delivered, counts.refused) == (6, 0)


@needs_mosquitto
def test_a_topic_that_may_not_be_written_to_is_refused_with_the_reason(tmp_path: Path) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic read #\ntopic write padim/status\n")
    lines = f"allow_anonymous true\nacl_file {rights}\n"
    with (
        broker(tmp_path, settings=lines) as running,
        opened(tmp_path, settings(running.port)) as sink,
        pytest.raises(SinkRefusedError, match="topic padim/inspections: the broker refused: Not authorized"),
    ):
        sink.send(message())


@needs_mosquitto
def test_users_and_certificates(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    users = tmp_path / "users"
    users.write_text("")
    subprocess.run(["mosquitto_passwd", "-b", str(users), "line", "right"], check=True)
    lines = (
        f"allow_anonymous false\npassword_file {users}\n"
        f"cafile {made.ca}\ncertfile {made.cert}\nkeyfile {made.key}\nrequire_certificate true\n"
    )
    with broker(tmp_path, settings=lines) as running:
        good = {
            "tls": True,
            "ca_file": str(made.ca),
            "cert_file": str(made.cert),
            "key_file": str(made.key),
            "username": "line",
            "password": "right",
        }
        with opened(tmp_path, settings(running.port, **good)) as sink:
            sink.send(message())
        problems = {
            "Not authorized": {"password": "wrong"},
            "CERTIFICATE_VERIFY_FAILED": {"ca_file": ""},
            "ca_file /nowhere.pem: there is no such file": {"ca_file": "/nowhere.pem"},
            "is not a PEM file with what is needed": {"ca_file": str(made.key)},
        }
        for words, wrong in problems.items():
            with (
                pytest.raises(PadimError, match=words),
                opened(tmp_path, settings(running.port, **good | wrong)),
            ):
                pass


# -- brokers that do not behave -----------------------------------------------------------------------------


@contextmanager
def pretender(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen at a port, which is yielded, and answer each connection in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):  # the client has gone
                answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def delivered(sink: MqttSink) -> None:
    sink.open()
    sink.send(message())


HELLO = bytes([0x20, 3, 0, 0, 0])


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def noise(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(os.urandom(64) + b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
    silent(connection)


def hangs_up(connection: socket.socket) -> None:
    connection.recv(4096)


def never_confirms(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(HELLO)
    silent(connection)


def confirms_another(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(HELLO)
    while connection.recv(4096):
        connection.sendall(bytes([0x40, 2, 0x7F, 0x7F]))


@pytest.mark.parametrize("answer", [silent, noise, hangs_up, never_confirms, confirms_another])
def test_nothing_counts_as_delivered_that_was_not_confirmed(
    tmp_path: Path, answer: Callable[[socket.socket], None]
) -> None:
    with pretender(answer) as port:
        sink = MqttSink(settings(port, timeout=0.3, status_topic=""), tmp_path)
        try:
            with pytest.raises(SinkAwayError, match=f"^mqtt://127.0.0.1:{port} padim/inspections: "):
                delivered(sink)
        finally:
            sink.close()


def test_placeholders_of_topics_cannot_make_other_topics() -> None:
    one = message(part_number="a/#+b", station="", model_id="m-1")
    assert topic_of("x/{part_number}/{station}/{model_id}/{other}", one) == "x/a___b/-/m-1/{other}"
