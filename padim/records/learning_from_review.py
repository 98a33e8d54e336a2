"""What reviewers' decisions can add to a model: confirmed good parts to its fit, defects to its library.

Nothing is added by itself: the candidates are listed, a person adds them, and the model with them stays a
draft until a person has seen what it changes (:mod:`padim.records.learning_preview`) and approves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from padim.records.database import RecordsDatabase
from padim.records.evidence import EvidenceFiles
from padim.records.inspection import Inspection
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.library import AddedImages, ImageLibrary, NewImage
from padim.records.schema import EVIDENCE, INSPECTIONS
from padim.storage.normals import Normal

__all__ = ["DefectsToKeep", "GoodToAdd", "LearningFromReview"]


@dataclass(frozen=True)
class GoodToAdd:
    """Parts that reviewers have accepted, by what can be done with them; each image counts once.

    Attributes:
        ready: those that can be added to the fit, newest first.
        in_fit: the model is fitted on them already.
        taken_out: somebody has taken them out of the fit.
        disputed: two decisions on the part contradict each other.
        without_file: the image's file is not kept, so that nothing can be fitted on it.
    """

    ready: tuple[Inspection, ...] = ()
    in_fit: int = 0
    taken_out: int = 0
    disputed: int = 0
    without_file: int = 0


@dataclass(frozen=True)
class DefectsToKeep:
    """Parts that reviewers have rejected, by what can be done with them; each image counts once.

    Attributes:
        ready: those that can join the image library, newest first.
        in_library: the library has them, or somebody has removed them from it.
        disputed: two decisions on the part contradict each other.
        without_file: the image's file is not kept.
    """

    ready: tuple[Inspection, ...] = ()
    in_library: int = 0
    disputed: int = 0
    without_file: int = 0


class LearningFromReview:
    """The decisions on record about one model's images, as material for the model; cheap to create."""

    def __init__(self, root: str | Path, model_id: str) -> None:
        """Name the model; nothing is read yet.

        Args:
            root: the workspace's folder.
            model_id: the model's id.
        """
        self.root, self.model_id = Path(root), model_id
        self.records = InspectionRecords(root)
        self._database = RecordsDatabase(root)
        self._files = EvidenceFiles(root)

    # -- confirmed good parts ----------------------------------------------------------------------------

    def good(self, normals: Sequence[Normal]) -> GoodToAdd:
        """Return the parts that reviewers have accepted.

        Args:
            normals: the good parts that the model has, in its fit or taken out of it.
        """
        inside = {normal.sha256 for normal in normals if normal.status in ("fit", "reference")}
        outside = {normal.sha256 for normal in normals} - inside
        # Another inspection of the same image may have been decided otherwise.
        labels = ImageLibrary(self.root, self.model_id).all_labels()
        defects = {digest for digest, label in labels.items() if label == "defect"}
        rejected = self._decided("reject") | defects
        kept = self._kept_originals()
        ready: list[Inspection] = []
        counts = dict.fromkeys(("in_fit", "taken_out", "disputed", "without_file"), 0)
        for found in self._each_once("accept"):
            if found.sha256 in inside:
                counts["in_fit"] += 1
            elif found.sha256 in outside:
                counts["taken_out"] += 1
            elif found.disagrees or found.sha256 in rejected:
                counts["disputed"] += 1
            elif not _there(kept.get(found.sha256)):
                counts["without_file"] += 1
            else:
                ready.append(found)
        return GoodToAdd(tuple(ready), **counts)

    def files(self, inspections: Sequence[Inspection]) -> list[tuple[str, Path]]:
        """Return name and path of the kept images, for a fit; each name once, and none that is gone.

        Images of one content are one; two of one name get the first digits of their hash behind it.
        """
        kept = self._kept_originals()
        names: set[str] = set()
        found: list[tuple[str, Path]] = []
        for one in {one.sha256: one for one in inspections}.values():
            path = kept.get(one.sha256)
            if path is None or not _there(path):
                continue
            name = one.name
            if name in names:
                plain = Path(one.name)
                name = str(plain.with_name(f"{plain.stem} {one.sha256[:8]}{plain.suffix}"))
            names.add(name)
            found.append((name, path))
        return found

    def shots(self, inspections: Sequence[Inspection], files: Sequence[tuple[str, Path]]) -> dict[str, str]:
        """Return, by name, the earlier one of the images that shows the same part by its serial number."""
        serials = {one.sha256: (one.part_number, one.serial) for one in inspections if one.serial}
        first: dict[tuple[str, str], str] = {}
        same: dict[str, str] = {}
        for name, path in files:
            serial = serials.get(path.name)  # originals bear the hash of their content
            if serial is None:
                continue
            if serial in first:
                same[name] = first[serial]
            first.setdefault(serial, name)
        return same

    def added(self, normals: Sequence[Normal]) -> list[tuple[int, Inspection]]:
        """Return the parts of the fit that came from reviews: index in the model, and inspection.

        They were inspected by a model that was not fitted on them.
        """
        index = {normal.sha256: place for place, normal in enumerate(normals) if normal.status == "fit"}
        return [
            (index[one.sha256], one)
            for one in self._each_once("accept")
            if one.sha256 in index and not one.in_fit
        ]

    # -- confirmed defects -------------------------------------------------------------------------------

    def defects(self) -> DefectsToKeep:
        """Return the parts that reviewers have rejected, as far as the library does not have them."""
        library = ImageLibrary(self.root, self.model_id)
        there = {image.sha256 for image in library.images()} | library.removed()
        accepted = self._decided("accept")
        kept = self._kept_originals()
        ready: list[Inspection] = []
        counts = dict.fromkeys(("in_library", "disputed", "without_file"), 0)
        for found in self._each_once("reject"):
            if found.sha256 in there:
                counts["in_library"] += 1
            elif found.disagrees or found.sha256 in accepted:
                counts["disputed"] += 1
            elif not _there(kept.get(found.sha256)):
                counts["without_file"] += 1
            else:
                ready.append(found)
        return DefectsToKeep(tuple(ready), **counts)

    def keep_defects(
        self,
        defects: Sequence[Inspection],
        *,
        progress: Callable[[int], object] = lambda done: None,
        cancel: Callable[[], bool] = lambda: False,
    ) -> AddedImages:
        """Add confirmed defects to the model's image library, with their types; again, it changes nothing.

        Args:
            defects: of :meth:`defects`.
            progress: called with the number of images stored so far.
            cancel: polled between images; True stops.

        Raises:
            LibraryFullError: the library is full; the images before are stored.
            Cancelled: ``cancel`` returned True; the images before are stored.
            PadimError: the model was deleted.
        """
        kept = self._kept_originals()

        def images() -> Iterator[NewImage]:
            for one in defects:
                data = read_original(kept.get(one.sha256), one.sha256)
                if data is not None:
                    yield NewImage(one.name, data, "defect", one.defect_type)

        library = ImageLibrary(self.root, self.model_id)
        return library.add(images(), "inspect", "Review", relabel=False, progress=progress, cancel=cancel)

    # -- what is on record -------------------------------------------------------------------------------

    def originals(self) -> dict[str, Path]:
        """Return the path of each inspected image of the model whose file is kept, by its SHA-256."""
        return {digest: path for digest, path in self._kept_originals().items() if _there(path)}

    def _each_once(self, decision: str) -> Iterator[Inspection]:
        """Yield the latest inspection of each image with this decision, newest first."""
        seen: set[str] = set()
        query = InspectionQuery(model_id=self.model_id, decision=decision)  # type: ignore[arg-type]
        for found in self.records.iterate(query, "newest"):
            if found.sha256 not in seen:
                seen.add(found.sha256)
                yield found

    def _decided(self, decision: str) -> set[str]:
        query = InspectionQuery(model_id=self.model_id, decision=decision)  # type: ignore[arg-type]
        return set(self.records.columns(query, ["sha256"])["sha256"])

    def _kept_originals(self) -> dict[str, Path]:
        selected = (
            select(INSPECTIONS.c.sha256, EVIDENCE.c.original_folder)
            .join(EVIDENCE, EVIDENCE.c.inspection_id == INSPECTIONS.c.id)
            .where(INSPECTIONS.c.model_id == self.model_id, EVIDENCE.c.original_bytes.is_not(None))
            .distinct()
        )
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(selected).all()
        # Whether a file is still there is looked at only for those that are offered: there may be many.
        return {row.sha256: self._files.original_path(row.sha256, row.original_folder) for row in rows}


def _there(path: Path | None) -> bool:
    return path is not None and path.is_file()


def read_original(path: Path | None, digest: str) -> bytes | None:
    """Return the file of an image; None if it is gone, or its content is another."""
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None
