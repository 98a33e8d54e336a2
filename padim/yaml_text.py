"""Parse settings files: any YAML text becomes plain values, or an error of one short sentence.

PyYAML accepts numbers of thousands of digits, invalid characters, and nested references to lists of
references, which fill the memory when they are expanded. No settings file needs any of these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from padim.errors import PadimError
from padim.text import LARGEST_NUMBER, clipped, megabytes, shown

T = TypeVar("T")

# Largest number of characters: a hundred times a complete configuration; PyYAML needs seconds at worst.
LONGEST_TEXT = 2**17
# Largest number of values of a file with its references expanded.
_MOST_VALUES = 2**16
_DEEPEST = 60


def parse_yaml(text: str, what: str) -> Any:
    """Parse a YAML text to plain values.

    Args:
        text: the YAML text.
        what: name of the text for errors.

    Raises:
        PadimError: the text is not YAML, or too large, too deep or too long for a settings file.
    """
    if len(text) > LONGEST_TEXT:
        raise PadimError(
            f"{what} has {len(text):,} characters, more than any file of settings ({LONGEST_TEXT:,})"
        )
    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise PadimError(
            f"{what} is not valid YAML: {place}{clipped(error.problem or error.context or '', 200)}"
        ) from error
    except RecursionError as error:
        raise PadimError(f"{what} is nested too deeply") from error
    except Exception as error:
        # Values with a tag (!!float x) or a pattern (2001-99-99) are converted by Python's own functions,
        # which raise errors of half a dozen types.
        raise PadimError(f"{what} is not valid YAML: {clipped(str(error), 200)}") from error
    _Values(what).check(data)
    return data


def from_file(path: str | Path, parse: Callable[[str], T]) -> T:
    """Read a text file and parse it with ``parse``; errors name the file.

    Raises:
        PadimError: the file cannot be read, or ``parse`` raises it.
    """
    try:
        size = Path(path).stat().st_size
        if size > 4 * LONGEST_TEXT:  # a character takes at most four bytes
            raise PadimError(f"{megabytes(size)} are too much for a file of settings")
        return parse(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PadimError(f"{path}: cannot be read ({error})") from error
    except UnicodeDecodeError as error:
        raise PadimError(f"{path}: cannot be read; save it as UTF-8 ({error})") from error
    except PadimError as error:
        raise PadimError(f"{path}: {error}") from error


class _Values:
    """Checker that visits every value of a parsed file once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._known: dict[int, int] = {}

    def check(self, data: Any) -> None:
        """Raise PadimError for values that no setting can have, or that fill the memory when expanded."""
        self._count(data, 0)

    def _count(self, value: Any, depth: int) -> int:
        """Return the number of values, with references expanded."""
        if isinstance(value, str):
            self._check_text(value)
            return 1
        if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
            raise PadimError(f"{self._what} has {shown(value)}; no setting is that large")
        if not isinstance(value, dict | list | tuple | set):
            return 1
        if depth > _DEEPEST:
            raise PadimError(f"{self._what} is nested too deeply")
        if id(value) in self._known:
            found = self._known[id(value)]
            if not found:
                raise PadimError(f"{self._what} has a list or mapping that holds itself")
            return found
        self._known[id(value)] = 0  # marks a value that is being counted
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        total = 1
        for part in parts:
            total += self._count(part, depth + 1)
            if total > _MOST_VALUES:
                raise PadimError(f"{self._what} has more than {_MOST_VALUES:,} values")
        self._known[id(value)] = total
        return total

    def _check_text(self, text: str) -> None:
        bad = next((c for c in text if "\ud800" <= c <= "\udfff"), None)
        if bad is not None:
            raise PadimError(
                f"{self._what} has half a character (U+{ord(bad):04X}, a lone surrogate) in {shown(text)}"
            )
