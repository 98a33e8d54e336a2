"""What the guide to PLCs says is so: its file, its keys, every node and every register."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from padim.records.sink_parts import MqttTriggerSettings
from padim.records.sink_settings import ModbusSettings, OpcuaSettings, SinkConfiguration, SinkSettings
from padim.service import triggers
from padim.service.sinks.opcua_nodes import NODES
from padim.service.sinks.register_map import ACKNOWLEDGED, REGISTERS

GUIDE = (Path(__file__).parents[2] / "docs/guides/plc.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def keys(title: str) -> set[str]:
    """What stands in code in the first column of the first table of a section."""
    table = section(title).partition("| key |")[2].partition("\n\n")[0]
    first = re.findall(r"^\| ([^|]+) \|", table, re.M)
    return {key for cell in first for key in re.findall(r"`(\w+)`", cell)}


def test_its_file_is_valid() -> None:
    found = re.search(r"```yaml\n(.*?)```", GUIDE, re.S)
    assert found
    assert [one.kind for one in SinkConfiguration.from_yaml(found[1]).sinks] == ["opcua", "modbus", "mqtt"]


@pytest.mark.parametrize(("title", "kind"), [("OPC UA", OpcuaSettings), ("Modbus TCP", ModbusSettings)])
def test_every_key_is_described_and_no_other(title: str, kind: type[SinkSettings]) -> None:
    assert keys(title) == set(kind.model_fields) - set(SinkSettings.model_fields) - {"kind"}


def test_every_key_of_triggers_and_of_requests_is_described() -> None:
    assert keys("Triggers") == set(MqttTriggerSettings.model_fields)
    request = re.search(r"```json\n(.*?)```", GUIDE, re.S)
    assert request
    assert set(json.loads(request[1])) == set(triggers._KEYS)


def test_every_node_and_register_is_as_described() -> None:
    for node in NODES:
        assert f"| `{node.path}` | {node.type} | {node.meaning} |\n" in GUIDE
    for one in REGISTERS:
        assert f"| {one.address} | {one.words} | {one.type} | {one.name} | {one.meaning} |\n" in GUIDE
    assert f"| {ACKNOWLEDGED} | 1 | uint16 | acknowledged |" in GUIDE
