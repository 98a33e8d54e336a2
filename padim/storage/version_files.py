"""The files of a model's versions: manifests ``versions/0003.json``, what they list in ``versions/files``.

A bundle's files bear the hash of their content in their name and are never changed. A version is the manifest
of a bundle and hard links to its files (copies where the file system has no links), so that what two versions
share is on the disk once. :class:`padim.storage.bundle.Bundle` opens a version by the path of its manifest.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from padim.errors import PadimError
from padim.storage import bundle
from padim.storage.atomic import naming, sha256_of, sync_folder, write_atomic
from padim.storage.revisions import parsed

__all__ = ["VersionFiles", "same_content"]

_MANIFEST = re.compile(r"(\d{4,9})\.json")
# What a save changes though the model is the same.
_OF_THE_SAVE = ("created", "seal")


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two manifests describe the same model, whenever it was saved."""
    return _content(one) == _content(other)


def _content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in _OF_THE_SAVE}


class VersionFiles:
    """The files of the versions of one model; whoever writes holds the model's lock."""

    def __init__(self, model: Path) -> None:
        """
        Args:
            model: the model's folder.
        """
        self.model = model
        self.folder = model / "versions"
        self._files = self.folder / bundle.VERSION_FILES
        self._pending = self.folder / "pending.json"

    def path(self, number: int) -> Path:
        """Return the path by which a version is opened."""
        return self.folder / f"{number:04d}.json"

    def manifest(self, number: int) -> dict[str, Any] | None:
        """Return the manifest of a version, unchecked; None if it is not there."""
        try:
            found = parsed(self.path(number).read_bytes())
        except OSError:
            return None
        return None if found is None else dict(found)

    def numbers(self) -> list[int]:
        """Return the numbers of the versions whose files are there."""
        if not self.folder.is_dir():
            return []
        found = (_MANIFEST.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def keep(self, number: int) -> None:
        """Store the saved model as a version; it is flushed to the disk before this returns.

        Raises:
            OSError: the files cannot be written.
        """
        text = (self.model / bundle.MANIFEST).read_bytes()
        self._files.mkdir(parents=True, exist_ok=True)
        for name in listed(parsed(text) or {}):
            link_or_copy(self.model / name, self._files / name)
        sync_folder(self._files)
        write_atomic(self.path(number), text)

    def restore(self, number: int) -> None:
        """Make a version the saved model again, byte for byte.

        Raises:
            BundleError: a file of the version is missing or damaged; the saved model is unchanged.
            OSError: the files cannot be written.
        """
        version = bundle.Bundle(self.path(number))
        for name in version.manifest["files"]:
            version.bytes(name)  # checked before anything is replaced
        names = listed(version.manifest)
        with FileLock(self.model / ".lock"):
            for name in names:
                link_or_copy(self._files / name, self.model / name)
            write_atomic(self.model / bundle.MANIFEST, self.path(number).read_bytes(), make_folder=False)
            bundle.remove_unlisted(self.model, names)
            sync_folder(self.model)

    def remove(self, numbers: Collection[int]) -> int:
        """Delete versions, and all files that no version needs; return the bytes that this frees."""
        for number in numbers:
            self.path(number).unlink(missing_ok=True)
        if not self._files.is_dir():
            return 0
        needed: set[str] = set()
        for number in self.numbers():
            needed |= listed(self.manifest(number) or {})
        freed = 0
        for path in self._files.iterdir():
            if path.name not in needed:
                information = path.stat()
                freed += information.st_size if information.st_nlink == 1 else 0
                path.unlink(missing_ok=True)
        return freed

    def own_bytes(self) -> dict[int, int]:
        """Return, by version, the bytes that only it needs: neither another version nor the saved model."""
        sizes: dict[str, int] = {}
        users: dict[str, list[int]] = {}
        # The saved model counts as a version of its own.
        current = bundle.manifest_at(self.model) or {}
        manifests = {0: dict(current), **{number: self.manifest(number) or {} for number in self.numbers()}}
        for number, manifest in manifests.items():
            for entry in manifest.get("files", {}).values():
                sizes[entry["file"]] = int(entry["bytes"])
                users.setdefault(entry["file"], []).append(number)
        return {
            number: sum(sizes[name] for name, needed_by in users.items() if needed_by == [number])
            for number in manifests
            if number
        }

    def total_bytes(self) -> int:
        """Return the bytes of all versions beside the saved model; what they share counts once."""
        current = listed(bundle.manifest_at(self.model) or {})
        sizes: dict[str, int] = {}
        for number in self.numbers():
            for entry in (self.manifest(number) or {}).get("files", {}).values():
                sizes[entry["file"]] = int(entry["bytes"])
        return sum(size for name, size in sizes.items() if name not in current)

    # -- what a save is about to be --------------------------------------------------------------------------

    def write_pending(self, note: Mapping[str, Any]) -> None:
        """Record who is about to save the model and why, should the process end before its version."""
        write_atomic(self._pending, json.dumps(note, ensure_ascii=False).encode())

    def pending(self) -> dict[str, Any]:
        """Return what :meth:`write_pending` has recorded; empty if there is nothing that can be read."""
        try:
            found = json.loads(self._pending.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def forget_pending(self) -> None:
        """Remove what :meth:`write_pending` has recorded."""
        self._pending.unlink(missing_ok=True)


def listed(manifest: Mapping[str, Any]) -> set[str]:
    """Return the names of the files that a manifest lists, as they are stored."""
    return {str(entry["file"]) for entry in manifest.get("files", {}).values()}


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name by a hard link, or copy it where the file system has none; flushed.

    A file that is there already with the content of its name stays.

    Raises:
        PadimError: the source is gone.
        OSError: the file cannot be written.
    """
    try:
        information = source.stat()
    except FileNotFoundError as error:
        raise PadimError(f"{source}: is missing; what depends on it cannot be made") from error
    with naming(target):
        if target.is_file():
            there = target.stat()
            if os.path.samestat(there, information):
                return
            if there.st_size == information.st_size and sha256_of(target)[:16] in target.name:
                return
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            os.link(source, temporary)
            temporary.replace(target)
        except OSError:
            # No links here, or too many of this file: a copy does as well.
            temporary.unlink(missing_ok=True)
            _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    def write(file: BinaryIO) -> None:
        with source.open("rb") as content:
            shutil.copyfileobj(content, file, 2**20)

    write_atomic(target, write)
