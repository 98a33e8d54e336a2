"""Line, Connections: added by form and as YAML, tried, switched off, removed, put back; nothing is leaked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from padim.records.outbox import Outbox
from padim.records.sink_settings import SinkConfiguration, sink_of
from padim.records.sinks_file import SinksFile
from padim.service.dispatcher import SinkDispatcher
from tests.pages.session import Session
from tests.service.sinking import record, until
from ui import connection_fields, connections
from ui.connection_fields import FIELDS, FILTER_FIELDS
from ui.views import connection_form

SECRET = "geheim-4711"


@pytest.fixture
def opened(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is open to the app."""
    folder = tmp_path / "opened"
    (folder / "drop").mkdir(parents=True)
    monkeypatch.setenv("PADIM_FOLDERS", str(folder))
    return folder


@pytest.fixture
def page(home: Path) -> Session:
    return Session("connections")


def write(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "sinks.yaml").write_text(text)


def names(home: Path) -> list[str]:
    return [one.name for one in SinksFile(home).read().sinks]


def test_one_is_added_tried_changed_removed_and_put_back(home: Path, opened: Path, page: Session) -> None:
    assert "No connections yet" in page.text
    page.set("segmented_control", "connection-kind", "csv")
    page.app.text_input(key="connection-csv-new-name").set_value("Archive")
    page.app.text_input(key="connection-csv-new-folder").set_value("drop")
    page.click("connection-csv-new-save")
    (sink,) = SinksFile(home).read().sinks
    assert (sink.name, sink.kind, sink.where) == ("Archive", "csv", str(opened / "drop"))
    assert "Nobody delivers" in page.text  # as in a process that only draws pages

    record(home, 1)
    with SinkDispatcher(home):
        until(lambda: Outbox(home).counts()["Archive"].delivered == 1)
    assert [one.name for one in (opened / "drop").iterdir()]
    page.click("connection-test-Archive")
    assert "A test message arrived in" in page.text

    page.click("connection-enable-Archive")
    assert SinksFile(home).get("Archive").enabled is False
    assert "Off" in page.text
    page.click("connection-change-Archive")
    page.app.text_input(key="connection-csv-Archive-prefix").set_value("results")
    page.click("connection-csv-Archive-save")
    changed = SinksFile(home).get("Archive")
    assert (changed.model_dump()["prefix"], changed.enabled) == ("results", False)

    page.click("connection-remove-Archive")
    assert names(home) == []
    assert "“Archive” was removed." in page.text
    page.click("connections-undo")
    assert SinksFile(home).get("Archive") == changed


def test_what_cannot_be_set_is_said_and_nothing_changes(home: Path, opened: Path, page: Session) -> None:
    page.set("segmented_control", "connection-kind", "csv")
    page.app.text_input(key="connection-csv-new-name").set_value("Archive")
    page.app.text_input(key="connection-csv-new-folder").set_value("/etc")
    page.click("connection-csv-new-save")
    assert "“/etc” is not below the folders that are open to the app (PADIM_FOLDERS)" in page.text
    assert page.app.text_input(key="connection-csv-new-name").value == "Archive"  # what was typed stays
    assert names(home) == []


def test_all_are_edited_as_yaml_and_a_file_that_is_not_valid_is_mended_there(
    home: Path, page: Session
) -> None:
    write(home, "sinks:\n- {name: Broker, kind: mqtt, hosst: a}\n")
    page.run()
    assert "did you mean 'host'?" in page.text
    area = page.app.text_area[0]
    area.set_value(str(area.value).replace("hosst", "host"))
    page.click("connections-save-yaml")
    assert names(home) == ["Broker"]


