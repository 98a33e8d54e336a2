"""Short descriptions of models and configurations, as table rows for people and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from padim.output import to_json
from padim.text import count, megabytes, size

if TYPE_CHECKING:
    from padim.analysis.resolution import Resolution
    from padim.config import PadimConfig
    from padim.model import Padim
    from padim.records.backup_file import BackupIndex

Facts = list[tuple[str, str]]


def network_rows(config: PadimConfig) -> Facts:
    """Return rows on the network, its layers, and the size and channels of its features."""
    from padim.analysis.cost import estimate

    cost = estimate(config)
    # Where nothing says how, the shapes of the good parts decide it.
    stretched = "stretched" if "fit" in config.model_fields_set else "resized"
    how, shape = stretched if config.fit == "stretch" else "padded", config.input_shape
    if config.align is not None:
        how = "cut out at the part's place and resized"
    kept = "all" if cost.features == cost.channels else f"{cost.features}"
    inactive = f" (inactive: {', '.join(config.inactive_layers)})" if config.inactive_layers else ""
    return [
        ("network", f"{config.backbone}: {', '.join(config.active_layers)}{inactive}"),
        (
            "images",
            f"{how} to {size(shape)}; {size(config.grid_shape)} positions, {kept} of {cost.channels} "
            f"channels{', normalized a layer' if config.feature_norm == 'l2' else ''}",
        ),
        *([("bit depth", _range(config.bit_depth))] if config.bit_depth is not None else []),
    ]


def _range(bit_depth: int) -> str:
    return f"{bit_depth} bits: values up to {(1 << bit_depth) - 1:,} in images deeper than 8 bits"


def method_rows(config: PadimConfig) -> Facts:
    """Return a row on the method and its settings."""
    from padim.methods import catalogue

    titles = " + ".join(catalogue.get(name).title for name in config.methods_used)
    details = []
    if "padim" in config.methods_used and config.position_tolerance:
        details.append("tolerates a displacement of one grid position")
    if "patchcore" in config.methods_used:
        details.append(
            f"all patches within {count(config.neighborhood, 'grid position')}"
            if config.neighborhood
            else f"{config.coreset_percent:g} % of the patches kept"
        )
    if config.trains:
        details.append(f"scores of good parts from {config.folds} folds")
    return [("method", f"{titles}{': ' if details else ''}{', '.join(details)}")]


def cost_rows(config: PadimConfig, images: int | None = None) -> Facts:
    """Return rows on the memory and disk space that a configuration will need.

    Args:
        config: the configuration.
        images: number of images of good parts; None assumes many.
    """
    from padim.analysis.cost import estimate

    cost = estimate(config, images)
    disk = f"{megabytes(cost.features_per_image)} per image"
    if images is not None:
        disk += f", {megabytes(cost.features_per_image * images)} for {count(images, 'image')},"
    more = f"; {megabytes(cost.kept_per_image)} more for every image" if cost.kept_per_image else ""
    return [
        *method_rows(config),
        *network_rows(config),
        (
            "memory",
            f"{megabytes(cost.fit_memory)} to fit, {megabytes(cost.score_memory)} to score, "
            "in addition to the network",
        ),
        ("model", f"{megabytes(cost.bundle)}, plus the network and thumbnails of the good parts{more}"),
        ("disk", f"{disk} during the fit"),
        (
            "to continue",
            f"these features kept, or a checkpoint of {megabytes(cost.checkpoint)}; both optional"
            if cost.checkpoint
            else "these features kept; optional",
        ),
    ]


def cost_document(config: PadimConfig, images: int | None = None) -> dict[str, Any]:
    """Return the estimated cost of a configuration in bytes, as plain JSON; see :func:`cost_rows`."""
    from dataclasses import asdict

    from padim.analysis.cost import estimate

    return asdict(estimate(config, images))


def threshold_text(model: Padim) -> str:
    """Return the threshold in use and its origin, as text with rich markup."""
    threshold = model.current_threshold
    if threshold is None:
        if model.decision.choice.basis == "manual":
            beyond = f"the manual value {model.decision.choice.value:.6g} is beyond the scale"
            return (
                f"[red]none: {beyond}, which ends at {model.state.fitted.quantizer.highest_threshold:.4g}[/]"
            )
        return "none yet: it needs at least 3 good parts, or a manual value"
    value = f"{model.state.fitted.quantizer.to_value(threshold.level):.4g}"
    if threshold.permille is None:
        return f"{value}, set manually"
    over = "scores" if threshold.basis == "image" else "pixels"
    text = f"{value}, the {threshold.permille / 10:g} % percentile of the good parts' {over}"
    if not threshold.supported:
        noun = "parts" if threshold.basis == "image" else "pixels"
        text += f" [yellow](highest of {threshold.n:,} {noun}; that percentile needs {threshold.needed:,})[/]"
    return text


def promise_text(model: Padim) -> str:
    """Return the false rejects to expect at the threshold, worded as in the web application."""
    if model.current_threshold is None or model.state.fitted.calibration == "none":
        return "none: fewer than 3 good parts do not allow an estimate"
    text = model.verdict_rates_.sentence
    if model.state.fitted.calibration == "stale":
        text += " [yellow](computed before the last images were added)[/]"
    return text


def model_rows(model: Padim, path: Path) -> Facts:
    """Return rows on a fitted model: method, network, parts, images, threshold and expected false rejects."""
    normals = model.normals_
    parts = len({normal.group for normal in normals if normal.status == "fit"})
    out = sum(normal.status not in ("fit", "reference") for normal in normals)
    made_of = f"{count(parts, 'part')}, {count(len(normals), 'image')}" + (
        f" ({out} excluded)" if out else ""
    )
    rows = [*method_rows(model.config), *network_rows(model.config), ("good parts", made_of)]
    if is_random(model):
        rows.insert(2, ("weights", "[bold red]RANDOM: an untrained network, for trials only[/]"))
    rows += located_rows(model)
    rows += [("threshold", threshold_text(model)), ("promise", promise_text(model))]
    if model.decision.guard is not None:
        rows.append(("review", f"within {model.decision.guard.half_width:.4g} of the threshold"))
    if model.decision.roi is not None:
        rows.append(("region", f"{model.decision.roi.mean():.0%} of the image is inspected"))
    return [*rows, *resolution_rows(model)]


def located_rows(model: Padim) -> Facts:
    """Return rows on how parts are located and where the good parts lie, for models that locate them."""
    from padim.analysis.located_parts import located_parts

    found = located_parts(model)
    if found is None:
        return []
    rows = [("located", escape(found.sentence)), ("displaced", found.spread_text)]
    if found.lost:
        name, why = found.lost[0]
        rows.append(("not found", f"[yellow]{escape(name)}: {escape(why)}[/]"))
    if found.warning:
        rows.append(("warning", f"[yellow]{escape(found.warning)}[/]"))
    return rows


def pixel_size_rows(model: Padim) -> Facts:
    """Return a row on the size of a pixel in mm, if it is known."""
    size = model.config.pixel_size_mm
    return [] if size is None else [("pixel size", f"{size:g} mm, of the original images")]


def resolution_rows(model: Padim) -> Facts:
    """Return rows on the size of a map pixel and the smallest defect to expect, with warnings."""
    from padim.analysis.resolution import model_resolution

    found = model_resolution(model)
    return [
        ("map pixel", found.map_pixel_text),
        ("smallest region", _region_text(found, model.config.min_area)),
        ("smallest defect", f"{found.smallest_text}, if it differs clearly"),
        *(("warning", f"[yellow]{escape(warning)}[/]") for warning in found.warnings),
    ]


def _region_text(found: Resolution, min_area: int) -> str:
    return f"{min_area:,} px² of the map, {found.region_text(min_area)}"


def is_random(model: Padim) -> bool:
    """Whether the model's network has random weights."""
    return model.network.random_weights


