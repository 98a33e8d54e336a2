"""The result of reading a layout: labelled samples, and what every file and folder was taken for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from padim.data.account import PassedOver
from padim.data.label_words import DataSplit
from padim.data.trees import SubTree
from padim.errors import ImageError

GOOD = "good"
# The kind of a defect whose label gives no kind.
DEFECT = "defect"


# Reasons that say that a layout sets a file aside on purpose.
TRAINING = "training image, not used to evaluate"
VALIDATION = "validation image, not used to evaluate"
PRIVATE = "image of a private test set, without a label"
TRAINING_MASK = "mask of a training image"
GOOD_MASK = "mask of a good part"
_OF_SPLIT: dict[DataSplit, str] = {"train": TRAINING, "validation": VALIDATION, "private": PRIVATE}
SET_ASIDE = (TRAINING, VALIDATION, PRIVATE, TRAINING_MASK, GOOD_MASK)


@dataclass(frozen=True)
class LabeledSample:
    """One labelled image.

    Attributes:
        name: unique in its data set, with forward slashes.
        kind: ``good``, or the kind of defect.
        masks: names of the masks' files in the same tree; their defects are united.
        file: name of the image's own file in that tree.
    """

    name: str
    kind: str
    masks: tuple[str, ...]
    file: str

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.kind == GOOD

    @property
    def mask(self) -> str | None:
        """Name of the first mask's file; None where no mask was drawn."""
        return self.masks[0] if self.masks else None


@dataclass(frozen=True)
class FolderUse:
    """What the files of one folder were taken for.

    Attributes:
        folder: the folder's path in the data set; ``.`` for the data set's own folder.
        taken_for: as in "good parts", "defects: scratch", "masks", "not used: training images".
        files: number of files.
    """

    folder: str
    taken_for: str
    files: int


