"""The outbox: messages to sinks, kept in the database until they are delivered.

A message is written in the transaction that records its inspection, so that either both are there or neither.
It is deleted when its receiver has confirmed it: a process that is killed in between sends it again, with the
same ``uid``. Each sink's messages are sent in the order of recording; one that its receiver refuses for good
is set aside, and does not keep the others waiting.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Row, case, delete, func, insert, select, update

from padim.errors import PadimError
from padim.records.database import RecordsDatabase
from padim.records.inspection import NewInspection
from padim.records.inspection_document import inspection_document
from padim.records.schema import OUTBOX, SINK_STATES, VERSIONS
from padim.records.sink_settings import AnySink, SinkConfiguration
from padim.records.sinks_file import SinksFile
from padim.storage.model_folders import ModelFolders

__all__ = ["Outbox", "OutboxMessage", "SinkCounts", "enqueue"]

MessageKind = Literal["inspection", "alarm", "test"]
# The sink of messages that were written while the file of sinks was not valid: they are given to the sinks
# when it is mended.
UNASSIGNED = ""
# Statements have a limited number of values.
_STEP = 500


@dataclass(frozen=True)
class OutboxMessage:
    """A message to one sink.

    Attributes:
        id: its row; larger is later.
        uid: 32 hex digits, the same at each attempt and different for each sink.
        sink: the sink's name.
        kind: what it is about.
        inspection_id: the row of the inspection; None for others.
        payload: the document of the inspection, or ``text`` (and of an alarm ``subject``) as plain JSON.
        created: when it was written, UTC.
        received: when the image came in; for others as ``created``.
        attempts: how often it was tried.
        next_attempt: not tried before; None if it was refused for good.
        error: why the last attempt failed; empty before.
    """

    id: int
    uid: str
    sink: str
    kind: MessageKind
    inspection_id: int | None
    payload: dict[str, Any]
    created: datetime
    received: datetime | None = None
    attempts: int = 0
    next_attempt: datetime | None = None
    error: str = ""

    def document(self) -> dict[str, Any]:
        """Return what is sent, as plain JSON: ``message_id``, ``kind``, ``created`` and the payload, with the
        kind as its key."""
        return {
            "message_id": self.uid,
            "kind": self.kind,
            "created": self.created.isoformat(timespec="milliseconds"),
            self.kind: self.payload,
        }

    @classmethod
    def of(cls, row: Row[Any]) -> OutboxMessage:
        """Return the message in a row of the table."""
        values = dict(row._mapping)
        for name in ("created", "received", "next_attempt"):
            values[name] = None if values[name] is None else datetime.fromisoformat(values[name])
        return cls(**{**values, "payload": json.loads(values["payload"])})


@dataclass(frozen=True)
class SinkCounts:
    """What waits for a sink, and what happened at it.

    Attributes:
        waiting: messages to be delivered.
        refused: messages that the receiver has refused for good; they are kept for a person.
        oldest: when the oldest waiting message was written.
        delivered, failed: messages and attempts since the sink was made.
        last_delivered, last_failed: when.
        last_error: why the receiver cannot be reached; empty as long as it can.
        latency_total: seconds from the image to its delivery, all delivered inspections together.
        latency_count: their number.
        latency_last: of the last one; None before.
    """

    waiting: int = 0
    refused: int = 0
    oldest: datetime | None = None
    delivered: int = 0
    failed: int = 0
    last_delivered: datetime | None = None
    last_failed: datetime | None = None
    last_error: str = ""
    latency_total: float = 0.0
    latency_count: int = 0
    latency_last: float | None = None

    @property
    def latency_mean(self) -> float | None:
        """Mean seconds from the image to its delivery; None before the first."""
        return self.latency_total / self.latency_count if self.latency_count else None


def enqueue(connection: Connection, root: Path, new: Sequence[NewInspection], rows: Mapping[str, int]) -> int:
    """Write the messages of inspections that are being recorded, in their transaction; return their number.

    Args:
        connection: of the transaction.
        root: the workspace's folder.
        new: the inspections.
        rows: the rows of those that are new, by ``uid``; others get no messages.
    """
    try:
        sinks: Sequence[AnySink] | None = [one for one in SinksFile(root).read().sinks if one.enabled]
    except PadimError:
        sinks = None  # recording goes on; who delivers says what is wrong with the file
    if not rows or (sinks is not None and not sinks):
        return 0
    names: dict[str, str] = {}
    versions = _versions(connection, {one.version_id for one in new if one.version_id is not None})
    entries = []
    first = {one.uid: one for one in reversed(new)}  # the same inspection may be given twice
    for one in sorted((first[uid] for uid in rows), key=lambda one: rows[one.uid]):
        name, number = versions.get(one.version_id, ("", None))
        if not name:
            if one.model_id not in names:
                names[one.model_id] = _model_name(root, one.model_id)
            name = names[one.model_id]
        document = inspection_document(one, model_name=name, version_number=number)
        text = json.dumps(document, ensure_ascii=False)
        if sinks is None:
            wanted = [UNASSIGNED]
        else:
            wanted = [sink.name for sink in sinks if sink.filter.accepts(document)]
        received = one.received or one.judged
        entries += [_entry(sink, "inspection", text, rows[one.uid], received) for sink in wanted]
    if entries:
        connection.execute(insert(OUTBOX), entries)
    return len(entries)


class Outbox:
    """The messages of a workspace; cheap to create, and safe to use by several threads and processes.

    Args:
        root: the workspace's folder.

    Methods that change something raise StorageError if the database cannot be written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._database = RecordsDatabase(root)

    # -- delivering --------------------------------------------------------------------------------------

    def mark(self) -> tuple[int, ...] | None:
        """Return what changes when anything is recorded, which costs far less than a look into the database.

        None if there is no such thing, as with a server. Two changes within one tick of the system's clock
        may leave it the same, so a look is needed now and then all the same.
        """
        return self._database.mark()

    def with_messages(self, sinks: Iterable[str]) -> set[str]:
        """Return those of the sinks that a message waits for."""
        found = set()
        with self._database.reading() as connection:
            if connection is None:
                return set()
            for sink in sinks:
                query = select(OUTBOX.c.id).where(OUTBOX.c.sink == sink, OUTBOX.c.next_attempt.is_not(None))
                if connection.execute(query.limit(1)).first() is not None:
                    found.add(sink)
        return found

    def due(self, sink: str, number: int = 50, *, now: datetime | None = None) -> list[OutboxMessage]:
        """Return the next messages of a sink in the order of recording, up to one that must wait."""
        query = (
            select(OUTBOX)
            .where(OUTBOX.c.sink == sink, OUTBOX.c.next_attempt.is_not(None))
            .order_by(OUTBOX.c.id)
            .limit(number)
        )
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(query).all()
        found = []
        moment = now or datetime.now(UTC)
        for message in map(OutboxMessage.of, rows):
            if message.next_attempt is None or message.next_attempt > moment:
                break
            found.append(message)
        return found

    def delivered(self, messages: Sequence[OutboxMessage], *, now: datetime | None = None) -> None:
        """Delete messages of one sink that its receiver has confirmed, and count them."""
        if not messages:
            return
        moment = now or datetime.now(UTC)
        took = [
            max(0.0, (moment - (message.received or message.created)).total_seconds())
            for message in messages
            if message.kind == "inspection"
        ]
        with self._database.writing() as connection:
            gone = 0
            ids = [message.id for message in messages]
            for start in range(0, len(ids), _STEP):
                done = connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(ids[start : start + _STEP])))
                gone += done.rowcount
            changed = {
                "delivered": SINK_STATES.c.delivered + gone,
                "last_delivered": _text(moment),
                "last_error": "",
                "latency_total": SINK_STATES.c.latency_total + sum(took),
                "latency_count": SINK_STATES.c.latency_count + len(took),
            }
            if took:
                changed["latency_last"] = took[-1]
            self._count(connection, messages[0].sink, changed)

    def postpone(
        self, message: OutboxMessage, error: str, until: datetime, *, now: datetime | None = None
    ) -> None:
        """Keep a message that could not be delivered, to be tried again at a time."""
        self._failed(message, error, until, now)

    def refuse(self, message: OutboxMessage, error: str, *, now: datetime | None = None) -> None:
        """Set a message aside that its receiver has refused for good."""
        self._failed(message, error, None, now)

    def _failed(
        self, message: OutboxMessage, error: str, until: datetime | None, now: datetime | None
    ) -> None:
        values = {
            "attempts": OUTBOX.c.attempts + 1,
            "next_attempt": None if until is None else _text(until),
            "error": error,
        }
        moment = _text(now or datetime.now(UTC))
        with self._database.writing() as connection:
            connection.execute(update(OUTBOX).where(OUTBOX.c.id == message.id).values(values))
            changed = {"failed": SINK_STATES.c.failed + 1, "last_failed": moment}
            if until is not None:
                changed["last_error"] = error
            self._count(connection, message.sink, changed)

    def unreachable(self, sink: str, error: str, *, now: datetime | None = None) -> None:
        """Note that a sink could not be opened, or with an empty ``error`` that it could."""
        changed: dict[str, Any] = {"last_error": error}
        if not error:
            query = select(SINK_STATES.c.last_error).where(SINK_STATES.c.sink == sink)
            with self._database.reading() as connection:
                if connection is None or not connection.execute(query).scalar():
                    return
        else:
            moment = _text(now or datetime.now(UTC))
            changed |= {"failed": SINK_STATES.c.failed + 1, "last_failed": moment}
        with self._database.writing() as connection:
            self._count(connection, sink, changed)

    @staticmethod
    def _count(connection: Connection, sink: str, changed: Mapping[str, Any]) -> None:
        there = select(SINK_STATES.c.sink).where(SINK_STATES.c.sink == sink)
        if connection.execute(there).first() is None:
            zero = {"delivered": 0, "failed": 0, "last_error": "", "latency_total": 0.0, "latency_count": 0}
            connection.execute(insert(SINK_STATES).values(sink=sink, **zero))
        connection.execute(update(SINK_STATES).where(SINK_STATES.c.sink == sink).values(dict(changed)))

    # -- other messages ----------------------------------------------------------------------------------

    def alarm(self, subject: str, text: str) -> int:
        """Write an alarm for each sink that is to get alarms; return how many.

        Args:
            subject: what it is about, in a few words that programs may compare, such as "disk full".
            text: what happened and what to do, as a sentence.
        """
        payload = json.dumps({"subject": subject, "text": text}, ensure_ascii=False)
        try:
            names = [one.name for one in SinksFile(self.root).read().sinks if one.enabled and one.alarms]
        except PadimError:
            names = [UNASSIGNED]
        self._write([_entry(name, "alarm", payload) for name in names])
        return len(names)

    def test(self, sink: str, text: str) -> str:
        """Write a test message for a sink, behind those that wait; return its ``uid``."""
        entry = _entry(sink, "test", json.dumps({"text": text}, ensure_ascii=False))
        self._write([entry])
        return str(entry["uid"])

    def assign(self, configuration: SinkConfiguration) -> int:
        """Give the messages that were written while the file of sinks was not valid to the sinks; return
        how many there were."""
        unassigned = select(OUTBOX).where(OUTBOX.c.sink == UNASSIGNED).order_by(OUTBOX.c.id).limit(_STEP)
        total = 0
        while self.with_messages([UNASSIGNED]):
            with self._database.writing() as connection:
                found = [OutboxMessage.of(row) for row in connection.execute(unassigned)]
                entries = []
                for message in found:
                    text = json.dumps(message.payload, ensure_ascii=False)
                    entries += [
                        {
                            **_entry(sink.name, message.kind, text, message.inspection_id, message.received),
                            "created": _text(message.created),
                        }
                        for sink in configuration.sinks
                        if _takes(sink, message)
                    ]
                if entries:
                    connection.execute(insert(OUTBOX), entries)
                ids = [message.id for message in found]
                connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(ids)))
                total += len(found)
        return total

    def _write(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if entries:
            with self._database.writing() as connection:
                connection.execute(insert(OUTBOX), [dict(entry) for entry in entries])

    # -- for people --------------------------------------------------------------------------------------

    def counts(self) -> dict[str, SinkCounts]:
        """Return what waits for each sink and what happened at it, by name, also of sinks that are gone."""
        waits = OUTBOX.c.next_attempt.is_not(None)
        # Both answered by the index, so that a long outbox costs little.
        numbers = select(
            OUTBOX.c.sink,
            func.sum(case((waits, 1), else_=0)).label("waiting"),
            func.sum(case((waits, 0), else_=1)).label("refused"),
            func.min(case((waits, OUTBOX.c.id))).label("first"),
        ).group_by(OUTBOX.c.sink)
        found: dict[str, dict[str, Any]] = {}
        with self._database.reading() as connection:
            if connection is None:
                return {}
            for row in connection.execute(select(SINK_STATES)):
                values = dict(row._mapping)
                for name in ("last_delivered", "last_failed"):
                    values[name] = None if values[name] is None else datetime.fromisoformat(values[name])
                found[values.pop("sink")] = values
            for row in connection.execute(numbers).all():
                oldest = None
                if row.first is not None:
                    query = select(OUTBOX.c.created).where(OUTBOX.c.id == row.first)
                    oldest = datetime.fromisoformat(str(connection.execute(query).scalar_one()))
                entry = found.setdefault(row.sink, {})
                entry |= {"waiting": int(row.waiting), "refused": int(row.refused), "oldest": oldest}
        return {sink: SinkCounts(**values) for sink, values in found.items()}

    def is_waiting(self, uid: str) -> bool:
        """Return whether a message has been neither delivered nor refused."""
        query = select(OUTBOX.c.id).where(OUTBOX.c.uid == uid, OUTBOX.c.next_attempt.is_not(None))
        with self._database.reading() as connection:
            return connection is not None and connection.execute(query).first() is not None

    def messages(self, sink: str, *, refused: bool = False, number: int = 100) -> list[OutboxMessage]:
        """Return the first messages of a sink that wait, or those that were refused for good."""
        state = OUTBOX.c.next_attempt.is_(None) if refused else OUTBOX.c.next_attempt.is_not(None)
        query = select(OUTBOX).where(OUTBOX.c.sink == sink, state).order_by(OUTBOX.c.id).limit(number)
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(query).all()
        return [OutboxMessage.of(row) for row in rows]

    def retry(self, sink: str) -> int:
        """Have all messages of a sink tried at once, also refused ones; return how many there are."""
        now = _text(datetime.now(UTC))
        with self._database.writing() as connection:
            mine = update(OUTBOX).where(OUTBOX.c.sink == sink)
            return connection.execute(mine.values(next_attempt=now)).rowcount

    def drop(self, sink: str, *, waiting: bool = False) -> int:
        """Delete messages of a sink for good: those refused or, with ``waiting``, all; return how many."""
        gone = delete(OUTBOX).where(OUTBOX.c.sink == sink)
        if not waiting:
            gone = gone.where(OUTBOX.c.next_attempt.is_(None))
        with self._database.writing() as connection:
            return connection.execute(gone).rowcount

    def rename(self, sink: str, name: str) -> None:
        """Give messages and counts of a sink to its new name."""
        with self._database.writing() as connection:
            connection.execute(update(OUTBOX).where(OUTBOX.c.sink == sink).values(sink=name))
            connection.execute(delete(SINK_STATES).where(SINK_STATES.c.sink == name))
            connection.execute(update(SINK_STATES).where(SINK_STATES.c.sink == sink).values(sink=name))

    def forget(self, sink: str) -> None:
        """Delete the counts of a sink that is no longer in the file, and its messages."""
        with self._database.writing() as connection:
            connection.execute(delete(OUTBOX).where(OUTBOX.c.sink == sink))
            connection.execute(delete(SINK_STATES).where(SINK_STATES.c.sink == sink))


def _entry(
    sink: str,
    kind: MessageKind,
    payload: str,
    inspection_id: int | None = None,
    received: datetime | None = None,
) -> dict[str, Any]:
    now = _text(datetime.now(UTC))
    return {
        "uid": uuid.uuid4().hex,
        "sink": sink,
        "kind": kind,
        "inspection_id": inspection_id,
        "payload": payload,
        "created": now,
        "received": now if received is None else _text(received),
        "attempts": 0,
        "next_attempt": now,
        "error": "",
    }


def _takes(sink: AnySink, message: OutboxMessage) -> bool:
    if not sink.enabled:
        return False
    return sink.alarms if message.kind == "alarm" else sink.filter.accepts(message.payload)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _versions(connection: Connection, ids: Iterable[int]) -> dict[int | None, tuple[str, int | None]]:
    """Return name of the model and number of versions by their rows."""
    columns = (VERSIONS.c.id, VERSIONS.c.model_name, VERSIONS.c.number)
    found = connection.execute(select(*columns).where(VERSIONS.c.id.in_(list(ids)))).all()
    return {row.id: (row.model_name, row.number) for row in found}


def _model_name(root: Path, model_id: str) -> str:
    """Return the name of a model without versions; its id if the workspace does not have it."""
    with suppress(PadimError, OSError):
        return ModelFolders(root).get(model_id).name
    return model_id