def document(model: Padim, path: Path) -> dict[str, Any]:
    """Return a description of a model as plain JSON; unknown values are null."""
    from padim.analysis.located_parts import located_parts
    from padim.analysis.resolution import model_resolution

    normals, located = model.normals_, located_parts(model)
    threshold = model.current_threshold
    promised = threshold is not None and model.state.fitted.calibration != "none"
    return {
        "model": str(path),
        "config": model.config.model_dump(mode="json"),
        "random_weights": is_random(model),
        "images": len(normals),
        "parts": len({normal.group for normal in normals if normal.status == "fit"}),
        "calibration": model.state.fitted.calibration,
        "located": None if located is None else located.to_json(),
        "threshold": None
        if threshold is None
        else {
            "value": model.state.fitted.quantizer.to_value(threshold.level),
            "level": threshold.level,
            "basis": threshold.basis,
            "percentile": None if threshold.permille is None else threshold.permille / 10,
            "supported": threshold.supported,
            "needed": threshold.needed,
        },
        **(
            to_json.verdict_rates(model.verdict_rates_)
            if promised
            else {"false_rejects": None, "rejected_or_in_review": None}
        ),
        "min_area": model.config.min_area,
        "resolution": model_resolution(model).to_json(),
    }


def plain(text: object) -> str:
    """Return a text with rich markup escaped, so that it is printed literally."""
    return escape(str(text))


def backup_document(file: Path, index: BackupIndex) -> dict[str, Any]:
    """Return what a backup has, as plain JSON."""
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "made": index.made.isoformat(),
        "program": index.program,
        "tables": index.tables,
        "evidence": index.evidence,
        "models": [{"id": model_id, "name": name} for model_id, name in index.models],
        "inspections": index.inspections,
        "files": len(index.files),
        "restored_bytes": index.bytes,
        "left_out": list(index.left_out),
    }


def backup_facts(file: Path, index: BackupIndex) -> list[tuple[str, str]]:
    """Return what a backup has, for a table of facts."""
    evidence = "with their images" if index.evidence else "without their images"
    return [
        ("backup", f"{plain(str(file))}, {megabytes(file.stat().st_size)}"),
        ("made", f"{index.made:%Y-%m-%d %H:%M} UTC, version {index.program}"),
        ("models", count(len(index.models), "model")),
        ("records", f"{count(index.inspections, 'inspection')}, {evidence}"),
        ("files", f"{count(len(index.files), 'file')}, all compared with their hashes"),
    ]
