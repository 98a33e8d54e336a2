"""Debian's MQTT broker mosquitto, started for tests on a free port of this computer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.service.sinking import until

BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(BROKER is None, reason="Debian's mosquitto is not installed")


def free_port() -> int:
    """Return a port of this computer that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker that can be stopped and started again at the same port.

    Args:
        folder: for its settings and log.
        port: where it listens; default: a free one.
        settings: further lines of its settings.
    """

    def __init__(
        self, folder: Path, port: int | None = None, settings: str = "allow_anonymous true\n"
    ) -> None:
        self.port = port or free_port()
        self._file = folder / f"mosquitto-{self.port}.conf"
        # As root it would become a user who cannot read the folder.
        user = "user root\n"
        self._file.write_text(f"listener {self.port} 127.0.0.1\n{user}{settings}")
        self._log = self._file.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        """Start it, and wait until it listens."""
        assert BROKER is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([BROKER, "-c", str(self._file)], stdout=log, stderr=log)

        def listens() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        until(listens, "the broker")
        return self

    def stop(self) -> None:
        """Kill it, as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def broker(folder: Path, **settings: Any) -> Iterator[Mosquitto]:
    """Run a broker for the duration of a block."""
    running = Mosquitto(folder, **settings).start()
    try:
        yield running
    finally:
        running.stop()


class Subscriber:
    """A client that collects the messages of all topics, in order."""

    def __init__(self, port: int, **connect: Any) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        for name, values in connect.items():
            getattr(self._client, name)(*values)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _, __, message: self.messages.append(
            (message.topic, bytes(message.payload), message.retain)
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(60), "the broker does not answer"

    def of(self, topic: str) -> list[bytes]:
        """Return the messages of a topic."""
        return [payload for name, payload, _ in self.messages if name == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def subscriber(port: int, **connect: Any) -> Iterator[Subscriber]:
    """Subscribe for the duration of a block."""
    one = Subscriber(port, **connect)
    try:
        yield one
    finally:
        one.close()
