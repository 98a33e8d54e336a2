"""The ``info`` command: describe a saved model, or estimate the cost of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.options import config_of
from padim.cli.terminal import Terminal, facts
from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.model import Padim


def info(
    terminal: Terminal,
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="A saved model; without it, estimate a configuration's cost."),
    ] = None,
    config: options.Config = None,
    images: Annotated[
        int | None,
        typer.Option("--images", min=1, metavar="N", help="Number of good images for the estimate."),
    ] = None,
    preset: options.Preset = None,
    backbone: options.Backbone = None,
    layers: options.Layers = None,
    input_size: options.InputSize = None,
    resize: options.Fit = None,
    grid_stride: options.GridStride = None,
    feature_norm: options.FeatureNorm = None,
    n_features: options.Features = None,
    random_weights: options.Random = False,
) -> None:
    """Describe a saved model, or estimate what a configuration will cost."""
    given = {
        "backbone": backbone,
        "layers": layers,
        "input_size": input_size,
        "fit": resize,
        "grid_stride": grid_stride,
        "feature_norm": feature_norm,
        "n_features": n_features,
        "weights": "random" if random_weights else None,
    }
    if path is None:
        _config(terminal, config_of(config, preset, **given), images)
    elif any(value is not None for value in (config, preset, images, *given.values())):
        raise PadimError("give either a saved model or the settings of a new one, not both")
    else:
        _model(terminal, path)


def _config(terminal: Terminal, config: Any, images: int | None) -> None:
    from padim import presets

    preset = presets.matching(config.model_dump())
    document = {
        "preset": preset,
        "config": config.model_dump(mode="json"),
        "cost": summary.cost_document(config, images),
    }
    if images is not None:
        document["cost"]["features"] = document["cost"]["features_per_image"] * images
    rows = summary.cost_rows(config, images)
    if preset is not None:
        rows.insert(0, ("preset", presets.described(preset, config.backbone)))
    terminal.result(document, facts(rows, "Estimated cost"))
    if config.weights == "random":
        terminal.warn("the network has random weights: for trials only, its verdicts mean nothing")


def _model(terminal: Terminal, path: Path) -> None:
    from padim.model import Padim
    from padim.storage import bundle
    from padim.text import count, megabytes

    saved = bundle.Bundle(path)
    model = Padim.load(path, work_dir=path / "work" if (path / "work").is_dir() else None)
    manifest = saved.manifest
    sizes = {
        "bundle": sum(int(entry["bytes"]) for entry in manifest["files"].values()),
        "features": model.working_set.nbytes,
        "checkpoints": model.working_set.checkpoint_bytes,
    }
    backbone = manifest.get("backbone") or {}
    running = _running(model)
    threads = count(running["threads"], "thread") if running["threads"] else "all cores"
    kept = ", ".join(
        f"{megabytes(sizes[name])} {words}"
        for name, words in (("features", "the good parts' features"), ("checkpoints", "checkpoint"))
        if sizes[name]
    )
    rows = [
        *summary.model_rows(model, path),
        (
            "smallest region",
            f"{model.config.min_area} map pixels, after smoothing by {model.config.smoothing_sigma:g}",
        ),
        *summary.pixel_size_rows(model),
        ("fitted", summary.plain(str(manifest.get("fitted", "–")).replace("T", " "))),
        ("saved", summary.plain(str(manifest.get("created", "–")).replace("T", " "))),
        ("size", f"{megabytes(sizes['bundle'])}" + (f"; in addition: {kept}" if kept else "")),
        ("runs on", f"{running['provider']}, {threads}"),
        ("self-test", summary.plain(_self_test(model))),
        ("id", saved.revision[:16]),
    ]
    if backbone:
        digest = str(backbone.get("sha256", ""))[:16]
        source = f"{backbone.get('source', '–')}" + (f" ({digest})" if digest else "")
        rows.insert(1, ("weights from", summary.plain(source)))
    document = {
        **summary.document(model, path),
        "id": saved.revision,
        "created": manifest.get("created"),
        "fitted": manifest.get("fitted"),
        "backbone": backbone or None,
        "bytes": sizes,
        "guard": manifest.get("guard"),
        **running,
        "self_test": _self_test_document(model),
    }
    terminal.result(document, facts(rows, summary.plain(path)))
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; its verdicts mean nothing")
    if model.self_test_.state == "refused":
        terminal.warn(f"{path}: the self-test failed; the model will score nothing on this machine")


def _self_test(model: Padim) -> str:
    """Run the self-test of an opened model, and return what it has found in a sentence."""
    from contextlib import suppress

    from padim.errors import PadimError

    # A failed self-test is what is to be shown; a network that cannot be run is said by its own error.
    with suppress(PadimError):
        model.state.run_check()
    found = model.self_test_
    failed = "failed: " if found.state == "refused" else ""
    return failed + found.sentence.removeprefix("no self-test: ")


def _self_test_document(model: Padim) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(model.self_test_)


def _running(model: Padim) -> dict[str, Any]:
    """Return the execution provider and the number of threads of the network; None is all cores."""
    from padim.network.runtime import provider_in_use, threads

    number = threads()
    provider = provider_in_use(model.network.extractor.session)
    return {"provider": provider, "threads": number or None}
