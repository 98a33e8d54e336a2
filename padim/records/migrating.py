"""Bringing the tables of a database up to date, by the migrations of this package."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Connection

from padim.errors import PadimError
from padim.records.schema import HEAD

MIGRATIONS = Path(__file__).with_name("migrations")


def checked(revision: str | None, where: str) -> str | None:
    """Return the migration that a database is at, if this program can bring it up to date.

    Args:
        revision: as the database has it; None if it is empty.
        where: the database, for messages.

    Raises:
        PadimError: it is of a later version than this program, or of another program.
    """
    if revision is None:
        return None
    if re.fullmatch(r"\d{4}", revision) is None:
        raise PadimError(f"{where}: has the tables of another program; give an empty database")
    if revision > HEAD:
        raise PadimError(
            f"{where}: was written by a later version of this program (tables {revision}, this one knows "
            f"{HEAD}); install that version"
        )
    return revision


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, in the transaction of the connection."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
