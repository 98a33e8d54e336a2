"""Tables of labels: CSV files of any usual delimiter and encoding, and what their labels mean."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from padim.data.label_words import says_bad, says_good, words
from padim.data.sources import LARGEST_TABLE
from padim.errors import PadimError

Row = Mapping[str, str]

_DELIMITERS = ",;\t|"
# Names of columns, the preferred ones first.
_PATHS = (
    *("path", "image_path", "image", "file", "filename", "file_name", "filepath", "file_path", "img"),
    *("img_path", "image_name", "image_file", "name"),
)
# Columns of labels: of the first group all that are there must agree, of the second one is taken.
_LABELS = ("label", "label_index", "is_anomaly", "anomalous", "is_defect", "defective")
_OTHER_LABELS = (
    *("labels", "class", "target", "anomaly", "defect", "status", "kind", "category"),
    "type",
)
_MASKS = ("mask", "mask_path", "masks", "mask_file")
_SPLITS = ("split", "subset", "set", "phase")
# Columns in which "true" means a good part.
_TRUE_IS_GOOD = ("good", "ok", "is_good", "is_ok", "pass", "passed")
# Columns of defects, in which "none" means a good part.
_NONE_IS_GOOD = ("is_anomaly", "anomalous", "is_defect", "defective", "anomaly", "defect")
_TRUE, _FALSE = ("true", "yes", "y", "t"), ("false", "no", "n", "f")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]0*)?")
_NOT_KNOWN = ("unknown", "none", "nan", "null", "n/a", "?", "-1", "-1.0")
NOTHING = ("", "none", "nan", "null", "n/a", "-")
"""Texts of a cell that names no mask."""


@dataclass(frozen=True)
class TableLabel:
    """The meaning of one label.

    Attributes:
        good: whether it says that the part is good; None if it says that this is not known.
        kind: the kind of defect, if the label names one; else empty.
    """

    good: bool | None
    kind: str = ""


def read_table(data: bytes, name: str) -> list[dict[str, str]]:
    """Read a CSV table and return its rows, each by column names in lower case.

    The text is UTF-8, with or without a mark, UTF-16 or, if it is not valid UTF-8, Windows-1252. The
    delimiter is a comma, semicolon, tab or bar: the one that a first line ``sep=;`` states, or else the most
    frequent one in the head.

    Raises:
        PadimError: the file is too large or not CSV.
    """
    if len(data) > LARGEST_TABLE:
        raise PadimError(f"{name}: is too large for a table of labels")
    text = _text(data, name).replace("\r\n", "\n").replace("\r", "\n").lstrip("\n\v\f ")
    first, _, rest = text.partition("\n")
    stated = re.fullmatch(r"\s*\"?sep=(.|\\t)\"?\s*", first, re.IGNORECASE)
    if stated is not None:
        text, delimiter = rest, stated[1].replace("\\t", "\t")
    else:
        delimiter = max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)
    try:
        lines = list(csv.reader(text.splitlines(), delimiter=delimiter))
    except csv.Error as error:
        raise PadimError(f"{name}: is not a CSV file ({error})") from None
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if not lines:
        return []
    columns = [column.strip().lower() for column in lines[0]]
    # A short line lacks its last cells.
    rows = [[cell.strip() for cell in line] + [""] * (len(columns) - len(line)) for line in lines[1:]]
    return [dict(zip(columns, row, strict=False)) for row in rows]


def _text(data: bytes, name: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif data[1:2] == b"\0":
        encodings = ["utf-16-le"]
    elif data[:1] == b"\0":
        encodings = ["utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise PadimError(f"{name}: is not text in UTF-8, UTF-16 or Windows-1252; save it as CSV UTF-8")


@dataclass(frozen=True)
class Columns:
    """The columns of a table of labels.

    Attributes:
        path: column of the images' paths.
        labels: columns of labels; they must agree.
        mask, split: columns of the masks' paths and of the split; None where there is none.
    """

    path: str
    labels: tuple[str, ...]
    mask: str | None
    split: str | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Columns | None:
        """Return the columns of a table's rows; None unless there are paths and labels.

        Of several columns that may be labels, such as ``class`` and ``status``, the first one counts in which
        a value says good: a class may be that of the product.
        """
        names = list(rows[0]) if rows else []
        path = next((one for one in _PATHS if one in names), None)
        labels = tuple(one for one in (*_LABELS, *_TRUE_IS_GOOD) if one in names)
        if not labels:
            others = [one for one in _OTHER_LABELS if one in names]
            good = [one for one in others if any(_is_good(row.get(one, ""), one) for row in rows)]
            labels = tuple(good or others)[:1]
        if path is None or not labels:
            return None
        mask = next((one for one in _MASKS if one in names), None)
        return cls(path, labels, mask, next((one for one in _SPLITS if one in names), None))


def _is_good(text: str, column: str) -> bool:
    label = meaning_of(text, column)
    return label is not None and label.good is True


def label_of(row: Row, columns: Columns, name: str) -> TableLabel | None:
    """Return the label of a row; None if it has none.

    Raises:
        PadimError: two columns of labels contradict each other.
    """
    found = [meaning_of(row.get(column, ""), column) for column in columns.labels]
    known = [label for label in found if label is not None]
    if not known:
        return None
    goods = {label.good for label in known if label.good is not None}
    if len(goods) > 1:
        said = ", ".join(f"{column} {row.get(column, '')}" for column in columns.labels)
        raise PadimError(f"{name}: contradicts itself on {row.get(columns.path, '')} ({said})")
    return max(known, key=lambda label: (label.good is not None, bool(label.kind)))


def meaning_of(text: str, column: str = "label") -> TableLabel | None:
    """Return what the text of a label means; None if it is empty.

    0, 0.0, False and words for good parts mean good; 1, 1.0, True and words for defects mean a defect; any
    other text is the name of a kind of defect. In a column such as ``good`` or ``ok`` 1 and True mean good,
    in one such as ``defect`` none.
    """
    said = (
        text.strip().rpartition(".")[2] if re.match(r"(?i)\s*(dirtype|labelname)\.", text) else text.strip()
    )
    plain = said.casefold()
    if not plain:
        return None
    if plain in _NOT_KNOWN:
        return TableLabel(True if plain == "none" and column in _NONE_IS_GOOD else None)
    inverted = column in _TRUE_IS_GOOD
    if plain in _TRUE or plain in _FALSE:
        return TableLabel((plain in _TRUE) == inverted)
    if _NUMBER.fullmatch(plain):
        number = int(re.split(r"[.,]", plain)[0])
        if number in (0, 1):
            return TableLabel((number == 1) == inverted)
        return TableLabel(False, said)
    left = " ".join(word for word in words(said) if word not in ("test", "train"))
    if says_good(left):
        return TableLabel(True)
    if says_bad(left) and len(words(left)) == 1:
        return TableLabel(False)
    return TableLabel(False, said)


def check_labels(texts: Sequence[str], name: str) -> None:
    """Refuse a column of labels that consists of numbers without 0, which may mean either.

    1 and -1 are good and defective to some programs, and defective and unknown to others.

    Raises:
        PadimError: all labels are numbers, and none is 0.
    """
    numbers = {text.strip() for text in texts if text.strip()}
    values = {int(re.split(r"[.,]", number)[0]) for number in numbers if _NUMBER.fullmatch(number)}
    if values and all(map(_NUMBER.fullmatch, numbers)) and 0 not in values:
        listed = ", ".join(map(str, sorted(values)[:5]))
        raise PadimError(
            f"{name}: all labels are {listed}, which may mean good or defective; write the words good and "
            "defect, or 0 for good and 1 for defective"
        )
