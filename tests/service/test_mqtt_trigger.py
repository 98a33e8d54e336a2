"""A machine asks for inspections over MQTT, at Debian's broker."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.sink_parts import MqttTriggerSettings
from padim.records.sink_settings import MqttSettings
from padim.service.dispatcher import SinkDispatcher
from padim.service.sinks.base import SinkAwayError
from padim.service.sinks.mqtt_trigger import MqttTrigger
from tests.parts import part, png
from tests.service.conftest import Line
from tests.service.mosquitto import Mosquitto, broker, needs_mosquitto
from tests.service.sinking import sinks, until

pytestmark = needs_mosquitto


class Machine:
    """Asks, and collects what is answered."""

    def __init__(self, port: int) -> None:
        self.answers: queue.Queue[tuple[str, dict[str, Any], bytes]] = queue.Queue()
        ready: queue.Queue[None] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [("padim/answers", 1), ("machine/7", 1)]  # not the topic of requests
        )
        self._client.on_subscribe = lambda *_: ready.put(None)
        self._client.on_message = lambda _, __, message: self.answers.put(
            (
                message.topic,
                json.loads(message.payload),
                getattr(message.properties, "CorrelationData", b""),
            )
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=60)

    def ask(self, request: object, *, retain: bool = False, **properties: Any) -> None:
        text = request if isinstance(request, str | bytes) else json.dumps(request)
        given = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(given, name, value)
        self._client.publish("padim/inspect", text, qos=1, retain=retain, properties=given).wait_for_publish(
            60
        )

    def answer(self) -> tuple[str, dict[str, Any], bytes]:
        return self.answers.get(timeout=60)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with broker(tmp_path) as running:
        yield running


@pytest.fixture
def machine(mosquitto: Mosquitto) -> Iterator[Machine]:
    one = Machine(mosquitto.port)
    yield one
    one.close()


def trigger_at(port: int, root: Path, inspect: Any, **more: Any) -> MqttTrigger:
    settings = MqttSettings(
        name="Line 1", host="127.0.0.1", port=port, trigger=MqttTriggerSettings(folder=str(root)), **more
    )
    return MqttTrigger(settings, inspect, root)


def test_a_request_is_inspected_recorded_and_answered(
    line: Line, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_bytes(png(part(100, defect=True)))
    trigger = f"{{folder: {tmp_path / 'in'}, target: {line.model_id}}}"
    text = f"- {{name: Line 1, kind: mqtt, host: 127.0.0.1, port: {mosquitto.port}, trigger: {trigger}}}\n"
    machine = Machine(mosquitto.port)
    machine.ask({"path": "bad.png"}, retain=True)  # an old request, that a broker keeps
    sinks(line.root, text=text)
    with SinkDispatcher(line.root) as dispatcher:
        until(lambda: dispatcher.states().get("Line 1") == "delivering")
        request = {"path": "bad.png", "serial": "SN-1"}
        for _ in range(2):  # the same request again: the same correlation data
            while True:  # until the subscription stands
                machine.ask(request, ResponseTopic="machine/7", CorrelationData=b"\x01\x02")
                try:
                    topic, answer, correlation = machine.answers.get(timeout=2)
                    break
                except queue.Empty:
                    continue
            assert (topic, correlation) == ("machine/7", b"\x01\x02")
            assert (answer["verdict"], answer["serial"]) == ("reject", "SN-1")
        machine.ask("../bad.png")
        while (found := machine.answer())[0] == "machine/7":
            pass
        assert found[0] == "padim/answers"
        assert "not below an allowed folder" in found[1]["error"]
    machine.close()
    kept = list(InspectionRecords(line.root).iterate(InspectionQuery()))
    assert [one.uid for one in kept] == [answer["id"]]
    assert kept[0].who == "MQTT, Line 1"


def test_what_is_no_request_is_answered_and_the_next_one_is_taken(
    mosquitto: Mosquitto, machine: Machine, tmp_path: Path
) -> None:
    asked: list[Mapping[str, Any]] = []

    def inspect(request: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"verdict": "accept"}

    trigger = trigger_at(mosquitto.port, tmp_path, inspect)
    trigger.open()
    try:
        for bad, said in ((b"\xff\xfe", "UTF-8"), (b'{"path": ', "not valid"), (b"x" * 30_000, "at most")):
            machine.ask(bad)
            assert said in machine.answer()[1]["error"]
        machine.ask("  a b.png \n")
        assert machine.answer()[1] == {"verdict": "accept"}
        assert asked == [{"path": "a b.png"}]
        assert trigger.problem == ""
        mosquitto.stop()
        until(lambda: "connection of the trigger is lost" in trigger.problem)
    finally:
        trigger.close()
    with pytest.raises(SinkAwayError):
        trigger.open()


def test_requests_of_a_minute_without_the_program_are_not_lost(
    mosquitto: Mosquitto, machine: Machine, tmp_path: Path
) -> None:
    first = trigger_at(mosquitto.port, tmp_path, lambda request: dict(request))
    first.open()
    first.close()
    machine.ask({"path": "a.png", "id": "1"})
    second = trigger_at(mosquitto.port, tmp_path, lambda request: dict(request))
    second.open()
    assert machine.answer()[1]["path"] == "a.png"
    second.close()
