"""Which files of a watched folder are inspected or refused: an SQLite file in the folder for results.

A file is identified by its path below the watched folder and the SHA-256 of its content: the same content
under the same path is inspected once, whatever its time says. Its row is written before it is inspected
("begun") and marked as done after its result is on record and its files are written. So a process that is
killed at any moment neither loses an image nor inspects one twice under another identity: the one that was
begun is asked for again under the same uid, and the record says whether it was recorded.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from padim.errors import PadimError, StorageError

__all__ = ["STATE_FILE", "FileMark", "FileOutcome", "WatchState", "WatchedFileRow", "refused_in"]

STATE_FILE = "watch.sqlite"
# Paths that one query looks up.
_STEP = 400
_FORMAT = "1"
_TABLES = """
create table if not exists meta (name text primary key, value text not null);
create table if not exists files (
    path text not null,
    sha256 text not null,
    uid text not null,
    -- Path of its results below the folder for results, without an ending.
    base text not null,
    size integer not null, modified integer not null, changed integer not null,
    state text not null check (state in ('begun', 'done', 'refused')),
    verdict text not null,
    reason text not null,
    -- Whether its files were written.
    files integer not null,
    at text not null,
    primary key (path, sha256)
) without rowid;
create index if not exists files_state on files (state, at);
"""
FileOutcome = Literal["begun", "done", "refused"]


@dataclass(frozen=True)
class FileMark:
    """What tells whether a file was changed: its size, and when content and entry were changed, in ns."""

    size: int
    modified: int
    changed: int


@dataclass(frozen=True)
class WatchedFileRow:
    """What is known of one file.

    Attributes:
        path: its path below the watched folder, with forward slashes.
        sha256: of its content.
        uid: identifies its inspection.
        base: path of its results below the folder for results, without an ending.
        mark: as it was when it was read.
        state: what became of it.
        verdict: the verdict, if it is done.
        reason: why it was refused.
        files: whether its files were written.
    """

    path: str
    sha256: str
    uid: str
    base: str
    mark: FileMark
    state: FileOutcome = "begun"
    verdict: str = ""
    reason: str = ""
    files: bool = True


class WatchState:
    """The state of one watch, for use by one thread.

    Attributes:
        uid: 32 hex digits, drawn when the file was made.
    """

    def __init__(self, output: Path, folder: Path) -> None:
        """Open the file, or make it.

        Args:
            output: the folder for results; it must exist.
            folder: the watched folder.

        Raises:
            PadimError: the results are another folder's, the file is damaged, or a later version wrote it.
            StorageError: it cannot be written.
        """
        self._path = output / STATE_FILE
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
            self._connection.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error
        with self._writing() as connection:
            meta = dict(connection.execute("select name, value from meta"))
            if meta.get("format", _FORMAT) != _FORMAT:
                raise PadimError(f"{self._path}: a later version of this program wrote it; update this one")
            former = meta.get("folder")
            if former is not None and former != str(folder) and Path(former).is_dir():
                raise PadimError(
                    f"{output}: has the results of the watched folder {former}; choose another folder for "
                    "results"
                )
            self.uid = meta.get("uid") or uuid.uuid4().hex
            now = {"format": _FORMAT, "uid": self.uid, "folder": str(folder)}
            connection.executemany("insert or replace into meta values (?, ?)", now.items())

    def reopen(self) -> None:
        """Open the file anew, as its disk may have been away, and see that it can be written.

        Raises:
            PadimError: it cannot be written, is not there, or is another one.
        """
        if not self._path.is_file():
            raise StorageError(f"{self._path}: is not there; it is looked for again", self._path)
        with suppress(sqlite3.Error):
            self._connection.close()
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=10.0)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error
        with self._writing() as connection:
            found = connection.execute("select value from meta where name = 'uid'").fetchone()
            if found != (self.uid,):
                raise PadimError(f"{self._path}: is another watch's now; stop this one")
            connection.execute("insert or replace into meta values ('tried', ?)", [_now()])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def uid_of(self, path: str, sha256: str) -> str:
        """Return the identity of the inspection of a file."""
        return uuid.uuid5(uuid.UUID(self.uid), f"{path}\0{sha256}").hex

    def unknown(self, found: Mapping[str, FileMark]) -> Iterator[tuple[str, FileMark]]:
        """Yield those files that are not done and not refused, or that were changed since."""
        paths = list(found)
        for start in range(0, len(paths), _STEP):
            some = paths[start : start + _STEP]
            query = (
                "select path, size, modified, changed from files where state != 'begun' and path in "
                f"({', '.join('?' * len(some))})"
            )
            known = {(row[0], FileMark(*row[1:])) for row in self._all(query, some)}
            yield from ((path, found[path]) for path in some if (path, found[path]) not in known)

    def of(self, path: str) -> list[WatchedFileRow]:
        """Return what is known of a path: one row for each content that it had."""
        return self._rows("path = ?", [path])

    def begun(self) -> list[WatchedFileRow]:
        """Return the files that a process has begun and not ended with."""
        return self._rows("state = 'begun'", [])

    def _rows(self, condition: str, values: Sequence[str]) -> list[WatchedFileRow]:
        query = (
            "select path, sha256, uid, base, size, modified, changed, state, verdict, reason, files "
            f"from files where {condition}"
        )
        return [
            WatchedFileRow(
                *(row[0], row[1], row[2], row[3]),
                FileMark(*row[4:7]),
                *(row[7], row[8], row[9]),
                bool(row[10]),
            )
            for row in self._all(query, values)
        ]

    def put(self, rows: Sequence[WatchedFileRow], *, forget: Sequence[WatchedFileRow] = ()) -> None:
        """Store rows in one transaction, in place of those of the same path and content.

        Args:
            rows: the rows.
            forget: rows of files that were begun and are read again later.

        Raises:
            StorageError: the file cannot be written; nothing is stored then.
        """
        if not rows and not forget:
            return
        now = _now()
        values = [
            (
                *(row.path, row.sha256, row.uid, row.base),
                *(row.mark.size, row.mark.modified, row.mark.changed),
                *(row.state, row.verdict, row.reason, int(row.files), now),
            )
            for row in rows
        ]
        with self._writing() as connection:
            connection.executemany(
                "delete from files where path = ? and sha256 = ? and state = 'begun'",
                [(row.path, row.sha256) for row in forget],
            )
            connection.executemany(f"insert or replace into files values ({', '.join('?' * 12)})", values)

    def retry_refused(self) -> int:
        """Forget all refused files, so that they are tried again; return their number."""
        with self._writing() as connection:
            return connection.execute("delete from files where state = 'refused'").rowcount

    def counts(self) -> dict[str, int]:
        """Return the number of files by verdict, of ``refused`` ones, and of those ``without_files``."""
        found: dict[str, int] = {}
        for state, verdict, files, number in self._all(
            "select state, verdict, files, count(*) from files where state != 'begun' group by 1, 2, 3", []
        ):
            name = "refused" if state == "refused" else verdict
            found[name] = found.get(name, 0) + number
            if not files:
                found["without_files"] = found.get("without_files", 0) + number
        return found

    def _all(self, query: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.DatabaseError) -> PadimError:
        if isinstance(error, sqlite3.OperationalError):
            what = "free some space there" if "full" in str(error) else "check the disk and its permissions"
            return StorageError(f"{self._path}: cannot be written ({error}); {what}", self._path)
        return PadimError(
            f"{self._path}: is damaged ({error}); choose another folder for results: the images that are "
            "still in the watched folder are then inspected again"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def refused_in(path: Path, most: int) -> list[tuple[str, str, str]]:
    """Return path, reason and time of refused files, the latest first; none if the file cannot be read.

    Args:
        path: the file of a :class:`WatchState`.
        most: largest number of files returned.
    """
    query = "select path, reason, at from files where state = 'refused' order by at desc, path limit ?"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, [most]).fetchall()
    except (sqlite3.Error, ValueError):
        return []
