"""A Modbus TCP server whose registers show the state of a line, for controllers that poll."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from padim.errors import PadimError
from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.line_state import LineState
from padim.service.sinks.loop_thread import LoopThread, free_port
from padim.service.sinks.register_map import (
    ACKNOWLEDGED,
    N_REGISTERS,
    WordOrder,
    registers_of,
    short_sequence,
)

__all__ = ["ModbusServer", "ModbusServerOptions"]

_START_SECONDS = 20.0


@dataclass(frozen=True)
class ModbusServerOptions:
    """Where the server listens, and how it writes 32-bit values.

    Attributes:
        host, port: its address; port 0: any that is free.
        order: which word of a 32-bit value comes first.
        challenges: which inspections are of challenge parts.
    """

    host: str = "127.0.0.1"
    port: int = 5020
    order: WordOrder = "big"
    challenges: ChallengeSettings = field(default_factory=ChallengeSettings)


class ModbusServer:
    """The server; it runs in a thread of its own between :meth:`start` and :meth:`stop`.

    The registers can be read as holding registers (function 3) and as input registers (function 4), of any
    device number. None can be written but the acknowledged sequence number.

    Args:
        options: where it listens.
    """

    def __init__(self, options: ModbusServerOptions) -> None:
        self._options = options
        self._thread: LoopThread | None = None
        self._server: ModbusTcpServer | None = None
        self._state = LineState()
        self._acknowledged = 0
        self._started = 0.0
        self.port = options.port

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def start(self, state: LineState | None = None) -> None:
        """Listen, and show a state; returns when controllers can connect.

        Raises:
            PadimError: it cannot listen there; the message says why.
        """
        self._state = state or LineState()
        self._started = time.monotonic()
        self._thread = LoopThread("modbus-server")
        try:
            self._thread.run(self._start(), _START_SECONDS)
        except (OSError, RuntimeError, TimeoutError) as error:
            self.stop()
            raise PadimError(
                f"the Modbus server cannot listen on {self._options.host}:{self._options.port} "
                f"({error}); choose a port that no other program uses (below 1024 needs a privilege)"
            ) from error

    def stop(self) -> None:
        """Disconnect controllers and stop listening; calling it again does nothing."""
        thread, server = self._thread, self._server
        self._thread = self._server = None
        if thread is None:
            return
        try:
            if server is not None:
                thread.run(server.shutdown(), _START_SECONDS)
        finally:
            thread.stop()

    def show(self, state: LineState) -> None:
        """Show a state from the next reading on.

        Raises:
            PadimError: the server does not run.
        """
        if self._server is None:
            raise PadimError("the Modbus server does not run")
        self._state = state  # one assignment, so that a reading sees one state whole

    def is_acknowledged(self, state: LineState) -> bool:
        """Return whether a controller has acknowledged the last result of a state."""
        return self._acknowledged == short_sequence(state)

    def problem(self) -> str:
        """Return why it no longer works; empty while it does."""
        server = self._server
        return "" if server is not None and server.is_active() else "the Modbus server does not run"

    async def _start(self) -> None:
        if not self._options.port:
            self.port = free_port(self._options.host)
        registers = [
            SimData(0, values=[0] * N_REGISTERS, datatype=DataType.REGISTERS, readonly=True),
            SimData(ACKNOWLEDGED, values=[0], datatype=DataType.REGISTERS),
        ]
        device = SimDevice(0, simdata=registers, action=self._answer)
        server = ModbusTcpServer(device, address=(self._options.host, self.port))
        await server.serve_forever(background=True)
        self._server = server

    async def _answer(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Fill the registers before they are read; all of a reading come from one state."""
        if function not in (3, 4, 6, 16):
            return ExcCodes.ILLEGAL_FUNCTION
        if written is not None:
            self._acknowledged = int(written[0])
            return None
        beat = int(time.monotonic() - self._started) + 1
        registers[:N_REGISTERS] = registers_of(
            self._state, self._options.challenges, beat, self._options.order
        )
        return None
