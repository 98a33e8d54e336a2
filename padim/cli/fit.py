"""The ``fit`` command: fit a model to images of good parts and save it; a stopped fit can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import align_options, check, options, summary
from padim.cli.good_parts import good_parts_at
from padim.cli.options import config_of, decide
from padim.cli.resuming import (
    has_model,
    is_complete,
    locked_partial,
    may_be_replaced,
    revision_at,
    sweep_beside,
)
from padim.cli.saving import save_model
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, facts
from padim.errors import Cancelled, ImageError, PadimError
from padim.output import to_json

if TYPE_CHECKING:
    from padim.analysis.health import Health
    from padim.config import PadimConfig
    from padim.data.account import FileAccount
    from padim.data.grouping import Rule
    from padim.data.loading import Progress
    from padim.data.sources import Source
    from padim.data.survey import Survey
    from padim.model import Padim


class GroupsBy(StrEnum):
    """Rules that decide which images show the same part."""

    likeness = "likeness"
    prefix = "prefix"
    folder = "folder"
    none = "none"


def fit(
    terminal: Terminal,
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images of good parts: a folder or a zip.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="MODEL", help="Where to save it: a folder, or a file ending in .zip."
        ),
    ],
    folder: options.Folder = None,
    config: options.Config = None,
    groups_by: Annotated[
        GroupsBy,
        typer.Option(
            metavar="HOW",
            help="Which images show the same part: with [b]likeness[/] those that look like repeat "
            "shots (only if the parts share a position), with [b]prefix[/] also those whose names begin "
            "alike (part017_1, part017_2), with [b]folder[/] those in one sub-folder, "
            "with [b]none[/] only identical files.",
        ),
    ] = GroupsBy.likeness,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a fit that was stopped.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing model, or a fit that was stopped.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit with 2, and save nothing, if any file is not used: refused, or passed over because it "
            "is not an image. Hidden files and leftovers of operating systems do not count.",
        ),
    ] = False,
    keep_features: Annotated[
        bool,
        typer.Option(
            "--keep-features",
            help="Keep the images' features in MODEL/work, so that images can be excluded or included later.",
        ),
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Skip the health check at the end, which takes seconds.")
    ] = False,
    preset: options.Preset = None,
    method: options.Method = None,
    position_tolerance: options.Tolerance = None,
    coreset: options.Coreset = None,
    neighborhood: options.Neighborhood = None,
    folds: options.Folds = None,
    epochs: options.Epochs = None,
    backbone: options.Backbone = None,
    layers: options.Layers = None,
    input_size: options.InputSize = None,
    resize: options.Fit = None,
    bit_depth: options.BitDepth = None,
    align: align_options.Align = None,
    align_set: align_options.AlignSettings = None,
    grid_stride: options.GridStride = None,
    feature_norm: options.FeatureNorm = None,
    n_features: options.Features = None,
    seed: options.Seed = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="PATH",
            help="The network's weights: a file, or the folder that contains it.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    random_weights: options.Random = False,
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
    smoothing: options.Smoothing = None,
    pixel_size: options.PixelSize = None,
) -> None:
    """Fit a model to images of good parts, and save it.

    The threshold is the 95th percentile of the scores of the good parts, each judged without itself, unless
    another is given; the expected false rejects are reported at the end. Files that cannot
    be used are named and skipped.

    If the fit is stopped for any reason, completed work is kept in [b]MODEL.partial[/]; [b]--resume[/]
    continues from there and gives a bit-identical model.
    """
    settings = config_of(
        config,
        preset,
        method=method,
        position_tolerance=None if position_tolerance is None else int(position_tolerance),
        coreset_percent=coreset,
        neighborhood=neighborhood,
        folds=folds,
        max_epochs=epochs,
        backbone=backbone,
        layers=layers,
        input_size=input_size,
        fit=resize,
        bit_depth=bit_depth,
        align=align_options.align_settings(align, align_set),
        grid_stride=grid_stride,
        feature_norm=feature_norm,
        n_features=n_features,
        seed=seed,
        min_area=min_area,
        smoothing_sigma=smoothing,
        pixel_size_mm=pixel_size or None,  # 0 is "not known"
        weights="random" if random_weights else None,
    )
    from padim.methods.requirements import check_can_fit

    source = good_parts_at(terminal, images, folder)
    if keep_features and output.suffix.lower() == ".zip":
        raise PadimError("--keep-features needs a folder: a .zip cannot hold the features")
    replace = may_be_replaced(output, resume=resume, force=force)
    revision_at_start = revision_at(output)
    sweep_beside(output)
    if not replace:
        _report_complete(
            terminal, settings, source, output, percentile=percentile, value=threshold, strict=strict
        )
        return
    check_can_fit(settings)
    with (
        weights_from(weights),
        locked_partial(output, terminal, resume=resume, force=force) as partial,
        Stop(terminal) as stop,
    ):
        terminal.print(facts(summary.cost_rows(settings, len(source)), "Estimated cost"))
        if settings.weights == "random":
            terminal.warn("the network has random weights: for trials only, its verdicts mean nothing")
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
            percentile=percentile,
            value=threshold,
            health_check=not no_check,
            opened=None if force else revision_at_start,
        )


def _report_complete(
    terminal: Terminal,
    config: PadimConfig,
    source: Source,
    output: Path,
    *,
    percentile: float | None,
    value: float | None,
    strict: bool,
) -> None:
    """Report the result of a fit that was already complete when ``--resume`` was given.

    Raises:
        PadimError: the model at ``output`` was fitted on other images or with other settings; or files were
            not used, and ``strict`` is given.
    """
    from padim.data.account import FileAccount
    from padim.model import Padim
    from padim.text import count

    requested = Padim(config)
    decide(requested, percentile=percentile, value=value)
    # Where it is not said how images are resized, their shapes decided it.
    padded = [] if "fit" in config.model_fields_set else [requested.set_params(fit="pad").config]
    choice = requested.decision.choice
    for one in (config, *padded):
        failed: list[ImageError] = []
        if is_complete(output, one, choice, source, failed):
            break
    else:
        raise PadimError(
            f"{output}: there is a model of other images or settings already, and no stopped fit to resume; "
            "choose another place or replace it with --force"
        )
    model = Padim.load(output)
    terminal.note(f"the fit is already complete, there is nothing to resume: {output} is its model")
    account = FileAccount.of(len(model.normals_), source, failed)
    if strict and account.unused:
        terminal.files(account)
        raise PadimError(
            f"{output}: {count(account.unused, 'file')} not used by this fit, and --strict was given; "
            "the model is left as it is"
        )
    rows = [*summary.model_rows(model, output), ("files", account.text())]
    terminal.result(_document(model, output, account), "", facts(rows, f"Fitted and saved: {output}"))
    terminal.files(account)


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
    percentile: float | None,
    value: float | None,
    health_check: bool,
    opened: str | None,
) -> None:
    """Fit and save; ``opened`` is the revision that may be replaced, None for any."""
    from padim.data.account import FileAccount
    from padim.model import Padim
    from padim.network import registry
    from padim.network import weights as weights_files
    from padim.storage import bundle
    from padim.storage.atomic import remove_tree
    from padim.storage.resume import Request, images_done, look
    from padim.text import count

    failed: list[ImageError] = []
    resumed = look(partial) == "stopped"
    if Request.read(partial) is None:
        replaces = bundle.Bundle(output).revision if has_model(output) else None
        request = Request.now(
            len(source), command=terminal.resume_arguments(), replaces=replaces, label=str(output.absolute())
        )
        request.write(partial)
    try:
        # The features stay in place until the model is saved, so that a full disk loses no work.
        model = Padim(config, work_dir=partial)
        decide(model, percentile=percentile, value=value)
        with terminal.progress() as progress:
            progress(0, None, "Preparing the network")
            if config.weights == "pretrained":
                for part in registry.get(config.backbone).parts:
                    weights_files.origin(part, _download(progress, stop))
            _ = model.network.extractor  # loads the weights: their errors are raised before images are read
            shaped, groups, hint = look_over(terminal, config, source, groups_by, progress, stop)
            found = {name: getattr(shaped, name) for name in ("bit_depth", "fit", "input_size")}
            if changed := {name: one for name, one in found.items() if one != getattr(config, name)}:
                model.set_params(**changed)
            model.fit(
                source,
                groups=groups,
                progress=progress,
                cancel=stop,
                on_error=failed.append,
                unfinished=partial,
            )
            account = FileAccount.of(len(model.normals_), source, failed)
            if strict and account.unused:
                if not resumed:
                    remove_tree(partial)
                terminal.files(account)
                raise PadimError(
                    f"{count(account.unused, 'file')} not used, and --strict was given: nothing is saved"
                )
            progress(0, None, "Saving")
            _check_value(model, value, terminal)
            save_model(model, output, replaces=opened)
            # Before the features are removed, from which some methods are fitted again without a few parts.
            health = _health(model, source, progress, stop) if health_check else None
        if keep_features:
            _keep_features(partial, output / "work")
        else:
            remove_tree(partial)
    except (Cancelled, KeyboardInterrupt) as error:
        done = images_done(partial) or 0
        if done:
            terminal.error(
                f"stopped; {done} of {len(source)} images are done and kept in {partial}: "
                "run the same command with --resume to continue"
            )
        else:
            if not resumed:
                remove_tree(partial)
            terminal.error("stopped before the first image was done; nothing was kept")
        raise typer.Exit(stop.exit_code) from error
    except BaseException:
        done = images_done(partial) or 0
        if done and not resumed:
            terminal.note(f"{done} of {len(source)} images are done and kept in {partial}; use --resume")
        elif not resumed and not done:
            _remove_quietly(partial)
        raise
    rows = [*summary.model_rows(model, output), ("files", account.text())]
    if health is not None:
        rows += check.short_rows(health)
    document = {
        **_document(model, output, account),
        "health": None if health is None else check.document_of(health),
    }
    terminal.result(document, "", facts(rows, f"Fitted and saved: {output}"))
    if hint:
        terminal.note(hint)
    terminal.files(account)


def _health(model: Padim, source: Source, progress: Progress, stop: Stop) -> Health | None:
    """Check the fitted model; None if the network is random, or the check is stopped: the model is saved."""
    if summary.is_random(model):
        return None
    try:
        return check.checked(model, source, progress, stop)
    except Cancelled:
        return None


def _document(model: Padim, output: Path, account: FileAccount) -> dict[str, Any]:
    return {
        **summary.document(model, output),
        "files": account.to_dict(),
        "skipped": to_json.skipped(account.refused),
    }


def _remove_quietly(partial: Path) -> None:
    """Remove the folder of an unfinished fit; errors are ignored, so that they hide no earlier error."""
    from padim.storage.atomic import remove_tree

    with suppress(OSError):
        remove_tree(partial)


def _keep_features(partial: Path, work: Path) -> None:
    """Move the features' folder into the model by one rename, so that a kill cannot leave half of it."""
    from padim.storage.atomic import remove_tree, sync_folder
    from padim.storage.resume import forget

    remove_tree(work)
    partial.rename(work)
    sync_folder(work.parent)
    forget(work)


