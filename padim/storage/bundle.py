"""Bundles: a saved model as a folder or .zip file, written atomically and checked when it is read.

Every file has its content's hash in its name, and ``manifest.json``, replaced in one atomic step, lists the
files of the model. Until that step the former model is untouched; after it, files that no longer belong to
the model are removed. Loading checks every hash. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from padim.errors import BundleError
from padim.storage.atomic import remove_tree, sha256_of, sync_folder, write_atomic
from padim.storage.leftovers import locked_beside
from padim.storage.revisions import check_unchanged, parsed, revision_of
from padim.text import clipped, shown

FORMAT = "padim-bundle"
VERSION = 3
READABLE = (VERSION,)
_NEVER_RELEASED = (1, 2)
MANIFEST = "manifest.json"
# Folder beside the manifests of versions (:mod:`padim.storage.version_files`) that has their files.
VERSION_FILES = "files"

# A function yields the content in pieces, the same at every call.
Content = bytes | npt.NDArray[Any] | Path | Callable[[], Iterable[bytes]]
_OWN_FILE = re.compile(r"[a-z0-9_]+-[0-9a-f]{16}\.[a-z0-9]+")
# Temporary files left by a writer that was killed.
_OWN_TEMPORARY = re.compile(r"\.([a-z0-9_]+-[0-9a-f]{16}\.[a-z0-9]+|manifest\.json)\.[^.]+\.tmp")
_LARGEST_MANIFEST = 64 * 2**20
# Largest compression ratio accepted. Half of a factor is zeros, the rest hardly compresses; a zip bomb
# reaches a thousand.
_MOST_PACKED = 50
# Largest copy of a packed file in memory; a larger copy goes to the system's folder for temporary files.
_IN_MEMORY = 16 * 2**20


def write(
    path: Path,
    manifest: Mapping[str, Any],
    files: Mapping[str, Content],
    *,
    opened: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Save a bundle, replacing a former one at the same path.

    Args:
        path: a folder, or a file ending in ``.zip``.
        manifest: description for JSON; format, version, file list and seal are added here.
        files: content by logical name such as ``mean.npy``: bytes, an array (stored as .npy), a file to copy,
            or a function that yields the content in pieces.
        opened: manifest of the bundle that may be replaced, empty for none; default: any. It is compared
            under the lock, so that no other process can save between the comparison and the writing.

    Returns:
        The manifest as written.

    Raises:
        ChangedSinceOpenedError: another bundle is there.
        OSError: the bundle cannot be written.
    """
    pieces = {name: _pieces(content) for name, content in files.items()}
    listed: dict[str, dict[str, Any]] = {}
    for name, parts in pieces.items():
        sha256, size = _hash(parts)
        stem, suffix = name.rsplit(".", 1)
        stored = f"{stem}-{sha256[:16]}.{suffix}"
        listed[name] = {"file": stored, "sha256": sha256, "bytes": size}
    complete = {"format": FORMAT, "version": VERSION, **manifest, "files": listed}
    complete["seal"] = _seal(complete)
    text = json.dumps(complete, indent=1, ensure_ascii=False).encode()

    def write_zip(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, parts in pieces.items():
                with archive.open(listed[name]["file"], "w", force_zip64=True) as member:
                    for part in _chunks(parts):
                        member.write(part)
            archive.writestr(MANIFEST, text)

    if path.suffix.lower() == ".zip":
        # A link stays one: what it leads to is replaced, under the lock of that.
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked_beside(target):
            check_unchanged(path, manifest_at(target), opened)
            write_atomic(target, write_zip)
        return complete
    path.mkdir(parents=True, exist_ok=True)
    # Two writers at once would remove each other's files before their manifests list them.
    with FileLock(path / ".lock"):
        check_unchanged(path, manifest_at(path), opened)
        for name, parts in pieces.items():
            target = path / listed[name]["file"]
            if not (target.is_file() and sha256_of(target) == listed[name]["sha256"]):
                write_atomic(target, lambda file, parts=parts: file.writelines(_chunks(parts)))  # type: ignore[misc]
        write_atomic(path / MANIFEST, text)
        remove_unlisted(path, {str(entry["file"]) for entry in listed.values()})
        sync_folder(path)
    return complete


def remove_unlisted(path: Path, current: Collection[str]) -> None:
    """Delete the files of former saves from a bundle's folder: all but these, and no files of others."""
    for old in path.iterdir():
        unused = _OWN_FILE.fullmatch(old.name) and old.name not in current
        if unused or _OWN_TEMPORARY.fullmatch(old.name):
            old.unlink(missing_ok=True)


def is_own_file(name: str) -> bool:
    """Return whether a file of this name belongs to a save, which its manifest lists."""
    return _OWN_FILE.fullmatch(name) is not None


def manifest_at(path: Path) -> Mapping[str, Any] | None:
    """Return the manifest at a path, of whatever version and unchecked; None if there is none to read."""
    try:
        if path.is_dir():
            return parsed(_Folder(path).read(MANIFEST, _LARGEST_MANIFEST))
        return parsed(_Zip(path).read(MANIFEST, _LARGEST_MANIFEST)) if path.is_file() else None
    except Exception:
        # zipfile and zlib raise errors of a dozen unrelated types for damaged files.
        return None


def sha256_stored(content: Content) -> str:
    """Return the hex SHA-256 of a content as a bundle stores it."""
    return _hash(_pieces(content))[0]


def _hash(parts: list[Any]) -> tuple[str, int]:
    """Return the hex SHA-256 and the length in bytes of a file given in parts."""
    digest = hashlib.sha256()
    size = 0
    for part in _chunks(parts):
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size


def _pieces(content: Content) -> list[Any]:
    if isinstance(content, np.ndarray):
        array = np.ascontiguousarray(content)
        header = io.BytesIO()
        np.lib.format.write_array_header_2_0(header, np.lib.format.header_data_from_array_1_0(array))
        return [header.getvalue(), array.reshape(-1).view(np.uint8).data]
    return [content]


def _chunks(parts: list[Any], size: int = 2**20) -> Any:
    """Yield the parts in pieces of at most 1 MB, so that a file is never completely in memory."""
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                while piece := file.read(size):
                    yield piece
        elif callable(part):
            yield from part()
        else:
            view = memoryview(part)
            for start in range(0, len(view), size):
                yield view[start : start + size]


def _seal(manifest: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class _Place(Protocol):
    def read(self, name: str, most: int) -> bytes: ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, most: int) -> bytes:
        path = self.path / name
        if path.stat().st_size > most:
            raise ValueError("longer than the manifest says")
        return path.read_bytes()


class _Version(_Folder):
    """A version of a model: a manifest of its own name, and the folder that has the files of all versions."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent / VERSION_FILES)
        self.manifest = path

    def read(self, name: str, most: int) -> bytes:
        if name != MANIFEST:
            return super().read(name, most)
        if self.manifest.stat().st_size > most:
            raise ValueError("longer than any manifest")
        return self.manifest.read_bytes()


class _Zip:
    def __init__(self, path: Path) -> None:
        self.path = path
        # If a user packed the folder, the files are in a folder of the archive.
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        inside = [name for name in names if name.endswith("/" + MANIFEST) and name.count("/") == 1]
        self.prefix = inside[0].removesuffix(MANIFEST) if inside and MANIFEST not in names else ""

    def read(self, name: str, most: int) -> bytes:
        # Opened for each read, because an open file can be neither replaced nor deleted on Windows.
        with zipfile.ZipFile(self.path) as archive:
            info = archive.getinfo(self.prefix + name)
            if info.file_size > _MOST_PACKED * info.compress_size + 2**20:
                raise ValueError("packed more tightly than any model can be")
            with archive.open(info) as member:
                content = member.read(most + 1)
        if len(content) > most:
            raise ValueError("longer than the manifest says")
        return content


class Bundle:
    """An opened bundle, whose files are read and checked against their hashes on request.

    Attributes:
        manifest: the manifest as written, with format and seal checked.
        path: the path that it is read from.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a bundle and check its manifest.

        Raises:
            BundleError: the path does not exist, is not a bundle or of a newer version, or the manifest was
                altered.
        """
        self.path = Path(path)
        try:
            if self.path.is_dir():
                self._place: _Place = _Folder(self.path)
            elif self.path.is_file():
                is_version = self.path.suffix.lower() == ".json"
                self._place = _Version(self.path) if is_version else _Zip(self.path)
            else:
                raise BundleError(f"{self.path}: there is no saved model here")
            manifest = json.loads(self._place.read(MANIFEST, _LARGEST_MANIFEST))
            seal = _seal(manifest) if isinstance(manifest, dict) else ""
        except BundleError:
            raise
        except Exception as error:
            # zipfile, zlib and json raise errors of a dozen unrelated types for damaged files.
            why = clipped(str(error), 200)
            raise BundleError(f"{self.path}: {MANIFEST} is missing or damaged ({why})") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise BundleError(f"{self.path}: {MANIFEST} does not describe a padim model")
        version = manifest.get("version")
        if version in _NEVER_RELEASED:
            raise BundleError(
                f"{self.path}: was saved before the first release (bundle version {version}) and cannot be "
                "read any more; fit the model again"
            )
        if not isinstance(version, int) or version not in READABLE:
            raise BundleError(
                f"{self.path}: made by another version of padim (bundle version {shown(version)}, "
                f"this program reads {', '.join(map(str, READABLE))}); update padim"
            )
        if manifest.get("seal") != seal:
            raise BundleError(f"{self.path}: {MANIFEST} was altered after it was saved")
        self.manifest: dict[str, Any] = manifest

    @property
    def revision(self) -> str:
        """Hex digest that changes whenever anything in the bundle does."""
        return revision_of(self.manifest)

    def _entry(self, name: str) -> dict[str, Any]:
        files = self.manifest.get("files")
        entry = files.get(name) if isinstance(files, dict) else None
        if (
            not isinstance(entry, dict)
            or not _OWN_FILE.fullmatch(str(entry.get("file")))
            or not isinstance(entry.get("sha256"), str)
            or not isinstance(entry.get("bytes"), int)
            or entry["bytes"] < 0
        ):
            raise BundleError(f"{self.path}: {MANIFEST} lists no valid {name}")
        return entry

    def bytes(self, name: str) -> bytes:
        """Read and check a file of the bundle.

        Raises:
            BundleError: the file is missing, truncated or altered; the error names it.
        """
        entry = self._entry(name)
        try:
            content = self._place.read(entry["file"], entry["bytes"])
        except Exception as error:
            raise BundleError(f"{self.path}: {entry['file']} is missing or damaged ({error})") from error
        if len(content) != entry["bytes"]:
            raise BundleError(
                f"{self.path}: {entry['file']} is truncated ({len(content)} of {entry['bytes']} bytes)"
            )
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise BundleError(f"{self.path}: {entry['file']} was altered after it was saved")
        return content

    def arrays(self, kinds: Mapping[str, tuple[tuple[type, ...], int]]) -> dict[str, npt.NDArray[Any]]:
        """Read those of several arrays that exist, by name; ``kinds`` gives dtypes and numbers of axes."""
        there = {name: kind for name, kind in kinds.items() if name in self.manifest["files"]}
        return {name: self.array(name, dtypes, ndim) for name, (dtypes, ndim) in there.items()}

    def array(self, name: str, dtypes: type | tuple[type, ...], ndim: int) -> npt.NDArray[Any]:
        """Read an array; check its dtype, its number of dimensions, and that all values are finite.

        Raises:
            BundleError: as :meth:`bytes`, or the array does not meet these conditions.
        """
        content = self.bytes(name)
        try:
            array = np.load(io.BytesIO(content), allow_pickle=False)
        except Exception as error:
            # NumPy parses the header as Python literals, which can raise many types of errors.
            raise BundleError(f"{self.path}: {name} is not a readable array ({error})") from error
        if (
            not isinstance(array, np.ndarray)  # np.load opens archives, too
            or array.dtype.type not in (dtypes if isinstance(dtypes, tuple) else (dtypes,))
            or array.ndim != ndim
            or not np.isfinite(array).all()
        ):
            raise BundleError(f"{self.path}: {name} is not the array that belongs there")
        return np.ascontiguousarray(array)

    def open(self, name: str) -> tuple[BinaryIO, str]:
        """Open a checked file for reading in pieces; return it with its hex SHA-256.

        It stays readable when the bundle is replaced or deleted.

        Raises:
            BundleError: as :meth:`bytes`.
        """
        entry = self._entry(name)
        if os.name != "nt" and isinstance(self._place, _Folder):
            try:
                file = (self._place.path / entry["file"]).open("rb")
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise BundleError(f"{self.path}: {entry['file']} is missing or damaged ({error})") from error
            if digest == entry["sha256"] and file.tell() == entry["bytes"]:
                return file, digest
            file.close()
        content = self.bytes(name)  # raises the error that says what is wrong with it
        # A copy: on Windows an open file can be neither replaced nor deleted, and a packed one has no seek.
        copy: Any = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        copy.write(content)
        return copy, str(entry["sha256"])


def half_made(path: Path) -> bool:
    """Return whether a save into this folder was interrupted: only a bundle's files and no manifest."""
    return path.is_dir() and all(
        path_inside.name == ".lock"
        or _OWN_FILE.fullmatch(path_inside.name)
        or _OWN_TEMPORARY.fullmatch(path_inside.name)
        for path_inside in path.iterdir()
    )


def remove(path: Path) -> None:
    """Delete a bundle's folder with its content, atomically for other processes."""
    try:
        remove_tree(path)
    except OSError:
        # The folder cannot be renamed: remove the manifest first, so that the remaining files are no model.
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
