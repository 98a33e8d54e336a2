"""``fit``: from pictures of good parts to a saved model, with a stop on the way if need be."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim import documents
from padim.cli import options, summary
from padim.cli.options import config_of, decide
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, facts
from padim.errors import Cancelled, ImageError, PadimError

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.model import Padim
    from padim.sources import Source


class GroupsBy(StrEnum):
    """How repeat shots of one part are told."""

    likeness = "likeness"
    prefix = "prefix"
    folder = "folder"
    none = "none"


def fit(
    terminal: Terminal,
    pictures: Annotated[
        Path, typer.Argument(metavar="DIR", help="Pictures of good parts: a folder or a zip.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="MODEL", help="Where to save it: a folder, or a file ending in .zip."
        ),
    ],
    config: options.Config = None,
    groups_by: Annotated[
        GroupsBy,
        typer.Option(
            metavar="HOW",
            help="Which pictures show the same part: by [b]likeness[/] those that look like repeat "
            "shots, by [b]prefix[/] also those whose names begin alike (part017_1, part017_2), by "
            "[b]folder[/] those in one sub-folder, by [b]none[/] only identical files.",
        ),
    ] = GroupsBy.likeness,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was stopped.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model that is there, or a fit that was stopped.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 2, and save nothing, if any file cannot be used.")
    ] = False,
    keep_features: Annotated[
        bool,
        typer.Option(
            "--keep-features",
            help="Keep the pictures' features in MODEL/work, to take pictures out or put them back exactly.",
        ),
    ] = False,
    method: options.Method = None,
    position_tolerance: options.Tolerance = None,
    coreset: options.Coreset = None,
    folds: options.Folds = None,
    epochs: options.Epochs = None,
    backbone: options.Backbone = None,
    layers: options.Layers = None,
    input_size: options.InputSize = None,
    resize: options.Fit = None,
    grid_stride: options.GridStride = None,
    n_features: options.Features = None,
    seed: options.Seed = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="PATH",
            help="The network's weights: a file, or a folder that holds it.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    random_weights: options.Random = False,
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
    smoothing: options.Smoothing = None,
) -> None:
    """Learn from pictures of good parts, and save a model.

    The threshold is the 95th percentile of the parts' held-out scores unless you say otherwise; what that
    means in false rejects is said at the end. Files that cannot be used are named and skipped.

    Ctrl-C keeps what is done in [b]MODEL.partial[/]; [b]--resume[/] goes on from there, and the model is the
    same to the bit.
    """
    settings = config_of(
        config,
        method=method,
        position_tolerance=None if position_tolerance is None else int(position_tolerance),
        coreset_percent=coreset,
        folds=folds,
        max_epochs=epochs,
        backbone=backbone,
        layers=layers,
        input_size=input_size,
        fit=resize,
        grid_stride=grid_stride,
        n_features=n_features,
        seed=seed,
        min_area=min_area,
        smoothing_sigma=smoothing,
        weights="random" if random_weights else None,
    )
    from padim.sources import open_source

    if (pictures / "train" / "good").is_dir():
        raise PadimError(
            f"{pictures}: holds more than good parts; give its folder {pictures / 'train' / 'good'}"
        )
    source = open_source(pictures)
    if not len(source):
        raise PadimError(f"{pictures}: holds no pictures; give a folder or a zip with pictures of good parts")
    if keep_features and output.suffix.lower() == ".zip":
        raise PadimError("--keep-features needs a folder: a .zip cannot hold the features")
    check_output(output, force=force)
    partial = output.with_name(f"{output.name}.partial")
    _check_partial(partial, terminal, resume=resume, force=force)
    terminal.say(facts(summary.of_cost(settings, len(source)), "Before it starts"))
    if settings.weights == "random":
        terminal.warn("the network has random weights: fine for a trial, useless for judging parts")

    with weights_from(weights), Stop(terminal) as stop:
        _fit(
            terminal,
            stop,
            settings,
            source,
            output,
            partial,
            groups_by=groups_by,
            strict=strict,
            keep_features=keep_features,
            resumed=resume,
            percentile=percentile,
            value=threshold,
        )


def _fit(
    terminal: Terminal,
    stop: Stop,
    config: PadimConfig,
    source: Source,
    output: Path,
    partial: Path,
    *,
    groups_by: GroupsBy,
    strict: bool,
    keep_features: bool,
    resumed: bool,
    percentile: float | None,
    value: float | None,
) -> None:
    from padim import registry
    from padim import weights as weights_files
    from padim.model import Padim
    from padim.unfinished import pictures_done

    failed: list[ImageError] = []
    own = not _has_something(partial)
    partial.mkdir(parents=True, exist_ok=True)  # before any work: the place may not be writable
    try:
        # The features stay where they are until the model is saved: a full disk costs nothing but space.
        model = Padim(config, work_dir=partial)
        decide(model, percentile=percentile, value=value)
        with terminal.progress() as progress:
            progress(0, None, "Preparing the network")
            if config.weights == "pretrained":
                for part in registry.get(config.backbone).parts:
                    weights_files.locate(part, _download(progress, stop))
            _ = model.extractor  # whatever is wrong with the weights is said before the pictures are read
            groups, hint = groups_of(source, groups_by, progress, stop)
            model.fit(
                source,
                groups=groups,
                progress=progress,
                cancel=stop,
                on_error=failed.append,
                unfinished=partial,
            )
            skipped = [*source.skipped, *failed]
            if strict and skipped:
                if own:
                    shutil.rmtree(partial, ignore_errors=True)
                terminal.skipped(skipped)
                raise PadimError(f"{len(skipped)} files could not be used and --strict is given: not saved")
            progress(0, None, "Saving")
            _check_value(model, value, terminal)
            model.save(output)
        if keep_features:
            _keep_features(partial, output / "work")
        shutil.rmtree(partial, ignore_errors=True)
    except (Cancelled, KeyboardInterrupt) as error:
        done = pictures_done(partial) or 0
        if done:
            terminal.error(
                f"stopped; {done} of {len(source)} pictures are done and kept in {partial}: "
                "run the same command with --resume to go on"
            )
        else:
            if own:
                shutil.rmtree(partial, ignore_errors=True)
            terminal.error("stopped before any picture was done; nothing was kept")
        raise typer.Exit(stop.exit_code) from error
    except BaseException:
        done = pictures_done(partial) or 0
        if done and not resumed:
            terminal.note(f"{done} of {len(source)} pictures are done and kept in {partial} for --resume")
        elif own and not done:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    document = {**summary.document(model, output), "skipped": documents.skipped(skipped)}
    terminal.result(document, "", facts(summary.of_model(model, output), f"Fitted and saved: {output}"))
    if hint:
        terminal.note(hint)
    terminal.skipped(skipped)


def _keep_features(partial: Path, work: Path) -> None:
    from padim.taken import WORK

    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in WORK:
        if (partial / name).exists():
            (partial / name).replace(work / name)


def _download(progress: Any, cancel: Stop) -> Callable[[int, int], None]:
    def tell(had: int, total: int) -> None:
        if cancel():
            raise Cancelled("stopped while the network's weights were downloaded")
        progress(had, total or None, "Downloading the network's weights")

    return tell


def _check_value(model: Padim, value: float | None, terminal: Terminal) -> None:
    """A threshold by hand can be checked only now that the model has its scale; the fit is not to be lost."""
    from padim.calibration import Choice

    try:
        decide(model, value=value)
    except PadimError as error:
        model.choice = Choice()
        terminal.warn(f"{error}; the 95 % percentile is used instead, see the calibrate command")


def check_output(path: Path, *, force: bool) -> None:
    """Refuse a place where something is that is no model, or one that was not to be replaced.

    Raises:
        PadimError: says which.
    """
    from padim import bundle

    if not path.exists():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    try:
        bundle.Bundle(path)
    except PadimError:
        if not (path.is_dir() and (path / bundle.MANIFEST).exists()):
            raise PadimError(f"{path}: is there already and is no model; choose another place") from None
    if not force:
        raise PadimError(f"{path}: there is a model already; choose another place or replace it with --force")


def _check_partial(partial: Path, terminal: Terminal, *, resume: bool, force: bool) -> None:
    from padim.unfinished import pictures_done
    from padim.words import count

    done = pictures_done(partial)
    if done is None:
        if _has_something(partial):
            raise PadimError(
                f"{partial}: is in the way and holds no fit that was stopped; move it away, or choose "
                "another place for the model"
            )
        if resume:
            terminal.note(f"there is nothing to go on from in {partial}; starting from the first picture")
    elif resume:
        terminal.say(f"Going on from {partial}: {count(done, 'picture')} done.")
    elif force:
        shutil.rmtree(partial, ignore_errors=True)
    else:
        raise PadimError(
            f"{partial}: holds a fit that was stopped ({count(done, 'picture')} done); "
            "go on with --resume, or start afresh with --force"
        )


def _has_something(place: Path) -> bool:
    """Whether anything would be lost with it; an empty folder is nothing."""
    return any(place.iterdir()) if place.is_dir() else place.exists()


@contextmanager
def weights_from(path: Path | None) -> Iterator[None]:
    """Take the network's weights from this file or folder."""
    from padim import weights

    if path is not None:
        weights.use(path)
    try:
        yield
    finally:
        weights.use(None)


