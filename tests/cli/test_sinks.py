"""``padim sinks``: lists, tests, delivers, and has refused messages tried again or deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.records.outbox import Outbox
from padim.records.sinks_file import SinksFile
from tests.cli.conftest import Run
from tests.service.sinking import record


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "drop").mkdir()
    return tmp_path / "home"


def drops(root: Path, *names: str, folder: str = "drop") -> None:
    lines = [f"- {{name: {name}, kind: csv, folder: '{root.parent / folder}'}}\n" for name in names]
    (root / "sinks.yaml").write_text("sinks:\n" + "".join(lines))


def test_without_sinks_the_file_is_named(run: Run, root: Path) -> None:
    assert "sinks.yaml: no sinks yet" in run("sinks", "list").out.replace("\n", "")
    assert "sinks.yaml: has no sinks yet" in run("sinks", "test").sentence
    (root / "sinks.yaml").write_text("sinks: 3")
    assert "sinks.yaml: sinks: " in run("sinks", "list").sentence
    assert "sinks.yaml: sinks: " in run("sinks", "run", "--once").sentence


def test_the_list_says_how_each_is_doing(run: Run, root: Path) -> None:
    drops(root, "MES", "office")
    SinksFile(root).enable("office", enabled=False)
    record(root, 1, 2)
    document = run("sinks", "list", "--json").json
    found = {one["name"]: one for one in document["sinks"]}
    assert (found["MES"]["condition"], found["MES"]["waiting"]) == ("stopped", 2)
    assert (found["office"]["condition"], found["office"]["waiting"]) == ("off", 0)
    assert "no program delivers" in run("sinks", "list").out
    SinksFile(root).remove("MES")
    document = run("sinks", "list", "--json").json
    assert [(one["name"], one["condition"]) for one in document["sinks"]] == [
        ("office", "off"),
        ("MES", "removed"),
    ]


def test_run_once_delivers_what_waits_and_says_what_is_away(run: Run, root: Path) -> None:
    drops(root, "MES")
    record(root, 1, 2)
    done = run("sinks", "run", "--once")
    assert done.code == 0, done.err
    (file,) = (root.parent / "drop").iterdir()
    assert len(file.read_text().splitlines()) == 3
    drops(root, "MES", folder="gone")
    record(root, 3)
    done = run("sinks", "run", "--once")
    assert "MES: away: " in done.out
    assert "there is no such folder" in done.out
    assert Outbox(root).counts()["MES"].waiting == 1


def test_a_test_message(run: Run, root: Path) -> None:
    drops(root, "MES")
    assert "MES: delivered in " in run("sinks", "test").out
    assert "Test message of padim" in (root.parent / "drop" / "inspections-tests.csv").read_text()
    drops(root, "MES", folder="gone")
    done = run("sinks", "test", "mes", "--json")
    assert done.code == 2
    assert "there is no such folder" in done.json["sinks"][0]["problem"]
    assert "there is no sink “x”; it has “MES”" in run("sinks", "test", "x").sentence


def test_refused_messages_are_tried_again_or_deleted(run: Run, root: Path) -> None:
    drops(root, "MES")
    record(root, 1, 2)
    outbox = Outbox(root)
    for message in outbox.due("MES"):
        outbox.refuse(message, "never")
    assert run("sinks", "retry", "--json").json["messages"] == {"MES": 2}
    outbox.refuse(outbox.due("MES")[0], "never")
    assert "MES: 1 message deleted" in run("sinks", "drop", "MES").out
    assert run("sinks", "drop", "mes", "--waiting", "--json").json["messages"] == {"MES": 1}
    assert run("sinks", "retry").out == "There are no messages\n"
    assert "there is no sink “x”" in run("sinks", "drop", "x").sentence
