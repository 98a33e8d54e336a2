"""The image library of a model: every image is added once, and all work on the model reads it.

The files are in the model's folder, named by their content (:mod:`padim.records.image_files`); the database
of the workspace has their names, origins, labels and masks. A file is written and flushed before its row, so
that a row always has its file, and a process that is killed leaves at most files without rows, which are
removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import and_, select, text, update

from padim.data.decode import sha256
from padim.errors import Cancelled, LibraryFullError, PadimError
from padim.records import adding, changes, image_records, labels, library_limit
from padim.records.changes import LibraryChange
from padim.records.database import RecordsDatabase
from padim.records.image_files import ImageFiles
from padim.records.image_records import ImageOrigin, ImageQuery, LibraryImage, LibraryMask, NewImage
from padim.records.labels import ImageLabel, LabelValue
from padim.records.schema import IMAGES
from padim.storage.workspace_size import check_room

__all__ = [
    "AddedImages",
    "ImageLibrary",
    "ImageOrigin",
    "ImageQuery",
    "LibraryImage",
    "LibraryMask",
    "NewImage",
]

# How long the files of removed images are kept for undo, unless the room is needed.
RESTORABLE = timedelta(days=1)


@dataclass(frozen=True)
class AddedImages:
    """What became of images that were added.

    Attributes:
        added: SHA-256 of the images that are new in the library, in order.
        known: SHA-256 of those that were there already; what was newly said of them counts.
    """

    added: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """SHA-256 of all of them."""
        return (*self.added, *self.known)


class ImageLibrary:
    """The images of one model, with labels and types of defects; cheap to create.

    Every method sees what other threads and processes have stored. Those that change something raise
    StorageError if the workspace is read-only or its disk is full.
    """

    def __init__(self, root: str | Path, model_id: str, *, limit: int | None = None) -> None:
        """
        Args:
            root: the workspace's folder.
            model_id: the model's id.
            limit: largest size of all files in bytes; default: as set in the environment.
        """
        self.model_id = model_id
        self.folder = Path(root) / "models" / model_id
        self.files = ImageFiles(self.folder)
        self._database = RecordsDatabase(root)
        self._limit = limit

    @property
    def limit(self) -> int:
        """Largest size of all files, in bytes."""
        return library_limit.current() if self._limit is None else self._limit

    # -- reading -----------------------------------------------------------------------------------------

    def images(
        self,
        query: ImageQuery | None = None,
        *,
        offset: int = 0,
        number: int | None = None,
        newest_first: bool = False,
    ) -> list[LibraryImage]:
        """Return images in the order in which they were added.

        Args:
            query: which images; default: all.
            offset: how many to leave out at the beginning.
            number: the largest number to return; default: all.
            newest_first: reverse the order.
        """
        with self._database.reading() as connection:
            if connection is None:
                return []
            return image_records.find(
                connection,
                self.model_id,
                self.files.folder,
                query,
                offset=offset,
                number=number,
                newest_first=newest_first,
            )

    def count(self, query: ImageQuery | None = None) -> int:
        """Return the number of images."""
        return sum(self.counts(query).values())

    def counts(self, query: ImageQuery | None = None) -> dict[ImageLabel, int]:
        """Return the number of images by label."""
        with self._database.reading() as connection:
            if connection is None:
                return {"good": 0, "defect": 0, "unknown": 0}
            return image_records.count_by_label(connection, self.model_id, query)

    def read(self, image: LibraryImage) -> bytes:
        """Return the bytes of an image's file.

        Raises:
            ImageError: the file is gone or was altered.
        """
        return self.files.read(image.sha256, image.name)

    @property
    def size(self) -> int:
        """Size of all files in bytes, without those that only undo may still need."""
        return self._size(removed=False)

    def labels(self) -> dict[str, ImageLabel]:
        """Return the label of every image that has one, in the library or not, by SHA-256."""
        return {sha: label for sha, label in self.all_labels().items() if label != "unknown"}

    def all_labels(self) -> dict[str, ImageLabel]:
        """Return what was said of every image, by SHA-256; "unknown" is a label that was taken away."""
        with self._database.reading() as connection:
            new = {} if connection is None else labels.stored(connection, self.model_id)
        return labels.former_labels(self.folder) | {sha: value.label for sha, value in new.items()}

    def removed(self) -> set[str]:
        """Return the SHA-256 of the images that were in the library and have been removed."""
        with self._database.reading() as connection:
            if connection is None:
                return set()
            query = select(IMAGES.c.sha256).where(
                IMAGES.c.model_id == self.model_id, IMAGES.c.removed.is_not(None)
            )
            return set(connection.execute(query).scalars())

    def defect_types(self) -> list[str]:
        """Return the catalog of defect types, in alphabetical order."""
        with self._database.reading() as connection:
            names = {} if connection is None else labels.type_names(connection, self.model_id)
        return sorted(names.values(), key=str.casefold)

    @property
    def identity(self) -> str:
        """A text that changes whenever the images of the library, their labels or their types change."""
        with self._database.reading() as connection:
            if connection is None:
                return ""
            of_model = {"model": self.model_id}
            counts = (
                "SELECT count(*), max(id), count(removed), max(removed) FROM images WHERE model_id = :model",
                "SELECT count(*), max(changed) FROM labels WHERE model_id = :model",
            )
            found = [tuple(connection.execute(text(one), of_model).one()) for one in counts]
            return repr([*found, labels.type_names(connection, self.model_id)])

    # -- adding ------------------------------------------------------------------------------------------

    def add(
        self,
        images: Iterable[NewImage],
        origin: ImageOrigin,
        origin_name: str = "",
        *,
        relabel: bool = True,
        progress: Callable[[int], object] = lambda done: None,
        cancel: Callable[[], bool] = lambda: False,
    ) -> AddedImages:
        """Add images; one whose content is there already is not stored twice.

        Images are read and stored in batches: memory is bounded, and what is stored stays if a later one
        fails.

        Args:
            images: the images.
            origin: the way they come in.
            origin_name: the user's name of the folder, zip or data set.
            relabel: whether a label given here replaces that of an image which has one.
            progress: called with the number of images stored so far.
            cancel: polled between images; True stops.

        Raises:
            LibraryFullError: the limit is reached; the images before are stored.
            WorkspaceFullError: the workspace has reached its limit; nothing is stored.
            Cancelled: ``cancel`` returned True; the images before are stored.
            PadimError: the model was deleted.
        """
        self.sweep()
        check_room(self._database.root, "the image library")
        added: dict[str, None] = {}
        known: dict[str, None] = {}
        done = 0
        for batch in adding.batches(images, cancel):
            full = self._add_batch(batch, origin, origin_name, relabel, added, known)
            if full is not None:
                raise full
            done += len(batch)
            progress(done)
        if cancel():
            raise Cancelled(f"stopped; {done:,} images are in the library")
        return AddedImages(tuple(added), tuple(known))

    def _add_batch(
        self,
        batch: Sequence[NewImage],
        origin: ImageOrigin,
        origin_name: str,
        relabel: bool,
        added: dict[str, None],
        known: dict[str, None],
    ) -> LibraryFullError | None:
        """Add a few images; return the error of the limit if not all of them have room."""
        digests = [sha256(one.data) for one in batch]
        with self._files_held():
            with self._database.reading() as connection:
                there = (
                    set() if connection is None else image_records.there(connection, self.model_id, digests)
                )
            room = self.limit - self._size(removed=True)
            taken: list[tuple[str, NewImage]] = []
            full = None
            for digest, one in zip(digests, batch, strict=True):
                size = 0 if digest in there or digest in added else len(one.data)
                size += sum(len(data) for _, data in one.masks)
                if size > room:
                    room += self._purge(datetime.now(UTC))
                if size > room:
                    full = LibraryFullError.of(one.name, self.size, self.limit)
                    break
                room -= size
                taken.append((digest, one))
            self.files.write(adding.contents(taken))
            with self._database.writing() as connection:
                now = _now()
                labels.take_over_former(connection, self.model_id, self.folder, now)
                adding.enter(connection, self.model_id, taken, origin, origin_name, now, relabel=relabel)
        for digest, _ in taken:
            if digest not in added:
                (known if digest in there else added)[digest] = None
        return full

    # -- labels ------------------------------------------------------------------------------------------

    def set_label(
        self,
        sha256s: Iterable[str],
        label: ImageLabel,
        defect_type: str | None = None,
        *,
        instead_of: ImageLabel | Literal["any"] = "any",
    ) -> int:
        """Set the label of images, as one action that can be undone.

        Args:
            sha256s: the images' SHA-256; they need not be in the library.
            label: the label; "unknown" takes it away.
            defect_type: the type of defect; "" for none; None leaves the type of an image that has one.
            instead_of: change only images of this label.

        Returns:
            The number of images that were changed.

        Raises:
            PadimError: the type of defect has no usable name.
            FileNotFoundError: the model was deleted.
        """
        self._must_exist()
        with self._database.writing() as connection:
            now = _now()
            labels.take_over_former(connection, self.model_id, self.folder, now)
            wanted = list(dict.fromkeys(sha256s))
            present = labels.stored(connection, self.model_id, wanted)
            type_id = labels.type_of(connection, self.model_id, defect_type) if label == "defect" else None
            new = {}
            for sha in wanted:
                value = present.get(sha, labels.UNKNOWN)
                if instead_of in ("any", value.label):
                    keeps = label == "defect" and defect_type is None and value.label == "defect"
                    new[sha] = LabelValue(label, value.type_id if keeps else type_id)
            return changes.relabel(connection, self.model_id, new, now)

    def rename_type(self, name: str, new: str) -> None:
        """Rename a type of defect in the catalog, for all images that have it.

        Raises:
            PadimError: there is no such type, or the new name is taken or not usable.
        """
        self._must_exist()
        with self._database.writing() as connection:
            labels.rename_type(connection, self.model_id, name, new)

    # -- removing, undoing -------------------------------------------------------------------------------

    def remove(self, sha256s: Iterable[str]) -> int:
        """Remove images, as one action that can be undone for a day, or until the room is needed.

        Returns:
            The number of images that were removed.
        """
        self._must_exist()
        with self._database.writing() as connection:
            there = image_records.there(connection, self.model_id, sha256s)
            if there:
                now = _now()
                changes.record_removal(connection, self.model_id, sorted(there), now)
                connection.execute(
                    update(IMAGES)
                    .where(IMAGES.c.model_id == self.model_id, IMAGES.c.sha256.in_(labels.listed(there)))
                    .values(removed=now)
                )
        return len(there)

    def discard(self, sha256s: Iterable[str]) -> None:
        """Remove images without a way back, such as files that have turned out not to be readable."""
        digests = list(sha256s)
        with self._files_held():
            with self._database.writing() as connection:
                now = _now()
                connection.execute(
                    update(IMAGES)
                    .where(IMAGES.c.model_id == self.model_id, IMAGES.c.sha256.in_(labels.listed(digests)))
                    .values(removed=now, purged=now)
                )
            self._sweep()

    def to_undo(self) -> LibraryChange | None:
        """Return the action that :meth:`undo` would undo; None if there is none."""
        with self._database.reading() as connection:
            return None if connection is None else changes.to_undo(connection, self.model_id)

    def to_redo(self) -> LibraryChange | None:
        """Return the action that :meth:`redo` would redo; None if there is none."""
        with self._database.reading() as connection:
            return None if connection is None else changes.to_redo(connection, self.model_id)

    def undo(self) -> LibraryChange | None:
        """Undo the latest action, except where images were changed since; None if there is none."""
        self._must_exist()
        with self._database.writing() as connection:
            return changes.undo(connection, self.model_id, _now())

    def redo(self) -> LibraryChange | None:
        """Redo the action that was undone last; None after a new action, or if there is none."""
        self._must_exist()
        with self._database.writing() as connection:
            return changes.redo(connection, self.model_id, _now())

    # -- files -------------------------------------------------------------------------------------------

    def sweep(self) -> list[str]:
        """Remove files of images that were removed long ago, and files that a killed process left.

        Returns:
            The names of the files removed.
        """
        with self._files_held():
            self._purge(datetime.now(UTC) - RESTORABLE)
            return self._sweep()

    def _purge(self, before: datetime) -> int:
        """Give up the files of images removed before a time; return the bytes that this frees."""
        wanted = and_(
            IMAGES.c.model_id == self.model_id,
            IMAGES.c.removed < before.isoformat(timespec="microseconds"),
            IMAGES.c.purged.is_(None),
        )
        with self._database.reading() as connection:
            if connection is None or connection.execute(select(IMAGES.c.id).where(wanted)).first() is None:
                return 0
        former = self._size(removed=True)
        with self._database.writing() as connection:
            connection.execute(update(IMAGES).where(wanted).values(purged=_now()))
        self._sweep()
        return former - self._size(removed=True)

    def _sweep(self) -> list[str]:
        with self._database.reading() as connection:
            known = set() if connection is None else image_records.files(connection, self.model_id)
        return self.files.sweep(known)

    def _size(self, *, removed: bool) -> int:
        with self._database.reading() as connection:
            return 0 if connection is None else image_records.size(connection, self.model_id, removed=removed)

    @contextmanager
    def _files_held(self) -> Iterator[None]:
        try:
            with self.files.locked():
                yield
        except FileNotFoundError as error:
            if not self.folder.is_dir():
                raise PadimError(f"{self.model_id}: the model was deleted") from error
            raise

    def _must_exist(self) -> None:
        if not self.folder.is_dir():
            raise FileNotFoundError(2, "the model was deleted", str(self.folder))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
