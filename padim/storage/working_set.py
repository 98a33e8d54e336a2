"""The working set: features, images and checkpoints of the normals on disk while a model is being changed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from padim.data.loading import Prepared
from padim.errors import DamagedError, PadimError
from padim.storage import feature_store, image_store
from padim.storage.feature_store import FeatureStore
from padim.storage.image_store import ImageStore
from padim.storage.normals import Normal
from padim.storage.thumbnails import Readable, Thumbnails

# Names of the files and folders in a model's working folder.
WORK = (feature_store.FOLDER, image_store.FOLDER, "thumbnails.bin", "thumbnails.txt")
# Records copied at a time; each group is flushed to the disk once.
_AT_ONCE = 16


@dataclass(frozen=True)
class WorkingFiles:
    """Files of the normals: embeddings, thumbnails and, if the method needs them, the images themselves.

    Attributes:
        folder: the folder with the files.
        feature_store: the embeddings.
        thumbnails: small images for display.
        images: the images at input size if the method is fitted to them, else None.
    """

    folder: Path
    feature_store: FeatureStore
    thumbnails: Thumbnails
    images: ImageStore | None

    def start(self) -> Self:
        """Prepare the files for writing; return self."""
        self.feature_store.start()
        if self.images is not None:
            self.images.start()
        return self

    def append(self, batch: Sequence[Prepared], embeddings: npt.NDArray[np.float32]) -> None:
        """Append a batch's embeddings and images; the caller appends the thumbnails."""
        keys = [item.sha256 for item in batch]
        if self.images is not None:
            self.images.append(np.stack([item.rgb for item in batch]), keys)
        self.feature_store.append(embeddings, keys)

    def copy(self, other: WorkingFiles, rows: Sequence[int], keys: Sequence[str]) -> None:
        """Append records from another folder's files, with the given rows and keys."""
        if self.images is not None and other.images is not None:
            for start in range(0, len(rows), _AT_ONCE):
                some = slice(start, start + _AT_ONCE)
                self.images.append(other.images.read(rows[some]), keys[some])
        copy_features(
            other.feature_store, np.arange(other.feature_store.channels), rows, keys, self.feature_store
        )

    def holds(self, keys: Sequence[str]) -> bool:
        """Return whether the first records are exactly of these images."""
        return self.feature_store.holds(keys) and (self.images is None or self.images.holds(keys))

    def keys(self) -> list[str]:
        """Return the keys of the images whose records are complete."""
        keys = self.feature_store.keys()[: len(self.feature_store)]
        return keys if self.images is None else keys[: len(self.images)]

    def count_intact(self) -> int:
        """Return how many images, from the first on, have intact records; reads all records."""
        counts = [
            records.count_intact() for records in (self.feature_store, self.images) if records is not None
        ]
        return min(counts)

    def problem(self) -> DamagedError | None:
        """Return an error if the files are not usable, as far as is known without reading the records."""
        found = (records.problem() for records in (self.feature_store, self.images) if records is not None)
        return next((problem for problem in found if problem is not None), None)

    def truncate(self, count: int) -> None:
        """Keep only the first ``count`` records; thumbnails are not changed."""
        self.feature_store.truncate(count)
        if self.images is not None:
            self.images.truncate(count)


