"""What people say of inspections: decisions, second opinions and comments, as events that are never changed.

An undo is an event too. What an inspection shows (its decision, its second opinion, whether it awaits a
person) follows from its events alone, and is kept beside them so that lists need no other table.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Select, insert, select, update

from padim.errors import PadimError
from padim.records.database import RecordsDatabase
from padim.records.inspection import ReviewDecision
from padim.records.schema import INSPECTIONS, REVIEWS

__all__ = ["AlreadyDecidedError", "ReviewEvent", "ReviewOutcome", "ReviewRecords", "outcome_of"]

LONGEST_COMMENT, LONGEST_NAME, LONGEST_TYPE = 2_000, 80, 60


class AlreadyDecidedError(PadimError):
    """Somebody else has decided an inspection, or given the second opinion, meanwhile.

    Attributes:
        by, at: who, and when.
        decision: what they decided.
    """

    def __init__(self, inspection_id: int, by: str, at: datetime, decision: str, *, second: bool) -> None:
        what = "a second opinion was given" if second else "it was decided"
        super().__init__(f"inspection {inspection_id}: {what} by {by} meanwhile ({decision})")
        self.by, self.at, self.decision = by, at, decision


@dataclass(frozen=True)
class ReviewEvent:
    """One thing that a person said of an inspection.

    Attributes:
        id: its row; later events have larger ones.
        inspection_id: the inspection.
        at: when, UTC.
        who: the person.
        kind: a decision, a comment, or the undoing of one.
        decision: what was decided; None for others.
        defect_type: the type of defect; empty if none was named.
        comment: free text.
        second: whether it is a second opinion.
        undoes: the event that it undoes; None for others.
    """

    id: int
    inspection_id: int
    at: datetime
    who: str
    kind: Literal["decision", "comment", "undo"]
    decision: ReviewDecision | None
    defect_type: str
    comment: str
    second: bool
    undoes: int | None


@dataclass(frozen=True)
class ReviewOutcome:
    """What follows from the events of an inspection; the attributes as of :class:`.Inspection`."""

    decision: ReviewDecision | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    defect_type: str = ""
    second_decision: ReviewDecision | None = None
    second_by: str | None = None
    second_at: datetime | None = None
    second_type: str = ""
    disagrees: bool = False


def outcome_of(events: Sequence[ReviewEvent]) -> ReviewOutcome:
    """Return what follows from the events of one inspection, in their order.

    The last decision that is not undone counts; so does the last second opinion. They disagree if one accepts
    and the other rejects, unless the decision came after the second opinion and so has settled it.
    """
    undone = {event.undoes for event in events if event.kind == "undo"}
    counting = [event for event in events if event.kind == "decision" and event.id not in undone]
    first = next((event for event in reversed(counting) if not event.second), None)
    if first is None:
        return ReviewOutcome()
    second = next((event for event in reversed(counting) if event.second), None)
    state = ReviewOutcome(first.decision, first.who, first.at, first.defect_type)
    if second is None:
        return state
    disagrees = {first.decision, second.decision} == {"accept", "reject"} and second.id > first.id
    return ReviewOutcome(
        first.decision,
        first.who,
        first.at,
        first.defect_type,
        second.decision,
        second.who,
        second.at,
        second.defect_type,
        disagrees,
    )


class ReviewRecords:
    """The reviews of a workspace's inspections; cheap to create.

    Methods that store something raise StorageError if the database cannot be written, and then have stored
    nothing.
    """

    def __init__(self, root: str | Path) -> None:
        """
        Args:
            root: the workspace's folder.
        """
        self._database = RecordsDatabase(root)

    def decide(
        self,
        inspection_id: int,
        who: str,
        decision: ReviewDecision,
        defect_type: str = "",
        comment: str = "",
        *,
        second: bool = False,
        instead: bool = False,
        uid: str | None = None,
    ) -> ReviewEvent:
        """Record a person's decision; the inspection no longer awaits one.

        Args:
            inspection_id: the inspection.
            who: the person's name.
            decision: what they decide.
            defect_type: the type of defect; only a reject has one.
            comment: free text.
            second: whether it is a second opinion, by somebody who does not know of the first.
            instead: whether a decision that somebody else has made is replaced, for instance to settle a
                disagreement. One's own can always be replaced.
            uid: identifies the event, so that sending it twice records it once; default: a new one.

        Raises:
            AlreadyDecidedError: somebody else has decided meanwhile.
            PadimError: there is no such inspection, the name is missing, a text is too long, or a second
                opinion is given without a first, or by the same person.
        """
        values = {
            "kind": "decision",
            "decision": decision,
            "defect_type": _checked(defect_type, LONGEST_TYPE, "a type of defect"),
            "comment": _checked(comment, LONGEST_COMMENT, "a comment"),
            "second": second,
        }
        if values["defect_type"] and decision != "reject":
            raise PadimError("only a part that is rejected has a type of defect")
        who = _name(who)
        with self._database.writing() as connection:
            if (known := self._known(connection, uid)) is not None:
                return known
            now = outcome_of(self._events(connection, inspection_id))
            if second:
                if now.decision is None:
                    raise PadimError(f"inspection {inspection_id}: there is no first opinion yet")
                if now.decided_by == who:
                    raise PadimError("a second opinion is given by somebody else than the first")
                if now.second_decision is not None and now.second_by != who:
                    assert now.second_by is not None
                    assert now.second_at is not None
                    raise AlreadyDecidedError(
                        inspection_id, now.second_by, now.second_at, now.second_decision, second=True
                    )
            elif now.decision is not None and now.decided_by != who and not instead:
                assert now.decided_by is not None
                assert now.decided_at is not None
                raise AlreadyDecidedError(
                    inspection_id, now.decided_by, now.decided_at, now.decision, second=False
                )
            return self._append(connection, inspection_id, who, uid, values)

    def comment(self, inspection_id: int, who: str, text: str, *, uid: str | None = None) -> ReviewEvent:
        """Record a comment; it decides nothing.

        Raises:
            PadimError: there is no such inspection, the name or the text is missing, or one is too long.
        """
        text = _checked(text, LONGEST_COMMENT, "a comment")
        if not text:
            raise PadimError("the comment is empty")
        who = _name(who)
        with self._database.writing() as connection:
            if (known := self._known(connection, uid)) is not None:
                return known
            return self._append(connection, inspection_id, who, uid, {"kind": "comment", "comment": text})

    def undo(
        self, who: str, inspection_id: int | None = None, *, uid: str | None = None
    ) -> ReviewEvent | None:
        """Undo a person's own latest decision or comment; return the event, or None if there is none.

        Args:
            who: the person.
            inspection_id: of this inspection only; default: of any.
            uid: as for :meth:`decide`.
        """
        who = _name(who)
        with self._database.writing() as connection:
            if (known := self._known(connection, uid)) is not None:
                return known
            latest = self._latest(connection, who, inspection_id)
            if latest is None:
                return None
            values = {"kind": "undo", "second": latest.second, "undoes": latest.id}
            return self._append(connection, latest.inspection_id, who, uid, values)

    def events(self, inspection_id: int) -> list[ReviewEvent]:
        """Return all that was said of an inspection, in order."""
        with self._database.reading() as connection:
            return [] if connection is None else self._events(connection, inspection_id)

    def last_of(self, who: str) -> ReviewEvent | None:
        """Return what :meth:`undo` would undo, or None."""
        with self._database.reading() as connection:
            return None if connection is None else self._latest(connection, who, None)

    # -- the table ---------------------------------------------------------------------------------------

    @staticmethod
    def _known(connection: Connection, uid: str | None) -> ReviewEvent | None:
        if uid is None:
            return None
        row = connection.execute(_columns().where(REVIEWS.c.uid == uid)).first()
        return None if row is None else _event(row)

    @staticmethod
    def _events(connection: Connection, inspection_id: int) -> list[ReviewEvent]:
        query = _columns().where(REVIEWS.c.inspection_id == inspection_id).order_by(REVIEWS.c.id)
        return [_event(row) for row in connection.execute(query)]

    @staticmethod
    def _latest(connection: Connection, who: str, inspection_id: int | None) -> ReviewEvent | None:
        undone = select(REVIEWS.c.undoes).where(REVIEWS.c.undoes.is_not(None))
        query = _columns().where(REVIEWS.c.who == who, REVIEWS.c.kind != "undo", REVIEWS.c.id.not_in(undone))
        if inspection_id is not None:
            query = query.where(REVIEWS.c.inspection_id == inspection_id)
        row = connection.execute(query.order_by(REVIEWS.c.id.desc()).limit(1)).first()
        return None if row is None else _event(row)

    def _append(
        self, connection: Connection, inspection_id: int, who: str, uid: str | None, values: dict[str, Any]
    ) -> ReviewEvent:
        found = connection.execute(
            select(INSPECTIONS.c.verdict, INSPECTIONS.c.audited).where(INSPECTIONS.c.id == inspection_id)
        ).first()
        if found is None:
            raise PadimError(f"there is no inspection {inspection_id}")
        row = {
            "uid": uid or uuids.uuid4().hex,
            "inspection_id": inspection_id,
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "who": who,
            "decision": None,
            "defect_type": "",
            "comment": "",
            "second": False,
            "undoes": None,
            **values,
        }
        connection.execute(insert(REVIEWS).values(row))
        events = self._events(connection, inspection_id)
        state = outcome_of(events)
        asked = bool(found.audited) or found.verdict in ("review", "reject")
        connection.execute(
            update(INSPECTIONS)
            .where(INSPECTIONS.c.id == inspection_id)
            .values(
                waits=asked and state.decision is None,
                decision=state.decision,
                decided_by=state.decided_by,
                decided_at=_text(state.decided_at),
                defect_type=state.defect_type,
                second_decision=state.second_decision,
                second_by=state.second_by,
                second_at=_text(state.second_at),
                second_type=state.second_type,
                disagrees=state.disagrees,
            )
        )
        return events[-1]


def _columns() -> Select[Any]:
    return select(REVIEWS)


def _event(row: Any) -> ReviewEvent:
    return ReviewEvent(
        row.id,
        row.inspection_id,
        datetime.fromisoformat(row.at),
        row.who,
        row.kind,
        row.decision,
        row.defect_type,
        row.comment,
        bool(row.second),
        row.undoes,
    )


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="microseconds")


def _checked(text: str, longest: int, what: str) -> str:
    text = text.strip()
    if len(text) > longest:
        raise PadimError(f"{what} has at most {longest:,} characters, this one has {len(text):,}")
    return text


def _name(who: str) -> str:
    who = " ".join(who.split())
    if not who:
        raise PadimError("say who decides: every review bears a name")
    return _checked(who, LONGEST_NAME, "a name")
