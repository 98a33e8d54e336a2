"""The file that says that a workspace's records are in a database server, and in which one.

A database belongs to one workspace: models that are not in the workspace lose their rows, and images without
rows lose their files. So neither another workspace nor another database, nor the SQLite file of the time
before, may take its place without being told to.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from padim.errors import PadimError
from padim.storage.atomic import write_atomic

FILE = "records-server.json"


@dataclass(frozen=True)
class ServerMark:
    """Where a workspace's records are.

    Attributes:
        workspace: the workspace's identity, 32 hex digits, which the database has too.
        server: the database's address, without the password.
        ready: False while the database is being taken into use.
    """

    workspace: str
    server: str
    ready: bool = True

    def write(self, root: Path, *, ready: bool = True) -> None:
        """Write the file.

        Raises:
            OSError: the workspace is read-only, or its disk is full.
        """
        text = json.dumps(asdict(replace(self, ready=ready)), indent=1)
        write_atomic(root / FILE, text.encode())


def read(root: Path) -> ServerMark | None:
    """Return the workspace's mark; None if its records are not in a server.

    Raises:
        PadimError: the file is damaged.
    """
    path = root / FILE
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("workspace", "server")):
        return ServerMark(found["workspace"], found["server"], found.get("ready") is True)
    raise PadimError(f"{path}: is damaged; restore it from a backup")


def remove(root: Path) -> None:
    """Remove the workspace's mark."""
    (root / FILE).unlink(missing_ok=True)


def refuse_file(root: Path, variable: str) -> None:
    """Refuse the SQLite file of a workspace whose records are in a server.

    Raises:
        PadimError: they are.
    """
    mark = read(root)
    if mark is not None:
        raise PadimError(
            f"{root}: the records of this workspace are in {mark.server}; set {variable} to that database, "
            f"or delete {root / FILE} to go on with {root / 'records.sqlite'} as it was before"
        )
