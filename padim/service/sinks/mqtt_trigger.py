"""Inspect files when a message of an MQTT topic names them, and publish the results."""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from padim.records.sink_settings import MqttSettings
from padim.service.sinks.base import SinkAwayError
from padim.service.sinks.mqtt import MqttSink, connected_client
from padim.service.triggers import FileTrigger

__all__ = ["MqttTrigger", "TriggeredMqttSink"]

# Requests that wait here; further ones are answered with an error.
_MOST_WAITING = 256
_LONGEST_REQUEST = 20_000
Inspect = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class MqttTrigger:
    """A subscription to the topic of requests, with a connection of its own.

    A request is a path, or JSON with ``path`` and the other keys that
    :class:`padim.service.triggers.FileTrigger` knows. With MQTT 5 the answer goes to the request's response
    topic with its correlation data. A request is confirmed to the broker when it has been answered: if the
    program is killed before, a broker with MQTT 5 delivers it again. Retained messages are old requests, and
    are passed over.

    Args:
        settings: the broker, with ``trigger``.
        inspect: answers a request.
        root: the workspace's folder, which the client's identity is made of.
    """

    def __init__(self, settings: MqttSettings, inspect: Inspect, root: Path) -> None:
        assert settings.trigger is not None
        self._settings, self._trigger = settings, settings.trigger
        self._inspect = inspect
        made = hashlib.sha256(f"{root.resolve()}\n{settings.name}".encode()).hexdigest()[:16]
        self._client_id = f"{settings.client_id or f'padim-{made}'}-trigger"
        self._requests: queue.Queue[MQTTMessage | None] = queue.Queue()
        self._client: Client | None = None
        self._worker: threading.Thread | None = None
        self._subscribed = threading.Event()
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why requests no longer arrive; empty while they do."""
        return self._problem

    def open(self) -> None:
        """Connect and subscribe; returns when the broker has confirmed.

        Raises:
            SinkAwayError: the broker cannot be reached, or does not allow the subscription.
        """
        self._problem = ""
        self._client = connected_client(
            self._settings,
            client_id=self._client_id,
            lasting=True,
            on_disconnect=self._on_disconnect,
            on_message=self._on_message,
            on_subscribe=self._on_subscribe,
        )
        self._worker = threading.Thread(target=self._work, name="mqtt-trigger", daemon=True)
        self._worker.start()
        self._client.subscribe(self._trigger.topic, qos=1)
        if not self._subscribed.wait(self._settings.timeout) or self._problem:
            problem = self._problem or "the broker did not confirm the subscription"
            self.close()
            raise SinkAwayError(f"trigger topic {self._trigger.topic}: {problem}")

    def close(self) -> None:
        """Answer the request that has been begun, and disconnect; calling it again does nothing."""
        client, self._client = self._client, None
        if client is None:
            return
        self._requests.put(None)
        if self._worker is not None:
            self._worker.join(self._settings.timeout)
        client.disconnect()
        client.loop_stop()

    def _on_subscribe(self, client: Client, _: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._problem = f"the broker does not allow to subscribe ({reasons[0]})"
        self._subscribed.set()

    def _on_disconnect(self, client: Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._problem = f"{self._settings.where}: the connection of the trigger is lost ({reason})"

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        if message.retain:
            client.ack(message.mid, message.qos)
        elif self._requests.qsize() >= _MOST_WAITING:
            self._answer(
                client, message, {"error": f"{_MOST_WAITING} requests wait already; ask again later"}
            )
        else:
            self._requests.put(message)

    def _work(self) -> None:
        while (message := self._requests.get()) is not None:
            client = self._client
            if client is None:
                return  # not confirmed, so that it comes again
            self._answer(client, message, self._answer_of(message))

    def _answer_of(self, message: MQTTMessage) -> Mapping[str, Any]:
        try:
            return self._inspect(_request_of(message))
        except ValueError as error:
            return {"error": str(error)}

    def _answer(self, client: Client, message: MQTTMessage, answer: Mapping[str, Any]) -> None:
        topic, properties = self._trigger.answer_topic, None
        asked = message.properties
        if self._settings.version == "5":
            properties = Properties(PacketTypes.PUBLISH)
            properties.ContentType = "application/json"
            topic = getattr(asked, "ResponseTopic", "") or topic
            if correlation := getattr(asked, "CorrelationData", b""):
                properties.CorrelationData = correlation
        text = json.dumps(answer, ensure_ascii=False, default=str)
        client.publish(topic, text.encode(), qos=1, properties=properties)
        client.ack(message.mid, message.qos)


def _request_of(message: MQTTMessage) -> dict[str, Any]:
    """Return the request in a message.

    Raises:
        ValueError: it is too long, no text, or JSON that is not valid.
    """
    if len(message.payload) > _LONGEST_REQUEST:
        raise ValueError(f"a request has at most {_LONGEST_REQUEST:,} bytes")
    try:
        text = message.payload.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError("the request is no text in UTF-8") from error
    request: dict[str, Any] = {"path": text}
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the request begins as JSON and is not valid: {error}") from error
        request = dict(found)
    correlation = getattr(message.properties, "CorrelationData", b"")
    if correlation and not request.get("id"):
        request["id"] = correlation.hex()[:200]
    return request


class TriggeredMqttSink(MqttSink):
    """A broker that results are published to and that, with ``trigger``, asks for inspections as well."""

    def __init__(self, settings: MqttSettings, root: Path, *, testing: bool = False) -> None:
        super().__init__(settings, root, testing=testing)
        self._trigger: MqttTrigger | None = None
        if settings.trigger is not None and not testing:
            inspect = FileTrigger(root, settings.trigger, who=f"MQTT, {settings.name}")
            self._trigger = MqttTrigger(settings, inspect, root)

    def open(self) -> None:
        """Connect, and subscribe to the topic of requests."""
        super().open()
        if self._trigger is not None:
            self._trigger.open()

    def health(self) -> str:
        """Return why a connection is lost; empty while they stand."""
        return super().health() or ("" if self._trigger is None else self._trigger.problem)

    def close(self) -> None:
        """Disconnect; a request that has begun is answered."""
        if self._trigger is not None:
            self._trigger.close()
        super().close()
