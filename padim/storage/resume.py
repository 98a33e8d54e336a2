"""The record on disk of an interrupted fit: which images the network has processed, to resume from there.

The same folder has the images' embeddings and thumbnails. One line is one batch: incomplete data after a
crash is dropped in whole batches, so that the network gets the remaining images in the same batches as it
would have without the interruption.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import xxhash

from padim.config import BEFORE_IT_WAS_A_SETTING
from padim.data.bit_depth import Samples
from padim.data.loading import Named, Watch, content_hash, prepare
from padim.data.preprocess import Preprocess
from padim.errors import DamagedError, ImageError, PadimError
from padim.locating.pose import Pose
from padim.storage import leftovers
from padim.storage.atomic import naming, write_atomic
from padim.storage.record_file import FORMAT, sealed
from padim.storage.working_set import WorkingFiles

_HEADER = "unfinished.json"
_BATCHES = "batches.jsonl"
_REQUEST = "request.json"
# The name of "images" in requests written before version 0.2.
_IMAGES_BEFORE = "pictures"
# Names of the files and folders that a fit creates, and of the files inside those folders.
_OWN_FILES = {_HEADER, _BATCHES, _REQUEST, "thumbnails.bin", "thumbnails.txt"}
_OWN_FOLDERS = re.compile(r"spool|pictures|training|new|found|teacher-[a-z0-9_]{8}|checkpoint-[0-9a-f]{16}")
_OWN_INSIDE = re.compile(r"[a-z0-9_-]+\.(bin|crc|f16|f32|json|jsonl|lock|npy|npz|sums|txt|u8|xxh)")
_OWN_CHECKPOINT = re.compile(r"checkpoint-[0-9a-f]{16}\.npz")
FILES = (_HEADER, _BATCHES)


@dataclass(frozen=True)
class Done:
    """An image whose embedding is on disk.

    Attributes:
        sha256: hex SHA-256 of its content.
        original_size: (height, width) in pixels.
        thumbnail: (offset, length) in the thumbnails file.
        samples: the file's samples, if they are deeper than 8 bits; None otherwise, and in records of former
            versions.
        color_kind: as in the record of a normal image.
        input_sha256: hex SHA-256 of the model input; empty in records of former versions.
    """

    sha256: str
    original_size: tuple[int, int]
    thumbnail: tuple[int, int]
    samples: Samples | None = None
    color_kind: str | None = None
    input_sha256: str = ""
    pose: Pose | None = None
    lost: str = ""


class Rest(Iterable[Named]):
    """Iterable over the images still to be read, for one iteration; ``len()`` is their largest number."""

    def __init__(self, images: Iterator[Named], count: int) -> None:
        self._images, self._count = images, count

    def __iter__(self) -> Iterator[Named]:
        return self._images

    def __len__(self) -> int:
        return self._count


class Unfinished:
    """Record of an unfinished fit in a folder."""

    def __init__(self, folder: Path, identity: str, settings: Mapping[str, Any]) -> None:
        """Open the record in ``folder``, or create one.

        Args:
            folder: folder for this record and the data of this fit only.
            identity: identity of the extractor.
            settings: the settings on which the embeddings depend, as plain JSON; an error names the
                difference.

        Raises:
            PadimError: the fit in the folder was begun with other settings or another network.
        """
        self.folder = folder
        header = sealed({"format": FORMAT, "identity": identity, "settings": dict(settings)})
        known = _read_header(folder)
        if known is None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _BATCHES).unlink(missing_ok=True)
            write_atomic(folder / _HEADER, json.dumps(header).encode())
        elif known != header:
            raise PadimError(f"{folder}: {_difference(known, header)}; use those settings, or start afresh")

    def batches(self) -> list[list[Done]]:
        """Return the recorded batches, up to the first line that is incomplete or damaged."""
        return _recorded(self.folder)

    def add(self, batch: Iterable[Done]) -> None:
        """Record a batch whose embeddings and thumbnails have been written."""
        path = self.folder / _BATCHES
        with naming(path), path.open("a", encoding="ascii", newline="") as file:
            file.write(_line(list(batch)))
            file.flush()
            os.fsync(file.fileno())

    def resume(self, working_files: WorkingFiles) -> list[Done]:
        """Return the images that are done and intact; truncate the files after them.

        All records are read and checked: from the first damaged record on, the network processes the images
        again.

        Args:
            working_files: the files, in the same folder.
        """
        keys = working_files.keys()[: working_files.count_intact()]
        done: list[Done] = []
        kept: list[list[Done]] = []
        for batch in self.batches():
            small = all(working_files.thumbnails.holds(item.thumbnail) for item in batch)
            stored = keys[len(done) : len(done) + len(batch)]
            if not batch or stored != [item.sha256 for item in batch] or not small:
                break
            done += batch
            kept.append(batch)
        working_files.truncate(len(done))
        working_files.thumbnails.truncate(sum(done[-1].thumbnail) if done else 0)
        write_atomic(self.folder / _BATCHES, "".join(map(_line, kept)).encode("ascii"))
        return done

    def pass_over(
        self, done: list[Done], images: Iterable[Named], preprocess: Preprocess, watch: Watch
    ) -> tuple[list[str], Rest | Iterator[Named], Watch]:
        """Skip the images that are done, which must come first and in the same order.

        Args:
            done: the images that are done, from :meth:`resume`.
            images: all images as given now.
            preprocess: used to check that images in between cannot be used.
            watch: callbacks of the caller.

        Returns:
            The skipped images' present names, the remaining images, and a watch that continues the count.

        Raises:
            PadimError: the images differ from those before, or some are missing.
            Cancelled: the ``cancel`` callback of ``watch`` returned True.
        """
        total = len(images) if isinstance(images, Sized) else None
        iterator, seen = iter(images), 0
        names: list[str] = []
        while len(names) < len(done):
            image = next(iterator, None)
            if image is None:
                missing = len(done) - len(names)
                raise PadimError(
                    f"{self.folder}: was begun with other images ({missing} of those already done are "
                    "missing); give the same ones, or start afresh"
                )
            seen += 1
            name, content = image
            if not isinstance(content, ImageError) and content_hash(content) == done[len(names)].sha256:
                names.append(name)
            else:
                self._check_unusable(image, preprocess, watch)
            watch.step(seen, total, "Finding where it stopped")
        if watch.progress is not None:
            report_progress, before = watch.progress, seen
            watch = replace(watch, progress=lambda at, _, stage: report_progress(before + at, total, stage))
        return names, iterator if total is None else Rest(iterator, total - seen), watch

    def _check_unusable(self, image: Named, preprocess: Preprocess, watch: Watch) -> None:
        """Check that an image between those done cannot be used, since only such images were skipped."""
        try:
            prepare(image, preprocess, cancel=watch.cancel)
        except ImageError as error:
            watch.bad(error)
        else:
            raise PadimError(
                f"{self.folder}: was begun with other images ({image[0]} was not among them); "
                "give the same ones, or start afresh"
            )

    def close(self) -> None:
        """Delete the record of a completed fit."""
        # The header first: without it, the other files are not a record.
        for name in FILES:
            (self.folder / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Request:
    """Request of a fit, stored beside its record: enough to resume the fit and to describe it.

    Attributes:
        total: number of images to fit on.
        begun: start time, in UTC.
        command: arguments of the shell command, with absolute paths; empty for a fit of the app.
        replaces: revision of the model that it may replace; None if there was none.
        images: path of the images' folder or zip; None for uploads.
        files: name and path of each upload, stored where another process can read it.
        folder: the folder in the images' folder, zip or uploads that is fitted on; ``.`` if all images are
            known to be good parts; None for all of them.
        label: the user's name for the images.
        config: the settings, as plain JSON; None if the command contains them.
        parts: part by image name, if repeat shots were given.
    """

    total: int
    begun: datetime
    command: tuple[str, ...] = ()
    replaces: str | None = None
    images: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    label: str = ""
    config: dict[str, Any] | None = None
    parts: dict[str, str] | None = None
    folder: str | None = None

    @classmethod
    def now(cls, total: int, **more: Any) -> Request:
        """Create a request that begins now."""
        return cls(total, datetime.now(UTC).replace(microsecond=0), **more)

    def write(self, folder: Path) -> None:
        """Write the request to the fit's folder, which is created."""
        document = {**asdict(self), "begun": self.begun.isoformat()}
        write_atomic(folder / _REQUEST, json.dumps(document, ensure_ascii=False).encode())

    @classmethod
    def read(cls, folder: Path) -> Request | None:
        """Read the request in a fit's folder; return None if there is none or it is not readable."""
        try:
            document = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
            return cls(
                int(document["total"]),
                datetime.fromisoformat(document["begun"]),
                tuple(map(str, document["command"])),
                _text(document["replaces"]),
                _text(document.get("images", document.get(_IMAGES_BEFORE))),
                tuple((str(name), str(path)) for name, path in document["files"]),
                str(document["label"]),
                None if document["config"] is None else dict(document["config"]),
                None if document["parts"] is None else {str(k): str(v) for k, v in document["parts"].items()},
                _text(document.get("folder")),
            )
        except (AttributeError, OSError, KeyError, TypeError, ValueError, RecursionError):
            return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