def test_secrets_are_not_shown_and_stay(home: Path, page: Session) -> None:
    text = f"- {{name: Broker, kind: mqtt, host: a, username: u, password: {SECRET}, enabled: false}}\n"
    write(home, f"sinks:\n{text}")
    page.run()
    page.click("connection-change-Broker")
    assert SECRET not in page.text + "".join(str(one.value) for one in page.app.text_input)
    page.app.text_input(key="connection-mqtt-Broker-topic").set_value("results")
    page.click("connection-mqtt-Broker-save")
    assert SECRET not in str(page.app.text_area[0].value)
    saved = SinksFile(home).get("Broker").model_dump()
    assert (saved["topic"], saved["password"].get_secret_value()) == ("results", SECRET)
    # A receiver that somebody has put in its place does not get it.
    page.click("connection-change-Broker")
    page.app.text_input(key="connection-mqtt-Broker-host").set_value("evil.example")
    page.click("connection-mqtt-Broker-save")
    assert "type its passwords and secrets anew" in page.text
    assert SinksFile(home).get("Broker").where.startswith("mqtt://a:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: a, kind: webhook, url: 'http://x/${PADIM_DATABASE_URL}'}", "is not meant for connections"),
        ("{name: a, kind: webhook, url: 'http://x', headers: {A: 'b ${HOME}'}}", "is not meant for"),
        ("{name: W, kind: webhook, url: 'http://x', headers: {A: '${HOME}'}}", "is not meant for"),
        ("{name: a, kind: mqtt, host: x, ca_file: /etc/passwd}", "not below the folders"),
        ("{name: a, kind: opcua, trigger: {folder: /etc}}", "not below the folders"),
        ("{name: a, kind: opcua, trigger: {folder: OPENED, target: /etc/model}}", "not below the folders"),
        ("{name: a, kind: csv, folder: OPENED/../..}", "not below the folders"),
    ],
)
def test_nobody_reaches_files_and_variables_by_a_connection(
    home: Path, opened: Path, text: str, said: str
) -> None:
    page = Session("connections")
    # What its operator has written into the file stays allowed, to the receiver that it was meant for.
    before = (
        "sinks:\n- {name: W, kind: webhook, url: 'http://mes', headers: {A: '${HOME}'}, enabled: false}\n"
    )
    write(home, before)
    page.run()
    page.app.text_area[0].set_value(f"sinks:\n- {text}\n".replace("OPENED", str(opened)))
    page.click("connections-save-yaml")
    assert said in page.text
    assert (home / "sinks.yaml").read_text() == before
    page.app.text_area[0].set_value(
        before + "- {name: N, kind: mqtt, host: '${SINK_HOST}', enabled: false}\n"
    )
    page.click("connections-save-yaml")
    assert names(home) == ["W", "N"]


def test_a_change_by_somebody_else_is_not_undone(home: Path, opened: Path, page: Session) -> None:
    write(home, "sinks:\n- {name: A, kind: mqtt, host: a, enabled: false}\n")
    page.run()
    page.click("connection-remove-A")
    SinksFile(home).put(sink_of({"name": "B", "kind": "mqtt", "host": "b", "enabled": False}))
    page.click("connections-undo")
    assert "Somebody has changed the connections since" in page.text
    assert names(home) == ["B"]


def test_messages_of_one_that_is_gone_and_refused_ones_are_dropped(home: Path, page: Session) -> None:
    write(home, "sinks:\n- {name: A, kind: mqtt, host: a}\n- {name: B, kind: mqtt, host: b}\n")
    record(home, 1, 2)
    outbox = Outbox(home)
    outbox.refuse(outbox.messages("A")[0], "the topic is forbidden")
    SinksFile(home).remove("B")
    page.run()
    assert "The receiver refused 1 message for good: The topic is forbidden." in page.text
    assert "It is no longer in the list of connections" in page.text
    page.click("connection-drop-now-A")
    page.click("connection-drop-now-B")
    counts = outbox.counts()
    assert (counts["A"].refused, counts["A"].waiting) == (0, 1)
    assert "B" not in counts


def test_the_form_has_every_setting_of_each_kind_and_loses_none() -> None:
    examples = json.loads(
        json.dumps(
            {
                "mqtt": {
                    "host": "h",
                    "topic": "t/{station}",
                    "trigger": {"folder": "/in", "target": "Flange", "topic": "ask"},
                    "filter": {"verdicts": ["reject"], "part_numbers": ["FL-1"]},
                },
                "webhook": {"url": "https://h/x", "secret": "${SINK_A}", "headers": {"A": "${SINK_B}"}},
                "csv": {"folder": "/out", "per": "inspection", "form": "semicolon"},
                "opcua": {"port": 4841, "challenge": {"serials": "C-*", "hours": 8.0}, "acknowledge": True},
                "modbus": {"role": "server", "word_order": "little", "timeout": 2.5, "alarms": False},
            }
        )
    )
    for kind, values in examples.items():
        sink = sink_of({"name": "a", "kind": kind, **values})
        offered = {field.key for field in (*FIELDS[kind], *FILTER_FIELDS)}
        for name, field in type(sink).model_fields.items():
            if name in ("name", "kind", "enabled"):
                continue
            inner = getattr(field.annotation, "model_fields", None)
            if inner is None and name in ("trigger",):
                inner = connection_form.part_settings(kind)[name].model_fields
            assert {f"{name}.{one}" for one in inner} <= offered if inner else name in offered, name
        typed = connection_fields.from_sink(sink.shown(), connection_form.defaults(kind))
        assert sink_of(connection_fields.to_values(kind, "a", typed)) == sink
    assert SinkConfiguration().sinks == ()
    assert connections.VARIABLES == "SINK_"
