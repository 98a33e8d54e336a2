"""Check the place where a fit is to be saved: for a model, a stopped fit to resume, or files of others."""

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
    """Return the folder in which an unfinished fit for ``output`` keeps its work."""
    return output.with_name(f"{output.name}.partial")


def sweep_beside(output: Path) -> None:
    """Remove temporary files of killed fits for ``output``; fits that can be resumed are kept."""
    from padim.storage import leftovers

    for name in (output.name, partial_of(output).name):
        leftovers.sweep(leftovers.beside(output.parent, name))
    if output.is_dir() and has_model(output):
        leftovers.sweep(leftovers.beside(output, "work"))


def check_output(path: Path, *, force: bool) -> None:
    """Raise an error unless a model may be saved at ``path``.

    Raises:
        PadimError: there is something else than a model, or a model and ``force`` is not given.
    """
    if has_model(path) and not force:
        raise PadimError(f"{path}: there is a model already; choose another place or replace it with --force")


def has_model(path: Path) -> bool:
    """Whether there is a model at ``path``, even a damaged one; an interrupted save does not count.

    Raises:
        PadimError: there is something else than a model.
    """
    from padim.storage import bundle

    if not path.exists() or bundle.half_made(path):
        return False
    try:
        bundle.Bundle(path)
    except PadimError:
        if not (path.is_dir() and (path / bundle.MANIFEST).exists()):
            raise PadimError(f"{path}: already exists and is no model; choose another place") from None
    return True


def revision_at(output: Path) -> str:
    """Return the revision of the model at a place, to be replaced by a fit; empty if there is none.

    It is read before the fit, so that a model that somebody else saves there meanwhile is not replaced.
    """
    from padim.storage import bundle
    from padim.storage.revisions import revision_of

    return revision_of(bundle.manifest_at(output) or {})


@contextmanager
def locked_partial(output: Path, terminal: Terminal, *, resume: bool, force: bool) -> Iterator[Path]:
    """Create and lock the folder of an unfinished fit for ``output`` while the block runs; yields the folder.

    A fit that has no completed work to resume is removed.

    Raises:
        PadimError: the folder contains files of others, another fit is running in it, or it contains a
            stopped fit and neither ``resume`` nor ``force`` is given.
    """
    from padim.storage import leftovers
    from padim.storage.atomic import remove_tree
    from padim.storage.resume import images_done, look
    from padim.text import count

    partial = partial_of(output)
    found = look(partial)
    if found == "foreign":
        raise PadimError(
            f"{partial}: is in the way and holds no stopped fit; move it away, or choose another place for "
            "the model"
        )
    if found != "nothing":
        with leftovers.held_folder(partial) as acquired:
            if not acquired:
                raise _busy(partial)
            done = images_done(partial) or 0
            if found == "stopped" and done and not (resume or force):
                raise PadimError(
                    f"{partial}: holds a fit that was stopped ({count(done, 'image')} done); "
                    "continue it with --resume, or start again with --force"
                )
            if not resume or found == "begun":
                remove_tree(partial)
                found = "nothing"
            else:
                leftovers.sweep(leftovers.below(partial))
                terminal.print(f"Resuming from {partial}: {count(done, 'image')} done.")
    if found == "nothing" and resume:
        terminal.note(f"there is nothing to resume in {partial}; starting from the first image")
    partial.mkdir(parents=True, exist_ok=True)  # before any work, as the place may not be writable
    with leftovers.held_folder(partial) as acquired:
        if not acquired:
            raise _busy(partial)
        yield partial


def _busy(partial: Path) -> PadimError:
    return PadimError(f"{partial}: another fit is running there; wait for it, or choose another place")


def may_be_replaced(output: Path, *, resume: bool, force: bool) -> bool:
    """Whether a model may be saved at ``output``; False if ``resume`` is given and there is nothing to do.

    A resumed fit may replace the model that it was allowed to replace when it was started, and the model that
    it saved itself.

    Raises:
        PadimError: there is a model that may not be replaced, or something else than a model.
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


def is_complete(
    output: Path, config: PadimConfig, choice: Choice, source: Source, failed: list[ImageError]
) -> bool:
    """Whether the model at ``output`` is the result of a fit with these settings on these images.

    Args:
        output: the place of the model.
        config, choice: the settings.
        source: the images.
        failed: receives the errors of images that cannot be decoded, which the fit has skipped.
    """
    from padim.data.decode import decode
    from padim.data.input_shape import is_open
    from padim.data.loading import content_hash
    from padim.storage import bundle

    saved = bundle.Bundle(output)
    settings = dict(saved.manifest.get("config", {}))
    # The first fit decides the bit depth if the settings leave it to the files.
    depth = settings.get("bit_depth") if config.bit_depth is None else config.bit_depth
    wanted_config = {**config.model_dump(mode="json"), "bit_depth": depth}
    if is_open(config):  # decided by the images, which are compared below
        wanted_config["input_size"] = settings.get("input_size")
    wanted = {"config": wanted_config, "choice": asdict(choice)}
    if any(saved.manifest.get(name) != value for name, value in wanted.items()):
        return False
    fitted: Sequence[str] = [one["sha256"] for one in json.loads(saved.bytes("normals.json"))]
    at = 0
    for name, data in source:
        if at < len(fitted) and content_hash(data) == fitted[at]:
            at += 1
            continue
        try:
            decode(data, name, bit_depth=depth)
        except ImageError as error:
            failed.append(error)  # the fit skips it, too
            continue
        return False
    return at == len(fitted)
