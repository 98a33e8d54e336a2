"""Layouts in which the masks give the labels: an image is a defect if and only if its mask shows one.

These are KolektorSDD (``kos01/Part0.jpg``, ``Part0_label.bmp``), KolektorSDD2 (``10000.png``,
``10000_GT.png``), DAGM 2007 (``Train/Label/0576_label.PNG``), and a folder of images with one of masks.
"""

from __future__ import annotations

from padim.data.label_words import names_defect, says_good, says_nothing, split_of
from padim.data.layouts.reading import DEFECT, GOOD, TRAINING_MASK, Reading
from padim.data.mask_names import beside_images, find_masks, match_masks
from padim.data.masks import is_empty
from padim.data.trees import SubTree
from padim.errors import ImageError


def read_by_masks(tree: SubTree) -> Reading | None:
    """Read a data set that has masks but no folder of good parts; None if it is not of this kind.

    An image without a mask is good, as in DAGM, which has masks of defects only.
    """
    files = [name for name in tree.images if not name.startswith("../")]
    masks = find_masks(files)
    is_mask = set(masks)
    images = [name for name in files if name not in is_mask]
    match = match_masks(masks, images)
    if not match.of or any(_has_label(name) for name in images):
        return None
    beside = set(beside_images(files))
    if not beside and not _flat(images):
        return None
    found = Reading(tree, _layout(tree, masks, beside))
    has_test = any(_split(name) == "test" for name in images)
    for name in images:
        drawn = match.of.get(name, [])
        if name in match.doubtful:
            found.pass_over(name, "a mask may be its own or another image's", "not used: no label")
            continue
        try:
            defect = any(not is_empty(tree.read(mask), mask) for mask in drawn)
        except ImageError as error:
            found.refused.append(error)
            found.pass_over(name, "its mask cannot be read, so that it has no label", "not used: no label")
            continue
        _add(found, name, defect, drawn, has_test)
    for mask, reason in match.unmatched.items():
        found.leave_mask(mask, reason)
    for skipped in tree.skipped:
        if has_test and _split(skipped.name) == "train":
            found.set_aside(skipped, "train")
        else:
            found.refused.append(skipped)
    return found.finish()


def _add(found: Reading, name: str, defect: bool, drawn: list[str], has_test: bool) -> None:
    folder = name.rpartition("/")[0] or "."
    if not has_test or _split(name) == "test":
        kind = DEFECT if defect else GOOD
        found.add(name, kind, folder=folder, masks=tuple(drawn) if defect else ())
        if defect:
            found.add_masks({name: drawn})
        else:
            for mask in drawn:
                found.add_empty_mask(mask)
        return
    if defect:
        found.pass_over(name, "training image that is not good, not used", "not used: training defects")
    elif _split(name) == "train":
        found.add_training(name, folder=folder)
    else:
        found.pass_over(name, "not in the test folder", "not used: outside the test set")
    for mask in drawn:
        found.pass_over(mask, TRAINING_MASK, "not used: masks of training images")


def _has_label(name: str) -> bool:
    return any(says_good(folder) or names_defect(folder) for folder in name.split("/")[:-1])


def _split(name: str) -> str | None:
    return next((found for folder in name.split("/")[:-1] if (found := split_of(folder)[0])), None)


def _flat(images: list[str]) -> bool:
    """Return whether the folders of the images, whose masks are not beside them, give no kinds.

    In ``faden/1.png`` and ``ground_truth/faden/1.png`` the folder is a kind, and no image in it is good.
    """
    folders = {folder for name in images for folder in name.split("/")[:-1]}
    return all(says_nothing(folder) or split_of(folder)[0] is not None for folder in folders)


def _layout(tree: SubTree, masks: list[str], beside: set[str]) -> str:
    stems = [mask.rpartition(".")[0].lower() for mask in masks]
    if beside and all(stem.endswith("_label") for stem in stems):
        return "KolektorSDD"
    if beside and all(stem.endswith("_gt") for stem in stems):
        return "KolektorSDD2"
    if all(
        "/label/" in f"/{mask.lower()}" and mask.lower().rpartition(".")[0].endswith("_label")
        for mask in masks
    ):
        return "DAGM"
    return "images and masks"
