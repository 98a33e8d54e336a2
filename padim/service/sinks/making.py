"""Make the sink of settings: which file has which kind."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from padim.errors import MissingExtraError
from padim.extras import install_command
from padim.records.sink_settings import AnySink
from padim.service.sinks.base import Sink

# Kind -> module and class; loaded when a sink of the kind is made, because each needs packages of its own.
_KINDS = {
    "mqtt": ("padim.service.sinks.mqtt_trigger", "TriggeredMqttSink"),
    "webhook": ("padim.service.sinks.webhook", "WebhookSink"),
    "csv": ("padim.service.sinks.csv_drop", "CsvDropSink"),
    "opcua": ("padim.service.sinks.opcua", "OpcuaSink"),
    "modbus": ("padim.service.sinks.modbus", "ModbusSink"),
}


def make_sink(settings: AnySink, root: Path, *, testing: bool = False) -> Sink:
    """Return the sink of settings, not yet opened.

    Args:
        settings: as they are in the file; ``${NAME}`` is replaced here.
        root: the workspace's folder.
        testing: whether it sends a test message only: it must not disturb one that delivers at the time.

    Raises:
        PadimError: a variable of the environment is not set.
        MissingExtraError: the packages of sinks are not installed.
    """
    module, name = _KINDS[settings.kind]
    try:
        kind = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "padim":
            raise
        raise MissingExtraError(
            f"sinks of the kind {settings.kind} need the package {error.name}, which is not installed; run: "
            f"{install_command('sinks')}"
        ) from error
    return cast(Sink, kind(settings.resolved(), root, testing=testing))
