"""The sink that is an OPC UA server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from padim.records.sink_settings import OpcuaSettings
from padim.service.sinks.line_sink import LineSink, line_file
from padim.service.sinks.opcua_server import OpcUaServer, OpcUaServerOptions

__all__ = ["OpcuaSink"]

_LOGGER = logging.getLogger(__name__)


class OpcuaSink(LineSink):
    """An OPC UA server; with ``trigger``, its clients may have files inspected.

    Args:
        settings: with ``${NAME}`` replaced.
        root: the workspace's folder.
        testing: whether it is opened for a test only: nothing is counted, and there is no trigger.
    """

    def __init__(self, settings: OpcuaSettings, root: Path, *, testing: bool = False) -> None:
        folder = root / ".sinks" / "opcua"
        password = settings.password.get_secret_value()
        options = OpcUaServerOptions(
            host=settings.host,
            port=settings.port,
            security=settings.security,
            users={settings.username: password} if settings.username else {},
            cert_file=Path(settings.cert_file) if settings.cert_file else folder / "certificate.der",
            key_file=Path(settings.key_file) if settings.key_file else folder / "key.pem",
            challenges=settings.challenge,
            acknowledge=settings.acknowledge,
        )
        super().__init__(
            OpcUaServer(options, None if testing else _trigger(settings, root)),
            None if testing else line_file(root, settings.name),
            settings.challenge,
            acknowledge=settings.acknowledge and not testing,
            seconds=settings.timeout,
        )


def _trigger(settings: OpcuaSettings, root: Path) -> Callable[[Mapping[str, Any]], dict[str, Any]] | None:
    if settings.trigger is None:
        return None
    from padim.service.triggers import FileTrigger

    return FileTrigger(root, settings.trigger, who=f"OPC UA, {settings.name}")