@dataclass
class Reading:
    """Labelled samples of a tree and the account of its files.

    Attributes:
        tree: the folder that was read.
        layout: name of the layout.
        by_folders: whether the labels are those of folders.
        samples: images to evaluate on, by name.
        training: good parts set aside to fit on.
        refused: errors of files that cannot be used.
        training_refused: errors of training files that cannot be used; an evaluation passes these over.
        left: reason for each file that is not used, relative to the tree.
        unmatched_masks: names of the masks without an image.
    """

    tree: SubTree
    layout: str
    by_folders: bool = False
    samples: dict[str, LabeledSample] = field(default_factory=dict)
    training: list[LabeledSample] = field(default_factory=list)
    refused: list[ImageError] = field(default_factory=list)
    training_refused: list[ImageError] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    unmatched_masks: list[str] = field(default_factory=list)
    _uses: Counter[tuple[str, str]] = field(default_factory=Counter)
    _known: set[str] = field(default_factory=set)
    _aside: list[PassedOver] = field(default_factory=list)

    @property
    def has_good(self) -> bool:
        """Whether any sample is a good part."""
        return any(sample.good for sample in self.samples.values())

    @property
    def folders(self) -> tuple[FolderUse, ...]:
        """What each folder was taken for, in the order of their paths."""
        return tuple(FolderUse(folder, use, n) for (folder, use), n in sorted(self._uses.items()))

    @property
    def passed_over(self) -> list[PassedOver]:
        """The files that are not used, with the reason; one entry for a folder left out as a whole."""
        inside: dict[str, list[str]] = {}
        for file in (*self.tree.images, *self.tree.tables):
            if not file.startswith("../"):
                inside.setdefault(file.rpartition("/")[0], []).append(file)
        prefix, found = self.tree.prefix, list(self._aside)
        for folder, files in inside.items():
            reasons = {self.left.get(file) for file in files}
            if folder and len(files) > 1 and len(reasons) == 1 and None not in reasons:
                found.append(_passed_over(f"{prefix}{folder}/", str(reasons.pop()), len(files)))
            else:
                found += [_passed_over(prefix + file, self.left[file]) for file in files if file in self.left]
        return found

    def add(self, file: str, kind: str, *, folder: str, name: str = "", masks: tuple[str, ...] = ()) -> None:
        """Add an image to evaluate on.

        Args:
            file: its file, relative to the tree.
            kind: ``good`` or the kind of defect.
            folder: the folder to which the use is attributed.
            name: its name in the data set; default: the file.
            masks: its masks' files, relative to the tree.
        """
        prefix = self.tree.prefix
        full = tuple(prefix + mask for mask in masks)
        sample = LabeledSample(name or file, kind, full, prefix + file)
        self.samples[sample.name] = sample
        self._use(file, folder, "good parts" if kind == GOOD else f"defects: {kind}")

    def add_training(self, file: str, *, folder: str) -> None:
        """Add a good part to fit on; it is passed over by an evaluation."""
        full = self.tree.prefix + file
        self.training.append(LabeledSample(full, GOOD, (), full))
        self._use(file, folder, "training good parts")
        self.left[file] = TRAINING

    def add_masks(self, of: Mapping[str, list[str]]) -> None:
        """Count masks as used."""
        for masks in of.values():
            for mask in masks:
                self._use(mask, _mask_folder(mask), "masks")

    def add_empty_mask(self, mask: str) -> None:
        """Count a mask as used that says, by being empty, that its image is good."""
        self._use(mask, _mask_folder(mask), "masks: empty, of good parts")

    def pass_over(self, file: str, reason: str, taken_for: str, *, folder: str | None = None) -> None:
        """Account for a file that is not used, unless it is accounted for already."""
        if file in self._known:
            return
        self.left[file] = reason
        self._use(file, _folder(file) if folder is None else folder, taken_for)

    def set_aside(self, error: ImageError, split: DataSplit) -> None:
        """Account for a file that cannot be used, of a split that is not evaluated: it is passed over.

        Args:
            error: the file's error, with its name relative to the tree.
            split: its split, one of training, validation and private test images.
        """
        name = self.tree.prefix + error.name
        if split == "train":
            self.training_refused.append(ImageError(name, error.reason))
        self._aside.append(_passed_over(name, _OF_SPLIT[split]))

    def leave_mask(self, file: str, reason: str) -> None:
        """Account for a mask that belongs to no image, or to a good part."""
        if reason.startswith("mask w") or reason.startswith("mask that"):
            self.unmatched_masks.append(file)
        self.pass_over(file, reason, f"not used: {reason}", folder=_mask_folder(file))

    def use_table(self, table: str) -> None:
        """Account for the table that gave the labels."""
        self._use(table, table, "table of labels")

    def use_document(self, document: str) -> None:
        """Account for a file of annotations that gave labels."""
        self._use(document, document, "annotations")

    def finish(self) -> Reading:
        """Account for all files that no reader has mentioned, and order the samples; return self."""
        for file in self.tree.images:
            if file not in self._known:
                self.pass_over(file, "nothing says whether it is good", "not used: no label")
        for table in self.tree.tables:
            if table not in self._known:
                self.pass_over(table, "table that is not used", "not used: table", folder=table)
        ordered = sorted(self.samples.values(), key=lambda sample: not sample.good)
        self.samples = {sample.name: sample for sample in ordered}
        return self

    def _use(self, file: str, folder: str, taken_for: str) -> None:
        if file not in self._known:
            self._known.add(file)
            self._uses[folder or ".", taken_for] += 1


def _passed_over(name: str, reason: str, files: int = 1) -> PassedOver:
    return PassedOver(name, reason, files=files, by_layout=reason in SET_ASIDE)


def _folder(file: str) -> str:
    return file.rpartition("/")[0] or "."


def _mask_folder(file: str) -> str:
    """Return the folder of a mask; the one above it where each image has a folder, as in MVTec LOCO AD."""
    folder, _, name = file.rpartition("/")
    above, _, last = folder.rpartition("/")
    return above if last.isdigit() and name.split(".")[0].isdigit() and above else folder or "."
