"""Part number, serial number, lot, station and shift from the names of image files, by a pattern.

A pattern is a file name with fields in braces, such as ``{lot}-{serial}_{shift}``; ``{}`` is a part of the
name that is not used. It is compared with the name without its folders and its ending, or, if it contains a
slash, with as many folders as it has. A name that can be read in more than one way is not guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from string import Formatter

from padim.errors import PadimError
from padim.text import clipped, one_line

__all__ = ["FIELDS", "LONGEST_VALUE", "NamePattern", "NameReading"]

# The fields with their names for people.
FIELDS = {
    "part_number": "part number",
    "serial": "serial number",
    "lot": "lot",
    "station": "station",
    "shift": "shift",
}
LONGEST_VALUE = 100
_LONGEST_PATTERN = 200
_LONGEST_NAME = 1_000
# What a field's characters are, by the word after its colon.
_KINDS = {
    "": lambda c: c != "/",
    "digits": lambda c: c.isdigit(),
    "letters": lambda c: c.isalpha(),
    "word": lambda c: c.isalnum(),
}


@dataclass(frozen=True)
class NameReading:
    """What a pattern reads from one name.

    Attributes:
        values: the values by field; empty if the name cannot be read.
        problem: why it cannot be read, to follow the name; empty if it can.
    """

    values: dict[str, str]
    problem: str = ""


@dataclass(frozen=True)
class _Piece:
    """A field of a pattern, and the text that follows it."""

    field: str
    kind: str
    then: str


@dataclass(frozen=True)
class NamePattern:
    """A checked pattern; create it with :meth:`of`.

    Attributes:
        text: the pattern as it was typed.
        start: the text before the first field.
        pieces: the fields, each with the text that follows it.
    """

    text: str
    start: str
    pieces: tuple[_Piece, ...]

    @classmethod
    def of(cls, text: str) -> NamePattern:
        """Return the pattern in a text.

        Raises:
            PadimError: it is no pattern; the message says what is wrong with it.
        """
        return _pattern(one_line(text, _LONGEST_PATTERN))

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, in order."""
        return tuple(piece.field for piece in self.pieces if piece.field)

    def read(self, name: str) -> NameReading:
        """Return what the pattern reads from the name of a file, which may have folders."""
        text = self._compared(name)
        if text is None:
            return NameReading({}, f"does not match {self.text}")
        ways = _Ways(self, text)
        if not ways.number:
            return NameReading({}, f"does not match {self.text}")
        if ways.number > 1:
            first, last = (self._shown(ways.values(longest=longest)) for longest in (False, True))
            return NameReading({}, f"can be read in more than one way by {self.text}: {first}, or {last}")
        values = {field: value for field, value in ways.values(longest=False) if field}
        for field, value in values.items():
            if one_line(value, LONGEST_VALUE) != value:
                return NameReading({}, f"has a {FIELDS[field]} of more than {LONGEST_VALUE} characters")
        return NameReading(values)

    def read_all(self, names: Sequence[str]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """Return the values of the names that can be read, and the problems of the others, by name."""
        readings = {name: self.read(name) for name in names}
        return (
            {name: one.values for name, one in readings.items() if not one.problem},
            {name: one.problem for name, one in readings.items() if one.problem},
        )

    def _compared(self, name: str) -> str | None:
        path = PurePosixPath(name.replace("\\", "/")[-_LONGEST_NAME:])
        n_folders = self.text.count("/")
        if len(path.parts) <= n_folders:
            return None
        return "/".join((*path.parts[len(path.parts) - 1 - n_folders : -1], path.stem))

    @staticmethod
    def _shown(values: Sequence[tuple[str, str]]) -> str:
        return ", ".join(f"{FIELDS[field]} “{clipped(value, 40)}”" for field, value in values if field)


@lru_cache(maxsize=64)
def _pattern(text: str) -> NamePattern:
    if not text:
        raise PadimError("the name pattern is empty; write for example {lot}-{serial}_{shift}")
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise PadimError(
            f"{text}: a brace is not closed or not opened ({error}); write fields as {{lot}}"
        ) from error
    start, pieces = "", list[_Piece]()
    for literal, field, kind, conversion in parsed:
        if pieces:
            pieces[-1] = _Piece(pieces[-1].field, pieces[-1].kind, pieces[-1].then + literal)
        else:
            start += literal
        if field is None:
            continue
        if field and field not in FIELDS:
            known = ", ".join(f"{{{one}}}" for one in FIELDS)
            raise PadimError(f"{text}: there is no field {{{field}}}; there are {known}, and {{}} to skip")
        if conversion or (kind or "") not in _KINDS:
            kinds = ", ".join(f"{{{field}:{one}}}" for one in _KINDS if one)
            raise PadimError(f"{text}: {{{field}:{kind or conversion}}} is not known; there are {kinds}")
        if field and field in (piece.field for piece in pieces):
            raise PadimError(f"{text}: {{{field}}} stands there twice")
        pieces.append(_Piece(field, kind or "", ""))
    if not any(piece.field for piece in pieces):
        raise PadimError(f"{text}: has no field; write for example {{lot}}-{{serial}}_{{shift}}")
    for one, after in pairwise(pieces):
        # Two kinds may tell where one ends, as in {lot:letters}{serial:digits}.
        if not one.then and (one.kind == after.kind or "" in (one.kind, after.kind)):
            raise PadimError(
                f"{text}: nothing stands between {{{one.field}}} and {{{after.field}}}, so that no name says "
                "where one ends; write what is between them"
            )
    return NamePattern(text, start, tuple(pieces))


class _Ways:
    """The ways to read a text by a pattern, counted without trying them one by one.

    ``_inside[i][p]``: number of ways, at most 2, if the character at p belongs to field i. Fields have one
    character at least. Time grows with the length times the number of fields, whatever the text.
    """

    def __init__(self, pattern: NamePattern, text: str) -> None:
        self._pieces, self._text = pattern.pieces, text
        n, folded = len(text), [c.casefold() for c in text]
        self._inside: list[list[int]] = []
        # Ways to read what follows a field that ends before p.
        self._ended: list[list[int]] = []
        begins = [0] * n + [1]  # after the last field: the text has ended
        for number, piece in reversed(list(enumerate(pattern.pieces))):
            last = number == len(pattern.pieces) - 1
            fits, then = _KINDS[piece.kind], [c.casefold() for c in piece.then]
            ended, inside = [0] * (n + 2), [0] * (n + 2)
            for p in range(n, -1, -1):
                if folded[p : p + len(then)] == then:
                    after = p + len(then)
                    ended[p] = (int(after == n) if last else begins[after]) if after <= n else 0
                if p < n and fits(text[p]):
                    inside[p] = min(2, ended[p + 1] + inside[p + 1])
            self._inside.insert(0, inside)
            self._ended.insert(0, ended)
            begins = inside
        start = [c.casefold() for c in pattern.start]
        self._start = len(start)
        self.number = begins[self._start] if folded[: self._start] == start else 0

    def values(self, *, longest: bool) -> list[tuple[str, str]]:
        """Return fields and values of the reading with the shortest, or the longest, first fields."""
        found, p = [], self._start
        for piece, inside, ended in zip(self._pieces, self._inside, self._ended, strict=True):
            begin = p
            p += 1
            while not ended[p] or (longest and inside[p]):
                p += 1
            found.append((piece.field, self._text[begin:p]))
            p += len(piece.then)
        return found
