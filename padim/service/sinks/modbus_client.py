"""Write the state of a line to the registers of a controller, over Modbus TCP."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from padim.errors import PadimError
from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.line_state import LineState
from padim.service.sinks.register_map import (
    ACKNOWLEDGED,
    N_REGISTERS,
    WordOrder,
    registers_of,
    short_sequence,
)

__all__ = ["ControllerAwayError", "ControllerRefusedError", "ModbusClient", "ModbusClientOptions"]

_BEAT_SECONDS = 1.0
# Heartbeat and sequence number, written last: when they change, all of the result is there.
_HEAD = 2
# Acknowledge, busy, and two of gateways: the same request may succeed later.
_FOR_NOW = (5, 6, 10, 11)


class ControllerAwayError(PadimError):
    """The controller cannot be reached, or does not answer; it is worth trying again."""


class ControllerRefusedError(PadimError):
    """The controller refuses the registers; trying again changes nothing."""


@dataclass(frozen=True)
class ModbusClientOptions:
    """Which controller is written to, and where.

    Attributes:
        host, port: its address.
        device: its device number.
        address: its holding register that takes the first value of the map.
        order: which word of a 32-bit value comes first.
        seconds: how long it may take to answer.
        challenges: which inspections are of challenge parts.
    """

    host: str
    port: int = 502
    device: int = 1
    address: int = 0
    order: WordOrder = "big"
    seconds: float = 3.0
    challenges: ChallengeSettings = field(default_factory=ChallengeSettings)


class ModbusClient:
    """A connection to one controller; between :meth:`start` and :meth:`stop` it writes a heartbeat.

    Args:
        options: which controller.
    """

    def __init__(self, options: ModbusClientOptions) -> None:
        self._options = options
        self._client = ModbusTcpClient(options.host, port=options.port, timeout=options.seconds, retries=0)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._beat = 0
        self._state = LineState()
        self._thread: threading.Thread | None = None
        self._problem = ""

    def start(self, state: LineState | None = None) -> None:
        """Connect, write a state, and write the heartbeat from then on.

        Raises:
            ControllerAwayError: the controller cannot be reached.
            ControllerRefusedError: it refuses the registers.
        """
        self.show(state or LineState())
        self._ended.clear()
        self._thread = threading.Thread(target=self._beating, name="modbus-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeat and disconnect; calling it again does nothing."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(self._options.seconds + 2 * _BEAT_SECONDS)
            self._thread = None
        with self._lock:
            self._client.close()

    def show(self, state: LineState) -> None:
        """Write a state: first the values, then heartbeat and sequence number.

        Raises:
            ControllerAwayError: the controller cannot be reached, or does not answer.
            ControllerRefusedError: it refuses the registers.
        """
        with self._lock:
            registers = registers_of(state, self._options.challenges, self._beat, self._options.order)
            self._write(_HEAD, registers[_HEAD:N_REGISTERS])
            self._write(0, registers[:_HEAD])
            self._state = state

    def problem(self) -> str:
        """Return why the heartbeat cannot be written; empty while it can."""
        return self._problem

    def probe(self) -> None:
        """Read the registers, and write nothing.

        Raises:
            ControllerAwayError, ControllerRefusedError: as of :meth:`show`.
        """
        self._read(0, N_REGISTERS)

    def is_acknowledged(self, state: LineState) -> bool:
        """Return whether the controller has acknowledged the last result of a state.

        Raises:
            ControllerAwayError, ControllerRefusedError: as of :meth:`show`.
        """
        return self._read(ACKNOWLEDGED, 1) == [short_sequence(state)]

    def _read(self, offset: int, count: int) -> list[int]:
        with self._lock:
            self._connect()
            try:
                found = self._client.read_holding_registers(
                    self._options.address + offset, count=count, device_id=self._options.device
                )
            except (ModbusException, OSError) as error:
                raise self._away(error) from error
            if found.isError():
                raise self._refused(found)
            return list(found.registers)

    def _beating(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            try:
                with self._lock:
                    self._beat = (self._beat + 1) % 65_536
                    # The challenge falls due by time alone, so the status goes with it.
                    registers = registers_of(
                        self._state, self._options.challenges, self._beat, self._options.order
                    )
                    self._write(0, registers[: _HEAD + 2])
                self._problem = ""
            except PadimError as error:
                self._problem = str(error)

    def _connect(self) -> None:
        if not self._client.connected and not self._client.connect():
            raise ControllerAwayError(f"{self._named()} cannot be reached; check its address and the network")

    def _write(self, offset: int, values: list[int]) -> None:
        self._connect()
        try:
            found = self._client.write_registers(
                self._options.address + offset, values, device_id=self._options.device
            )
        except (ModbusException, OSError) as error:
            raise self._away(error) from error
        if found.isError():
            raise self._refused(found)

    def _away(self, error: BaseException) -> ControllerAwayError:
        self._client.close()
        return ControllerAwayError(f"{self._named()} does not answer ({error})")

    def _refused(self, answer: object) -> PadimError:
        options = self._options
        code = getattr(answer, "exception_code", 0)
        if code in _FOR_NOW:
            return ControllerAwayError(f"{self._named()} is busy (Modbus exception {code})")
        return ControllerRefusedError(
            f"{self._named()} refuses holding registers {options.address} to "
            f"{options.address + N_REGISTERS - 1} of device {options.device} (Modbus exception {code}); "
            "give it these registers, or change address or device"
        )

    def _named(self) -> str:
        return f"the controller at {self._options.host}:{self._options.port}"
