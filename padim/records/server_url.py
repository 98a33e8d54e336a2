"""The setting ``PADIM_DATABASE_URL``: the PostgreSQL database that has a workspace's records."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from padim import settings
from padim.errors import MissingExtraError, PadimError

VARIABLE = "PADIM_DATABASE_URL"
_FORM = "postgresql://user:password@host:5432/database"
_NAMES = ("postgresql", "postgres", "postgresql+psycopg")
# The driver must not wait for minutes for a server that is not there, or that vanished without a word; and
# servers behind a pool of connections know no prepared statements.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "padim",
}


def configured() -> URL | None:
    """Return the URL of the database server; None if the setting is empty, for SQLite.

    Raises:
        PadimError: it is not the URL of a PostgreSQL database; the message does not repeat it, as it may have
            a password.
        MissingExtraError: the driver is not installed.
    """
    secret = settings.current().database_url
    given = "" if secret is None else secret.get_secret_value().strip()
    if not given:
        return None
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise PadimError(f"{VARIABLE} is not the URL of a database; give {_FORM}") from None
    if url.drivername not in _NAMES:
        what = url.drivername.partition("+")[0]
        if what == "sqlite":
            raise PadimError(
                f"{VARIABLE} names an SQLite file; SQLite is used without this setting, in the workspace: "
                f"unset it, or give {_FORM}"
            )
        raise PadimError(
            f"{VARIABLE} names a database of the kind “{what[:30]}”; records are kept in PostgreSQL "
            f"({_FORM}) or, without this setting, in SQLite"
        )
    if not url.database:
        raise PadimError(f"{VARIABLE} names no database; give {_FORM}")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f"{VARIABLE} is set, and the driver of PostgreSQL is not installed; install it with "
            'pip install "padim-inspection[postgresql]"'
        ) from None
    missing = {name: value for name, value in _DEFAULTS.items() if name not in url.query}
    return url.set(drivername="postgresql+psycopg").update_query_dict(missing)


def described(url: URL) -> str:
    """Return a database's address for messages: without password and options."""
    host = url.host or url.query.get("host") or "localhost"
    host = host if isinstance(host, str) else ",".join(host)
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{user}{host}{port}/{url.database}"
