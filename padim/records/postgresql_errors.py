"""What PostgreSQL and its driver report, as errors with the database's name and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InvalidRequestError

from padim.errors import PadimError, StorageError

_UNCHANGED = "what is saved is unchanged"
# By SQLSTATE, or the beginning of one: what happened, and what to do.
_STORAGE = {
    "53100": "no space left on the server's disk; free some space there, and then do it again",
    "53300": "the server has no connection left; close other programs that use it, or raise its "
    "max_connections, and do it again",
    "55P03": "another program keeps it locked; close that, and do it again",
    "57014": "the server stopped the work because it took too long; do it again",
    "28": "the server refuses the user or the password; correct them in PADIM_DATABASE_URL",
    "3D000": "the server has no such database; create it (createdb), or correct PADIM_DATABASE_URL",
    "53": "the server has not enough memory or room for this; see its log",
}
_READ_ONLY = {
    "42501": f"this user may not change the tables; {_UNCHANGED}; grant it the rights, or give another user",
    "25006": f"the server is read-only, perhaps a replica; {_UNCHANGED}; give the one that can be written",
}
# The server is shut down, crashed, or is starting; the connection broke.
_AWAY = ("08", "57P", "25P03", "58")


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Convert errors of the server and of the connection to ours.

    Args:
        place: the database's address, without the password.
    """
    try:
        yield
    except DBAPIError as error:
        raise _converted(place, error) from error
    except InvalidRequestError as error:
        # SQLAlchemy's word for a connection that broke while a block went on.
        if "invalid transaction" in str(error) or "invalidated" in str(error):
            raise _away(place, None) from error
        raise


def _converted(place: str, error: DBAPIError) -> Exception:
    state = getattr(error.orig, "sqlstate", None) or ""
    for begin, what in _READ_ONLY.items():
        if state.startswith(begin):
            return StorageError(f"{place}: {what}", read_only=True)
    for begin, what in _STORAGE.items():
        if state.startswith(begin):
            return StorageError(f"{place}: {what}")
    if state.startswith("XX00"):
        return PadimError(f"{place}: is damaged ({_first_line(error)}); restore it from a backup")
    if state.startswith(_AWAY) or (not state and _is_about_connection(error)):
        text = str(error.orig)
        # Refused before there is a connection, for which the driver has no SQLSTATE.
        if ("password" in text and "fail" in text) or "no password supplied" in text:
            return StorageError(f"{place}: {_STORAGE['28']}")
        if "does not exist" in text and "database" in text:
            return StorageError(f"{place}: {_STORAGE['3D000']}")
        return _away(place, error)
    if type(error.orig).__name__ == "DataError":
        return PadimError(f"{place}: a value cannot be stored ({_first_line(error)}); nothing was saved")
    return error


def _is_about_connection(error: DBAPIError) -> bool:
    return error.connection_invalidated or type(error.orig).__name__ in (
        "OperationalError",
        "ConnectionTimeout",
    )


def _away(place: str, error: DBAPIError | None) -> StorageError:
    why = "" if error is None else f" ({_first_line(error)})"
    return StorageError(
        f"{place}: the database server cannot be reached{why}; what was being saved may not be saved; start "
        "the server, or check the network and PADIM_DATABASE_URL, and do it again"
    )


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0].strip().rstrip(".;")[:200] if lines else "no reason given"
