"""Publish messages to a topic of an MQTT broker, each confirmed by the broker before the next."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTErrorCode
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from padim.records.sink_settings import MqttSettings
from padim.service.sinks.base import SinkAwayError, SinkRefusedError
from padim.service.sinks.certificates import tls_context

if TYPE_CHECKING:
    from padim.records.outbox import OutboxMessage

__all__ = ["MqttSink", "connected_client"]

_PLACE = re.compile(r"\{(model_id|model|part_number|station|verdict)\}")
# In the value of a placeholder these would make another topic, or none that may be published to.
_NOT_IN_LEVEL = re.compile(r"[/+#\x00]")
# From here on a reason says that something failed (MQTT 5, section 2.4).
_FAILED = 0x80
# Of those, what may go well another time: no more room, or the broker is shutting down.
_LATER = frozenset({0x88, 0x89, 0x8B, 0x93, 0x96, 0x97, 0x9F})
_SESSION_SECONDS = 60
# Refused connections say in version 3.1.1 as 1 and in version 5 as 0x84 that the version is unknown.
_UNKNOWN_VERSION = "Unsupported protocol version"


class MqttSink:
    """One broker. Messages have quality of service 1: the broker confirms each, and may deliver one twice.

    While it is connected, the retained message of the status topic is "online"; the broker itself sets it to
    "offline" when the connection breaks (last will).
    """

    def __init__(self, settings: MqttSettings, root: Path, *, testing: bool = False) -> None:
        self._settings, self._testing = settings, testing
        # Always the same, so that a broker gives up a connection that has died unnoticed when this one comes:
        # its last will would otherwise be published later.
        made = hashlib.sha256(f"{root.resolve()}\n{settings.name}".encode()).hexdigest()[:16]
        self._client_id = settings.client_id or f"padim-{made}"
        self._lost = ""
        self._confirmed = threading.Condition()
        # The broker's answers to messages, by their number in the protocol.
        self._answers: dict[int, ReasonCode] = {}
        self._client: Client | None = None

    def open(self) -> None:
        """Connect to the broker, and wait until it has said yes."""
        settings = self._settings
        self._client = connected_client(
            settings,
            client_id="" if self._testing else self._client_id,
            will=None if self._testing else (settings.status_topic, self._status("offline")),
            on_disconnect=self._on_disconnect,
            on_publish=self._on_publish,
        )
        if settings.status_topic and not self._testing:
            self._publish(settings.status_topic, self._status("online"), retain=True)

    def send(self, message: OutboxMessage) -> None:
        """Publish a message and wait until the broker has confirmed it."""
        settings = self._settings
        topic = settings.topic if message.kind != "alarm" else settings.alarm_topic
        document = json.dumps(message.document(), ensure_ascii=False)
        # A message of a test is not kept: it would be the last result for everybody who comes later.
        retain = settings.retain and message.kind != "test"
        self._publish(topic_of(topic, message), document, retain=retain, uid=message.uid)

    def health(self) -> str:
        """Return why the connection is lost; empty while it stands."""
        return self._lost

    def close(self) -> None:
        """Say that the program goes, and disconnect."""
        client, self._client = self._client, None
        if client is None:
            return
        topic = self._settings.status_topic
        if topic and not self._testing and client.is_connected():
            client.publish(topic, self._status("offline"), qos=1, retain=True)
        client.disconnect()  # after what is published has been written
        client.loop_stop()

    def _publish(self, topic: str, text: str, *, retain: bool, uid: str = "") -> None:
        client = self._client
        if client is None or self._lost:
            raise SinkAwayError(self._lost or f"{self._settings.where}: not connected")
        properties = None
        if self._settings.version == "5":
            properties = Properties(PacketTypes.PUBLISH)
            properties.ContentType = "application/json"
            properties.PayloadFormatIndicator = 1
            if uid:
                properties.UserProperty = [("message_id", uid)]
        try:
            sent = client.publish(topic, text.encode(), qos=1, retain=retain, properties=properties)
        except ValueError as error:  # too long, or no topic that may be published to
            raise SinkRefusedError(f"topic {topic}: {error}") from error
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise SinkAwayError(f"{self._settings.where}: the connection is lost")
        timeout = self._settings.timeout
        with self._confirmed:
            self._confirmed.wait_for(lambda: sent.mid in self._answers or self._lost, timeout)
            answer = self._answers.pop(sent.mid, None)
        if answer is None:
            what = (
                self._lost or f"{self._settings.where}: the broker did not confirm within {timeout:g} seconds"
            )
            raise SinkAwayError(what)
        if answer.value >= _FAILED:
            text = f"topic {topic}: the broker refused: {answer}"
            raise SinkAwayError(text) if answer.value in _LATER else SinkRefusedError(text)

    def _status(self, state: str) -> str:
        return json.dumps({"state": state, "sink": self._settings.name})

    def _on_disconnect(
        self,
        client: Client,
        _: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        with self._confirmed:
            self._lost = f"{self._settings.where}: the connection is lost ({reason})"
            self._confirmed.notify_all()

    def _on_publish(
        self, client: Client, _: Any, mid: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        with self._confirmed:
            self._answers[mid] = reason
            self._confirmed.notify_all()


def topic_of(topic: str, message: OutboxMessage) -> str:
    """Return the topic of a message, with what stands in braces replaced by its values.

    An empty value becomes "-", as a level of a topic should not be empty.
    """
    values = {**message.payload, "model": message.payload.get("model_name")}

    def replaced(match: re.Match[str]) -> str:
        return _NOT_IN_LEVEL.sub("_", str(values.get(match[1]) or "-"))

    return _PLACE.sub(replaced, topic)


def connected_client(
    settings: MqttSettings,
    *,
    client_id: str = "",
    will: tuple[str, str] | None = None,
    on_disconnect: Any = None,
    on_publish: Any = None,
    on_message: Any = None,
    on_subscribe: Any = None,
    lasting: bool = False,
) -> Client:
    """Return a client that is connected to a broker; its thread runs until ``loop_stop``.

    It does not connect again by itself: whoever uses it makes another one.

    Args:
        settings: the broker.
        client_id: the client's identity; empty: made by the broker or the library.
        will: topic and text that the broker publishes, retained, when the connection breaks.
        on_disconnect, on_publish, on_message, on_subscribe: callbacks as of paho's second interface.
        lasting: whether messages to it are confirmed by whoever takes them (``ack``), and with MQTT 5 kept by
            the broker for a minute while it is away.

    Raises:
        SinkAwayError: the broker cannot be reached, does not answer in time or refuses.
        PadimError: a file of certificates is missing.
    """
    five = settings.version == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        clean_session=None if five else True,
        manual_ack=lasting,
    )
    session: dict[str, Any] = {}
    if five and lasting:
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = _SESSION_SECONDS
        session = {"clean_start": False, "properties": kept}
    if settings.username:
        client.username_pw_set(settings.username, settings.password.get_secret_value() or None)
    if settings.tls:
        client.tls_set_context(
            tls_context(settings.name, settings.ca_file, settings.cert_file, settings.key_file)
        )
    if will is not None and will[0]:
        client.will_set(*will, qos=1, retain=True)
    answered = threading.Event()
    answer: list[ReasonCode] = []

    def on_connect(
        client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        answer.append(reason)
        answered.set()

    def on_early_end(*arguments: Any) -> None:
        answered.set()

    client.on_connect, client.on_disconnect = on_connect, on_early_end
    client.on_publish, client.on_message, client.on_subscribe = on_publish, on_message, on_subscribe
    client.connect_timeout = settings.timeout
    try:
        port = settings.port or (8883 if settings.tls else 1883)
        client.connect(settings.host, port, settings.keepalive, **session)
    except ssl.SSLError as error:
        raise SinkAwayError(f"{settings.where}: {error.reason or error} (TLS)") from error
    except (OSError, ValueError) as error:
        raise SinkAwayError(f"{settings.where}: {_why(error)}") from error
    client.loop_start()
    came = answered.wait(settings.timeout)
    if came and answer and answer[0].value == 0:
        client.on_disconnect = on_disconnect
        return client
    client.disconnect()
    client.loop_stop()
    if answer:
        hint = "; set version: 3.1.1" if five and str(answer[0]) == _UNKNOWN_VERSION else ""
        raise SinkAwayError(f"{settings.where}: the broker refused the connection: {answer[0]}{hint}")
    what = (
        "ended the connection before it answered" if came else f"did not answer within {settings.timeout:g} s"
    )
    hint = "; is this an MQTT broker, and does it speak MQTT 5? otherwise set version: 3.1.1" if five else ""
    raise SinkAwayError(f"{settings.where}: the broker {what}{hint}")


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