def _download(progress: Any, cancel: Stop) -> Callable[[int, int], None]:
    def report_progress(received: int, total: int) -> None:
        if cancel():
            raise Cancelled("stopped while the network's weights were downloaded")
        progress(received, total or None, "Downloading the network's weights")

    return report_progress


def _check_value(model: Padim, value: float | None, terminal: Terminal) -> None:
    """Set a manual threshold, which can be checked only once the fitted model has its scale.

    A value out of range gives a warning and the default percentile, rather than losing the fit.
    """
    from padim.decision.calibration import Choice

    try:
        decide(model, value=value)
    except PadimError as error:
        model.decision = replace(model.decision, choice=Choice())
        terminal.warn(f"{error}; the 95 % percentile is used instead; change it with the calibrate command")


@contextmanager
def weights_from(path: Path | None) -> Iterator[None]:
    """Use the network's weights from this file or folder while the block runs; None changes nothing."""
    from padim.network import weights

    if path is not None:
        weights.use(path)
    try:
        yield
    finally:
        weights.use(None)


def look_over(
    terminal: Terminal, config: PadimConfig, source: Source, by: GroupsBy, progress: Any, cancel: Stop
) -> tuple[PadimConfig, dict[str, str] | Any, str | None]:
    """Look over the images before a fit: how they are read and resized, and which show the same part.

    Where neither the options nor a file say how images are resized, those of mixed shapes are padded, with a
    warning.

    Args:
        terminal: for the warning.
        config: the settings as asked for.
        source: the images.
        by: the rule for the grouping.
        progress, cancel: callbacks of the survey.

    Returns:
        The settings to fit with, with the images' bit depth, None if no image is deeper than 8 bits; and the
        grouping and the hint of :func:`groups_of`.

    Raises:
        PadimError: grouping by name prefix, where no names have one; or the bit depth is open.
    """
    from padim.data.bit_depth import BitDepthQuestion
    from padim.data.depth_survey import bit_depth_of
    from padim.data.input_shape import is_open
    from padim.data.shapes import for_shapes, shape_note
    from padim.data.survey import sizes, survey
    from padim.text import size

    surveyed, bit_depth = None, config.bit_depth
    if by in (GroupsBy.likeness, GroupsBy.prefix):
        surveyed = survey(source, bit_depth=bit_depth, progress=progress, cancel=cancel)
        found = surveyed.bit_depth if bit_depth is None else bit_depth
        if isinstance(found, BitDepthQuestion):
            raise found.error()
        bit_depth = found
    elif bit_depth is None:
        bit_depth = bit_depth_of(source, progress=progress, cancel=cancel)
    groups, hint = groups_of(surveyed, by)
    if bit_depth != config.bit_depth:
        config = config.model_copy(update={"bit_depth": bit_depth})
    if "fit" in config.model_fields_set and not is_open(config):
        return config, groups, hint
    seen = sizes(source, progress=progress, cancel=cancel) if surveyed is None else surveyed.sizes
    shaped = for_shapes(config, seen)
    if shaped.fit != config.fit:
        terminal.warn(
            f"{shape_note(seen)}: they are padded to {size(shaped.input_shape)}, which keeps their "
            "proportions; "
            "--resize pad or --resize stretch decides it without this warning"
        )
    return shaped, groups, hint


