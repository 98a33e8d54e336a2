"""What the form of a connection asks for each kind of sink: labels, help, and how values go in and out.

Values are keyed by their place in the file of sinks, such as ``"trigger.folder"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["FIELDS", "FILTER_FIELDS", "KINDS", "ConnectionField", "from_sink", "to_values"]

InputKind = Literal["text", "secret", "number", "whole", "switch", "choice", "lines", "several"]
# Where a field is shown: at once, or in one of the parts that open.
FieldGroup = Literal["main", "trigger", "challenge", "filter", "more"]

KINDS: Mapping[str, str] = {
    "mqtt": "MQTT broker",
    "webhook": "Webhook",
    "csv": "CSV files",
    "opcua": "OPC UA server",
    "modbus": "Modbus TCP",
}


@dataclass(frozen=True)
class ConnectionField:
    """One field of the form.

    Attributes:
        key: its place in the file of sinks.
        label: its label, with the unit where there is one.
        kind: how it is typed.
        group: where it is shown.
        help: what it is for; empty if the label says it.
        placeholder: what is shown while it is empty.
        options: its values with their labels, for choices.
    """

    key: str
    label: str
    kind: InputKind = "text"
    group: FieldGroup = "main"
    help: str = ""
    placeholder: str = ""
    options: tuple[tuple[str, str], ...] = ()


_ADDRESS = (
    ConnectionField("host", "Host", placeholder="192.0.2.10"),
    ConnectionField("port", "Port", "whole", placeholder="1883, encrypted 8883"),
)
_LISTENS = (
    ConnectionField(
        "host",
        "Listens on",
        help="127.0.0.1: this computer only. 0.0.0.0: also others of the network, which a firewall may stop.",
    ),
    ConnectionField("port", "Port", "whole"),
)
_USER = (
    ConnectionField("username", "User name", placeholder="None"),
    ConnectionField(
        "password",
        "Password",
        "secret",
        help="Kept in the file of sinks, readable by this server alone; or ${SINK_PASSWORD}, from the "
        "environment of the server.",
    ),
)
_CERTIFICATES = (
    ConnectionField(
        "cert_file", "Certificate file", group="more", help="On the server, below a folder open to the app."
    ),
    ConnectionField("key_file", "Key file", group="more", help="Of the certificate."),
)
_CA = ConnectionField(
    "ca_file",
    "Trusted certificates",
    group="more",
    help="File that the receiver's certificate is checked against. Empty: those of the system.",
)
_TIMEOUT = ConnectionField("timeout", "One delivery takes at most, in seconds", "number", "more")
_ALARMS = ConnectionField("alarms", "Send alarms too", "switch", "more", help="Such as a full disk.")
_CHALLENGE = (
    ConnectionField(
        "challenge.serials",
        "Serial numbers of challenge parts",
        group="challenge",
        placeholder="CHALLENGE-*",
        help="Known defects that the station must reject now and then; * stands for any characters. They are "
        "not counted as production.",
    ),
    ConnectionField("challenge.hours", "Due again after, in hours", "number", "challenge"),
)
_ACKNOWLEDGE = ConnectionField(
    "acknowledge",
    "The controller acknowledges each result",
    "switch",
    help="The next result is shown when the controller has written back the number of this one, so that it "
    "misses none.",
)
_TRIGGER = (
    ConnectionField(
        "trigger.folder",
        "Folder of the images",
        group="trigger",
        help="Only files below it are read. On the server, below a folder open to the app. Empty: none.",
        placeholder="No trigger",
    ),
    ConnectionField(
        "trigger.target",
        "Inspected by",
        group="trigger",
        help="Name or id of a model, or a part number. Empty: the model of the part number in the request.",
        placeholder="The model of the part number in the request",
    ),
    ConnectionField("trigger.station", "Station", group="trigger", help="Where the request names none."),
    ConnectionField("trigger.megabytes", "Largest file, in MB", "number", "trigger"),
)

FIELDS: Mapping[str, Sequence[ConnectionField]] = {
    "mqtt": (
        *_ADDRESS,
        ConnectionField(
            "topic",
            "Topic",
            help="{model_id}, {model}, {part_number}, {station} and {verdict} are replaced.",
        ),
        ConnectionField("tls", "Encrypted (TLS)", "switch"),
        *_USER,
        *_TRIGGER,
        ConnectionField("trigger.topic", "Topic of requests", group="trigger"),
        ConnectionField("trigger.answer_topic", "Topic of answers", group="trigger"),
        ConnectionField("alarm_topic", "Topic of alarms", group="more"),
        ConnectionField(
            "status_topic",
            "Topic of the state",
            group="more",
            help="Has “online” or “offline”, kept by the broker. Empty: none.",
        ),
        ConnectionField(
            "version", "Version of MQTT", "choice", "more", options=(("5", "5"), ("3.1.1", "3.1.1"))
        ),
        ConnectionField("client_id", "Client id", group="more", placeholder="Made by the app"),
        ConnectionField("keepalive", "Keep-alive, in seconds", "whole", "more"),
        ConnectionField("retain", "The broker keeps the last result", "switch", "more"),
        _CA,
        *_CERTIFICATES,
        _ALARMS,
        _TIMEOUT,
    ),
    "webhook": (
        ConnectionField("url", "Address", placeholder="https://mes.example/inspections"),
        ConnectionField("secret", "Secret that signs messages", "secret", help="Empty: they are not signed."),
        ConnectionField(
            "headers",
            "Further headers",
            "lines",
            "more",
            help="One a line, such as “Authorization: Bearer ${SINK_TOKEN}”. Treated as secrets.",
        ),
        _CA,
        _ALARMS,
        _TIMEOUT,
    ),
    "csv": (
        ConnectionField(
            "folder",
            "Folder",
            help="On the server, below a folder open to the app; it must exist.",
        ),
        ConnectionField(
            "per",
            "Files",
            "choice",
            options=(("day", "One a day"), ("inspection", "One for each inspection")),
        ),
        ConnectionField("prefix", "Names begin with", group="more"),
        ConnectionField(
            "form",
            "Between cells",
            "choice",
            "more",
            options=(("comma", "commas, decimal points"), ("semicolon", "semicolons, decimal commas")),
        ),
        _ALARMS,
        _TIMEOUT,
    ),
    "opcua": (
        *_LISTENS,
        *_USER,
        ConnectionField(
            "security",
            "Security",
            "choice",
            options=(("none", "None"), ("sign_and_encrypt", "Signed and encrypted")),
        ),
        _ACKNOWLEDGE,
        *_TRIGGER,
        *_CHALLENGE,
        *_CERTIFICATES,
        _ALARMS,
        _TIMEOUT,
    ),
    "modbus": (
        ConnectionField(
            "role",
            "The controller",
            "choice",
            options=(("client", "gets results written to its registers"), ("server", "reads them here")),
        ),
        ConnectionField(
            "host",
            "Host",
            help="The controller; or where this server listens: 127.0.0.1 for this computer only, 0.0.0.0 "
            "for others too.",
        ),
        ConnectionField("port", "Port", "whole"),
        ConnectionField("unit", "Unit", "whole", help="The controller's device number."),
        ConnectionField(
            "first_register", "First register", "whole", help="In the controller, counted from 0."
        ),
        _ACKNOWLEDGE,
        *_CHALLENGE,
        ConnectionField(
            "word_order",
            "32-bit values",
            "choice",
            "more",
            options=(("big", "more significant word first"), ("little", "less significant word first")),
        ),
        _ALARMS,
        _TIMEOUT,
    ),
}
FILTER_FIELDS = (
    ConnectionField(
        "filter.verdicts",
        "Verdicts",
        "several",
        "filter",
        options=(("accept", "Accept"), ("review", "Review"), ("reject", "Reject"), ("none", "None")),
        placeholder="All",
    ),
    ConnectionField("filter.models", "Models", "several", "filter", placeholder="All"),
    ConnectionField("filter.part_numbers", "Part numbers", "several", "filter", placeholder="All"),
    ConnectionField(
        "filter.sources",
        "Sources",
        "several",
        "filter",
        placeholder="All",
        options=(
            ("app", "The app"),
            ("shell", "The shell"),
            ("python", "Python"),
            ("watch", "Watched folders"),
            ("service", "The service"),
            ("trigger", "Triggers"),
        ),
    ),
)


def from_sink(shown: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the form's fields.

    Args:
        shown: a sink without secrets (:meth:`padim.records.sink_settings.SinkSettings.shown`).
        defaults: values of what it does not set, by key.
    """
    found = dict(defaults)
    for key, value in shown.items():
        if key == "headers":
            found[key] = "\n".join(f"{name}: {text}" for name, text in value.items())
        elif isinstance(value, Mapping):
            found |= {f"{key}.{name}": one for name, one in value.items()}
        else:
            found[key] = value
    return found


def to_values(kind: str, name: str, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sink as in the file of sinks from the values of the form's fields.

    Args:
        kind: the kind of sink.
        name: its name.
        typed: values by key; an empty number is not set, and without a folder there is no trigger.
    """
    found: dict[str, Any] = {"name": name.strip(), "kind": kind}
    for field in (*FIELDS[kind], *FILTER_FIELDS):
        value: Any = typed.get(field.key)
        if isinstance(value, str) and field.kind != "secret":
            value = value.strip()
        if value is None or (field.kind in ("number", "whole", "several") and value in ("", [], ())):
            continue
        if field.kind == "lines":
            value = _headers(value)
        elif field.kind == "whole":
            value = int(value)
        part, dot, inner = field.key.partition(".")
        if dot:
            found.setdefault(part, {})[inner] = list(value) if field.kind == "several" else value
        else:
            found[part] = value
    if not found.get("trigger", {}).get("folder"):
        found.pop("trigger", None)
    return found


def _headers(text: str) -> dict[str, str]:
    lines = [line.partition(":") for line in text.splitlines() if line.strip()]
    return {name.strip(): value.strip() for name, _, value in lines}
