"""Results on record reach controllers by the dispatcher: once each, after a restart too, in their pace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua.sync import Client
from pymodbus.client import ModbusTcpClient

from padim.errors import PadimError
from padim.records.outbox import Outbox, OutboxMessage
from padim.records.sink_settings import ModbusSettings, OpcuaSettings, sink_of
from padim.service.dispatcher import SinkDispatcher
from padim.service.sinks.base import SinkAwayError, SinkBusyError
from padim.service.sinks.line_sink import line_file
from padim.service.sinks.loop_thread import free_port
from padim.service.sinks.modbus import ModbusSink
from padim.service.sinks.opcua import OpcuaSink
from padim.service.sinks.register_map import ACKNOWLEDGED, N_REGISTERS
from tests.parts import part, png
from tests.service.conftest import Line
from tests.service.sinking import record, sinks, until
from tests.service.test_line_state import document, read_value
from tests.service.test_plc_servers import Plc, node


def message(number: int, **values: Any) -> OutboxMessage:
    return OutboxMessage(
        number, f"{number:032x}", "Line 1", "inspection", number, document(**values), datetime.now(UTC)
    )


def registers(port: int) -> list[int]:
    with ModbusTcpClient("127.0.0.1", port=port) as client:
        found = client.read_holding_registers(0, count=N_REGISTERS)
        return [] if found.isError() else list(found.registers)


@pytest.fixture
def plc() -> Iterator[Plc]:
    one = Plc()
    yield one
    one.stop()


def test_counters_go_on_after_a_restart_and_a_message_that_comes_again_is_not_counted(tmp_path: Path) -> None:
    settings = ModbusSettings(name="Line 1", role="server", port=free_port("127.0.0.1"))
    sink = ModbusSink(settings, tmp_path)
    sink.open()
    sink.send(message(1, verdict="reject"))
    sink.send(message(2))
    sink.close()
    sink = ModbusSink(settings, tmp_path)  # killed before the second was deleted from the outbox
    sink.open()
    try:
        assert sink.health() == ""
        sink.send(message(2))
        found = registers(settings.port)
        assert [read_value(found, name) for name in ("total", "rejected", "sequence")] == [2, 1, 2]
    finally:
        sink.close()
    assert sink.health()
    line_file(tmp_path, "Line 1").write_text("{damaged")
    sink.open()
    try:
        assert read_value(registers(settings.port), "sequence") == 0
    finally:
        sink.close()


def test_a_test_counts_nothing_and_writes_nothing_to_a_controller(tmp_path: Path, plc: Plc) -> None:
    settings = ModbusSettings(name="Line 1", port=plc.port)
    sink = ModbusSink(settings, tmp_path, testing=True)
    sink.open()
    sink.send(OutboxMessage(0, "a" * 32, "Line 1", "test", None, {"text": "hello"}, datetime.now(UTC)))
    sink.close()
    assert not any(plc.registers(0, N_REGISTERS))
    assert not line_file(tmp_path, "Line 1").exists()
    gone = ModbusSettings(name="Line 1", port=free_port("127.0.0.1"), timeout=0.5)
    with pytest.raises(SinkAwayError, match="cannot be reached"):
        ModbusSink(gone, tmp_path, testing=True).open()


def test_the_next_result_waits_until_the_controller_has_acknowledged(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    text = f"- {{name: Line 1, kind: modbus, role: server, port: {port}, acknowledge: true, timeout: 0.2}}\n"
    sinks(tmp_path, text=text)
    record(tmp_path, 1, 2)
    with SinkDispatcher(tmp_path, first_pause=0.01), ModbusTcpClient("127.0.0.1", port=port) as client:
        outbox = Outbox(tmp_path)

        def sequence() -> int:
            found = client.read_holding_registers(1, count=1) if client.connect() else None
            return -1 if found is None or found.isError() else found.registers[0]

        until(lambda: sequence() == 1, "the first result")
        until(lambda: "not acknowledged result 1" in outbox.counts()["Line 1"].last_error, "that it waits")
        assert sequence() == 1
        assert outbox.counts()["Line 1"].waiting == 2
        assert not client.write_register(ACKNOWLEDGED, 1).isError()  # the connection has stayed
        until(lambda: sequence() == 2, "the second result")
        client.write_register(ACKNOWLEDGED, 2)
        until(lambda: outbox.counts()["Line 1"].waiting == 0, "delivery")
    assert outbox.counts()["Line 1"].delivered == 2


def test_a_controller_that_does_not_acknowledge_is_busy_and_not_away(tmp_path: Path, plc: Plc) -> None:
    settings = ModbusSettings(name="Line 1", port=plc.port, acknowledge=True, timeout=0.05)
    sink = ModbusSink(settings, tmp_path)
    sink.open()
    with pytest.raises(SinkBusyError, match="not acknowledged result 1"):
        sink.send(message(1))
    plc.write(ACKNOWLEDGED, 1)
    sink.send(message(1))
    assert read_value(plc.registers(0, N_REGISTERS), "total") == 1
    sink.close()


def test_an_opc_ua_client_triggers_and_is_shown_the_result(line: Line, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_bytes(png(part(100, defect=True)))
    port = free_port("127.0.0.1")
    trigger = f"{{folder: {tmp_path / 'in'}, target: {line.model_id}}}"
    sinks(line.root, text=f"- {{name: Line 1, kind: opcua, port: {port}, trigger: {trigger}}}\n")
    with SinkDispatcher(line.root) as dispatcher:
        until(lambda: dispatcher.states().get("Line 1") == "delivering" and _listens(port), "the server")
        with Client(f"opc.tcp://127.0.0.1:{port}/padim/") as client:
            found = node(client, "Trigger").call_method("2:Inspect", "bad.png", "SN-9", "")
            assert found[1] == "reject"
            until(lambda: node(client, "LastResult.Id").read_value() == found[0], "the result")
            assert node(client, "LastResult.Serial").read_value() == "SN-9"
            assert node(client, "Counters.Rejected").read_value() == 1


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_who_may_trigger_from_elsewhere_needs_a_password(tmp_path: Path) -> None:
    values = {"name": "Line 1", "kind": "opcua", "host": "0.0.0.0", "trigger": {"folder": str(tmp_path)}}
    with pytest.raises(PadimError, match="only with username and password"):
        sink_of(values)
    assert isinstance(sink_of(values | {"username": "plc", "password": "${SECRET}"}), OpcuaSettings)
    with pytest.raises(PadimError, match=r"trigger.*did you mean 'folder'"):
        sink_of({"name": "a", "kind": "opcua", "trigger": {"foldr": "x"}})


def test_a_certificate_without_its_key_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.der").write_bytes(b"x")
    settings = OpcuaSettings(
        name="a",
        port=free_port("127.0.0.1"),
        security="sign_and_encrypt",
        cert_file=str(tmp_path / "mine.der"),
        key_file=str(tmp_path / "mine.pem"),
    )
    with pytest.raises(PadimError, match=r"mine\.pem: is not there, though .*mine\.der is"):
        OpcuaSink(settings, tmp_path, testing=True).open()
