"""What a controller of a line reads: the last result, counters, recipe, challenge and alarm.

One state for every way to show it (OPC UA, Modbus TCP), computed from the messages of the outbox alone. A
message that comes a second time changes nothing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from padim.records.inspection import InspectionVerdict
from padim.records.sink_parts import ChallengeSettings

__all__ = ["CHALLENGE_CODES", "VERDICT_CODES", "ChallengeState", "LineState"]

# A redelivered message is one of the latest, because messages of a sink are delivered in order.
_REMEMBERED = 64
_LARGEST_SEQUENCE = 2**32 - 1
ChallengeState = Literal["unused", "due", "passed", "failed"]
# Codes for controllers, which compare numbers; they are part of the documented maps and never change.
VERDICT_CODES: Mapping[str, int] = {"": 0, "accept": 1, "review": 2, "reject": 3, "none": 4}
CHALLENGE_CODES: Mapping[str, int] = {name: code for code, name in enumerate(get_args(ChallengeState))}


class LineState(BaseModel):
    """State of one line after the messages so far; a new object for each message.

    Attributes:
        sequence: number of results so far, 1 for the first; it starts again at 1 after 4,294,967,295.
        since: when counting began, UTC, ISO 8601.
        counted: number of results by verdict; challenge parts are not among them.
        last: the document of the last result; empty before the first.
        challenge_passed, challenge_failed: when a challenge part was last rejected, or not rejected.
        alarm: text of the last alarm; empty without one, and after the next result.
        alarm_at: when it was raised.
        alarms: number of alarms so far.
        tests: number of test messages so far.
        recent: uids of the last messages, to know a repeated one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    sequence: int = Field(0, ge=0, le=_LARGEST_SEQUENCE)
    since: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    counted: dict[InspectionVerdict, int] = Field(
        default_factory=lambda: dict.fromkeys(get_args(InspectionVerdict), 0)
    )
    last: dict[str, Any] = Field(default_factory=dict)
    challenge_passed: str = ""
    challenge_failed: str = ""
    alarm: str = ""
    alarm_at: str = ""
    alarms: int = Field(0, ge=0)
    tests: int = Field(0, ge=0)
    recent: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Number of results so far, challenge parts left out."""
        return sum(self.counted.values())

    def after(
        self, uid: str, kind: str, payload: Mapping[str, Any], challenges: ChallengeSettings
    ) -> LineState:
        """Return the state after a message; this state itself if the message was counted before.

        Args:
            uid: identifies the message.
            kind: "inspection", "alarm" or "test".
            payload: its content; of an inspection
                :func:`padim.records.inspection_document.inspection_document`.
            challenges: which inspections are of challenge parts.
        """
        if uid in self.recent:
            return self
        changes: dict[str, Any] = {"recent": (*self.recent, uid)[-_REMEMBERED:]}
        if kind == "test":
            changes["tests"] = self.tests + 1
        elif kind == "alarm":
            changes |= {
                "alarm": str(payload.get("text") or payload.get("subject") or "alarm"),
                "alarm_at": str(payload.get("at") or _now()),
                "alarms": self.alarms + 1,
            }
        else:
            changes |= self._after_inspection(payload, challenges)
        return self.model_copy(update=changes)

    def _after_inspection(self, document: Mapping[str, Any], challenges: ChallengeSettings) -> dict[str, Any]:
        said = str(document.get("verdict") or "none")
        verdict = cast(InspectionVerdict, said if said in VERDICT_CODES else "none")
        changes: dict[str, Any] = {
            "sequence": self.sequence % _LARGEST_SEQUENCE + 1,
            "last": dict(document),
            "alarm": "",
        }
        if _is_challenge(document, challenges):
            when = "challenge_passed" if verdict == "reject" else "challenge_failed"
            changes[when] = str(document.get("inspected") or _now())
        else:
            changes["counted"] = {**self.counted, verdict: self.counted.get(verdict, 0) + 1}
        return changes

    def challenge(self, challenges: ChallengeSettings, now: datetime | None = None) -> ChallengeState:
        """Return how the challenge stands.

        Returns:
            "unused" without challenge parts; "failed" if the last one was not rejected; "due" if none was
            rejected within the hours; otherwise "passed".
        """
        if not challenges.serials:
            return "unused"
        if self.challenge_failed > self.challenge_passed:
            return "failed"
        passed = moment(self.challenge_passed)
        if passed is None or (now or datetime.now(UTC)) - passed > timedelta(hours=challenges.hours):
            return "due"
        return "passed"


def moment(text: object) -> datetime | None:
    """Return a time in ISO 8601 as an aware UTC time; None if it is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _is_challenge(document: Mapping[str, Any], challenges: ChallengeSettings) -> bool:
    serial = str(document.get("serial") or "")
    return bool(challenges.serials) and bool(serial) and fnmatch.fnmatchcase(serial, challenges.serials)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
