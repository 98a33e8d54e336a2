"""The file of a backup: a ZIP with each content once, under its SHA-256, and an index that is sealed.

``objects/<sha256>`` are the contents; ``backup.json`` lists the files of the workspace with hash and size, so
that what versions of a model share, or two models, is in the backup once. Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from padim._version import __version__
from padim.errors import PadimError
from padim.records.schema import HEAD
from padim.text import LARGEST_NUMBER, clipped

__all__ = ["BackedUpFile", "BackupIndex", "BackupReader", "BackupWriter", "opened_backup"]

FORMAT = "padim-backup"
VERSION = 1
INDEX = "backup.json"
_CHUNK = 2**20
_LARGEST_INDEX = 512 * 2**20
_HASH = re.compile(r"[0-9a-f]{64}")
_PACKED = (".sqlite", ".json", ".yaml", ".txt", ".csv", ".html")
_TOPS = ("models", "studies", "evidence", "records.sqlite", "settings.yaml", "sinks.yaml")


@dataclass(frozen=True)
class BackedUpFile:
    """One file of the workspace.

    Attributes:
        path: its path in the workspace, with slashes.
        sha256: hash of its content.
        bytes: its size.
    """

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class BackupIndex:
    """What is in a backup.

    Attributes:
        made: when it was begun, in UTC.
        program: version of the program that made it.
        tables: version of the tables of its records.
        evidence: whether it has the images and level maps that are kept with records.
        models: id and name of each model.
        inspections: number of inspections on record.
        left_out: what could not be taken, in sentences.
        files: its files.
    """

    made: datetime
    program: str
    tables: str
    evidence: bool
    models: tuple[tuple[str, str], ...]
    inspections: int
    left_out: tuple[str, ...]
    files: tuple[BackedUpFile, ...]

    @property
    def bytes(self) -> int:
        """Return the bytes of all files where they are restored."""
        return sum(one.bytes for one in self.files)


class BackupWriter:
    """Writes the content of a backup to an open file, and at the end its index."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", allowZip64=True)
        self._files: dict[str, BackedUpFile] = {}
        self._written: set[str] = set()

    @property
    def files(self) -> int:
        """Return the number of files that were added."""
        return len(self._files)

    def add_bytes(self, path: str, content: bytes) -> None:
        """Add a file by its content."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._written:
            with self._zip.open(_entry(path, digest), "w") as target:
                target.write(content)
        self._note(path, digest, len(content))

    def add(self, path: str, file: BinaryIO) -> None:
        """Add an open file, which must not change meanwhile.

        Raises:
            PadimError: it has changed while it was read.
        """
        found = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            found.update(chunk)
        digest, size = found.hexdigest(), file.tell()
        if digest not in self._written:
            file.seek(0)
            again = hashlib.sha256()
            with self._zip.open(_entry(path, digest), "w", force_zip64=True) as target:
                while chunk := file.read(_CHUNK):
                    again.update(chunk)
                    target.write(chunk)
            if again.hexdigest() != digest:
                raise PadimError(f"{path}: has changed while it was copied; make the backup again")
        self._note(path, digest, size)

    def finish(
        self,
        *,
        made: datetime,
        evidence: bool,
        models: Mapping[str, str],
        inspections: int,
        left_out: list[str],
    ) -> BackupIndex:
        """Write the index, read everything back and compare it with the index.

        Raises:
            PadimError: what was written is not what is read back.
        """
        index = BackupIndex(
            made,
            __version__,
            HEAD,
            evidence,
            tuple(models.items()),
            inspections,
            tuple(left_out),
            tuple(self._files.values()),
        )
        content = _to_json(index)
        text = json.dumps({**content, "seal": _seal(content)}, ensure_ascii=False, indent=1)
        self._zip.writestr(zipfile.ZipInfo(INDEX), text.encode(), zipfile.ZIP_DEFLATED)
        self._zip.close()
        self._file.flush()
        self._file.seek(0)
        with zipfile.ZipFile(self._file) as written:
            BackupReader(written, "the backup").verify()
        return index

    def _note(self, path: str, digest: str, size: int) -> None:
        self._written.add(digest)
        self._files[path] = BackedUpFile(path, digest, size)


class BackupReader:
    """The content of a backup; every content is compared with its hash when it is read."""

    def __init__(self, file: zipfile.ZipFile, name: str) -> None:
        """
        Args:
            file: the opened ZIP.
            name: the backup's name for messages.

        Raises:
            PadimError: it is no backup, of a later version, or damaged.
        """
        self._zip, self._name = file, name
        self.index = self._read_index()

    def verify(self) -> None:
        """Read all contents.

        Raises:
            PadimError: one is missing or damaged.
        """
        for digest in dict.fromkeys(one.sha256 for one in self.index.files):
            for _ in self._chunks(digest):
                pass

    def extract(self, one: BackedUpFile, target: Path) -> None:
        """Write one file.

        Raises:
            PadimError: its content is missing or damaged.
            OSError: it cannot be written.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in self._chunks(one.sha256):
                file.write(chunk)

    def _chunks(self, digest: str) -> Iterator[bytes]:
        found = hashlib.sha256()
        try:
            with self._zip.open(f"objects/{digest}") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
                    yield chunk
        except KeyError as error:
            raise self._damaged("lacks a content that it lists") from error
        except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
            raise self._damaged(str(error)) from error
        if found.hexdigest() != digest:
            raise self._damaged("has a content that does not match its hash")

    def _read_index(self) -> BackupIndex:
        try:
            if self._zip.getinfo(INDEX).file_size > _LARGEST_INDEX:
                raise self._damaged("has an index that is too large")
            data = json.loads(self._zip.read(INDEX))
        except KeyError as error:
            raise PadimError(f"{self._name}: is no backup of a workspace") from error
        except (zipfile.BadZipFile, EOFError, ValueError, RecursionError) as error:
            raise self._damaged(str(error)) from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise PadimError(f"{self._name}: is no backup of a workspace")
        if data.get("version") != VERSION:
            raise PadimError(
                f"{self._name}: is a backup of version {clipped(str(data.get('version')), 20)}, this program "
                f"reads {VERSION}; install a later one"
            )
        if data.pop("seal", None) != _seal(data):
            raise self._damaged("has an index that was altered")
        try:
            return _of_json(data)
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"has an index that cannot be read ({error})") from error

    def _damaged(self, how: str) -> PadimError:
        return PadimError(f"{self._name}: is damaged, it {clipped(how, 200)}; take another copy of it")


