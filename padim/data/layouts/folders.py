"""Layouts whose folders give the labels.

These are MVTec AD, AD 2, LOCO AD, BTAD, MPDD, VisA as one class, anomalib's Folder, and plain folders: one of
good parts and one for each kind of defect. They differ in the names of their folders only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padim.data.label_words import DataSplit, names_defect, says_bad, says_good, says_nothing, split_of
from padim.data.layouts.reading import DEFECT, GOOD, GOOD_MASK, PRIVATE, VALIDATION, Reading
from padim.data.mask_names import MaskMatch, find_masks, match_masks
from padim.data.trees import SubTree
from padim.errors import ImageError, PadimError


@dataclass(frozen=True)
class _Place:
    """What an image's folders say.

    Attributes:
        split: the part of the data set; None if no folder gives one.
        label: the name that gives the label; empty if there is none.
        folder: path of the folder that gives the label.
        kind: name of the kind of defect, if it is one.
    """

    split: DataSplit | None
    label: str
    folder: str
    kind: str


def _place(name: str) -> _Place:
    folders = name.split("/")[:-1]
    split: DataSplit | None = None
    labels: list[tuple[int, str]] = []
    for depth, folder in enumerate(folders):
        found, left = split_of(folder)
        if found is not None and split is None:
            split = found
            if left:
                labels.append((depth, left))
        elif found is not None and left:  # test/normal_test
            labels.append((depth, left))
        elif not says_nothing(folder):
            labels.append((depth, folder))
    if not labels:
        return _Place(split, "", "/".join(folders), "")
    depth, label = labels[0]
    kind = label
    if says_bad(label) and len(labels) > 1 and not says_good(labels[1][1]):  # defects/scratch
        depth, kind = labels[1]
    return _Place(split, label, "/".join(folders[: depth + 1]), kind)


def read_splits(tree: SubTree, *, anyhow: bool = False) -> Reading | None:
    """Read a data set with a folder for its test set; None if there is none, or no label in it.

    Args:
        tree: the files.
        anyhow: whether to read it even if no folder is of good parts.
    """
    return _read(tree, splits=True, anyhow=anyhow)


def read_folders(tree: SubTree, *, anyhow: bool = False) -> Reading | None:
    """Read a folder of good parts and one for each kind of defect; None if no folder is of good parts.

    Args:
        tree: the files.
        anyhow: whether to read it even if no folder is of good parts.
    """
    return _read(tree, splits=False, anyhow=anyhow)


def _read(tree: SubTree, *, splits: bool, anyhow: bool) -> Reading | None:
    files = tree.images
    masks = find_masks(files)
    is_mask = set(masks)
    places = {name: _place(name) for name in files if name not in is_mask and not name.startswith("../")}
    tested = {name for name, at in places.items() if at.split == "test"}
    if splits != bool(tested):
        return None
    goods = _good_labels(places[name].label for name in places)
    chosen = _to_evaluate(places, tested, goods)
    if not chosen or not any(places[name].label for name in chosen):
        return None
    if not anyhow and not any(places[name].label in goods for name in chosen):
        return None
    _check_contradictions(chosen, places, goods)
    found = Reading(tree, "", by_folders=True)
    match = match_masks(
        masks, list(places), lambda image: image in chosen and not _good(places[image], goods)
    )
    used: dict[str, list[str]] = {}
    # Folders below those of good parts as well are views of parts, not kinds of defects.
    views = {part for name, at in places.items() if _good(at, goods) for part in name.split("/")[:-1]}
    cut = _common_folders(chosen)
    for name, at in places.items():
        good = _good(at, goods)
        if name in chosen and at.label:
            drawn = tuple(match.of.get(name, ()))
            kind = at.label if at.kind in views else at.kind
            kind = GOOD if good else DEFECT if kind == "1" else kind
            if drawn and not good:
                used[name] = list(drawn)
            found.add(name, kind, folder=at.folder, name=name.removeprefix(cut), masks=() if good else drawn)
        else:
            _leave(found, name, at, good, tested)
    found.add_masks(used)
    for name, drawn_masks in match.of.items():
        if name not in used:
            for mask in drawn_masks:
                found.leave_mask(mask, _why_unused(places[name], goods, name in chosen))
    for mask, reason in match.unmatched.items():
        found.leave_mask(mask, reason)
    _refuse(found, cut)
    found.layout = _layout(found, match, places)
    return found.finish()


def _check_contradictions(chosen: set[str], places: dict[str, _Place], goods: set[str]) -> None:
    """Refuse images whose folders say good and defect, one below the other: pass1/OK and pass1/NG.

    A folder below those of good parts and of defects alike, such as one for each view, says nothing.

    Raises:
        PadimError: there is such an image.
    """
    below: dict[bool, set[str]] = {True: set(), False: set()}
    for name in chosen:
        at = places[name]
        inside = name.split("/")[at.folder.count("/") + 1 : -1] if at.label else []
        below[_good(at, goods)].update(inside)
    for name in sorted(chosen):
        at = places[name]
        inside = name.split("/")[at.folder.count("/") + 1 : -1] if at.label else []
        good = _good(at, goods)
        for folder in inside:
            opposite = says_bad(folder) if good else says_good(folder) and not names_defect(at.label)
            if opposite and folder not in below[not good]:
                path = name[: name.index(f"/{folder}/", len(at.folder)) + len(folder) + 1]
                taken, said = ("good parts", "defects") if good else ("defects", "good parts")
                raise PadimError(
                    f"{path}: its name says {said}, but {at.folder}, above it, was taken for {taken}; "
                    f"give the folder above {folder} alone, or rename one of the two"
                )


def _good_labels(labels: object) -> set[str]:
    """Return the labels that stand for good parts; 0 does if no word does."""
    known = set(labels)  # type: ignore[call-overload]
    good = {label for label in known if label and says_good(label)}
    if not good and "0" in known:
        return {"0"}
    return good


def _good(at: _Place, goods: set[str]) -> bool:
    return at.label in goods


def _to_evaluate(places: dict[str, _Place], tested: set[str], goods: set[str]) -> set[str]:
    """Return the images to evaluate on: the test set, or what is in no split, or the validation set."""
    if tested:
        # Beside "test/good" another folder may be of anything; beside "normal_test" are the kinds of defects.
        named = any(split_of(folder)[0] == "test" and split_of(folder)[1] for folder in _folders(tested))
        outside = {
            name
            for name, at in places.items()
            if at.split is None and at.label and at.label not in goods and (named or names_defect(at.label))
        }
        return tested | outside
    unsplit = {name for name, at in places.items() if at.split is None}
    validation = {name for name, at in places.items() if at.split == "validation"}
    if any(places[name].label and places[name].label not in goods for name in validation):
        return unsplit | validation
    return unsplit or validation or {name for name, at in places.items() if at.split == "train"}


def _folders(names: set[str]) -> set[str]:
    return {folder for name in names for folder in name.split("/")[:-1]}


def _common_folders(chosen: set[str]) -> str:
    """Return the folders that all names begin with and that give no label; names leave them out."""
    common = ""
    while True:
        tops = {name.removeprefix(common).partition("/")[0] for name in chosen}
        top = next(iter(tops))
        given = split_of(top) == ("test", "") or says_nothing(top)
        if len(tops) > 1 or not given or f"{common}{top}" in chosen:
            return common
        common += f"{top}/"


def _leave(found: Reading, name: str, at: _Place, good: bool, tested: set[str]) -> None:
    if good and (at.split == "train" or (at.split is None and tested)):
        found.add_training(name, folder=at.folder)
    elif at.split == "private":
        found.pass_over(name, PRIVATE, "not used: no labels")
    elif at.split == "train":
        found.pass_over(name, "training image that is not good, not used", "not used: training defects")
    elif at.split == "validation":
        found.pass_over(name, VALIDATION, "not used: validation images")
    else:
        found.pass_over(name, "in no folder that says whether it is good", "not used: no label")


def _why_unused(at: _Place, goods: set[str], chosen: bool) -> str:
    if at.label in goods:
        return GOOD_MASK
    return "mask of an image that is not used" if not chosen else "mask of an image without a label"


def _refuse(found: Reading, cut: str) -> None:
    """Take over the errors of files that would be evaluated, under the names that images have."""
    for error in found.tree.skipped:
        split = _place(error.name).split
        if split in ("train", "validation", "private"):
            found.set_aside(error, split)
        else:
            found.refused.append(ImageError(error.name.removeprefix(cut), error.reason))


def _layout(found: Reading, match: MaskMatch, places: dict[str, _Place]) -> str:
    tops: Sequence[str] = [folder.lower() for folder in found.tree.folders]
    labels = {at.label.lower() for at in places.values()}
    if not any(at.split == "test" for at in places.values()):
        if {"normal", "abnormal"} <= labels:
            return "anomalib Folder"
        return "one folder a kind"
    if any(top.startswith("test_public") for top in tops):
        return "MVTec AD 2"
    if any(len(masks) and _has_own_folder(image, masks) for image, masks in match.of.items()):
        return "MVTec LOCO AD"
    if any(split_of(top)[0] == "test" and split_of(top)[1] for top in tops):
        return "anomalib Folder"
    if {"ok", "ko"} <= labels:
        return "BTAD"
    return "MVTec AD"


def _has_own_folder(image: str, masks: Sequence[str]) -> bool:
    stem = image.rpartition("/")[2].rpartition(".")[0].lower()
    return all(mask.split("/")[-2:-1] == [stem] for mask in (one.lower() for one in masks))
