"""The sink that shows results in Modbus registers: a controller's, or its own that a controller reads."""

from __future__ import annotations

from pathlib import Path

from padim.records.sink_settings import ModbusSettings
from padim.service.sinks.base import SinkAwayError
from padim.service.sinks.line_sink import LineDisplay, LineSink, line_file
from padim.service.sinks.line_state import LineState
from padim.service.sinks.modbus_client import ControllerAwayError, ModbusClient, ModbusClientOptions
from padim.service.sinks.modbus_server import ModbusServer, ModbusServerOptions

__all__ = ["ModbusSink"]


class ModbusSink(LineSink):
    """Registers that are written to a controller, or served to one that reads.

    Args:
        settings: with ``${NAME}`` replaced.
        root: the workspace's folder.
        testing: whether it is opened for a test only: nothing is counted, and a controller's registers are
            read, not written.
    """

    def __init__(self, settings: ModbusSettings, root: Path, *, testing: bool = False) -> None:
        super().__init__(
            _display(settings, testing),
            None if testing else line_file(root, settings.name),
            settings.challenge,
            acknowledge=settings.acknowledge and not testing,
            seconds=settings.timeout,
        )


def _display(settings: ModbusSettings, testing: bool) -> LineDisplay:
    if settings.role == "server":
        return ModbusServer(
            ModbusServerOptions(settings.host, settings.port, settings.word_order, settings.challenge)
        )
    options = ModbusClientOptions(
        host=settings.host,
        port=settings.port,
        device=settings.unit,
        address=settings.first_register,
        order=settings.word_order,
        seconds=min(settings.timeout, 5.0),
        challenges=settings.challenge,
    )
    return _Probe(options) if testing else _Controller(options)


class _Controller(ModbusClient):
    """A controller that results are written to; its errors are those of sinks."""

    def start(self, state: LineState | None = None) -> None:
        try:
            super().start(state)
        except ControllerAwayError as error:
            raise SinkAwayError(str(error)) from error

    def show(self, state: LineState) -> None:
        try:
            super().show(state)
        except ControllerAwayError as error:
            raise SinkAwayError(str(error)) from error


class _Probe(_Controller):
    """A controller whose registers are read, to see that they are there, and not written."""

    def start(self, state: LineState | None = None) -> None:
        self.show(state or LineState())

    def show(self, state: LineState) -> None:
        try:
            self.probe()
        except ControllerAwayError as error:
            raise SinkAwayError(str(error)) from error
