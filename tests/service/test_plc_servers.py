"""OPC UA and Modbus TCP against real clients of both protocols, on free ports."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.sync import Client
from asyncua.ua import MessageSecurityMode
from asyncua.ua.uaerrors import UaError
from pymodbus.client import ModbusTcpClient

from padim.errors import PadimError
from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.line_state import LineState
from padim.service.sinks.loop_thread import free_port
from padim.service.sinks.modbus_client import (
    ControllerAwayError,
    ControllerRefusedError,
    ModbusClient,
    ModbusClientOptions,
)
from padim.service.sinks.modbus_server import ModbusServer, ModbusServerOptions
from padim.service.sinks.opcua_nodes import NODES
from padim.service.sinks.opcua_server import NAMESPACE, OpcUaServer, OpcUaServerOptions, _Users
from padim.service.sinks.register_map import ACKNOWLEDGED, N_REGISTERS
from tests.service.test_line_state import document, read_value

STATE = LineState().after("1", "inspection", document("reject"), ChallengeSettings())


def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
    if request["path"] == "outside.png":
        raise PadimError("outside.png: not below the allowed folder")
    return {**document("reject", serial=request.get("serial", "")), "name": request["path"]}


@pytest.fixture(scope="module")
def opcua() -> Iterator[OpcUaServer]:
    server = OpcUaServer(OpcUaServerOptions(port=0, acknowledge=True), answer)
    server.start()
    yield server
    server.stop()


def node(client: Client, path: str) -> Any:
    index = client.get_namespace_index(NAMESPACE)
    assert index == 2  # as documented
    return client.get_node(f"ns={index};s=Inspection.{path}")


def test_a_client_reads_all_variables_and_is_told_of_a_result(opcua: OpcUaServer) -> None:
    told = threading.Event()
    results: list[int] = []

    class Handler:
        def datachange_notification(self, changed: Any, value: Any, data: Any) -> None:
            results.append(value)
            if value:
                told.set()

    with Client(opcua.url) as client:
        for one in NODES:
            assert node(client, one.path).read_data_type_as_variant_type().name == one.type
        subscription = client.create_subscription(20, Handler())
        subscription.subscribe_data_change(node(client, "LastResult.Sequence"))
        opcua.show(STATE)
        assert told.wait(20)
        assert results[-1] == 1
        assert node(client, "LastResult.Verdict").read_value() == "reject"
        assert node(client, "LastResult.VerdictCode").read_value() == 3
        assert node(client, "Counters.Rejected").read_value() == 1
        assert node(client, "Recipe.Model").read_value() == "Flange"
        assert node(client, "Recipe.Version").read_value() == 3
        assert json.loads(node(client, "LastResult.Document").read_value()) == STATE.last
        subscription.delete()


def test_a_client_may_write_what_is_meant_to_be_written_and_nothing_else(opcua: OpcUaServer) -> None:
    opcua.show(STATE)
    with Client(opcua.url) as client:
        for one in NODES:
            variable = node(client, one.path)
            value, kind = variable.read_value(), variable.read_data_type_as_variant_type()
            with pytest.raises(UaError, match="Bad"):
                variable.write_value(value, kind)
        acknowledged = node(client, "LastResult.Acknowledged")
        acknowledged.write_value(1, acknowledged.read_data_type_as_variant_type())
    assert opcua.is_acknowledged(STATE)


def test_the_heartbeat_beats(opcua: OpcUaServer) -> None:
    beats: list[int] = []
    twice = threading.Event()

    class Handler:
        def datachange_notification(self, changed: Any, value: Any, data: Any) -> None:
            beats.append(value)
            if len(set(beats)) >= 2:
                twice.set()

    with Client(opcua.url) as client:
        subscription = client.create_subscription(20, Handler())
        subscription.subscribe_data_change(node(client, "Status.Heartbeat"))
        assert twice.wait(20)
        subscription.delete()


def test_a_client_has_a_file_inspected_by_the_method(opcua: OpcUaServer) -> None:
    with Client(opcua.url) as client:
        trigger = node(client, "Trigger")
        found = trigger.call_method("2:Inspect", "in/a.png", "SN-9", "")
        assert found[1:] == ["reject", 3, 2.5, ""]
        refused = trigger.call_method("2:Inspect", "outside.png", "", "")
        assert refused[4] == "outside.png: not below the allowed folder"
        assert refused[2] == 0


def test_a_client_has_a_file_inspected_by_the_variable(opcua: OpcUaServer) -> None:
    answered = threading.Event()

    class Handler:
        def datachange_notification(self, changed: Any, value: Any, data: Any) -> None:
            if value:
                answered.set()

    with Client(opcua.url) as client:
        subscription = client.create_subscription(20, Handler())
        subscription.subscribe_data_change(node(client, "Trigger.Answered"))
        node(client, "Trigger.Request").write_value(json.dumps({"path": "b.png", "serial": "SN-2"}))
        assert answered.wait(20)
        found = json.loads(node(client, "Trigger.Answer").read_value())
        assert (found["name"], found["serial"], found["verdict"]) == ("b.png", "SN-2", "reject")
        subscription.delete()


def test_a_port_that_is_taken_is_said(opcua: OpcUaServer) -> None:
    with pytest.raises(PadimError, match=f"cannot listen on 127.0.0.1:{opcua.port}"):
        OpcUaServer(OpcUaServerOptions(port=opcua.port)).start()
    with pytest.raises(PadimError, match=f"cannot listen on 127.0.0.1:{opcua.port}"):
        ModbusServer(ModbusServerOptions(port=opcua.port)).start()


def test_users_and_encryption_keep_others_out(tmp_path: Path) -> None:
    options = OpcUaServerOptions(
        port=0,
        users={"plc": "s3cret"},
        security="sign_and_encrypt",
        cert_file=tmp_path / "server" / "certificate.der",
        key_file=tmp_path / "server" / "key.pem",
    )
    server = OpcUaServer(options)
    server.start(STATE)
    try:
        certificate, key = tmp_path / "client.der", tmp_path / "client.pem"
        make_certificate(certificate, key)

        def read(user: str, password: str) -> Any:
            client = Client(server.url)
            client.set_user(user)
            client.set_password(password)
            client.set_security(
                SecurityPolicyBasic256Sha256,
                str(certificate),
                str(key),
                mode=MessageSecurityMode.SignAndEncrypt,
            )
            with client:
                return node(client, "LastResult.Verdict").read_value()

        assert read("plc", "s3cret") == "reject"
        with pytest.raises(UaError):
            read("plc", "wrong")
        with pytest.raises((UaError, OSError)), Client(server.url):
            pass
        assert (tmp_path / "server" / "key.pem").stat().st_mode & 0o077 == 0
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("name", "password"), [("plc", "wrong"), ("other", ""), ("", "s3cret"), (None, None), ("plc", "")]
)
def test_nobody_else_is_let_in(name: str | None, password: str | None) -> None:
    users = _Users({"plc": "s3cret"})
    assert users.get_user(None, name, password) is None
    assert users.get_user(None, "plc", "s3cret") is not None


def make_certificate(certificate: Path, key: Path) -> None:
    import asyncio

    from asyncua.crypto.cert_gen import setup_self_signed_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    asyncio.run(
        setup_self_signed_certificate(
            key,
            certificate,
            "urn:freeopcua:client",
            "localhost",
            [ExtendedKeyUsageOID.CLIENT_AUTH],
            {"commonName": "client"},
        )
    )


@pytest.fixture
def modbus() -> Iterator[ModbusServer]:
    server = ModbusServer(ModbusServerOptions(port=0))
    server.start()
    yield server
    server.stop()


def test_a_controller_polls_the_registers(modbus: ModbusServer) -> None:
    with ModbusTcpClient("127.0.0.1", port=modbus.port) as client:
        found = client.read_holding_registers(0, count=N_REGISTERS).registers
        assert (read_value(found, "sequence"), read_value(found, "verdict")) == (0, 0)
        modbus.show(STATE)
        for read in (client.read_holding_registers, client.read_input_registers):
            found = read(0, count=N_REGISTERS, device_id=7).registers
            assert (read_value(found, "sequence"), read_value(found, "verdict")) == (1, 3)
            assert read_value(found, "serial") == "SN-1"
        assert client.read_holding_registers(1, count=2).registers == [1, 3]
        assert client.write_register(2, 1).isError()
        assert not client.write_register(ACKNOWLEDGED, 1).isError()
        assert client.read_holding_registers(N_REGISTERS, count=2).isError()
    assert modbus.is_acknowledged(STATE)


def test_a_controller_is_written_to(plc: Plc) -> None:
    client = ModbusClient(ModbusClientOptions("127.0.0.1", plc.port, address=200))
    client.start()
    try:
        client.show(STATE)
        found = plc.registers(200, N_REGISTERS)
        assert (read_value(found, "sequence"), read_value(found, "verdict")) == (1, 3)
        assert read_value(found, "id") == STATE.last["id"]
        plc.write(200 + ACKNOWLEDGED, 1)
        assert client.is_acknowledged(STATE)
        plc.wait_until(lambda: plc.registers(200, 1)[0] >= 1)  # the heartbeat
    finally:
        client.stop()


def test_a_controller_without_the_registers_refuses_and_one_that_is_gone_is_away(plc: Plc) -> None:
    client = ModbusClient(ModbusClientOptions("127.0.0.1", plc.port, address=5000))
    with pytest.raises(ControllerRefusedError, match=r"holding registers 5000 to 5089 of device 1"):
        client.show(STATE)
    client.stop()
    gone = ModbusClient(ModbusClientOptions("127.0.0.1", free_port("127.0.0.1"), seconds=0.5))
    with pytest.raises(ControllerAwayError, match="cannot be reached"):
        gone.show(STATE)
    gone.stop()


class Plc:
    """A controller with holding registers 0 to 999, made of pymodbus."""

    def __init__(self) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        from padim.service.sinks.loop_thread import LoopThread

        self.port = free_port("127.0.0.1")
        self._thread = LoopThread("plc")
        self._changed = threading.Event()

        async def changed(*_: Any) -> None:
            self._changed.set()

        async def start() -> ModbusTcpServer:
            data = [SimData(0, values=[0] * 1000, datatype=DataType.REGISTERS)]
            server = ModbusTcpServer(
                SimDevice(0, simdata=data, action=changed), address=("127.0.0.1", self.port)
            )
            await server.serve_forever(background=True)
            return server

        self._server = self._thread.run(start())

    def registers(self, address: int, count: int) -> list[int]:
        async def read() -> list[int]:
            found = await self._server.async_getValues(1, 3, address, count)
            return [int(one) for one in found]

        return self._thread.run(read())

    def write(self, address: int, value: int) -> None:
        self._thread.run(self._server.async_setValues(1, 16, address, [value]))

    def wait_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._changed.clear()
            assert self._changed.wait(20)

    def stop(self) -> None:
        self._thread.run(self._server.shutdown())
        self._thread.stop()


@pytest.fixture
def plc() -> Iterator[Plc]:
    one = Plc()
    yield one
    one.stop()
