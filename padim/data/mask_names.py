"""Which files are masks, and which image each of them belongs to, by their names alone.

A mask is found by its folder (``ground_truth``, ``masks``, ``GT`` ...) or, beside its image, by the ending
of its name (``_mask``, ``_GT``, ``_label`` ...). Upper and lower case, and the suffix, make no difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from padim.data.formats import IMAGE_SUFFIXES
from padim.data.label_words import (
    masks_of,
    may_say_masks,
    says_masks,
    says_nothing,
    split_of,
    without_mask_suffix,
    words,
)

_Key = tuple[tuple[str, ...], str]


@dataclass(frozen=True)
class MaskMatch:
    """Masks and their images.

    Attributes:
        of: the masks of each image that has some.
        unmatched: masks without an image, with the reason.
        doubtful: images that a mask may belong to, of which none was chosen.
    """

    of: dict[str, list[str]] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)


def find_masks(files: Sequence[str]) -> list[str]:
    """Return the files that are masks, by their folders, or by an image beside them.

    Args:
        files: names of all image files of a tree, with forward slashes.
    """
    named_after = _named_after(files)
    in_folder = {
        name
        for name in files
        if any(map(says_masks, _folders(name))) or _under_other(name, named_after) != name
    }
    others = [name for name in files if name not in in_folder]
    found = in_folder | _in_label_folders(others) | set(_beside(others))
    return [name for name in files if name in found]


def _named_after(files: Iterable[str]) -> dict[str, str]:
    """Return the folders such as ``NG_masks`` that are beside one called ``NG``, each with that one."""
    there: dict[tuple[str, tuple[str, ...]], str] = {}
    paths = {"/".join(_folders(name)[: depth + 1]) for name in files for depth in range(name.count("/"))}
    for path in sorted(paths):
        above, _, last = path.rpartition("/")
        there[above, tuple(words(last))] = path
    found = {}
    for path in paths:
        above, _, last = path.rpartition("/")
        other = there.get((above, masks_of(last))) if masks_of(last) else None
        if other is not None:
            found[path] = other
    return found


def _under_other(name: str, named_after: Mapping[str, str]) -> str:
    """Return a mask's name as if it were in the folder that its own one is named after."""
    folders = _folders(name)
    for depth in range(len(folders)):
        path = "/".join(folders[: depth + 1])
        if path in named_after:
            return named_after[path] + name[len(path) :]
    return name


def beside_images(files: Iterable[str]) -> list[str]:
    """Return the files whose names, without the ending of a mask, are those of an image beside them."""
    files = list(files)
    found = _beside(files)
    return [name for name in files if name in found]


def _beside(files: Sequence[str]) -> Collection[str]:
    stems = {(_parent(name), _stem(name)) for name in files}
    found = set()
    for name in files:
        stem = without_mask_suffix(_stem(name))
        if stem is not None and (_parent(name), _without_image_suffix(stem)) in stems:
            found.add(name)
    return found


def _in_label_folders(files: Sequence[str]) -> set[str]:
    """Return the files in folders such as ``Label``, if each of them has its image elsewhere."""
    below: dict[str, list[str]] = defaultdict(list)
    for name in files:
        folders = _folders(name)
        for place, folder in enumerate(folders):
            if may_say_masks(folder):
                below["/".join(folders[: place + 1])].append(name)
                break
    found: set[str] = set()
    for folder, masks in below.items():
        rest = [name for name in files if not name.startswith(f"{folder}/")]
        if not match_masks(masks, rest).unmatched:
            found |= set(masks)
    return found


def match_masks(
    masks: Sequence[str], images: Sequence[str], preferred: Callable[[str], bool] = lambda image: True
) -> MaskMatch:
    """Match masks with images.

    A mask belongs to the image of the same name in the same folders, leaving out the folder of masks; or,
    with the split and folders such as ``images`` left out as well; or to the image that the folder of the
    mask is named after, as in MVTec LOCO AD; or to the only image of its name.

    Args:
        masks: names of the masks' files.
        images: names of the images' files.
        preferred: whether an image is to be preferred where the name alone decides, as defects are.
    """
    exact, reduced, by_stem = (defaultdict[_Key, list[str]](list) for _ in range(3))
    for image in images:
        stem, folders = _stem(image), _folders(image)
        exact[_lower(folders), stem].append(image)
        reduced[_reduced(folders), stem].append(image)
        by_stem[(), stem].append(image)
    found = MaskMatch()
    named_after = _named_after([*masks, *images])
    for mask in masks:
        candidates = _candidates(_under_other(mask, named_after), exact, reduced, by_stem)
        if len(candidates) > 1:
            candidates = [image for image in candidates if preferred(image)] or candidates
        if len(candidates) > 1:
            same = [image for image in candidates if _suffix(image) == _suffix(mask)]
            candidates = same if len(same) == 1 else candidates
        if len(candidates) == 1:
            found.of.setdefault(candidates[0], []).append(mask)
        elif candidates:
            found.unmatched[mask] = f"mask that may belong to {len(candidates)} images"
            found.doubtful.update(candidates)
        else:
            found.unmatched[mask] = "mask without its image"
    return found


def _candidates(
    mask: str,
    exact: Mapping[_Key, list[str]],
    reduced: Mapping[_Key, list[str]],
    by_stem: Mapping[_Key, list[str]],
) -> list[str]:
    folders = [folder for folder in _folders(mask) if not says_masks(folder)]
    plain = [folder for folder in folders if not may_say_masks(folder)]
    own = _stem(mask)
    stems = [own]
    short = without_mask_suffix(own)
    if short is not None:
        stems[:0] = [short.lower(), _without_image_suffix(short)]
    elif _without_image_suffix(own) != own:
        stems.append(_without_image_suffix(own))
    for stem in stems:
        for index, key in (
            (exact, _lower(folders)),
            (exact, _lower(plain)),
            (reduced, _reduced(folders)),
            (reduced, _reduced(plain)),
        ):
            if found := index.get((key, stem)):
                return found
    if folders:  # one folder of masks for each image
        stem = folders[-1].lower()
        for index, key in ((exact, _lower(folders[:-1])), (reduced, _reduced(folders[:-1]))):
            if found := index.get((key, stem)):
                return found
    for stem in stems:
        named = by_stem.get(((), stem), [])
        ends = _reduced(plain)
        if found := [image for image in named if _compatible(_reduced(_folders(image)), ends)]:
            return found
    return []


def _compatible(folders: tuple[str, ...], ends: tuple[str, ...]) -> bool:
    """Return whether a mask in the folders ``ends`` may belong to an image in ``folders``."""
    return not ends or folders[-len(ends) :] == ends or folders[: len(ends)] == ends


def _folders(name: str) -> list[str]:
    return name.split("/")[:-1]


def _parent(name: str) -> str:
    return name.rpartition("/")[0].lower()


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.lower()


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _without_image_suffix(stem: str) -> str:
    """Return the stem of ``part.jpg``, which a mask named ``part.jpg_mask.png`` contains."""
    lower = stem.lower()
    suffix = PurePosixPath(lower).suffix
    return lower.removesuffix(suffix) if suffix in IMAGE_SUFFIXES else lower


def _lower(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(folder.lower() for folder in folders if folder != "..")


def _reduced(folders: Iterable[str]) -> tuple[str, ...]:
    """Return the folders that give a label: without those of splits and those that say nothing."""
    kept = []
    for folder in folders:
        split, left = split_of(folder)
        folder = left if split is not None else folder
        if folder and folder != ".." and not says_nothing(folder):
            kept.append(folder.lower())
    return tuple(kept)
