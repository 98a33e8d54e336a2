"""The layout of VisA, whose tables give the labels, splits and masks of each part."""

from __future__ import annotations

from padim.data.layouts.reading import Reading
from padim.data.layouts.table import table_reading
from padim.data.tables import read_table
from padim.data.trees import ANNOTATION_TABLE, SPLIT_TABLE, SubTree
from padim.errors import PadimError


def read_visa(tree: SubTree) -> Reading | None:
    """Read the layout of VisA; return None if the tree has another one.

    Its files: ``<part>/image_anno.csv``, and above it ``split_csv/1cls.csv``, which lists the test images.

    Raises:
        PadimError: the tree contains several of VisA's parts.
    """
    if ANNOTATION_TABLE in tree.tables:
        return _part(tree)
    parts = [folder for folder in tree.folders if f"{folder}/{ANNOTATION_TABLE}" in tree.tables]
    if not parts and SPLIT_TABLE in tree.tables:
        # Some mirrors leave out the annotations, and with them the kinds of defect.
        rows = [row for row in _rows(tree, SPLIT_TABLE) if row.get("split") == "test"]
        named = sorted({row.get("object", "") for row in rows})
        if len(named) == 1:
            return table_reading(tree, rows, "VisA", SPLIT_TABLE)
        parts = named
    if len(parts) > 1:
        raise PadimError(
            f"this is VisA with {len(parts)} parts ({', '.join(parts[:3])} …); give the folder of one of them"
        )
    return _part(tree.under(parts[0])) if parts else None


def _rows(tree: SubTree, table: str) -> list[dict[str, str]]:
    return read_table(tree.read(table), tree.prefix + table)


def _part(tree: SubTree) -> Reading:
    rows = _rows(tree, ANNOTATION_TABLE)
    # The split is one folder up: in the same tree, or beside it.
    places = ((tree, f"../{SPLIT_TABLE}"), (tree.above, SPLIT_TABLE))
    split = next((_rows(at, table) for at, table in places if table in at.tables), [])
    testing = {row.get("image", "") for row in split if row.get("split") == "test"}
    training = {row.get("image", "") for row in rows} - testing
    if not testing & {row.get("image", "") for row in rows}:
        training = set()
    divided = [{**row, "split": "train" if row.get("image", "") in training else "test"} for row in rows]
    return table_reading(tree, divided, "VisA", ANNOTATION_TABLE, above=True)
