"""Watched folders on record: what inspects which folder, where results go, and whether it is to run.

The watching itself is :mod:`padim.service.watching`; its process looks here whether it is still wanted, and
the app starts one for each watch of its own that is wanted and does not run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from padim.errors import PadimError
from padim.records.database import RecordsDatabase
from padim.records.schema import WATCHES
from padim.text import clipped, one_line

__all__ = ["WatchOptions", "WatchStarter", "WatchedFolder", "Watches"]

# Who starts its process, and starts it again when it has ended although it is wanted.
WatchStarter = Literal["app", "shell"]
_LONGEST = 100
_SMALLEST_PANEL, _LARGEST_PANEL = 32, 8192
_LONGEST_WAIT = 86_400.0


@dataclass(frozen=True)
class WatchOptions:
    """How a folder is watched; the options of the ``watch`` command.

    Attributes:
        sub_folders: whether images in sub-folders are inspected too.
        panels: whether a four-panel image is written for each image.
        panel_side: longest side of one panel in pixels.
        polling: look into the folder each second instead of waiting for the system's notice; network folders
            are always watched so.
        settle: seconds for which size and time of a file must not change before it is read.
        patience: seconds after which an unchanged file that cannot be read is refused.
        move_to: folder that inspected files are moved to; empty: they stay where they are.
        who: recorded as who inspects; empty: the login name.
        part_number, serial, lot, station, shift: recorded with each image.
        name_pattern: reads these from file names, see :mod:`padim.records.name_pattern`; empty: none.
    """

    sub_folders: bool = True
    panels: bool = True
    panel_side: int = 768
    polling: bool = False
    settle: float = 0.5
    patience: float = 30.0
    move_to: str = ""
    who: str = ""
    part_number: str = ""
    serial: str = ""
    lot: str = ""
    station: str = ""
    shift: str = ""
    name_pattern: str = ""

    def __post_init__(self) -> None:
        if not _SMALLEST_PANEL <= self.panel_side <= _LARGEST_PANEL:
            raise PadimError(
                f"the side of a panel must be from {_SMALLEST_PANEL} to {_LARGEST_PANEL} pixels, not "
                f"{self.panel_side}"
            )
        for name, value in (("settle", self.settle), ("patience", self.patience)):
            if not 0 <= value <= _LONGEST_WAIT:
                raise PadimError(f"{name} must be from 0 to {_LONGEST_WAIT:,.0f} seconds, not {value:g}")

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> WatchOptions:
        """Return the options in a JSON document; those of later versions of this program are passed over."""
        return cls(**{name: value for name, value in document.items() if name in cls.__dataclass_fields__})

    def arguments(self) -> tuple[str, ...]:
        """Return these options as arguments of the ``watch`` command; defaults are left out."""
        default, words = WatchOptions(), []
        for name, value in asdict(self).items():
            if value == getattr(default, name):
                continue
            option = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                # One word, so that a value with a hyphen in front is not taken for an option.
                words.append(f"--{option}={value}")
        return tuple(words)


@dataclass(frozen=True)
class WatchedFolder:
    """One watched folder.

    Attributes:
        uid: 32 hex digits that identify it.
        target: what inspects: the id of a model, a part number or the path of a model.
        folder: the folder whose images are inspected.
        output: the folder for results.
        options: how it is watched.
        starter: who starts its process.
        wanted: whether it is to run.
        made, who: when it was entered, and by whom.
        removed: when it was taken off the list; None if it was not.
    """

    uid: str
    target: str
    folder: Path
    output: Path
    options: WatchOptions = field(default_factory=WatchOptions)
    starter: WatchStarter = "app"
    wanted: bool = True
    made: datetime = field(default_factory=lambda: datetime.now(UTC))
    who: str = ""
    removed: datetime | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of ``padim`` that run it: ``watch TARGET FOLDER --out OUTPUT ...``."""
        ends = ("--", self.target, str(self.folder))
        return ("watch", f"--out={self.output}", f"--id={self.uid}", *self.options.arguments(), *ends)


