"""The account of all files that came in: each is used, refused or passed over, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from padim.errors import ImageError, PadimError
from padim.text import count

# Number of files that an error about an input without images names.
_NAMED = 3


@dataclass(frozen=True)
class PassedOver:
    """A file that was not read, or a folder with all its files, and the reason.

    Attributes:
        name: the file's name as the user knows it; a folder's name ends with a slash.
        reason: why it was passed over, without the name.
        system: whether it is hidden or a leftover of an operating system, and so no file of the user's. Such
            files are listed, but are no reason to fail.
        files: number of files that this entry stands for; more than one only for a folder.
        by_layout: whether the layout of labelled data sets it aside, as training images are by an evaluation.
            Such files are listed, but are no reason to fail either.
    """

    name: str
    reason: str
    system: bool = False
    files: int = 1
    by_layout: bool = False


class AccountedFor(Protocol):
    """Anything that knows which of its files were refused and which were passed over."""

    @property
    def skipped(self) -> Sequence[ImageError]:
        """Files that were refused."""

    @property
    def passed_over(self) -> Sequence[PassedOver]:
        """Files that were passed over."""


@dataclass(frozen=True)
class FileAccount:
    """What became of every file of an input.

    Attributes:
        used: number of files whose content was used.
        refused: one error with the reason for each file that looked like an image but cannot be used.
        passed_over: the files and folders that were not read.
    """

    used: int
    refused: tuple[ImageError, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    @classmethod
    def of(cls, used: int, source: AccountedFor, failed: Iterable[ImageError] = ()) -> FileAccount:
        """Build the account of a source that has been read to its end.

        Args:
            used: number of files that were used.
            source: the source.
            failed: errors of files that the source yielded but that could not be decoded or scored.
        """
        return cls(used, (*source.skipped, *failed), tuple(source.passed_over))

    def __add__(self, other: FileAccount) -> FileAccount:
        return FileAccount(
            self.used + other.used,
            self.refused + other.refused,
            self.passed_over + other.passed_over,
        )

    @property
    def n_passed_over(self) -> int:
        """Number of files that were passed over; each file of a folder counts."""
        return sum(one.files for one in self.passed_over)

    @property
    def of_system(self) -> tuple[PassedOver, ...]:
        """Entries that are hidden or leftovers of an operating system."""
        return tuple(one for one in self.passed_over if one.system)

    @property
    def of_user(self) -> tuple[PassedOver, ...]:
        """Entries that the user may have meant to be used: not hidden, no leftovers, not set aside."""
        return tuple(one for one in self.passed_over if not one.system and not one.by_layout)

    @property
    def unused(self) -> int:
        """Number of the user's files that were not used: what ``--strict`` and ``--fail-on-reject`` count."""
        return len(self.refused) + sum(one.files for one in self.of_user)

    def text(self) -> str:
        """Return the account in one line, such as ``12 files used, 1 refused, 8 passed over``."""
        parts = [f"{count(self.used, 'file')} used"]
        if self.refused:
            parts.append(f"{len(self.refused):,} refused")
        if self.passed_over:
            parts.append(f"{self.n_passed_over:,} passed over")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain JSON: number used, and names with reasons of all others."""
        return {
            "used": self.used,
            "refused": [{"name": error.name, "reason": error.reason} for error in self.refused],
            "passed_over": [
                {"name": one.name, "reason": one.reason, "files": one.files} for one in self.passed_over
            ],
        }


def nothing_to_read(what: str, source: AccountedFor, remedy: str) -> PadimError:
    """Return the error for an input without images, with what is there instead.

    Args:
        what: the input as the user knows it, such as a folder's path.
        source: the input, of which nothing looks like an image.
        remedy: what the user should give.
    """
    found = [f"{error.name} {error.reason}" for error in source.skipped]
    found += [f"{one.name} ({one.reason})" for one in source.passed_over]
    there = ""
    if found:
        more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        there = f", only {', '.join(found[:_NAMED])}{more}"
    return PadimError(f"{what}: holds no images{there}; {remedy}")


def grouped(passed_over: Iterable[PassedOver]) -> list[tuple[str, int, list[str]]]:
    """Return (reason, number of files, names) of files passed over, one item for each reason."""
    names: dict[str, list[str]] = {}
    files: Counter[str] = Counter()
    for one in passed_over:
        names.setdefault(one.reason, []).append(one.name)
        files[one.reason] += one.files
    return [(reason, files[reason], listed) for reason, listed in names.items()]
