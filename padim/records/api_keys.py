"""Keys of programs that use the service: each has a name, is shown once, and can be revoked.

Only the hash of a key is kept. A key is 256 random bits, so that a plain SHA-256 of it cannot be turned back.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from padim.errors import PadimError
from padim.records.database import RecordsDatabase
from padim.records.schema import API_KEYS
from padim.text import clipped, one_line

__all__ = ["KEY_PREFIX", "LONGEST_KEY_NAME", "ApiKey", "ApiKeys"]

# Tells people, and programs that search files for secrets, what such a text is.
KEY_PREFIX = "padim_"
LONGEST_KEY_NAME = 80
# Longer texts are no keys and are not hashed.
_LONGEST_KEY = 200


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key: not the key itself.

    Attributes:
        name: the program that uses it; inspections name it as the person who had them made.
        made: when it was made, UTC.
        who: who made it.
        revoked: when it was revoked, UTC; None if it is valid.
    """

    name: str
    made: datetime
    who: str
    revoked: datetime | None = None


class ApiKeys:
    """The keys of a workspace's service; cheap to create.

    Every method sees what others have stored. Those that store something raise StorageError if the database
    cannot be written, and then have stored nothing.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, root: str | Path) -> None:
        self._database = RecordsDatabase(root)

    def add(self, name: str, who: str) -> str:
        """Make a key and return it; it cannot be shown again.

        Args:
            name: the program that will use it, such as "line 3". A name is given once, also if its key was
                revoked since, because inspections on record name it.
            who: who makes it.

        Raises:
            PadimError: the name is empty, too long or taken.
        """
        cleaned = one_line(name, LONGEST_KEY_NAME + 1)
        if not cleaned or len(cleaned) > LONGEST_KEY_NAME:
            raise PadimError(f"the name of a key has 1 to {LONGEST_KEY_NAME} characters")
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        row = {"name": cleaned, "sha256": _hash(key), "made": _now(), "who": who}
        taken = PadimError(
            f"{cleaned}: a key of this name was made before; revoked keys keep their names, so choose another"
        )
        try:
            with self._database.writing() as connection:
                if connection.execute(select(API_KEYS.c.id).where(API_KEYS.c.name == cleaned)).first():
                    raise taken
                connection.execute(insert(API_KEYS).values(row))
        except IntegrityError as error:  # somebody else has just taken it
            raise taken from error
        return key

    def all(self) -> list[ApiKey]:
        """Return the keys in the order in which they were made, revoked ones too."""
        with self._database.reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(select(API_KEYS).order_by(API_KEYS.c.id)).mappings().all()
        return [
            ApiKey(
                row["name"],
                datetime.fromisoformat(row["made"]),
                row["who"],
                None if row["revoked"] is None else datetime.fromisoformat(row["revoked"]),
            )
            for row in rows
        ]

    def revoke(self, name: str) -> ApiKey:
        """Make a key invalid from now on and return it; one that was revoked before stays as it is.

        Raises:
            PadimError: there is no key of this name; the message names those that there are.
        """
        cleaned = one_line(name, LONGEST_KEY_NAME)
        mine = API_KEYS.c.name == cleaned
        known = {key.name: key for key in self.all()}
        if cleaned not in known:
            valid = [key.name for key in known.values() if key.revoked is None]
            there = f"there are {', '.join(valid[:10])}" if valid else "there is none"
            raise PadimError(f"there is no key named {clipped(cleaned, 80)!r}; {there}")
        with self._database.writing() as connection:
            changed = update(API_KEYS).where(mine, API_KEYS.c.revoked.is_(None)).values(revoked=_now())
            connection.execute(changed)
        return next(key for key in self.all() if key.name == cleaned)

    def name_of(self, key: str) -> str | None:
        """Return the name of a valid key; None if the key is unknown or revoked."""
        if not key.startswith(KEY_PREFIX) or len(key) > _LONGEST_KEY:
            return None
        wanted = select(API_KEYS.c.name).where(API_KEYS.c.sha256 == _hash(key), API_KEYS.c.revoked.is_(None))
        with self._database.reading() as connection:
            return None if connection is None else connection.execute(wanted).scalar()


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