def groups_of(surveyed: Survey | None, by: GroupsBy) -> tuple[dict[str, str] | Any, str | None]:
    """Return the grouping of images into parts, and a hint at repeat shots that the rule does not group.

    Args:
        surveyed: the survey of the images; None where the rule needs none.
        by: the rule.

    Returns:
        A mapping or function from an image's name to its part, or None where every image is its own part; and
        a sentence for the user, or None.

    Raises:
        PadimError: grouping by name prefix, where no names have one.
    """
    if by is GroupsBy.folder:
        return _folder_of, None
    if surveyed is None:
        return None, None
    rules: set[Rule] = {"identical", "near_identical"}
    if by is GroupsBy.prefix:
        rules.add("name_prefix")
        if not any(proposal.rule == "name_prefix" for proposal in surveyed.proposals):
            raise PadimError(
                "no file name consists of a part and a shot (part017_1); leave out --groups-by prefix"
            )
    hints = []
    for proposal in surveyed.proposals:
        if proposal.tentative and by is GroupsBy.likeness:
            hints.append(
                f"{proposal.reason} They count as different parts; shots that share a folder or the first "
                "half of their name are grouped by --groups-by folder or prefix."
            )
        if proposal.rule not in rules:
            option = {"name_prefix": "prefix", "sub_folder": "folder"}[proposal.rule]
            hints.append(f"{proposal.reason} --groups-by {option} groups them.")
            break
    hint = " ".join(hints) or None
    # Images that are the only one of their part need no entry.
    return surveyed.shots(*rules), hint


def _folder_of(name: str) -> str | None:
    """Return an image's sub-folder as its part; None for images in no sub-folder, each a part by itself."""
    return name.rpartition("/")[0] or None
