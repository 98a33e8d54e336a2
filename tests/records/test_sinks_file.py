"""The file of sinks: what it may say, what it says about mistakes, and that it tells no secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim.errors import PadimError
from padim.records.sink_settings import SinkConfiguration, SinkFilter
from padim.records.sinks_file import SinksFile

DOCUMENT = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from(["accept", "review", "reject", "none"]),
        "model_id": st.sampled_from("ab"),
        "model_name": st.sampled_from("AB"),
        "part_number": st.sampled_from(["", "1", "2"]),
        "source": st.sampled_from(["app", "watch"]),
    }
)


@given(
    DOCUMENT,
    st.sets(st.sampled_from(["accept", "reject"])),
    st.sets(st.sampled_from("abAB")),
    st.sets(st.sampled_from("12")),
    st.sets(st.just("watch")),
)
@settings(max_examples=60)
def test_filters(
    document: dict[str, str], verdicts: set[str], models: set[str], parts: set[str], sources: set[str]
) -> None:
    values = {"verdicts": verdicts, "models": models, "part_numbers": parts, "sources": sources}
    taken = SinkFilter.model_validate({name: tuple(value) for name, value in values.items()})
    keys = {"verdicts": {"verdict"}, "models": {"model_id", "model_name"}}
    keys |= {"part_numbers": {"part_number"}, "sources": {"source"}}
    expected = all(
        not wanted or any(document[key] in wanted for key in keys[name]) for name, wanted in values.items()
    )
    assert taken.accepts(document) == expected


DROPS = "sinks:\n- {name: all, kind: csv, folder: /x, filter: {sources: [watch]}}\n"
SECRETS = """\
# of line 4
sinks:
- name: line
  kind: mqtt
  host: broker
  password: ${PADIM_TESTED_PASSWORD}
- name: MES
  kind: webhook
  url: https://mes.example/hook
  secret: plain secret
  headers: {Authorization: Bearer plain}
"""


def test_secrets_are_shown_nowhere_and_survive_editing(tmp_path: Path) -> None:
    file = SinksFile(tmp_path)
    file.replace(SECRETS)
    assert file.path.read_text() == SECRETS, "comments are kept"
    if os.name != "nt":
        assert file.path.stat().st_mode & 0o077 == 0
    before = file.read()
    assert "plain" not in before.shown() + repr(before) + str(before.sinks[1].shown())
    assert "${PADIM_TESTED_PASSWORD}" in before.shown()
    # A person edits what is shown, and one sink by a form.
    after = file.replace(before.shown().replace("host: broker", "host: other"))
    assert after.sinks[1] == before.sinks[1]
    assert "plain secret" in file.path.read_text()
    file.put(SinkConfiguration.from_yaml(after.shown()).sinks[1], "MES")
    assert file.read() == after


def test_values_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    (line, _) = SinkConfiguration.from_yaml(SECRETS).sinks
    with pytest.raises(PadimError, match="the environment variable PADIM_TESTED_PASSWORD is"):
        line.resolved()
    monkeypatch.setenv("PADIM_TESTED_PASSWORD", "x: [y]")
    resolved = line.resolved()
    assert resolved.kind == "mqtt"
    assert resolved.password.get_secret_value() == "x: [y]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: a, kind: mqtt, hots: x}", "sink “a”: unknown key 'hots'; did you mean 'host'?"),
        ("{name: a, kind: mqtt}", "sink “a”: host: must be given"),
        ("{name: a}", "sink “a”: has no kind; say one of mqtt, webhook, csv, opcua, modbus"),
        ("{name: a, kind: fax}", "sink “a”: kind must be one of 'mqtt', "),
        ("{name: ../a, kind: csv, folder: x}", "sink “../a”: name: use letters, digits, "),
        ("{name: a, kind: webhook, url: 'ftp://x'}", "sink “a”: url: must begin with http:// or https://"),
        ("{name: a, kind: webhook, url: 'http://u:secret@x'}", "a password belongs into headers"),
        (
            "{name: a, kind: csv, folder: x, filter: {verdicts: [rejct]}}",
            "sink “a”: filter.verdicts.0: ",
        ),
        ("{name: a, kind: csv, folder: x, timeout: 0}", "sink “a”: timeout: input should be greater than 0"),
        ("{name: a, kind: csv, folder: x}\n- {name: A, kind: csv, folder: x}", "two sinks are called “A”"),
        ("3", "sink 1: input should be a "),
        ("{name: 12, kind: csv, folder: x}", "sink “12”: name: must be text; put it in quotes"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    file = SinksFile(tmp_path)
    with pytest.raises(PadimError) as caught:
        file.replace(f"sinks:\n- {text}\n")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not file.path.exists()
    file.path.write_text(f"sinks:\n- {text}\n")
    with pytest.raises(PadimError, match=r"sinks\.yaml: "):
        file.read()


def test_sinks_are_added_replaced_and_removed(tmp_path: Path) -> None:
    file = SinksFile(tmp_path)
    assert file.read().sinks == ()
    (one, *_) = SinkConfiguration.from_yaml(DROPS).sinks
    file.put(one)
    other = one.model_copy(update={"name": "other"})
    file.put(other)
    with pytest.raises(PadimError, match="two sinks are called"):
        file.put(other, "all")
    file.put(one.model_copy(update={"name": "ALL"}), "all")
    assert [sink.name for sink in file.read().sinks] == ["ALL", "other"]
    file.enable("all", enabled=False)
    assert not file.get("ALL").enabled
    removed = file.remove("other")
    assert [sink.name for sink in file.put(removed).sinks] == ["ALL", "other"]
    with pytest.raises(PadimError, match="there is no sink “x”; it has “ALL”, “other”"):
        file.remove("x")
