"""Layouts of labelled data sets: one reader for each, and the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable

from padim.data.label_words import (
    GOOD_EXAMPLES,
    names_defect,
    says_bad,
    says_good,
    says_kind,
    says_masks,
    says_nothing,
    split_of,
)
from padim.data.layouts.annotations import annotation_json
from padim.data.layouts.by_mask import read_by_masks
from padim.data.layouts.coco import read_coco
from padim.data.layouts.folders import read_folders, read_splits
from padim.data.layouts.labelme import read_labelme
from padim.data.layouts.reading import DEFECT, GOOD, FolderUse, LabeledSample, Reading
from padim.data.layouts.table import read_table_of, table_reading
from padim.data.layouts.visa import read_visa
from padim.data.trees import ImageTree, SubTree
from padim.errors import PadimError
from padim.text import count

__all__ = [
    "DEFECT",
    "GOOD",
    "FolderUse",
    "LabeledSample",
    "Reading",
    "data_sets_in",
    "read_layout",
    "table_reading",
]

_READERS: tuple[Callable[[SubTree], Reading | None], ...] = (
    read_visa,
    read_splits,
    read_table_of,
    read_folders,
    read_by_masks,
)


def read_layout(place: ImageTree, *, good_needed: bool = True) -> Reading | None:
    """Read a tree by the first layout that it has, descending into a single top-level folder.

    Args:
        place: the files.
        good_needed: whether a tree is refused of which no folder is of good parts, unless all of them say
            that they are of defects.

    Returns:
        The reading; None if nothing in the tree says what is good.

    Raises:
        PadimError: no folder is of good parts, or the tree holds several data sets.
    """
    tree: SubTree | None = SubTree(place)
    seen: list[SubTree] = []
    while tree is not None:
        # What annotations say counts before folders: their images may lie in any.
        if (annotated := read_coco(tree) or read_labelme(tree)) is not None:
            return annotated
        several = data_sets_in(tree)
        if len(several) > 1:
            listed = ", ".join(several[:5]) + (" …" if len(several) > 5 else "")
            raise PadimError(f"holds {len(several)} data sets ({listed}); give one of them")
        only = tree.folders
        # A zip or an upload often contains a single folder with everything in it.
        inside = tree.under(only[0]) if len(only) == 1 and not tree.loose else None
        # In "normal/OK" and "normal/NG" the upper folder is a product's, or a camera's, and not a label.
        if inside is not None and says_good(only[0]) and not any(map(says_bad, inside.folders)):
            inside = None
        elif inside is not None and says_good(only[0]):
            tree = inside
            continue
        for reader in _READERS:
            if reader is read_by_masks and inside is not None:
                continue
            found = reader(tree)
            if found is not None and (found.has_good or not _lacks_good(found)):
                if reader is read_by_masks:
                    _check_top(found)
                return found
        seen.append(tree)
        tree = inside
    for tree in seen:
        found = read_splits(tree, anyhow=True) or read_folders(tree, anyhow=True)
        if found is not None:
            if good_needed and not _only_defects(found):
                raise PadimError(_no_good(found))
            return found
    for name in SubTree(place).documents[:1]:
        annotation_json(SubTree(place), name)  # if nothing else is there, a damaged JSON may be why
    return None


def _check_top(found: Reading) -> None:
    """Refuse images without masks as good parts where the folder of everything says that it is of defects."""
    top = found.tree.prefix.rstrip("/").rpartition("/")[2]
    if found.has_good and (says_bad(top) or says_kind(top)):
        without = [name for name, sample in found.samples.items() if sample.good]
        raise PadimError(
            f"the folder {top} says that it holds defects, but {count(len(without), 'image')} in it, such as "
            f"{without[0]}, show none by their masks; rename the folder if they are good parts"
        )


def _lacks_good(found: Reading) -> bool:
    """Return whether a reading by folders has no good part, which a table or masks may state on purpose."""
    return found.by_folders and not found.has_good


def _only_defects(found: Reading) -> bool:
    """Return whether all folders say that they are of defects, so that good parts are left out on purpose."""
    return all(names_defect(one.kind) for one in found.samples.values())


def _no_good(found: Reading) -> str:
    kinds = sorted({sample.kind for sample in found.samples.values()})
    listed = ", ".join(kinds[:8]) + (" …" if len(kinds) > 8 else "")
    return (
        f"none of its folders says that it holds good parts: {listed}; name the folder of good parts "
        f"{', '.join(GOOD_EXAMPLES[:-1])} or {GOOD_EXAMPLES[-1]}"
    )


def data_sets_in(tree: SubTree) -> list[str]:
    """Return the direct sub-folders that are data sets of their own: MVTec AD's categories, several lines.

    These are folders with a test set, with several splits, or with a folder of good parts.
    """
    if any(split_of(folder)[0] for folder in tree.folders):
        return []
    inside: dict[str, set[str]] = {}
    for name in tree.images:
        parts = name.split("/")
        if len(parts) > 2 and parts[0] != "..":
            inside.setdefault(parts[0], set()).add(parts[1])
    return sorted(
        folder for folder, found in inside.items() if not _has_meaning(folder) and _is_data_set(found)
    )


def _has_meaning(folder: str) -> bool:
    return says_good(folder) or says_bad(folder) or says_masks(folder) or says_nothing(folder)


def _is_data_set(folders: set[str]) -> bool:
    splits = [split for folder in folders if (split := split_of(folder)[0]) is not None]
    return len(splits) > 1 or "test" in splits or (len(folders) > 1 and any(map(says_good, folders)))