@contextmanager
def opened_backup(path: Path) -> Iterator[BackupReader]:
    """Open a backup for the duration of the block.

    Raises:
        PadimError: it cannot be read, is no backup, of a later version, or damaged.
    """
    try:
        file = zipfile.ZipFile(path)
    except OSError as error:
        raise PadimError(f"{path}: cannot be read ({error.strerror or error})") from error
    except zipfile.BadZipFile as error:
        raise PadimError(f"{path}: is no backup, or only the beginning of one ({error})") from error
    with file:
        yield BackupReader(file, str(path))


def _entry(path: str, digest: str) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(f"objects/{digest}")
    # Arrays and images hardly compress.
    found.compress_type = zipfile.ZIP_DEFLATED if path.endswith(_PACKED) else zipfile.ZIP_STORED
    return found


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _to_json(index: BackupIndex) -> dict[str, Any]:
    content = {**asdict(index), "made": index.made.isoformat()}
    return json.loads(json.dumps({"format": FORMAT, "version": VERSION, **content}))


def _of_json(data: Mapping[str, Any]) -> BackupIndex:
    files = tuple(_checked(one) for one in data["files"])
    if len({one.path for one in files}) != len(files):
        raise ValueError("a path twice")
    made = datetime.fromisoformat(data["made"]).astimezone(UTC)
    models = tuple((str(model_id), str(name)) for model_id, name in data["models"])
    left_out = tuple(str(one) for one in data["left_out"])
    return BackupIndex(
        made,
        str(data["program"]),
        str(data["tables"]),
        bool(data["evidence"]),
        models,
        int(data["inspections"]),
        left_out,
        files,
    )


def _checked(data: Mapping[str, Any]) -> BackedUpFile:
    """Return an entry whose path stays in the workspace.

    Raises:
        ValueError: it does not, or hash or size are none.
    """
    path, digest, size = str(data["path"]), str(data["sha256"]), int(data["bytes"])
    parts = PurePosixPath(path).parts
    # Elsewhere a name may have a colon or a backslash; on Windows they would lead out of the workspace.
    unsafe = "\0\\:" if os.name == "nt" else "\0"
    plain = path == "/".join(parts) and not any(
        part in (".", "..") or any(character in part for character in unsafe) for part in parts
    )
    if not plain or not parts or parts[0] not in _TOPS:
        raise ValueError(f"the path {clipped(path, 80)!r}")
    if (parts[0] in ("models", "studies", "evidence")) != (len(parts) > 1):
        raise ValueError(f"the path {clipped(path, 80)!r}")
    if not _HASH.fullmatch(digest) or not 0 <= size <= LARGEST_NUMBER:
        raise ValueError(f"hash or size of {clipped(path, 80)!r}")
    return BackedUpFile(path, digest, size)
