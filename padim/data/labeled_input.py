"""Labelled data among images of good parts: the check of everything that is to be fitted.

A test set, masks or defects in a fit raise the threshold until the model accepts them, and nothing shows it.
So names are checked before anything is fitted: those of the folders, by the words in them; those of masks
beside their images; and tables of labels. Names above the folder or archive that was chosen do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from padim.data.label_words import (
    may_say_masks,
    mentions_masks,
    mentions_test,
    says_bad,
    says_bad_alone,
    says_good,
    says_kind,
    says_masks,
    says_nothing,
    split_of,
    without_mask_suffix,
)
from padim.data.tables import Columns, label_of, read_table
from padim.errors import LabeledInputError, PadimError

Tables = Callable[[], Iterable[tuple[str, bytes]]]

# Folders that are labels where there are these two alone.
_PAIRS = ({"0", "1"}, {"negative", "positive"}, {"neg", "pos"}, {"true", "false"}, {"yes", "no"})


def _no_tables() -> Iterable[tuple[str, bytes]]:
    return ()


def check_good_parts(names: Sequence[str], given: str, tables: Tables = _no_tables, chosen: str = "") -> None:
    """Refuse images to be fitted as good parts if their names say that they are labelled data.

    Args:
        names: names of the images with forward slashes, relative to the folder or archive that was chosen.
        given: the user's name for the images, for the error.
        tables: returns name and content of the tables among them; called only if the names say nothing.
        chosen: beginning of all names that is the folder the user chose, with a slash at the end; its name
            does not count.

    Raises:
        LabeledInputError: not all of them are good parts; the error names the folders to choose from.
    """
    inside = [name.removeprefix(chosen) for name in names]
    signs = signs_of_labels(inside) or _tables_of_labels(names, tables)
    if signs:
        folders, proposed = _folders(names)
        raise LabeledInputError(
            _message(given, signs, folders, proposed),
            given=given,
            signs=signs,
            folders=folders,
            proposed=proposed,
        )


def _message(
    given: str, signs: Sequence[str], folders: Sequence[tuple[str, int]], proposed: str | None
) -> str:
    said = ", ".join(signs[:3]) + (" …" if len(signs) > 3 else "")
    named = "" if proposed is None else f', such as folder="{proposed}"'
    listed = ", ".join(f"{folder} ({images})" for folder, images in folders[:8])
    more = f" and {len(folders) - 8} others" if len(folders) > 8 else ""
    return (
        f"{given}: holds more than good parts ({said}); choose the folder of good parts to fit on{named}, of "
        f'{listed}{more}; folder="." takes all of it as good parts'
    )


def signs_of_labels(names: Iterable[str]) -> list[str]:
    """Return what in the names of images says that not all of them are good parts; empty if nothing does."""
    names = list(names)
    paths = sorted({name.rpartition("/")[0] for name in names})
    telling = list(dict.fromkeys(found for path in paths if (found := _telling(path)) is not None))
    rest = [path for path in paths if _telling(path) is None]
    signs = [f"the folder {path}" for path in telling]
    return [*signs, *_beside_good(rest), *_masks_beside(names)]


def _telling(path: str) -> str | None:
    """Return the path up to its first folder that says test, masks or defects; None if none does."""
    folders = path.split("/")
    for depth, folder in enumerate(folders):
        bad = says_bad(folder) or says_kind(folder)
        # In "anomaly_detection/line 3/good" the images are good; in "NG/normal" the light may be normal.
        bad = bad and (says_bad_alone(folder) or not any(map(says_good, folders[depth + 1 :])))
        if bad or mentions_test(folder) or mentions_masks(folder):
            return "/".join(folders[: depth + 1])
    return None


def _beside_good(paths: Sequence[str]) -> list[str]:
    """Return folders beside one of good parts: in that layout, each is of one kind of defect."""
    good: dict[str, str] = {}
    others: dict[str, set[str]] = {}
    for path in paths:
        folders = path.split("/") if path else []
        all_good = any(map(says_good, folders))
        for depth, folder in enumerate(folders):
            above = "/".join(folders[:depth])
            if says_good(folder):
                good.setdefault(above, folder)
            elif not all_good and not says_nothing(folder) and split_of(folder)[0] is None:
                others.setdefault(above, set()).add(folder)
    found = []
    for above, folders_there in sorted(others.items()):
        begin = f"{above}/" if above else ""
        if above in good:
            found += [
                f"the folder {begin}{folder} beside {begin}{good[above]}" for folder in sorted(folders_there)
            ]
        elif {folder.lower() for folder in folders_there} in _PAIRS:
            first, second = sorted(folders_there)
            found.append(f"the folders {begin}{first} and {begin}{second}")
    return found


def _masks_beside(names: Sequence[str]) -> list[str]:
    """Return masks beside their images, or in a folder beside them, by the endings of their names."""
    stems = {name.rpartition(".")[0].lower() for name in names}
    besides: dict[str, list[str]] = {}
    for path in {name.rpartition("/")[0] for name in names}:
        above, _, last = path.rpartition("/")
        if last and says_nothing(last):
            besides.setdefault(above.lower(), []).append(path)
    masks = []
    for name in names:
        folder, _, file = name.rpartition("/")
        stem = without_mask_suffix(file.rpartition(".")[0])
        if stem is None and may_say_masks(folder.rpartition("/")[2]):
            stem = file.rpartition(".")[0]
            folder = folder.rpartition("/")[0]
        if stem is not None:
            above = folder.rpartition("/")[0]
            # In Images/a.png and labels/a.png, the folders are beside each other.
            places = (folder, above, *besides.get(folder.lower(), ()))
            if any((f"{place}/{stem}" if place else stem).lower() in stems for place in places):
                masks.append(name)
    return [f"{len(masks)} masks beside their images, such as {masks[0]}"] if masks else []


def _tables_of_labels(names: Sequence[str], tables: Tables) -> list[str]:
    files = {name.rpartition("/")[2].lower() for name in names}
    found = []
    for table, data in tables():
        try:
            rows = read_table(data, table)
            columns = Columns.of(rows)
            labels = [(row, label_of(row, columns, table)) for row in rows] if columns else []
        except PadimError:  # whatever it is, it is no table of labels
            continue
        for row, label in labels:
            path = row.get(columns.path if columns else "", "").replace("\\", "/")
            if label is not None and label.good is False and path.rpartition("/")[2].lower() in files:
                found.append(f"the labels in {table}")
                break
    return found


def _folders(names: Sequence[str]) -> tuple[list[tuple[str, int]], str | None]:
    """Return the folders to choose from with their numbers of images, and the one to propose."""
    folders = [name.split("/")[:-1] for name in names]
    # Folders that all images are in make no difference.
    shared = _shared(folders)
    counts = Counter(_to_choose(inside[len(shared) :]) for inside in folders)
    ranked = sorted(counts, key=lambda folder: (_rank(folder), folder))
    proposed = ranked[0] if ranked and _rank(ranked[0]) < 3 else None
    begin = "/".join(shared)

    def whole(folder: str) -> str:
        return folder if not begin else begin if folder == "." else f"{begin}/{folder}"

    found = [(whole(folder), counts[folder]) for folder in ranked]
    return found, None if proposed is None else whole(proposed)


def _shared(folders: Sequence[list[str]]) -> list[str]:
    """Return the folders that all paths begin with."""
    first = min(folders, key=len)
    for depth, folder in enumerate(first):
        if any(one[depth] != folder for one in folders):
            return first[:depth]
    return first


def _to_choose(folders: list[str]) -> str:
    """Return the path of the folder that gives the label."""
    for depth, folder in enumerate(folders):
        if says_good(folder) or says_bad(folder) or says_kind(folder) or says_masks(folder):
            return "/".join(folders[: depth + 1])
    return "/".join(folders) or "."


def _rank(path: str) -> int:
    """Return how unlikely a folder is the one to fit on: 0 for train/good, 9 for masks."""
    folders = path.split("/")
    splits = {split_of(folder)[0] for folder in folders}
    good = any(map(says_good, folders)) or any(says_good(split_of(folder)[1]) for folder in folders)
    if any(says_bad(folder) or says_kind(folder) for folder in folders):
        return 8
    if any(map(mentions_masks, folders)):
        return 9
    if splits & {"test", "private"}:
        return 5 if good else 7
    if good:
        return 0 if "train" in splits else 2 if "validation" in splits else 1
    return 4 if "train" in splits else 6
