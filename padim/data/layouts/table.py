"""Data sets whose labels are in a table: a CSV with the images' paths and labels."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from padim.data.label_words import GOOD_EXAMPLES, names_defect, split_of
from padim.data.layouts.reading import DEFECT, GOOD, PRIVATE, VALIDATION, Reading
from padim.data.tables import NOTHING, Columns, check_labels, label_of, read_table
from padim.data.trees import FolderTree, SubTree
from padim.errors import ImageError, PadimError

_DRIVE = re.compile(r"[A-Za-z]:/|//|/")


def read_table_of(tree: SubTree) -> Reading | None:
    """Read the first table in a folder that has columns of paths and labels; None if there is none.

    A table in a sub-folder is read as well if its paths lead from the folder to images.

    Raises:
        PadimError: the table contradicts itself or names no image that is there.
    """
    for table in sorted(tree.tables, key=lambda name: (name.count("/"), name)):
        if table.startswith("../"):
            continue
        rows = read_table(tree.read(table), tree.prefix + table)
        columns = Columns.of(rows)
        if columns is None:
            continue
        paths = [row.get(columns.path, "") for row in rows]
        # If everything is in the table's folder, that one is opened next.
        next_one = tree.folders == [table.partition("/")[0]] and not tree.loose
        there = NamedPaths(tree, paths, False, "" if next_one else table)
        if "/" not in table or any(map(there.find, paths)):
            return table_reading(tree, rows, "CSV", table)
    return None


def table_reading(
    tree: SubTree, rows: Sequence[Mapping[str, str]], layout: str, table: str, *, above: bool = False
) -> Reading:
    """Read the rows of a table, each with an image's path, label and, where there are, mask and split.

    Args:
        tree: the folder of the table.
        rows: the rows, by column names in lower case.
        layout: name of the layout.
        table: name of the table.
        above: whether paths begin with the name of the table's own folder, as in VisA.

    Raises:
        PadimError: the table names no image that exists, or one image with two labels; or its labels may mean
            either.
    """
    columns = Columns.of(rows)
    if columns is None:
        raise PadimError(f"{table}: has no rows under the columns path and label")
    if len(columns.labels) == 1:
        check_labels([row.get(columns.labels[0], "") for row in rows], table)
    found = Reading(tree, layout)
    found.use_table(table)
    paths = NamedPaths(tree, [row.get(columns.path, "") for row in rows], above, table)
    reasons = {error.name: error.reason for error in tree.skipped}
    splits = [_split(row, columns) for row in rows]
    evaluated = evaluated_splits(splits)
    said: dict[str, str] = {}
    named: set[str] = set()
    for row, split in zip(rows, splits, strict=True):
        path, label = row.get(columns.path, ""), label_of(row, columns, table)
        if not path or label is None:
            found.refused.append(ImageError(path or table, f"has no path or no label in {table}"))
            continue
        file = paths.find(path)
        if file is None:
            named.add(paths.inside(path))
            reason = reasons.get(paths.inside(path), f"is named in {table} but is not below its folder")
            found.refused.append(ImageError(path, reason))
            continue
        kind = GOOD if label.good else label.kind or DEFECT
        if label.good is None:
            found.pass_over(file, f"its label in {table} is unknown", "not used: no label")
            continue
        if file in said and said[file] != kind:
            raise PadimError(
                f"{table}: gives {file} two labels, {said[file]} and {kind}; correct one of them"
            )
        said[file] = kind
        folder = file.rpartition("/")[0] or "."
        if split not in evaluated:
            leave_sample(found, file, folder, split, good=kind == GOOD)
            continue
        masks = _masks(row.get(columns.mask or "", ""), paths) if kind != GOOD else []
        for mask, drawn in masks:
            if drawn is None:
                found.refused.append(
                    ImageError(mask, f"is the mask of {path} in {table} but is not below its folder")
                )
        drawn_masks = [drawn for _, drawn in masks if drawn is not None]
        found.add(file, kind, folder=folder, masks=tuple(drawn_masks))
        found.add_masks({file: drawn_masks})
    if not found.samples:
        raise PadimError(f"{table}: names no image that is below its folder")
    _check_kinds(found, table)
    found.refused += [error for error in tree.skipped if error.name not in named]
    _leave_rest(found, table)
    return found.finish()


def _check_kinds(found: Reading, table: str) -> None:
    """Refuse labels none of which says good, unless all say that they are of defects.

    Raises:
        PadimError: a word for good parts may be among them that is not known.
    """
    kinds = {sample.kind for sample in found.samples.values()}
    others = sorted(kind for kind in kinds if not names_defect(kind))
    if GOOD not in kinds and others and not found.training:
        listed = ", ".join(others[:5]) + (" …" if len(others) > 5 else "")
        raise PadimError(
            f"{table}: none of its labels says good: {listed}; write {', '.join(GOOD_EXAMPLES)} or 0 for "
            "good parts, and defect or 1 for others"
        )


def _split(row: Mapping[str, str], columns: Columns) -> str | None:
    text = row.get(columns.split or "", "").rpartition(".")[2]
    return split_of(text)[0] if text else None


def evaluated_splits(splits: Sequence[str | None]) -> set[str | None]:
    """Return the splits to evaluate on: the test set, and what is in none; or else the validation set."""
    known = set(splits)
    if "test" in known or None in known:
        return {"test", None}
    return {"validation"} if "validation" in known else {"train"}


def leave_sample(found: Reading, file: str, folder: str, split: str | None, *, good: bool) -> None:
    if split == "train" and good:
        found.add_training(file, folder=folder)
    elif split == "train":
        found.pass_over(file, "training image that is not good, not used", "not used: training defects")
    elif split == "validation":
        found.pass_over(file, VALIDATION, "not used: validation images")
    else:
        found.pass_over(file, PRIVATE, "not used: no labels")


def _leave_rest(found: Reading, table: str) -> None:
    """Account for the images that the table does not name."""
    used = {sample.file for sample in (*found.samples.values(), *found.training)}
    drawn = {mask for sample in found.samples.values() for mask in sample.masks}
    for file in found.tree.images:
        full = found.tree.prefix + file
        if full not in used and full not in drawn and not file.startswith("../"):
            found.pass_over(file, f"not named in {table}", "not used: not in the table")


def _masks(text: str, paths: NamedPaths) -> list[tuple[str, str | None]]:
    """Return the masks that a cell names, with their files; several are separated by semicolons or bars."""
    named = [part.strip() for part in re.split(r"[;|]", text.strip("[]"))]
    named = [part for part in named if part.casefold() not in NOTHING]
    return [(mask.strip("'\""), paths.find(mask.strip("'\""))) for mask in named]


class NamedPaths:
    """Finds the files that a table names; no path can lead out of the tree."""

    def __init__(self, tree: SubTree, given: Sequence[str], above: bool, table: str) -> None:
        self._there = set(tree.images)
        self._alike = {_alike(name): name for name in tree.images}
        self._beside = table.rpartition("/")[0]
        self._above = above
        root = tree.place.root.as_posix() if isinstance(tree.place, FolderTree) else None
        self._root = None if root is None else f"{root}/{tree.prefix}"
        self._cut = self._common_cut([path.replace("\\", "/") for path in given])

    def _common_cut(self, paths: Sequence[str]) -> str:
        """Return the beginning of all absolute paths that leads to the tree, as it was named elsewhere."""
        absolute = [path for path in paths if _DRIVE.match(path)]
        if not absolute:
            return ""
        if self._root is not None and any(path.startswith(self._root) for path in absolute):
            return self._root
        first = PurePosixPath(absolute[0]).parts
        for length in range(1, len(first)):
            begin = f"{PurePosixPath(*first[:length])}/".replace("///", "//")
            begin = begin if first[:length] != ("/",) else "/"
            if all(path.startswith(begin) for path in absolute) and any(
                path.removeprefix(begin) in self._there for path in absolute
            ):
                return begin
        return ""

    def inside(self, path: str) -> str:
        """Return the path relative to the tree, as far as it can be told."""
        path = path.replace("\\", "/")
        if self._cut and path.startswith(self._cut):
            return path.removeprefix(self._cut)
        parts = [part for part in path.split("/") if part != "."]
        path = "/".join(parts)
        return path.partition("/")[2] if self._above else path

    def find(self, path: str) -> str | None:
        """Return the name of the file in the tree, or None."""
        inside = self.inside(path)
        # From the tree's folder or, if the table is in a sub-folder, from there.
        for one in (inside, posixpath.normpath(f"{self._beside}/{inside}")) if self._beside else (inside,):
            found = one if one in self._there else self._alike.get(_alike(one))
            if found is not None:
                return found
        return None


def _alike(path: str) -> str:
    """Return a path without its differences of case, and of accents as Macs and others write them."""
    return unicodedata.normalize("NFC", path).lower()
