"""The variables that the OPC UA server offers: names, types, meaning, and values of a state of the line.

Node identifiers are ``ns=2;s=Inspection.<group>.<name>``; they are documented and never change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from padim.records.sink_parts import ChallengeSettings
from padim.service.sinks.line_state import (
    CHALLENGE_CODES,
    VERDICT_CODES,
    LineState,
    moment,
)

__all__ = ["NODES", "LineNode", "node_values"]

# Names of the types as in asyncua and in the specification.
NodeType = Literal["String", "UInt16", "UInt32", "Double", "DateTime", "Boolean"]
Document = Mapping[str, Any]


@dataclass(frozen=True)
class LineNode:
    """One variable of the server.

    Attributes:
        path: group and name, as "LastResult.Verdict".
        type: its OPC UA type.
        meaning: what it says, as a phrase.
        value: returns its value for a state.
    """

    path: str
    type: NodeType
    meaning: str
    value: Callable[[LineState, ChallengeSettings], Any]


def _text(key: str) -> Callable[[LineState, ChallengeSettings], str]:
    return lambda state, _: str(state.last.get(key) or "")


def _number(key: str) -> Callable[[LineState, ChallengeSettings], float]:
    def found(state: LineState, _: ChallengeSettings) -> float:
        value = state.last.get(key)
        return float("nan") if value is None else float(value)

    return found


def _count(verdict: Any) -> Callable[[LineState, ChallengeSettings], int]:
    return lambda state, _: state.counted.get(verdict, 0)


def _reasons(state: LineState, _: ChallengeSettings) -> str:
    return "; ".join(str(one) for one in state.last.get("reasons") or ())


def _regions(state: LineState, _: ChallengeSettings) -> int:
    found = state.last.get("regions")
    return len(found) if isinstance(found, list) else 0


def _inspected(state: LineState, _: ChallengeSettings) -> datetime | None:
    return moment(state.last.get("inspected"))


def _version(state: LineState, _: ChallengeSettings) -> int:
    return int(state.last.get("version") or 0)


NODES: tuple[LineNode, ...] = (
    LineNode("LastResult.Id", "String", "identifies the inspection, 32 hex digits", _text("id")),
    LineNode("LastResult.Name", "String", "the image's file name", _text("name")),
    LineNode("LastResult.Serial", "String", "serial number of the part, if known", _text("serial")),
    LineNode("LastResult.Lot", "String", "production lot, if known", _text("lot")),
    LineNode("LastResult.Station", "String", "inspection station, if known", _text("station")),
    LineNode("LastResult.Verdict", "String", '"accept", "review", "reject" or "none"', _text("verdict")),
    LineNode(
        "LastResult.VerdictCode",
        "UInt16",
        "0 nothing yet, 1 accept, 2 review, 3 reject, 4 none",
        lambda state, _: VERDICT_CODES.get(str(state.last.get("verdict") or ""), 4),
    ),
    LineNode("LastResult.Score", "Double", "the image's score, in map units", _number("score")),
    LineNode(
        "LastResult.Threshold", "Double", "the threshold, in map units; NaN without one", _number("threshold")
    ),
    LineNode(
        "LastResult.ScoreOverThreshold",
        "Double",
        "score divided by threshold; NaN without one",
        _number("score_over_threshold"),
    ),
    LineNode("LastResult.Reasons", "String", "why it is not accepted, separated by semicolons", _reasons),
    LineNode("LastResult.Regions", "UInt32", "number of regions above the threshold", _regions),
    LineNode("LastResult.Inspected", "DateTime", "when it was scored, UTC", _inspected),
    LineNode(
        "LastResult.Document",
        "String",
        "the whole result as JSON",
        lambda state, _: json.dumps(state.last, ensure_ascii=False) if state.last else "",
    ),
    LineNode("Counters.Total", "UInt32", "results so far", lambda state, _: state.total),
    LineNode("Counters.Accepted", "UInt32", "of them accepted", _count("accept")),
    LineNode("Counters.Review", "UInt32", "of them to be reviewed", _count("review")),
    LineNode("Counters.Rejected", "UInt32", "of them rejected", _count("reject")),
    LineNode("Counters.NotDecided", "UInt32", "of them without a threshold", _count("none")),
    LineNode("Counters.Since", "DateTime", "when counting began, UTC", lambda state, _: moment(state.since)),
    LineNode("Recipe.PartNumber", "String", "part number of the last result", _text("part_number")),
    LineNode("Recipe.Model", "String", "name of the model that inspected it", _text("model_name")),
    LineNode("Recipe.ModelId", "String", "the model's identifier", _text("model_id")),
    LineNode("Recipe.Version", "UInt32", "version of the model; 0 if it keeps none", _version),
    LineNode(
        "Challenge.State",
        "String",
        '"unused", "due", "passed" or "failed"',
        lambda state, challenges: state.challenge(challenges),
    ),
    LineNode(
        "Challenge.StateCode",
        "UInt16",
        "0 unused, 1 due, 2 passed, 3 failed",
        lambda state, challenges: CHALLENGE_CODES[state.challenge(challenges)],
    ),
    LineNode(
        "Challenge.LastPassed",
        "DateTime",
        "when a challenge part was last rejected",
        lambda state, _: moment(state.challenge_passed),
    ),
    LineNode("Alarm.Active", "Boolean", "whether there is an alarm", lambda state, _: bool(state.alarm)),
    LineNode("Alarm.Text", "String", "what it says", lambda state, _: state.alarm),
    LineNode("Alarm.Count", "UInt32", "alarms so far", lambda state, _: state.alarms),
    LineNode("Status.Tests", "UInt32", "test messages so far", lambda state, _: state.tests),
    # The last one to be written: when it changes, all of the result is there.
    LineNode(
        "LastResult.Sequence",
        "UInt32",
        "+1 with each result, written last; 0 before the first",
        lambda state, _: state.sequence,
    ),
)


def node_values(state: LineState, challenges: ChallengeSettings) -> dict[str, tuple[NodeType, Any]]:
    """Return the value and type of each variable, by path, in the order to be written."""
    return {node.path: (node.type, node.value(state, challenges)) for node in NODES}
