"""Store and forward: each message arrives, in order, at sinks that are away, wrong, slow or killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from padim.errors import StorageError
from padim.records.outbox import Outbox, OutboxMessage
from padim.records.sinks_file import SinksFile
from padim.service.dispatcher import SinkDispatcher, is_delivered_to
from tests.service.sinking import FakeMaker, record, sinks, until

PAUSE = 0.02


def name(number: int) -> str:
    return f"part {number:04d}.png"


@pytest.fixture
def make() -> FakeMaker:
    return FakeMaker()


def dispatcher(root: Path, make: FakeMaker) -> SinkDispatcher:
    return SinkDispatcher(root, make=make, first_pause=PAUSE)


def test_what_is_recorded_before_and_meanwhile_arrives_in_order(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line", "office")
    record(tmp_path, *range(4))
    with dispatcher(tmp_path, make):
        record(tmp_path, *range(4, 8))
        for sink in ("line", "office"):
            until(lambda sink=sink: len(make[sink].got) == 8)  # type: ignore[misc]
            assert make[sink].got == [name(number) for number in range(8)]
        until(lambda: not Outbox(tmp_path).with_messages(["line", "office"]))
    assert set(make["line"].uids).isdisjoint(make["office"].uids)
    counts = Outbox(tmp_path).counts()["line"]
    assert (counts.delivered, counts.failed, counts.waiting) == (8, 0, 0)
    assert counts.latency_count == 8
    assert make["line"].closed == 1


def test_one_that_is_away_loses_nothing_and_delays_no_other(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line", "office")
    make["line"].away = True
    with dispatcher(tmp_path, make) as running:
        record(tmp_path, *range(5))
        until(lambda: len(make["office"].got) == 5)
        until(lambda: running.states()["line"] == "away")
        until(lambda: Outbox(tmp_path).counts()["line"].last_error == "nobody there")
        assert make["line"].got == []
        make["line"].away = False
        until(lambda: len(make["line"].got) == 5)
        until(lambda: Outbox(tmp_path).counts()["line"].last_error == "")
    assert make["line"].got == [name(number) for number in range(5)]


def test_one_that_goes_in_the_middle_gets_the_rest_later(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line")
    with dispatcher(tmp_path, make):
        record(tmp_path, 0)
        until(lambda: make["line"].got)
        make["line"].away = True
        record(tmp_path, 1, 2)
        until(lambda: Outbox(tmp_path).counts()["line"].failed)
        make["line"].away = False
        until(lambda: len(make["line"].got) == 3)
    assert make["line"].got == [name(0), name(1), name(2)]


def test_what_is_refused_is_set_aside_and_can_be_tried_again(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line")
    make["line"].refuses = {name(1)}
    outbox = Outbox(tmp_path)
    with dispatcher(tmp_path, make):
        record(tmp_path, 0, 1, 2)
        until(lambda: len(make["line"].got) == 2)
        until(lambda: outbox.counts()["line"].refused == 1)
        (aside,) = outbox.messages("line", refused=True)
        assert (aside.payload["name"], aside.error) == (name(1), f"never {name(1)}")
        make["line"].refuses = set()
        assert outbox.retry("line") == 1
        until(lambda: len(make["line"].got) == 3)
    assert make["line"].got == [name(0), name(2), name(1)]


def test_a_failure_that_nobody_thought_of_blocks_for_a_few_attempts_only(
    tmp_path: Path, make: FakeMaker
) -> None:
    sinks(tmp_path, "line")
    make["line"].surprises = {name(0)}
    with dispatcher(tmp_path, make):
        record(tmp_path, 0, 1)
        until(lambda: make["line"].got == [name(1)])
    (aside,) = Outbox(tmp_path).messages("line", refused=True)
    assert aside.error == "KeyError: 'part 0000.png'"


def test_a_slow_one_delays_neither_recording_nor_another(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "slow", "quick")
    make["slow"].hold.clear()
    with dispatcher(tmp_path, make):
        record(tmp_path, *range(5))
        until(lambda: len(make["quick"].got) == 5)
        assert make["slow"].got == []
        make["slow"].hold.set()
        until(lambda: len(make["slow"].got) == 5)


def test_one_program_delivers_and_another_takes_over(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line")
    other = FakeMaker()
    with dispatcher(tmp_path, make):
        until(lambda: make["line"].opened)
        assert is_delivered_to(tmp_path, "line")
        with dispatcher(tmp_path, other) as second:
            record(tmp_path, 0, 1)
            until(lambda: len(make["line"].got) == 2)
            assert second.states() == {"line": "elsewhere"}
            assert other["line"].opened == 0
    assert not is_delivered_to(tmp_path, "line")
    with dispatcher(tmp_path, other):
        record(tmp_path, 2)
        until(lambda: other["line"].got == [name(2)])


def test_the_file_of_sinks_may_change_meanwhile(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line")
    with dispatcher(tmp_path, make) as running:
        until(lambda: make["line"].opened)
        sinks(tmp_path, "office")
        until(lambda: make["office"].opened)
        assert make["line"].closed == 1
        record(tmp_path, 0)
        until(lambda: make["office"].got)
        SinksFile(tmp_path).enable("office", enabled=False)
        until(lambda: not running.states())
    assert make["line"].got == []


def test_a_file_that_is_not_valid_loses_nothing(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line", text="  rubbish: [")
    with dispatcher(tmp_path, make) as running:
        record(tmp_path, 0, 1)
        until(lambda: "sinks.yaml" in running.problem)
        assert Outbox(tmp_path).alarm("disk full", "The disk is full.") == 1
        sinks(
            tmp_path, "line", text="- {name: rejects, kind: csv, folder: /x, filter: {verdicts: [accept]}}\n"
        )
        until(lambda: len(make["line"].got) == 3)
        until(lambda: len(make["rejects"].got) == 1)
        until(lambda: running.problem == "")
    assert make["line"].got == [name(0), name(1), "The disk is full."]
    assert make["rejects"].got == ["The disk is full."]


def test_a_connection_that_breaks_while_nothing_is_sent_is_made_anew(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "line")
    make["line"].sick = "the broker has gone"
    with dispatcher(tmp_path, make):
        until(lambda: make["line"].opened >= 2)
        make["line"].sick = ""


def test_a_sink_that_is_stuck_is_replaced_and_holds_up_nobody(tmp_path: Path, make: FakeMaker) -> None:
    sinks(tmp_path, "stuck", "quick")
    make["stuck"].hold.clear()
    record(tmp_path, 0)
    with dispatcher(tmp_path, make):
        until(lambda: make["quick"].got)
        sinks(tmp_path, "quick", text="- {name: stuck, kind: csv, folder: /other}\n")
        record(tmp_path, 1)
        until(lambda: len(make["quick"].got) == 2)
        assert make["stuck"].opened == 1
        make["stuck"].hold.set()
        until(lambda: make["stuck"].opened == 2 and len(make["stuck"].got) == 2)
    assert make["stuck"].got == [name(0), name(1)]


def test_a_database_that_is_away_is_waited_for(
    tmp_path: Path, make: FakeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks(tmp_path, "line")
    read, fails = Outbox.due, [StorageError("locked"), RuntimeError("nobody thought of it")]

    def due(self: Outbox, *arguments: Any, **named: Any) -> list[OutboxMessage]:
        if fails:
            raise fails.pop()
        return read(self, *arguments, **named)

    monkeypatch.setattr(Outbox, "due", due)
    with dispatcher(tmp_path, make):
        record(tmp_path, 0)
        until(lambda: make["line"].got == [name(0)])


def test_what_was_delivered_is_deleted_when_the_database_is_back(
    tmp_path: Path, make: FakeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each look at the outbox would send it once more."""
    sinks(tmp_path, "line")
    deleted = Outbox.delivered
    away = [True]

    def delivered(self: Outbox, *arguments: object, **named: object) -> None:
        if away[0]:
            away[0] = False
            raise StorageError("the disk is full")
        deleted(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "delivered", delivered)
    record(tmp_path, 0, 1)
    with dispatcher(tmp_path, make):
        until(lambda: not Outbox(tmp_path).with_messages(["line"]))
    assert make["line"].got == [name(0), name(1)]