class Watches:
    """The watched folders of a workspace; cheap to create.

    Every method sees what others have stored. Those that store something raise StorageError if the database
    cannot be written, and then have stored nothing.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, root: str | Path) -> None:
        self._database = RecordsDatabase(root)

    def all(self, *, removed: bool = False) -> list[WatchedFolder]:
        """Return the watches in the order in which they were entered, with or without removed ones."""
        with self._database.reading() as connection:
            return [] if connection is None else _all(connection, removed=removed)

    def get(self, uid: str) -> WatchedFolder | None:
        """Return one watch, also a removed one; None if there is no such watch."""
        with self._database.reading() as connection:
            if connection is None:
                return None
            row = connection.execute(select(WATCHES).where(WATCHES.c.uid == uid)).mappings().first()
        return None if row is None else _watch(row)

    def add(
        self,
        target: str,
        folder: str | Path,
        output: str | Path,
        who: str,
        *,
        options: WatchOptions | None = None,
        starter: WatchStarter = "app",
        wanted: bool = True,
    ) -> WatchedFolder:
        """Enter a watched folder; one with the same folder for results is entered anew, in its place.

        Args:
            target: the id of a model, a part number or the path of a model.
            folder: the folder whose images are inspected.
            output: the folder for results.
            who: who enters it.
            options: how it is watched; default: the defaults.
            starter: who starts its process.
            wanted: whether it is to run.

        Raises:
            PadimError: results would be mixed with the images, or another watch has the folder or the
                results; the message names it.
        """
        options = options or WatchOptions()
        source, out = absolute(folder), absolute(output)
        moved = absolute(options.move_to) if options.move_to else None
        check_places(source, out, moved)
        row = {
            "target": target.strip(),
            "folder": str(source),
            "output": str(out),
            "options": json.dumps({**asdict(options), "starter": starter}, ensure_ascii=False),
            "wanted": wanted,
            "made": _now(),
            "who": one_line(who, _LONGEST),
            "removed": None,
        }
        if not row["target"]:
            raise PadimError("choose the model or the part number that inspects the images of the folder")
        with self._database.writing() as connection:
            everything = _all(connection, removed=True)
            former = next((one for one in everything if absolute(one.output) == out), None)
            if former is not None and former.removed is None and absolute(former.folder) != source:
                raise PadimError(
                    f"{out}: has the results of the watched folder {former.folder}; choose another folder "
                    "for results"
                )
            for one in everything:
                if one.removed is None and one is not former and (why := _overlap(source, options, one)):
                    raise PadimError(f"{source}: {why}; remove that watch first, or choose another folder")
            uid = uuid.uuid4().hex if former is None else former.uid
            if former is None:
                connection.execute(insert(WATCHES).values(uid=uid, **row))
            else:
                connection.execute(update(WATCHES).where(WATCHES.c.uid == uid).values(row))
            stored = connection.execute(select(WATCHES).where(WATCHES.c.uid == uid)).mappings().one()
        return _watch(stored)

    def set_wanted(self, uid: str, wanted: bool) -> None:
        """Say whether a watch that is not removed is to run; its process obeys within seconds."""
        mine = (WATCHES.c.uid == uid) & WATCHES.c.removed.is_(None)
        with self._database.writing() as connection:
            connection.execute(update(WATCHES).where(mine).values(wanted=wanted))

    def remove(self, uid: str) -> None:
        """Take a watch off the list, and have its process stop; its results stay where they are."""
        with self._database.writing() as connection:
            connection.execute(
                update(WATCHES).where(WATCHES.c.uid == uid).values(wanted=False, removed=_now())
            )

    def restore(self, uid: str) -> None:
        """Put a removed watch back on the list, stopped.

        Raises:
            PadimError: another watch has its folder meanwhile.
        """
        with self._database.writing() as connection:
            everything = _all(connection, removed=True)
            mine = next((one for one in everything if one.uid == uid), None)
            if mine is None or mine.removed is None:
                return
            for one in everything:
                if one.removed is None and (why := _overlap(absolute(mine.folder), mine.options, one)):
                    raise PadimError(f"{mine.folder}: {why}; remove that watch first")
            connection.execute(update(WATCHES).where(WATCHES.c.uid == uid).values(wanted=False, removed=None))


def absolute(path: str | Path) -> Path:
    """Return a path as it is compared with others: absolute, symbolic links resolved."""
    return Path(path).expanduser().resolve()


def check_places(folder: Path, output: Path, move_to: Path | None) -> None:
    """Refuse folders for results or moved files that are inside the watched one, or the other way round.

    Raises:
        PadimError: they are; the message names the folder.
    """
    named = [("results", output)] + ([] if move_to is None else [("moved files", move_to)])
    for what, place in named:
        if place.is_relative_to(folder):
            raise PadimError(
                f"{place}: the folder for {what} is inside the watched one; choose one outside it"
            )
        if folder.is_relative_to(place):
            raise PadimError(
                f"{folder}: is inside the folder for {what}, {place}; choose another one for them"
            )


def _overlap(folder: Path, options: WatchOptions, other: WatchedFolder) -> str:
    """Return why two watches would inspect the same images, as a phrase; empty if they would not."""
    theirs = absolute(other.folder)
    by = clipped(other.target, 60)
    if theirs == folder:
        return f"is watched already, by {by}"
    if other.options.sub_folders and folder.is_relative_to(theirs):
        return f"is inside {theirs}, which is watched with its sub-folders, by {by}"
    if options.sub_folders and theirs.is_relative_to(folder):
        return f"contains {theirs}, which is watched already, by {by}"
    return ""


def _all(connection: Connection, *, removed: bool) -> list[WatchedFolder]:
    rows = connection.execute(select(WATCHES).order_by(WATCHES.c.id)).mappings().all()
    found = [_watch(row) for row in rows]
    return [watch for watch in found if removed or watch.removed is None]


def _watch(row: Mapping[Any, Any]) -> WatchedFolder:
    document = json.loads(row["options"])
    removed = row["removed"]
    return WatchedFolder(
        uid=row["uid"],
        target=row["target"],
        folder=Path(row["folder"]),
        output=Path(row["output"]),
        options=WatchOptions.of(document),
        starter="shell" if document.get("starter") == "shell" else "app",
        wanted=bool(row["wanted"]),
        made=datetime.fromisoformat(row["made"]),
        who=row["who"],
        removed=None if removed is None else datetime.fromisoformat(removed),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
