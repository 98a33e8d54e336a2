"""What lies where a fit is to be saved: a model, a fit that was stopped, or somebody else's files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from padim.cli.terminal import Terminal
from padim.errors import ImageError, PadimError

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.data.sources import Source
    from padim.decision.calibration import Choice


def partial_of(output: Path) -> Path:
    """Where a fit for this place keeps what it has done until it is saved."""
    return output.with_name(f"{output.name}.partial")


def sweep_beside(output: Path) -> None:
    """Remove what killed fits for this place have left that nobody can go on from."""
    from padim.storage import leftovers

    for name in (output.name, partial_of(output).name):
        leftovers.sweep(leftovers.beside(output.parent, name))
    if output.is_dir() and has_model(output):
        leftovers.sweep(leftovers.beside(output, "work"))


def check_output(path: Path, *, force: bool) -> None:
    """Refuse a place where something is that is no model, or one that was not to be replaced.

    Raises:
        PadimError: says which.
    """
    if has_model(path) and not force:
        raise PadimError(f"{path}: there is a model already; choose another place or replace it with --force")


def has_model(path: Path) -> bool:
    """Whether a model is there, also a damaged one; an empty place, or a save that was killed, is none.

    Raises:
        PadimError: something else is there.
    """
    from padim.storage import bundle

    if not path.exists() or bundle.half_made(path):
        return False
    try:
        bundle.Bundle(path)
    except PadimError:
        if not (path.is_dir() and (path / bundle.MANIFEST).exists()):
            raise PadimError(f"{path}: is there already and is no model; choose another place") from None
    return True


@contextmanager
def at_work(output: Path, terminal: Terminal, *, resume: bool, force: bool) -> Iterator[Path]:
    """The folder of a fit for this place, made if need be and held while the block lasts.

    A fit that has nothing to go on from is removed.

    Raises:
        PadimError: somebody else's files are there, another fit is at work, or there is one that was stopped
            and neither ``resume`` nor ``force`` says what is to become of it.
    """
    from padim.storage import leftovers
    from padim.storage.atomic import remove_tree
    from padim.storage.resume import images_done, look
    from padim.text import count

    partial = partial_of(output)
    found = look(partial)
    if found == "foreign":
        raise PadimError(
            f"{partial}: is in the way and holds no fit that was stopped; move it away, or choose "
            "another place for the model"
        )
    if found != "nothing":
        with leftovers.held_folder(partial) as ours:
            if not ours:
                raise _busy(partial)
            done = images_done(partial) or 0
            if found == "stopped" and done and not (resume or force):
                raise PadimError(
                    f"{partial}: holds a fit that was stopped ({count(done, 'image')} done); "
                    "go on with --resume, or start afresh with --force"
                )
            if not resume or found == "begun":
                remove_tree(partial)
                found = "nothing"
            else:
                leftovers.sweep(leftovers.below(partial))
                terminal.say(f"Going on from {partial}: {count(done, 'image')} done.")
    if found == "nothing" and resume:
        terminal.note(f"there is nothing to go on from in {partial}; starting from the first image")
    partial.mkdir(parents=True, exist_ok=True)  # before any work: the place may not be writable
    with leftovers.held_folder(partial) as ours:
        if not ours:
            raise _busy(partial)
        yield partial


def _busy(partial: Path) -> PadimError:
    return PadimError(f"{partial}: another fit is at work there; wait for it, or choose another place")


def may_be_replaced(output: Path, *, resume: bool, force: bool) -> bool:
    """Whether the model in this place may go, if there is one: a fit that goes on may replace what it was
    allowed to before it was stopped, and what it has saved itself.

    Raises:
        PadimError: it may not, or something else is there.
    """
    from padim.storage import bundle
    from padim.storage.resume import Request, keys_done, look

    if not has_model(output) or force:
        return True
    partial = partial_of(output)
    if resume and look(partial) == "stopped":
        saved, request = bundle.Bundle(output), Request.read(partial)
        if request is not None and request.replaces == saved.revision:
            return True
        if [one["sha256"] for one in json.loads(saved.bytes("normals.json"))] == keys_done(partial):
            return True
        raise PadimError(f"{output}: there is another model already; --resume --force replaces it")
    if not resume:
        check_output(output, force=False)
    return False


def is_complete(output: Path, config: PadimConfig, choice: Choice, source: Source) -> bool:
    """Whether the model in this place is what a fit with these settings on these images gives."""
    from padim.data.decode import decode
    from padim.data.loading import content_hash
    from padim.storage import bundle

    saved = bundle.Bundle(output)
    wanted = {"config": config.model_dump(mode="json"), "choice": asdict(choice)}
    if any(saved.manifest.get(name) != value for name, value in wanted.items()):
        return False
    fitted: Sequence[str] = [one["sha256"] for one in json.loads(saved.bytes("normals.json"))]
    at = 0
    for name, data in source:
        if at < len(fitted) and content_hash(data) == fitted[at]:
            at += 1
            continue
        try:
            decode(data, name)
        except ImageError:
            continue  # skipped by the fit, too
        return False
    return at == len(fitted)
