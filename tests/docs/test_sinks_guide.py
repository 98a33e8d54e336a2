"""What the guide to sinks says is so: its file, its keys, its columns, its check of signatures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from padim.records.sink_settings import (
    CsvDropSettings,
    MqttSettings,
    SinkConfiguration,
    SinkSettings,
    WebhookSettings,
)
from padim.service.sinks.csv_drop import CSV_DROP_COLUMNS
from padim.service.sinks.webhook import _LATER, signature

GUIDE = (Path(__file__).parents[2] / "docs/guides/sinks.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.S)
    assert found
    return found[1]


def section(title: str) -> str:
    return GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def keys(text: str) -> set[str]:
    """What stands in code in the first column of tables."""
    first = re.findall(r"^\| ([^|]+) \|", text, re.M)
    return {key for cell in first for key in re.findall(r"`(\w+)`", cell)}


def test_its_file_is_valid() -> None:
    found = SinkConfiguration.from_yaml(block("yaml"))
    assert [sink.kind for sink in found.sinks] == ["mqtt", "webhook", "csv"]
    assert SinkConfiguration.from_yaml(found.to_yaml()) == found


@pytest.mark.parametrize(
    ("title", "kind"), [("MQTT", MqttSettings), ("Webhook", WebhookSettings), ("CSV files", CsvDropSettings)]
)
def test_every_key_is_described_and_no_other(title: str, kind: type[SinkSettings]) -> None:
    common = keys(section("The file"))
    assert common == {*SinkSettings.model_fields, "kind"}
    assert keys(section(title)) == set(kind.model_fields) - common


def test_every_column_is_described() -> None:
    named = re.findall(r"`(\w+)`", section("CSV files").partition("Columns:")[2].partition("A line")[0])
    assert tuple(named) == CSV_DROP_COLUMNS


def test_its_check_of_signatures_works() -> None:
    namespace: dict[str, Callable[..., bool]] = {}
    exec(block("python"), namespace)
    is_genuine = namespace["is_genuine"]
    body = b'{"a": "\xc3\xbc"}'
    assert is_genuine(b"secret", "17", signature("secret", 17, body), body)
    assert not is_genuine(b"secret", "18", signature("secret", 17, body), body)
    assert not is_genuine(b"other", "17", signature("secret", 17, body), body)


def test_the_statuses_that_ask_to_come_again() -> None:
    sentence = section("Webhook").partition("confirms it.")[2].partition("and everything")[0]
    assert {int(code) for code in re.findall(r"\d{3}", sentence)} == _LATER
