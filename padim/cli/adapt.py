"""The ``adapt`` command: fine-tune the network on good parts, and keep it only if that improves detection."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.fit import GroupsBy, look_over, weights_from
from padim.cli.good_parts import good_parts_at
from padim.cli.options import config_of
from padim.cli.resuming import check_output, revision_at, sweep_beside
from padim.cli.saving import save_model
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, facts
from padim.errors import Cancelled, ImageError
from padim.output import to_json

if TYPE_CHECKING:
    from padim.adaptation.adapt import AdaptationResult, NetworkResult


def adapt(
    terminal: Terminal,
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images of good parts: a folder or a zip.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="MODEL", help="Where to save it: a folder, or a file ending in .zip."
        ),
    ],
    labeled: Annotated[
        Path | None,
        typer.Option(
            "--labelled",
            metavar="DIR",
            help="Labelled good and defective parts on which both networks are compared. Without them, "
            "defects are painted on good parts that were held out.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, metavar="N", help="Maximum number of training epochs; default 10."),
    ] = None,
    folder: options.Folder = None,
    config: options.Config = None,
    groups_by: Annotated[
        GroupsBy,
        typer.Option(
            metavar="HOW",
            help="How images of the same part are grouped; see the fit command.",
        ),
    ] = GroupsBy.likeness,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model.")] = False,
    preset: options.Preset = None,
    method: options.Method = None,
    backbone: options.Backbone = None,
    layers: options.Layers = None,
    input_size: options.InputSize = None,
    resize: options.Fit = None,
    bit_depth: options.BitDepth = None,
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
    min_area: options.MinArea = None,
    smoothing: options.Smoothing = None,
) -> None:
    """Fine-tune the network on good parts, and use it if it detects defects better.

    A copy of the network is fine-tuned on some of the good parts. Then two models are compared on images
    that neither was fitted on: one with the copy, one with the published network and all the parts. The copy
    is kept only if the gain is statistically significant. The model with the network that is kept is saved,
    and the figures of both are reported.

    At least 16 good parts and the package torch are needed. Ctrl-C saves nothing and removes temporary files.
    """
    settings = config_of(
        config,
        preset,
        method=method,
        backbone=backbone,
        layers=layers,
        input_size=input_size,
        fit=resize,
        bit_depth=bit_depth,
        grid_stride=grid_stride,
        feature_norm=feature_norm,
        n_features=n_features,
        seed=seed,
        min_area=min_area,
        smoothing_sigma=smoothing,
        weights="random" if random_weights else None,
    )
    from padim.adaptation import adapt as adapting
    from padim.adaptation.finetune import EPOCHS
    from padim.data.account import FileAccount
    from padim.data.datasets import open_dataset

    check_output(output, force=force)
    replaces = None if force else revision_at(output)
    sweep_beside(output)
    of_labels = None if labeled is not None else ("--labelled", str(images.absolute()))
    source = good_parts_at(terminal, images, folder, of_labels)
    dataset = None if labeled is None else open_dataset(labeled)
    if settings.weights == "random":
        terminal.warn("the network has random weights: for trials only, its verdicts mean nothing")
    failed: list[ImageError] = []
    with weights_from(weights), Stop(terminal) as stop:
        try:
            with terminal.progress() as progress:
                settings, groups, hint = look_over(terminal, settings, source, groups_by, progress, stop)
                model, outcome = adapting.adapt(
                    settings,
                    source,
                    labeled=dataset,
                    groups=groups,
                    epochs=EPOCHS if epochs is None else epochs,
                    progress=progress,
                    cancel=stop,
                    on_error=failed.append,
                )
                progress(0, None, "Saving")
                save_model(model, output, replaces=replaces)
        except (Cancelled, KeyboardInterrupt) as error:
            terminal.error("stopped; nothing was saved")
            raise typer.Exit(stop.exit_code) from error
    # Read once more, because some of the files that look like images may not have been read.
    own = set(names := [name for name, _ in source])
    used = len(names) - sum(error.name in own for error in failed)
    account = FileAccount.of(used, source, failed)
    document = {
        **summary.document(model, output),
        "adapting": _document(outcome),
        "network": {key: model.network.provenance.get(key, "") for key in ("weights", "source", "sha256")},
        "files": account.to_dict(),
        "skipped": to_json.skipped(account.refused),
    }
    renderables = [
        facts(_rows(outcome), "Published network, adapted network"),
        "",
        outcome.words,
        "",
        facts(summary.model_rows(model, output), f"Fitted and saved: {summary.plain(output)}"),
    ]
    terminal.result(document, "", *renderables)
    if hint:
        terminal.note(hint)
    terminal.files(account)


def _rows(outcome: AdaptationResult) -> list[tuple[str, str]]:
    from padim.text import count

    by_painted_defects = outcome.compared_by == "painted_defects"
    what = "painted defects caught" if by_painted_defects else "image AUROC"
    rows = [("fine-tuned on", count(outcome.trained, "image"))]
    rows.append(("compared on", f"{count(outcome.evaluated, 'image')} that neither was fitted on"))
    for name, result in (("published", outcome.published), ("adapted", outcome.adapted)):
        figure = f"{result.value:.1%}" if by_painted_defects else f"{result.value:.3f}"
        rows.append((name, f"{figure} {what}; {_rejects(result)}"))
    if outcome.passed_over:
        rows.append(
            ("skipped", f"{count(outcome.passed_over, 'image')} that are also among the labelled ones")
        )
    return rows


def _rejects(result: NetworkResult) -> str:
    return f"{result.rejected} of {result.good} good images rejected, {result.promised:.1%} promised"


def _document(outcome: AdaptationResult) -> dict[str, Any]:
    found = asdict(outcome)
    for name in ("published", "adapted"):
        if math.isnan(found[name]["value"]):
            found[name]["value"] = None
    return {"kept": found.pop("kept"), "words": outcome.words, **found}