def copy_features(
    source: FeatureStore,
    channels: npt.NDArray[np.int64],
    rows: Sequence[int],
    keys: Sequence[str],
    target: FeatureStore,
) -> None:
    """Append records of one feature store, reduced to the chosen channels, to another."""
    for start in range(0, len(rows), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        records = source.read(rows[some], channels)
        target.append(np.ascontiguousarray(records.transpose(0, 2, 1)), keys[some])


@contextmanager
def naming_damage(normals: Sequence[Normal]) -> Iterator[None]:
    """Add the image's name to the error of a damaged record."""
    try:
        yield
    except DamagedError as error:
        if error.row is None or error.row >= len(normals):
            raise
        raise error.of(normals[error.row].name) from error


@dataclass(frozen=True)
class Layout:
    """Properties that the files of a working folder must have to be used with a model.

    Attributes:
        identity: identity of the extractor that computes the embeddings.
        channels: number of channels that it computes.
        positions: number of grid positions, p.
        kept: int64 ``(d,)``, the channels that the model uses.
        selection: the settings that determined ``kept``, as text; with the extractor's identity they are part
            of a checkpoint's name.
        image_shape: (h, w) of the images at input size if the method is fitted to them, else None.
    """

    identity: str
    channels: int
    positions: int
    kept: npt.NDArray[np.int64]
    selection: str
    image_shape: tuple[int, int] | None


class WorkingFolder:
    """Working folder of a model: files of its normals, and checkpoints that remain without the features."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        """Open ``folder``; nothing is written."""
        self.folder = folder
        self.layout = layout

    def working_files(self, folder: Path | None = None) -> WorkingFiles:
        """Return the files of the normals in a folder, by default in this one."""
        folder, layout = folder or self.folder, self.layout
        shape = layout.image_shape
        return WorkingFiles(
            folder,
            FeatureStore(folder / feature_store.FOLDER, layout.identity, layout.channels, layout.positions),
            Thumbnails(folder / "thumbnails.bin"),
            None if shape is None else ImageStore(folder / image_store.FOLDER, shape),
        )

    def adopt(self, new: Path) -> None:
        """Replace the files of a former fit by those of a new fit, from a folder on the same disk."""
        self.forget()
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in WORK:
            if (new / name).exists():
                (new / name).replace(self.folder / name)

    def forget(self) -> None:
        """Delete features and checkpoints."""
        forget_features(self.folder)
        for checkpoint in self.folder.glob("checkpoint-*"):
            if checkpoint.is_dir():
                shutil.rmtree(checkpoint, ignore_errors=True)
            else:
                checkpoint.unlink(missing_ok=True)

    # --- checkpoints -------------------------------------------------------------------------------

    def checkpoint_of(self, normals: Sequence[Normal]) -> Path:
        """Return a checkpoint's path, which contains a hash of its images, so that no other state matches."""
        counted = "\n".join(normal.sha256 for normal in normals if normal.status == "fit")
        settings = f"{self.layout.identity}/{self.layout.selection}"
        digest = hashlib.sha256(f"{settings}\n{counted}".encode()).hexdigest()[:16]
        return self.folder / f"checkpoint-{digest}"

    def statistics_of(self, normals: Sequence[Normal]) -> Path:
        """Return the path of the checkpoint of these normals that consists of statistics."""
        return self.checkpoint_of(normals).with_suffix(".npz")

    def features_in(self, folder: Path) -> FeatureStore:
        """Return the store of the kept channels' features in a folder."""
        return FeatureStore(folder, self.layout.identity, len(self.layout.kept), self.layout.positions)

    def kept_features(self, normals: Sequence[Normal]) -> FeatureStore | None:
        """Return the checkpoint of these normals if it consists of features, else None."""
        folder = self.checkpoint_of(normals)
        if not folder.is_dir():
            return None
        feature_store = self.features_in(folder)
        keys = [normal.sha256 for normal in normals]
        return feature_store if feature_store.keys() == keys and feature_store.holds(keys) else None

    def write_features(
        self, source: FeatureStore, channels: npt.NDArray[np.int64], normals: Sequence[Normal], folder: Path
    ) -> None:
        """Write a checkpoint that consists of features.

        Args:
            source: the store with the features.
            channels: int64 ``(d,)``, the kept channels as indices in ``source``.
            normals: the normals of the first records of ``source``.
            folder: path of the checkpoint.

        Raises:
            DamagedError: a record does not match its checksum; the error names the image.
        """
        new = self.folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        try:
            feature_store = self.features_in(new).start()
            with naming_damage(normals):
                keys = [normal.sha256 for normal in normals]
                copy_features(source, channels, range(len(normals)), keys, feature_store)
            shutil.rmtree(folder, ignore_errors=True)
            new.replace(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def unusable(self, normals: Sequence[Normal], otherwise: str) -> PadimError:
        """Return the error that says why the features cannot be used, by default with this sentence."""
        kept = self.features_in(self.checkpoint_of(normals))
        return self.working_files().problem() or kept.problem() or PadimError(otherwise)


def forget_features(folder: Path) -> None:
    """Delete the features in a working folder, and the images that a method is fitted to."""
    for name in (feature_store.FOLDER, image_store.FOLDER, "training"):
        shutil.rmtree(folder / name, ignore_errors=True)


def feature_bytes(folder: Path) -> int:
    """Return the bytes of the features in a working folder, and of the images if the method needs them."""
    places = (folder / feature_store.FOLDER, folder / image_store.FOLDER)
    return sum(file.stat().st_size for place in places for file in place.glob("*"))


def checkpoint_bytes(folder: Path) -> int:
    """Return the bytes of the checkpoints in a working folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(
        path.stat().st_size for path in files if path.relative_to(folder).parts[0].startswith("checkpoint-")
    )


@contextmanager
def extending(folder: Path, saved: Readable, normals: Sequence[Normal]) -> Iterator[Thumbnails]:
    """Yield the thumbnails as working files to append to; if the block fails, remove what it has added.

    Args:
        folder: folder for the files.
        saved: the present thumbnails, as working files or in a bundle.
        normals: the normals that they belong to.
    """
    thumbnails = Thumbnails(folder / "thumbnails.bin")
    here = thumbnails.path.exists()
    if not isinstance(saved, Thumbnails):
        thumbnails.fill(saved, [normal.thumbnail for normal in normals])
    small = thumbnails.nbytes
    try:
        yield thumbnails
    except BaseException:
        thumbnails.truncate(small)
        if not here:
            thumbnails.delete()
        raise
