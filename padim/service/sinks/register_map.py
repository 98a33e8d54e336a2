"""The Modbus registers of a line: which 16-bit register holds what, and their content for a state.

The map is documented and never changes; new values are added at its end. All registers fit in one message of
the protocol, so that a controller reads, or is written, a whole result at once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.line_state import (
    CHALLENGE_CODES,
    VERDICT_CODES,
    LineState,
    moment,
)

__all__ = [
    "ACKNOWLEDGED",
    "HEARTBEAT",
    "N_REGISTERS",
    "REGISTERS",
    "Register",
    "WordOrder",
    "registers_of",
    "short_sequence",
]

WordOrder = Literal["big", "little"]
RegisterType = Literal["uint16", "uint32", "float32", "text"]


@dataclass(frozen=True)
class Register:
    """One value of the map.

    Attributes:
        address: its first register, counted from 0; in the older notation 40001 is address 0.
        words: number of registers.
        type: how they are read; texts are ASCII, two characters a register, filled with zeros.
        name: its name.
        meaning: what it says, as a phrase.
    """

    address: int
    words: int
    type: RegisterType
    name: str
    meaning: str


HEARTBEAT = 0
# The one register that a controller may write on our server; those before it are kept for new values.
ACKNOWLEDGED = 100

_WORDS = {"uint16": 1, "uint32": 2, "float32": 2}


def _laid_out(rows: Sequence[tuple[RegisterType, int, str, str]]) -> tuple[Register, ...]:
    found, address = [], 0
    for kind, words, name, meaning in rows:
        size = words or _WORDS[kind]
        found.append(Register(address, size, kind, name, meaning))
        address += size
    return tuple(found)


REGISTERS = _laid_out(
    [
        ("uint16", 0, "heartbeat", "+1 each second, after 65,535 comes 0"),
        ("uint16", 0, "sequence", "+1 with each result, after 65,535 comes 1; 0 before the first"),
        ("uint16", 0, "verdict", "0 nothing yet, 1 accept, 2 review, 3 reject, 4 none"),
        ("uint16", 0, "status", "bit 0 running, bit 1 alarm, bit 2 challenge due, bit 3 challenge failed"),
        ("float32", 0, "score", "the image's score, in map units"),
        ("float32", 0, "threshold", "the threshold, in map units; NaN without one"),
        ("uint16", 0, "percent", "score in percent of the threshold; above 100 exactly when above it"),
        ("uint16", 0, "regions", "number of regions above the threshold"),
        ("uint32", 0, "total", "results so far, challenge parts left out"),
        ("uint32", 0, "accepted", "of them accepted"),
        ("uint32", 0, "review", "of them to be reviewed"),
        ("uint32", 0, "rejected", "of them rejected"),
        ("uint32", 0, "not decided", "of them without a threshold"),
        ("uint16", 0, "version", "version of the model; 0 if it keeps none"),
        ("uint16", 0, "challenge", "0 unused, 1 due, 2 passed, 3 failed"),
        ("uint32", 0, "inspected", "when it was scored, in seconds since 1970, UTC"),
        ("uint16", 0, "alarms", "alarms so far, after 65,535 comes 0"),
        ("uint16", 0, "tests", "test messages so far, after 65,535 comes 0"),
        ("text", 16, "serial", "serial number of the part, its last 32 characters"),
        ("text", 16, "part number", "part number, its first 32 characters"),
        ("text", 16, "name", "the image's file name, its last 32 characters"),
        ("text", 16, "id", "identifies the inspection, 32 hex digits"),
    ]
)
N_REGISTERS = REGISTERS[-1].address + REGISTERS[-1].words


def registers_of(
    state: LineState, challenges: ChallengeSettings, heartbeat: int, order: WordOrder = "big"
) -> list[int]:
    """Return the content of the registers from address 0 on, each 0 to 65,535.

    Args:
        state: what is to be shown.
        challenges: which inspections are of challenge parts.
        heartbeat: number of seconds that the program runs.
        order: which word of a 32-bit value comes first: "big" the more significant one.
    """
    values = _values(state, challenges, heartbeat)
    found: list[int] = []
    for register in REGISTERS:
        value = values[register.name]
        if register.type == "text":
            found += _text(str(value), register.words)
        elif register.type == "uint16":
            found.append(int(value) & 0xFFFF)
        else:
            packed = struct.pack(">f" if register.type == "float32" else ">I", value)
            words = list(struct.unpack(">HH", packed))
            found += words if order == "big" else words[::-1]
    return found


def short_sequence(state: LineState) -> int:
    """Return the sequence number as in its register: after 65,535 comes 1; 0 before the first result."""
    return (state.sequence - 1) % 65_535 + 1 if state.sequence else 0


def _values(state: LineState, challenges: ChallengeSettings, heartbeat: int) -> dict[str, float | int | str]:
    last, counted = state.last, state.counted
    challenge = state.challenge(challenges)
    inspected = moment(last.get("inspected"))
    score, threshold = last.get("score"), last.get("threshold")
    regions = last.get("regions")
    status = 1 | bool(state.alarm) << 1 | (challenge == "due") << 2 | (challenge == "failed") << 3
    return {
        "heartbeat": heartbeat,
        "sequence": short_sequence(state),
        "verdict": VERDICT_CODES.get(str(last.get("verdict") or ""), VERDICT_CODES["none"]),
        "status": status,
        "score": _float32(score),
        "threshold": _float32(threshold),
        "percent": _percent(score, threshold),
        "regions": min(len(regions), 65_535) if isinstance(regions, list) else 0,
        "total": _uint32(state.total),
        "accepted": _uint32(counted.get("accept", 0)),
        "review": _uint32(counted.get("review", 0)),
        "rejected": _uint32(counted.get("reject", 0)),
        "not decided": _uint32(counted.get("none", 0)),
        "version": min(int(last.get("version") or 0), 65_535),
        "challenge": CHALLENGE_CODES[challenge],
        "inspected": 0 if inspected is None else _uint32(int(inspected.timestamp())),
        "alarms": state.alarms,
        "tests": state.tests,
        "serial": str(last.get("serial") or "")[-32:],
        "part number": str(last.get("part_number") or "")[:32],
        "name": str(last.get("name") or "")[-32:],
        "id": str(last.get("id") or ""),
    }


def _percent(score: object, threshold: object) -> int:
    if not isinstance(score, int | float) or not isinstance(threshold, int | float) or threshold <= 0:
        return 0
    share = score / threshold * 100
    # Never rounded across 100, which would contradict the verdict.
    return min(max(math.ceil(share) if score > threshold else min(math.floor(share), 100), 0), 65_535)


def _float32(value: object) -> float:
    if not isinstance(value, int | float):
        return math.nan
    limit = 3.4028234e38
    return value if math.isnan(value) else min(max(float(value), -limit), limit)


def _uint32(value: int) -> int:
    return min(max(value, 0), 2**32 - 1)


def _text(value: str, words: int) -> list[int]:
    """Return a text as registers, the first character in the upper byte; others than ASCII become "?"."""
    content = value.encode("ascii", "replace")[: 2 * words].ljust(2 * words, b"\0")
    return list(struct.unpack(f">{words}H", content))
