"""Verify a model's working folder: check every record, thumbnail and checkpoint against its checksum."""

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

# Remedies for damaged files of a stopped training and of a stopped fit.
_TRAINED_AGAIN = "nothing needs to be done: that training starts afresh, and the same model comes of it"
_SEEN_AGAIN = "go on with the fit: the images from there on are read again, and the same model comes of it"


@dataclass(frozen=True)
class Damage:
    """A working file whose content does not match what was written.

    Attributes:
        path: the file.
        what: the damage in one sentence, which names the record.
        remedy: what can still be done, in one sentence.
    """

    path: Path
    what: str
    remedy: str


def verify(folder: Path, read_checkpoint: Callable[[Path], object]) -> list[Damage]:
    """Check all working files in one model's working folder against their checksums; nothing is changed.

    Args:
        folder: the working folder of a model or of a stopped fit; a missing folder has no damage.
        read_checkpoint: reads a checkpoint of the statistics, in the format of the method that wrote it; an
            error that it raises is reported as damage.

    Returns:
        What is damaged or was written by an earlier version without checksums; empty if everything is intact.

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
        # A resumed fit reads the damaged images again by itself.
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
    """Return the normals' names by row, from the saved model beside the folder; empty if there is none."""
    try:
        listed = json.loads(Bundle(folder.parent).bytes("normals.json"))
        return {row: Normal.from_json(entry).name for row, entry in enumerate(listed)}
    except (BundleError, ValueError, RecursionError):
        return {}