Found = Literal["nothing", "begun", "stopped", "foreign"]


def look(folder: Path) -> Found:
    """Return what is in the folder of a resumable fit.

    Returns:
        ``nothing``: no folder or an empty one. ``stopped``: a fit that can be resumed. ``begun``: a folder of
        this program with nothing to resume: the fit was killed before its first record, or while it was
        removed. ``foreign``: files of other programs.
    """
    if not folder.is_dir() or folder.is_symlink():
        return "foreign" if folder.exists() else "nothing"
    if not any(folder.iterdir()):
        return "nothing"
    if _read_header(folder) is not None:
        return "stopped"
    return "begun" if _is_own(folder) else "foreign"


def _is_own(folder: Path) -> bool:
    """Return whether a folder contains only files that a fit creates, so that it can be removed."""
    return all(
        _is_own(path)
        if path.is_dir() and not path.is_symlink() and _OWN_FOLDERS.fullmatch(path.name)
        else path.is_file()
        and not path.is_symlink()
        and (
            path.name in _OWN_FILES
            or _OWN_CHECKPOINT.fullmatch(path.name)
            or leftovers.is_temporary_name(path.name)
            or (_OWN_FOLDERS.fullmatch(folder.name) and _OWN_INSIDE.fullmatch(path.name))
        )
        for path in folder.iterdir()
    )