def groups_of(
    source: Source, by: GroupsBy, progress: Any, cancel: Stop
) -> tuple[dict[str, str] | Any, str | None]:
    """Each picture's part by its name, and a hint at repeat shots that the rule chosen does not join."""
    if by is GroupsBy.none:
        return None, None
    if by is GroupsBy.folder:
        return _folder_of, None
    from padim.groups import fingerprint, propose_groups, resolve
    from padim.images import decode
    from padim.pipeline import content_hash

    names, hashes, prints = [], [], []
    for done, (name, data) in enumerate(source):
        if cancel():
            raise Cancelled("stopped while looking for repeat shots")
        progress(done, len(source), "Looking for repeat shots")
        try:
            prints.append(fingerprint(decode(data, name, cancel=cancel)))
        except ImageError:
            continue  # named when the fit comes to it
        names.append(name)
        hashes.append(content_hash(data))
    proposals = propose_groups(names, hashes, prints)
    rules = {"identical", "near_identical"} | ({"name_prefix"} if by is GroupsBy.prefix else set())
    accepted = [group for proposal in proposals if proposal.rule in rules for group in proposal.groups]
    if by is GroupsBy.prefix and not any(proposal.rule == "name_prefix" for proposal in proposals):
        raise PadimError("no file names read as a part and a shot (part017_1); leave --groups-by prefix out")
    left = [proposal for proposal in proposals if proposal.rule not in rules]
    hint = None
    if left:
        option = {"name_prefix": "prefix", "sub_folder": "folder"}[left[0].rule]
        hint = f"{left[0].reason} --groups-by {option} says so."
    parts = resolve(len(names), accepted)
    shots = Counter(parts)
    # Pictures that are parts of their own need no name for them.
    return {
        name: names[parts.index(part)] for name, part in zip(names, parts, strict=True) if shots[part] > 1
    }, hint


def _folder_of(name: str) -> str | None:
    """The sub-folder a picture lies in is its part; pictures in none are parts of their own."""
    return name.rpartition("/")[0] or None
