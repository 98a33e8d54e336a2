"""The state that controllers read: counted once however often a message comes, and laid out in registers."""

from __future__ import annotations

import math
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.line_state import VERDICT_CODES, LineState
from padim.service.sinks.opcua_nodes import NODES, node_values
from padim.service.sinks.register_map import (
    ACKNOWLEDGED,
    N_REGISTERS,
    REGISTERS,
    WordOrder,
    registers_of,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PARTS = ChallengeSettings(serials="CHALLENGE-*", hours=8)


def document(verdict: str = "accept", **values: Any) -> dict[str, Any]:
    return {
        "id": "0123456789abcdef" * 2,
        "name": "flange 001.png",
        "verdict": verdict,
        "score": 2.5,
        "threshold": 2.0,
        "score_over_threshold": 1.25,
        "reasons": ["above the threshold"],
        "regions": [{"x": 1}, {"x": 2}],
        "inspected": NOW.isoformat(),
        "serial": "SN-1",
        "part_number": "FL-20",
        "model_name": "Flange",
        "version": 3,
        **values,
    }


def read_value(registers: list[int], name: str, order: WordOrder = "big") -> Any:
    """Decode one value, independently of the code that encodes it."""
    register = next(one for one in REGISTERS if one.name == name)
    words = registers[register.address : register.address + register.words]
    if register.type == "text":
        return b"".join(word.to_bytes(2, "big") for word in words).rstrip(b"\0").decode("ascii")
    if register.type == "uint16":
        return words[0]
    raw = b"".join(word.to_bytes(2, "big") for word in (words if order == "big" else words[::-1]))
    return struct.unpack(">f", raw)[0] if register.type == "float32" else int.from_bytes(raw, "big")


@given(st.lists(st.tuples(st.sampled_from([*VERDICT_CODES][1:]), st.integers(1, 3)), max_size=20))
def test_each_result_counts_once_however_often_it_is_delivered(results: list[tuple[str, int]]) -> None:
    state = LineState()
    for number, (verdict, times) in enumerate(results):
        for _ in range(times):
            state = state.after(f"{number}", "inspection", document(verdict), ChallengeSettings())
            # A process that ends between two deliveries takes the state up from its file.
            state = LineState.model_validate_json(state.model_dump_json())
    wanted = Counter(verdict for verdict, _ in results)
    assert {name: n for name, n in state.counted.items() if n} == dict(wanted)
    assert state.sequence == state.total == len(results)


def test_a_challenge_part_must_be_rejected_in_time() -> None:
    state = LineState()
    assert state.challenge(ChallengeSettings()) == "unused"
    assert state.challenge(PARTS, NOW) == "due"
    state = state.after("1", "inspection", document("reject", serial="CHALLENGE-7"), PARTS)
    assert state.challenge(PARTS, NOW + timedelta(hours=7.9)) == "passed"
    assert state.challenge(PARTS, NOW + timedelta(hours=8.1)) == "due"
    assert state.total == 0
    assert state.sequence == 1  # no part of production, but a result that the line sees
    later = (NOW + timedelta(hours=1)).isoformat()
    state = state.after("2", "inspection", document("accept", serial="CHALLENGE-7", inspected=later), PARTS)
    assert state.challenge(PARTS, NOW + timedelta(hours=2)) == "failed"
    last = (NOW + timedelta(hours=2)).isoformat()
    state = state.after("3", "inspection", document("reject", serial="CHALLENGE-7", inspected=last), PARTS)
    assert state.challenge(PARTS, NOW + timedelta(hours=3)) == "passed"


def test_an_alarm_stands_until_the_next_result() -> None:
    state = LineState().after("1", "alarm", {"subject": "disk full", "text": "the disk is full"}, PARTS)
    assert (state.alarm, state.alarms, state.sequence) == ("the disk is full", 1, 0)
    state = state.after("2", "test", {"text": "hello"}, PARTS)
    assert (state.alarm, state.tests) == ("the disk is full", 1)
    state = state.after("3", "inspection", document(), PARTS)
    assert (state.alarm, state.alarms) == ("", 1)


@pytest.mark.parametrize("order", ["big", "little"])
def test_registers_say_what_the_state_says(order: WordOrder) -> None:
    state = LineState(sequence=70_000, alarms=2, counted={"accept": 100_000, "reject": 7}).after(
        "1", "inspection", document("reject", name="ä" * 3 + "x" * 40), PARTS
    )
    found = registers_of(state, PARTS, 65_537, order)
    assert len(found) == N_REGISTERS <= ACKNOWLEDGED < 125  # one message of the protocol holds 125 at most
    assert all(0 <= word <= 65_535 for word in found)

    def value(name: str) -> Any:
        return read_value(found, name, order)

    assert value("heartbeat") == 1
    assert value("sequence") == (70_001 - 1) % 65_535 + 1
    assert value("verdict") == 3
    assert value("status") == 0b101  # running, and a challenge is due
    assert value("score") == 2.5
    assert value("threshold") == 2.0
    assert value("percent") == 125
    assert value("regions") == 2
    assert (value("accepted"), value("rejected"), value("total")) == (100_000, 8, 100_008)
    assert value("inspected") == int(NOW.timestamp())
    assert (value("serial"), value("part number")) == ("SN-1", "FL-20")
    assert value("name") == "x" * 32
    assert value("id") == "0123456789abcdef" * 2


def test_percent_never_contradicts_the_verdict() -> None:
    for score, threshold, wanted in (
        (2.0001, 2.0, 101),
        (1.9999, 2.0, 99),
        (2.0, 2.0, 100),
        (9e9, 1.0, 65_535),
    ):
        state = LineState(last=document(score=score, threshold=threshold))
        assert read_value(registers_of(state, PARTS, 0), "percent") == wanted


def test_nothing_yet_and_no_threshold_are_told_apart() -> None:
    found = registers_of(LineState(), ChallengeSettings(), 0)
    assert (read_value(found, "verdict"), read_value(found, "sequence")) == (0, 0)
    state = LineState().after("1", "inspection", document("none", threshold=None), ChallengeSettings())
    found = registers_of(state, ChallengeSettings(), 0)
    assert (read_value(found, "verdict"), read_value(found, "sequence")) == (4, 1)
    assert math.isnan(read_value(found, "threshold"))


def test_the_sequence_number_is_the_last_variable_to_be_written() -> None:
    assert [*node_values(LineState(), ChallengeSettings())][-1] == "LastResult.Sequence"
    assert len({node.path for node in NODES}) == len(NODES)
    assert len({one.name for one in REGISTERS}) == len(REGISTERS)
