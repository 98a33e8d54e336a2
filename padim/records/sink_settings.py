"""Where results are sent: the sinks of a workspace as people describe them, one YAML text for all of them.

A value may take parts from the environment, ``${NAME}``; secrets should. Values are kept as written, and
replaced when a sink is opened, so that no secret is shown, copied or written anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator

from padim.errors import PadimError
from padim.records.sink_parts import (
    ChallengeSettings,
    Given,
    MqttTriggerSettings,
    SinkFilter,
    SinkPart,
    TriggerSettings,
)
from padim.text import clipped
from padim.yaml_text import parse_yaml

__all__ = [
    "AnySink",
    "CsvDropSettings",
    "ModbusSettings",
    "MqttSettings",
    "OpcuaSettings",
    "SinkConfiguration",
    "SinkFilter",
    "SinkSettings",
    "WebhookSettings",
]

# Shown instead of a secret that is written out.
HIDDEN = "••••••••"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRETS = frozenset({"password", "secret", "headers", "key_password"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_NAME = r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,62}$"

Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=600)]
Text = Annotated[str, Field(max_length=2_000)]
SinkT = TypeVar("SinkT", bound="SinkSettings")


class SinkSettings(SinkPart):
    """What all kinds of sinks have.

    Attributes:
        name: unique among the sinks, in any case of letters.
        enabled: whether it gets messages; those that wait already stay when it is switched off.
        filter: which inspections it gets.
        alarms: whether it gets alarms, such as "the disk is full".
        timeout: how long one delivery may take, in seconds.
    """

    name: Annotated[str, Field(pattern=_NAME)]
    enabled: bool = True
    filter: SinkFilter = SinkFilter()
    alarms: bool = True
    timeout: Seconds = 10.0

    @property
    def where(self) -> str:
        """The receiver in a few words, without secrets."""
        raise NotImplementedError

    @property
    def listens(self) -> bool:
        """Whether the sink itself is a server, which one program at a time can be."""
        return False

    def resolved(self, environment: Mapping[str, str] | None = None) -> Self:
        """Return a copy in which ``${NAME}`` is replaced by the variable's value.

        Raises:
            PadimError: a variable is not set, or a value is not allowed.
        """
        values = os.environ if environment is None else environment

        def replaced(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise PadimError(
                    f"sink “{self.name}”: the environment variable {match[1]} is not set; set it for the "
                    "program that delivers, or write the value into the file of sinks"
                )
            return values[match[1]]

        return _checked(
            type(self), _each_text(self._as_written(), lambda text: _VARIABLE.sub(replaced, text))
        )

    def shown(self) -> dict[str, Any]:
        """Return what is set as plain JSON, without secrets; ``${NAME}`` is shown as it is."""
        return {
            key: _each_text(value, _concealed) if key in _SECRETS else value
            for key, value in self._as_written().items()
        }

    def with_secrets_of(self, before: SinkSettings | None) -> Self:
        """Return a copy in which secrets that are hidden (:meth:`shown`) are those of ``before``."""
        if before is None or type(before) is not type(self):
            return self
        mine, former = self._as_written(), before._as_written()
        for key in _SECRETS & mine.keys():
            mine[key] = _unconcealed(mine[key], former.get(key))
        return _checked(type(self), mine)

    def _as_written(self) -> dict[str, Any]:
        """Return what differs from the defaults, with secrets, in the order of the fields."""
        plain = self.model_dump(mode="json", exclude_defaults=True)
        kind = {"kind": getattr(self, "kind", "")}
        for key in _SECRETS & plain.keys():
            plain[key] = _revealed(getattr(self, key))
        return {
            "name": self.name,
            **kind,
            **{key: plain[key] for key in plain if key not in ("name", "kind")},
        }


class MqttSettings(SinkSettings):
    """A topic of an MQTT broker, published with quality of service 1.

    Attributes:
        host, port: the broker; default port 1883, with TLS 8883.
        topic: of inspections; ``{model_id}``, ``{model}``, ``{part_number}``, ``{station}`` and
            ``{verdict}`` are replaced.
        alarm_topic: of alarms.
        status_topic: of the retained state of the connection, "online" or "offline"; empty: none.
        username, password: empty: without.
        version: of the protocol. Only 5 says why a message was refused.
        client_id: default: made of the workspace and the sink.
        tls: whether the connection is encrypted.
        ca_file: certificates that the broker's is checked against; default: those of the system.
        cert_file, key_file: the client's own certificate, if the broker wants one.
        retain: whether the broker keeps the last message of each topic.
        keepalive: seconds after which the broker notices that the connection is gone, at most twice.
        trigger: images that others may have inspected by a message; none: nobody may.
    """

    kind: Literal["mqtt"] = "mqtt"
    host: Given
    port: Port | None = None
    topic: Given = "padim/inspections"
    alarm_topic: Given = "padim/alarms"
    status_topic: Text = "padim/status"
    username: Text = ""
    password: SecretStr = SecretStr("")
    version: Literal["3.1.1", "5"] = "5"
    client_id: Text = ""
    tls: bool = False
    ca_file: Text = ""
    cert_file: Text = ""
    key_file: Text = ""
    retain: bool = False
    keepalive: Annotated[int, Field(ge=5, le=3_600)] = 30
    trigger: MqttTriggerSettings | None = None

    @property
    def where(self) -> str:
        scheme = "mqtts" if self.tls else "mqtt"
        return f"{scheme}://{self.host}:{self.port or (8883 if self.tls else 1883)} {self.topic}"


class WebhookSettings(SinkSettings):
    """An address that each message is posted to as JSON.

    Attributes:
        url: begins with ``http://`` or ``https://``.
        secret: signs messages, see the guide to sinks; empty: unsigned.
        headers: further headers, such as ``Authorization``; treated as secrets.
        ca_file: certificates that the server's is checked against; default: those of the system.
    """

    kind: Literal["webhook"] = "webhook"
    url: Annotated[str, Field(pattern=r"^(https?://[^/@?]+([/?]|$)|\$\{)", max_length=2_000)]
    secret: SecretStr = SecretStr("")
    headers: Annotated[dict[Given, SecretStr], Field(default_factory=dict)]
    ca_file: Text = ""

    @property
    def where(self) -> str:
        # What follows "?" may be a token; the path before it names the receiver.
        return self.url.partition("?")[0]


class CsvDropSettings(SinkSettings):
    """A folder that gets a CSV file a day, or one for each inspection.

    Attributes:
        folder: must exist: a share that is gone is not replaced by a folder of the same name.
        per: a file a day to which lines are appended, or a file for each inspection.
        prefix: how the files' names begin.
        form: "comma" with decimal points, or "semicolon" with decimal commas.
    """

    kind: Literal["csv"] = "csv"
    folder: Given
    per: Literal["day", "inspection"] = "day"
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9 _.\-]{1,60}$")] = "inspections"
    form: Literal["comma", "semicolon"] = "comma"

    @property
    def where(self) -> str:
        return self.folder


class OpcuaSettings(SinkSettings):
    """An OPC UA server that has the last result, counters, recipe, state and heartbeat.

    Attributes:
        host, port: where it listens; default: this computer only.
        username, password: empty: without users.
        security: whether clients must sign and encrypt.
        cert_file, key_file: the server's certificate and key; empty: made at first start.
        acknowledge: whether a client has to acknowledge each result before the next one is shown.
        challenge: which inspections are of challenge parts.
        trigger: images that clients may have inspected; none: they may not.
    """

    kind: Literal["opcua"] = "opcua"
    host: Given = "127.0.0.1"
    port: Port = 4840
    username: Text = ""
    password: SecretStr = SecretStr("")
    security: Literal["none", "sign_and_encrypt"] = "none"
    cert_file: Text = ""
    key_file: Text = ""
    acknowledge: bool = False
    challenge: ChallengeSettings = ChallengeSettings()
    trigger: TriggerSettings | None = None

    @model_validator(mode="after")
    def _others_need_a_password(self) -> Self:
        if self.trigger is not None and not self.username and self.host not in _LOOPBACK:
            raise ValueError("clients on other computers may trigger only with username and password")
        return self

    @property
    def listens(self) -> bool:
        return True

    @property
    def where(self) -> str:
        return f"opc.tcp://{self.host}:{self.port}"


class ModbusSettings(SinkSettings):
    """Registers of Modbus TCP: written to a controller, or served for a controller to read.

    Attributes:
        role: "client" writes to the controller at ``host``; "server" listens there for one that reads.
        host, port: the controller, or where it listens.
        unit: the unit's number.
        first_register: address of a controller's first register, counted from 0; ours begin at 0.
        word_order: which word of a 32-bit value comes first: "big" the more significant one.
        acknowledge: whether the controller has to acknowledge each result before the next one is shown.
        challenge: which inspections are of challenge parts.
    """

    kind: Literal["modbus"] = "modbus"
    role: Literal["client", "server"] = "client"
    host: Given = "127.0.0.1"
    port: Port = 502
    unit: Annotated[int, Field(ge=0, le=247)] = 1
    first_register: Annotated[int, Field(ge=0, le=65_000)] = 0
    word_order: Literal["big", "little"] = "big"
    acknowledge: bool = False
    challenge: ChallengeSettings = ChallengeSettings()

    @property
    def listens(self) -> bool:
        return self.role == "server"

    @property
    def where(self) -> str:
        return f"modbus://{self.host}:{self.port} ({self.role})"


AnySink = Annotated[
    MqttSettings | WebhookSettings | CsvDropSettings | OpcuaSettings | ModbusSettings,
    Field(discriminator="kind"),
]


class SinkConfiguration(SinkPart):
    """All sinks of a workspace, in the order of the file."""

    sinks: tuple[AnySink, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen: dict[str, str] = {}
        for sink in self.sinks:
            key = sink.name.casefold()
            if key in seen:
                raise ValueError(f"two sinks are called “{sink.name}”; give each its own name")
            seen[key] = sink.name
        return self

    @classmethod
    def from_yaml(cls, text: str) -> SinkConfiguration:
        """Return the sinks of a YAML text; an empty text has none.

        Raises:
            PadimError: it is not valid; the message names the sink, the key and what is allowed.
        """
        data = parse_yaml(text, "the file of sinks")
        if data is None:
            return cls()
        if not isinstance(data, dict):
            raise PadimError("the file of sinks must have the key 'sinks', with a list of sinks")
        if data.get("sinks") is None:
            data = {**data, "sinks": []}
        return _checked(cls, data)

    def to_yaml(self) -> str:
        """Return the sinks as YAML, with secrets as they are written: for the file only."""
        return _yaml({"sinks": [sink._as_written() for sink in self.sinks]})

    def shown(self) -> str:
        """Return the sinks as YAML without secrets."""
        return _yaml({"sinks": [sink.shown() for sink in self.sinks]})

    def with_secrets_of(self, before: SinkConfiguration) -> SinkConfiguration:
        """Return a copy in which hidden secrets are those of the sink of the same name before."""
        return SinkConfiguration(
            sinks=tuple(sink.with_secrets_of(before.named(sink.name)) for sink in self.sinks)
        )

    def named(self, name: str) -> AnySink | None:
        """Return the sink of a name, in any case of letters; None if there is none."""
        return next((sink for sink in self.sinks if sink.name.casefold() == name.casefold()), None)

    def with_sink(self, sink: AnySink, instead_of: str | None = None) -> SinkConfiguration:
        """Return a copy with a sink added, or put in the place of another.

        Args:
            sink: the sink.
            instead_of: the name of the sink that it replaces; default: its own.

        Raises:
            PadimError: another sink has its name.
        """
        former = self.named(instead_of or sink.name)
        sinks = [sink if one is former else one for one in self.sinks]
        return _checked(type(self), {"sinks": sinks if former is not None else [*sinks, sink]})

    def without(self, name: str) -> SinkConfiguration:
        """Return a copy without the sink of a name."""
        former = self.named(name)
        return SinkConfiguration(sinks=tuple(one for one in self.sinks if one is not former))


PartT = TypeVar("PartT", bound=SinkPart)


def sink_of(values: Mapping[str, Any]) -> AnySink:
    """Return a sink from plain values with the key ``kind``, as from a form.

    Raises:
        PadimError: a value is not allowed; the message names the key.
    """
    return _checked(SinkConfiguration, {"sinks": [dict(values)]}).sinks[0]


def _checked(kind: type[PartT], data: dict[str, Any]) -> PartT:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise PadimError(_sentence(error, data)) from error


def _sentence(error: ValidationError, data: Mapping[str, Any]) -> str:
    """Return the first problem of a validation in one sentence, without the value, which may be secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = list(first["loc"])
    words: list[str] = []
    if len(place) > 1 and place[0] == "sinks" and isinstance(place[1], int):
        given = data["sinks"][place[1]]
        name = given.get("name") if isinstance(given, Mapping) else getattr(given, "name", None)
        words.append(f"sink “{clipped(str(name), 80)}”" if name else f"sink {place[1] + 1}")
        place = place[3:] if len(place) > 2 else []  # the kind stands between the two
    elif "name" in data:
        words.append(f"sink “{clipped(str(data['name']), 80)}”")
    if place:
        words.append(".".join(str(part) for part in place))
    what = "must be given" if first["type"] == "missing" else _plainly(first["msg"])
    if first["type"] == "union_tag_not_found":
        what = "has no kind; say one of mqtt, webhook, csv, opcua, modbus"
    elif first["type"] == "union_tag_invalid":
        what = f"kind must be one of {first['ctx']['expected_tags']}"
    elif first["type"] == "string_type":
        what = "must be text; put it in quotes, as 12, on and off are no text in YAML"
    elif first["type"] == "string_pattern_mismatch" and place == ["name"]:
        what = "use letters, digits, spaces, dots, - and _ (at most 63), and begin with a letter or digit"
    elif first["type"] == "string_pattern_mismatch" and place == ["url"]:
        what = "must begin with http:// or https:// and a host; a password belongs into headers"
    return ": ".join([*words, what])


def _plainly(message: str) -> str:
    """Return a validation's message in words of YAML."""
    said = message.removeprefix("Value error, ").replace("valid tuple", "list")
    said = said.replace("valid dictionary or object to extract fields from", "mapping of keys to values")
    return said[:1].lower() + said[1:]


def _each_text(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_text(one, change) for key, one in value.items()}
    return [_each_text(one, change) for one in value] if isinstance(value, list) else value


def _revealed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _revealed(one) for key, one in value.items()}
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _concealed(text: str) -> str:
    """Return a secret as it may be shown: with nothing but names of variables."""
    return text if not text or _VARIABLE.fullmatch(text) else HIDDEN


def _unconcealed(value: Any, former: Any) -> Any:
    if isinstance(value, dict):
        there = former if isinstance(former, dict) else {}
        return {key: _unconcealed(one, there.get(key)) for key, one in value.items()}
    return (former or "") if value == HIDDEN else value


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