def forget(folder: Path) -> None:
    """Delete the record and request of a fit that is complete and saved; its features stay."""
    for name in (_HEADER, _BATCHES, _REQUEST):
        (folder / name).unlink(missing_ok=True)


def keys_done(folder: Path) -> list[str]:
    """Return the SHA-256 of the images that an unfinished fit in ``folder`` has done, in order."""
    return [item.sha256 for batch in _recorded(folder) for item in batch]


def damages(folder: Path) -> Iterator[DamagedError]:
    """Yield an error for each damaged file in the record of an unfinished fit; nothing without a record."""
    if not any((folder / name).exists() for name in FILES):
        return
    remedy = "start the fit afresh"
    header = _read_header(folder)
    if header is None:
        yield DamagedError(folder / _HEADER, "is missing or damaged", remedy)
    elif header.get("format") != FORMAT:
        what = "was written by an earlier version of this program, without checksums"
        yield DamagedError(folder / _HEADER, what, remedy)
    elif (folder / _BATCHES).exists():
        lines, intact = (folder / _BATCHES).read_bytes().splitlines(), len(_recorded(folder))
        if len(lines) > intact:
            what = f"line {intact + 1} is damaged"
            yield DamagedError(folder / _BATCHES, what, "go on with the fit: what it tells of is done again")


def images_done(folder: Path) -> int | None:
    """Return how many images an unfinished fit in ``folder`` has done; None if there is no such fit."""
    return None if _read_header(folder) is None else sum(map(len, _recorded(folder)))


def _line(batch: Sequence[Done]) -> str:
    """Format a batch as a line of the record: its XXH3-64, and JSON."""
    text = json.dumps([_entry(item) for item in batch])
    return f"{xxhash.xxh3_64_hexdigest(text.encode())} {text}\n"


def _entry(item: Done) -> dict[str, Any]:
    optional = {"samples": item.samples, "pose": item.pose, "lost": item.lost or None}
    return {name: value for name, value in asdict(item).items() if optional.get(name, "") is not None}


def _recorded(folder: Path) -> list[list[Done]]:
    """Read the batches up to the first damaged line; later ones could not be matched to images."""
    try:
        lines = (folder / _BATCHES).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != xxhash.xxh3_64_hexdigest(text).encode():
            break
        try:
            found.append(
                [
                    Done(
                        item["sha256"],
                        _pair(item["original_size"]),
                        _pair(item["thumbnail"]),
                        Samples(**item["samples"]) if item.get("samples") else None,
                        _text(item.get("color_kind")),
                        item.get("input_sha256", ""),
                        Pose.from_json(item["pose"]) if item.get("pose") else None,
                        item.get("lost", ""),
                    )
                    for item in json.loads(text)
                ]
            )
        except (AttributeError, ValueError, TypeError, KeyError):
            break
    return found


def _read_header(folder: Path) -> dict[str, Any] | None:
    try:
        header = json.loads((folder / _HEADER).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(header, dict) and "format" in header and header != sealed(header):
        return None
    return header if isinstance(header, dict) and isinstance(header.get("settings"), dict) else None


def _difference(known: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    if known.get("format") != header["format"]:
        return "was begun by another version of this program, whose files have no checksums"
    was, now = ({**BEFORE_IT_WAS_A_SETTING, **one["settings"]} for one in (known, header))
    for name in now:
        if was.get(name) != now[name]:
            return f"was begun with {name} {_plain(was.get(name))}, not {_plain(now[name])}"
    return "was begun with another network or other weights"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _pair(value: Any) -> tuple[int, int]:
    first, second = map(int, value)
    return first, second
