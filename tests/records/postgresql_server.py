"""A PostgreSQL server for tests: Debian's or PyPI's pgserver, started as another user than root."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Has what a URL must quote, and is looked for in messages.
PASSWORD = "s3cret/of@all:"


def binaries() -> Path | None:
    """Return the folder of the newest server's programs; None if none is installed."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].split(".")[0])
    )
    if installed:
        return installed[-1].parent
    try:
        from importlib.util import find_spec

        found = find_spec("pgserver")
    except ImportError:
        return None
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").is_file() else None


@dataclass
class PostgresqlServer:
    """A server that listens on a socket in a folder of its own."""

    folder: Path
    programs: Path
    user: dict[str, Any]

    def url(self, database: str, password: str = PASSWORD, user: str = "padim") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{user}:{quote(password, safe='')}@/{database}?host={self.folder}"

    def run(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement outside of a transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            done = connection.execute(sql)
            return done.fetchall() if done.description else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-k {self.folder} -h '' -F -c max_connections=60"
        self._control("start", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: "fast" ends all connections, "immediate" is a crash."""
        self._control("stop", "-m", mode)

    def _control(self, *arguments: str) -> None:
        command = [str(self.programs / "pg_ctl"), "-w", "-s", "-D", str(self.folder / "data"), *arguments]
        # Without pipes, which the server would keep open.
        done = subprocess.run(command, stdin=subprocess.DEVNULL, cwd=self.folder, **self.user)
        log = self.folder / "log"
        assert done.returncode == 0, log.read_text() if log.is_file() else command

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create an empty database for the duration of the block; yield its URL."""
        name = f"t{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running() -> Iterator[PostgresqlServer]:
    """Start a server on new data; it goes with the block."""
    programs = binaries()
    assert programs is not None
    # Short, as the names of sockets are.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # The server refuses to run as root. Whoever else there is may not reach this installation.
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        if "pgserver" in programs.parts:
            # With its libraries, which lie beside the package.
            packages, copy = programs.parents[2], folder / "installed"
            for name in ("pgserver/pginstall", "pgserver.libs"):
                if (packages / name).is_dir():
                    shutil.copytree(packages / name, copy / name, ignore=shutil.ignore_patterns("include"))
            programs = copy / "pgserver" / "pginstall" / "bin"
        shutil.chown(folder, "nobody", "nogroup")
    server = PostgresqlServer(folder, programs, user)
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [
                *(str(programs / "initdb"), "-D", str(folder / "data"), "-U", "padim", "-E", "UTF8"),
                *("--locale=C", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
