"""Check the folder for results: for earlier results, a stopped scoring to resume, or files of others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.cli.terminal import Terminal
from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.output.scoring_journal import Journal

_NAMES = ("results.csv", "results.json", "panels", "masks")
# Temporary files of killed scorings by versions that kept no journal.
_FORMER_TEMPORARY = re.compile(r"\.results\.json\.[0-9a-f]{8}\.tmp")


@contextmanager
def journal_in(
    output: Path,
    images: Path,
    begun_with: Mapping[str, Any],
    terminal: Terminal,
    *,
    resume: bool,
    force: bool,
) -> Iterator[Journal]:
    """Lock the folder for results and open its journal while the block runs; yields the journal.

    Earlier results that may be replaced, and temporary files of killed scorings, are removed.

    Args:
        output: the folder; created if it does not exist.
        images: the images to score; ``output`` must not be inside.
        begun_with: the settings on which rows depend, as plain JSON.
        terminal: reports whether a scoring is resumed.
        resume: continue an earlier scoring with the same settings.
        force: replace an earlier scoring.

    Raises:
        PadimError: results would be mixed with the images, with files of others or with other results, or
            another scoring is running in the folder.
    """
    from padim.output.scoring_journal import NAME
    from padim.storage import leftovers

    if output.exists() and not output.is_dir():
        raise PadimError(f"{output}: is a file; give a folder for the results")
    if output.resolve().is_relative_to(images.resolve()):
        raise PadimError(f"{output}: is inside {images}, the images to score; choose a folder outside it")
    output.mkdir(parents=True, exist_ok=True)
    with leftovers.held_folder(output) as acquired:
        if not acquired:
            raise PadimError(
                f"{output}: another scoring is running there; wait for it, or choose another folder"
            )
        # Looked at under the lock: another scoring may just have ended there.
        earlier = [name for name in _NAMES if (output / name).exists()]
        own = _own(output)
        foreign = [name for name in earlier if name not in own]
        if foreign:
            raise PadimError(
                f"{output}: holds {' and '.join(foreign)} not written by an earlier run; choose another "
                "folder, or move its contents away"
            )
        journal = _journal(output, begun_with, earlier, terminal, resume=resume, force=force)
        # Not earlier: temporary files of former versions identify the results beside them as acquired.
        for name in (*_NAMES, NAME):
            leftovers.sweep(leftovers.beside(output, name))
        for name in ("panels", "masks"):
            leftovers.sweep(leftovers.below(output / name))
        yield journal


def _journal(
    output: Path,
    begun_with: Mapping[str, Any],
    earlier: list[str],
    terminal: Terminal,
    *,
    resume: bool,
    force: bool,
) -> Journal:
    from padim.output import scoring_journal
    from padim.output.scoring_journal import Journal
    from padim.storage.atomic import remove_tree
    from padim.text import count

    stopped = scoring_journal.begun_with(output) is not None
    if resume:
        if stopped:
            journal = Journal.resume(output, begun_with)
        elif (rows := _finished(output, begun_with)) is not None:
            journal = Journal.begin(output, begun_with, rows)
        elif not earlier:
            terminal.note(f"there is nothing to resume in {output}; starting with the first image")
            return Journal.begin(output, begun_with)
        elif not force:
            raise PadimError(
                f"{output}: holds results of another model or threshold; choose another folder or "
                "replace them with --force"
            )
        if stopped or rows is not None:
            terminal.print(f"Resuming from {output}: {count(len(journal.rows), 'image')} scored.")
            return journal
    if not force:
        if done := scoring_journal.rows_kept(output):
            raise PadimError(
                f"{output}: holds a scoring that was stopped ({count(done, 'image')} scored); continue it "
                "with --resume, or start again with --force"
            )
        if "results.json" in earlier:
            raise PadimError(
                f"{output}: holds earlier results; choose another folder or replace them with --force"
            )
    # The journal comes first: from now on it marks all of these files as results, even after a kill.
    journal = Journal.begin(output, begun_with)
    for name in earlier:
        place = output / name
        if place.is_dir() and not place.is_symlink():
            remove_tree(place)
        else:
            place.unlink(missing_ok=True)
    return journal


def _own(output: Path) -> set[str]:
    """Return which of the names in ``_NAMES`` were written to the folder by an earlier run."""
    from padim.output import scoring_journal

    if scoring_journal.begun_with(output) is not None:
        return set(_NAMES)
    if output.is_dir() and any(_FORMER_TEMPORARY.fullmatch(path.name) for path in output.iterdir()):
        return set(_NAMES)
    document = _document(output)
    if document is None:
        return set()
    kinds = {"panels": "panel", "masks": "mask"}
    evidence = {name for name, key in kinds.items() if any(key in row for row in document["images"])}
    return {"results.csv", "results.json", *evidence}


def _document(output: Path) -> dict[str, Any] | None:
    """Return the results.json of an earlier run; None if there is none or it has another format."""
    try:
        document = json.loads((output / "results.json").read_bytes())
        if not {"model_id", "threshold", "counts", "interrupted"} <= document.keys():
            return None
        if not all(isinstance(row, dict) for row in document["images"]):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return dict(document)


def _finished(output: Path, begun_with: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of a complete scoring with the same model and settings of the decision; else None."""
    document = _document(output)
    same = ("model_id", "threshold", "min_area", "pixel_size_mm")
    if document is None or any(document.get(name) != begun_with[name] for name in same):
        return None
    return list(document["images"])
