"""What lies where results are to be written: earlier ones, a stopped scoring, somebody else's files."""

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
# What a scoring that was killed has left before there were journals.
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
    """The journal of the scoring in this place, which is held while the block lasts; clears what may go.

    Args:
        output: the place.
        images: must not hold it.
        begun_with: what rows depend on.
        terminal: told what is gone on with.
        resume, force: what is to become of an earlier scoring.

    Raises:
        PadimError: results would be mixed with images, with somebody else's files or with other results, or
            another scoring is at work there.
    """
    from padim.output.scoring_journal import NAME
    from padim.storage import leftovers

    if output.exists() and not output.is_dir():
        raise PadimError(f"{output}: is a file; give a folder for the results")
    if output.resolve().is_relative_to(images.resolve()):
        raise PadimError(f"{output}: lies in {images}, whose images are judged; choose a place outside it")
    earlier = [name for name in _NAMES if (output / name).exists()]
    own = _own(output)
    foreign = [name for name in earlier if name not in own]
    if foreign:
        raise PadimError(
            f"{output}: holds {' and '.join(foreign)} that no earlier run has written; choose another "
            "folder, or move what is there away"
        )
    output.mkdir(parents=True, exist_ok=True)
    with leftovers.held_folder(output) as ours:
        if not ours:
            raise PadimError(
                f"{output}: another scoring is at work there; wait for it, or choose another folder"
            )
        journal = _journal(output, begun_with, earlier, terminal, resume=resume, force=force)
        # Only now: temporaries of an earlier version are what tells its files from somebody else's.
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
            journal = Journal.go_on(output, begun_with)
        elif (rows := _finished(output, begun_with)) is not None:
            journal = Journal.begin(output, begun_with, rows)
        elif not earlier:
            terminal.note(f"there is nothing to go on from in {output}; starting with the first image")
            return Journal.begin(output, begun_with)
        elif not force:
            raise PadimError(
                f"{output}: holds results of another model or threshold; choose another folder or "
                "replace them with --force"
            )
        if stopped or rows is not None:
            terminal.say(f"Going on from {output}: {count(len(journal.rows), 'image')} judged.")
            return journal
    if not force:
        if done := scoring_journal.rows_kept(output):
            raise PadimError(
                f"{output}: holds a scoring that was stopped ({count(done, 'image')} judged); go on with "
                "--resume, or start afresh with --force"
            )
        if "results.json" in earlier:
            raise PadimError(
                f"{output}: holds earlier results; choose another folder or replace them with --force"
            )
    # First of all: from now on, whatever happens, it says that all of these are ours.
    journal = Journal.begin(output, begun_with)
    for name in earlier:
        place = output / name
        if place.is_dir() and not place.is_symlink():
            remove_tree(place)
        else:
            place.unlink(missing_ok=True)
    return journal


def _own(output: Path) -> set[str]:
    """Which of the places in a folder of results some run has made."""
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
    """The results.json of an earlier run; None where there is none, or where no run has made it."""
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
    """The rows of a scoring that came to its end, if it was one by the same model and threshold."""
    document = _document(output)
    if document is None or any(document.get(name) != begun_with[name] for name in ("model_id", "threshold")):
        return None
    return None if document.get("min_area") != begun_with["min_area"] else list(document["images"])
