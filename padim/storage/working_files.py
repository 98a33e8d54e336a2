"""Verification of a model's working folder: every record, thumbnail and checkpoint against its checksum."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from padim.errors import BundleError, DamagedError, PadimError
from padim.storage import feature_store, image_store, resume
from padim.storage.bundle import Bundle
from padim.storage.normals import Normal
from padim.storage.record_file import REMEDY, Records
from padim.storage.sealed import is_whole
from padim.storage.thumbnails import Thumbnails

# What a training that was stopped, and a fit that was, cost when their files are damaged.
_TRAINED_AGAIN = "nothing needs to be done: that training starts afresh, and the same model comes of it"
_SEEN_AGAIN = "go on with the fit: the images from there on are read again, and the same model comes of it"


@dataclass(frozen=True)
class Damage:
    """A working file that does not hold what was written to it.

    Attributes:
        path: the file.
        what: one sentence, names the record.
        remedy: one sentence, what can still be done.
    """

    path: Path
    what: str
    remedy: str


def verify(folder: Path, read_checkpoint: Callable[[Path], object]) -> list[Damage]:
    """Check all working files in one model's working folder against their checksums; nothing is changed.

    Args:
        folder: the model's working folder, or that of a fit that was stopped; one that does not exist holds
            no damage.
        read_checkpoint: reads a checkpoint of the statistics; what it raises is the damage. The method that
            wrote it knows how.

    Returns:
        What is damaged, and what was written by an earlier version that kept no checksums; empty where
        everything is whole.

    Raises:
        OSError: a file cannot be read.
    """
    folder = Path(folder)
    stopped = any((folder / name).exists() for name in resume.FILES)
    names = _names(folder)
    found = []
    for error in _damages(folder, read_checkpoint):
        name = names.get(error.row) if error.row is not None else None
        named = error.of(name) if name else error
        # A fit that goes on reads the damaged images again by itself.
        remedy = _SEEN_AGAIN if stopped and error.remedy == REMEDY else error.remedy
        found.append(Damage(named.path, named.what, remedy))
    return found


def _damages(folder: Path, read_checkpoint: Callable[[Path], object]) -> Iterator[DamagedError]:
    for place in [folder, *sorted(folder.glob("checkpoint-*"))]:
        for name, (content, header) in {
            feature_store.FOLDER if place == folder else ".": (feature_store.CONTENT, feature_store.HEADER),
            image_store.FOLDER: (image_store.CONTENT, image_store.HEADER),
        }.items():
            if (place / name).is_dir():
                yield from _of_records(place / name, content, header)
        yield from _of_trainings(place / "training")
    yield from Thumbnails(folder / "thumbnails.bin").damages()
    for path in sorted(folder.glob("checkpoint-*.npz")):
        try:
            read_checkpoint(path)
        except DamagedError as error:
            yield error
        except PadimError as error:
            yield DamagedError(path, str(error).removeprefix(f"{path}: "), REMEDY)
    yield from resume.damages(folder)


def _of_records(folder: Path, content: str, header: str) -> Iterator[DamagedError]:
    try:
        records = Records.stored_in(folder, content, header)
    except DamagedError as error:
        yield error
        return
    yield from records.damages()


def _of_trainings(folder: Path) -> Iterator[DamagedError]:
    for path in sorted(folder.glob("*.npz")):
        if not is_whole(path):
            yield DamagedError(path, "is damaged, or of an earlier version of this program", _TRAINED_AGAIN)


def _names(folder: Path) -> dict[int, str]:
    """Names of the normals by their row, where the saved model beside the folder has them."""
    try:
        listed = json.loads(Bundle(folder.parent).bytes("normals.json"))
        return {row: Normal.from_json(entry).name for row, entry in enumerate(listed)}
    except (BundleError, ValueError, RecursionError):
        return {}
