"""The ``calibrate`` command: show the false rejects expected at each threshold, and choose the threshold."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from padim.cli import options, summary
from padim.cli.options import decide
from padim.cli.saving import save_model
from padim.cli.terminal import Terminal, columns, facts
from padim.errors import PadimError
from padim.output import to_json

if TYPE_CHECKING:
    from padim.analysis.percentile_table import PercentileRow
    from padim.model import Padim

_LEGEND = "[dim]expected, at most: false rejects (overkill), the latter with 95 % confidence[/]"
_LEGEND_OF_BAND = (
    "[dim]rejected: the share of good parts to expect above the guard band around the threshold; "
    "rejected or in review: above its lower end; at most: with 95 % confidence[/]"
)


def calibrate(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    target: Annotated[
        float | None,
        typer.Option(
            "--target-false-rejects",
            metavar="PERCENT",
            help="Choose the lowest percentile at which at most this many false rejects are expected in 100 "
            "good parts.",
            rich_help_panel=options.DECISION,
        ),
    ] = None,
    basis: Annotated[
        Literal["image", "pixel"] | None,
        typer.Option(
            "--basis",
            help="Take percentiles over the scores of the good parts (image) or over their pixels (pixel); "
            "each part is judged without itself.",
            rich_help_panel=options.DECISION,
        ),
    ] = None,
    min_area: options.MinArea = None,
    smoothing: options.Smoothing = None,
    pixel_size: options.PixelSize = None,
    write: Annotated[bool, typer.Option("--write", "-w", help="Save the choice in the model.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --write: save even if someone else has changed the model meanwhile."
        ),
    ] = False,
) -> None:
    """Show the false rejects expected at each threshold, and choose a threshold.

    All numbers come from the scores of the good parts, each judged without itself: by the model fitted on
    the others. Nothing is saved without [b]--write[/], nor if someone else has saved the model meanwhile.
    """
    from padim.decision.calibration import FEWEST_PARTS
    from padim.model import Padim
    from padim.storage.model_folders import held

    if sum(given is not None for given in (percentile, threshold, target)) > 1:
        raise PadimError(
            "--percentile, --threshold and --target-false-rejects are mutually exclusive: give one of them"
        )
    if threshold is not None and basis is not None:
        raise PadimError("--threshold sets a value and takes no --basis: give one of them")
    # The model may be open in the web application's workspace, where another process may be changing it.
    with held(path) if write else nullcontext():
        model = Padim.load(path)
        decide(
            model,
            percentile=percentile,
            value=threshold,
            basis=basis,
            min_area=min_area,
            smoothing_sigma=smoothing,
            pixel_size_mm=pixel_size,
        )
        if target is not None:
            decide(model, percentile=_lowest_permille(model, target) / 10, basis=basis or _basis(model))
        if model.state.fitted.calibration == "none" and threshold is None:
            raise PadimError(
                f"{path}: has no scores of good parts, each judged without itself: that takes at least "
                f"{FEWEST_PARTS} good parts; "
                "add images, or give --threshold"
            )
        rows = [] if model.state.fitted.calibration == "none" else _table(model)
        if write:
            save_model(model, path, force=force)
    band = model.decision.guard is not None
    headings = (
        ("rejected", "at most", "counted", "rejected or in review", "at most", "counted")
        if band
        else ("expected", "at most", "above it")
    )
    table = columns(
        [("", False), ("percentile", True), ("threshold", True), *((name, True) for name in headings)]
    )
    for row in rows:
        table.add_row(
            "[bold green]→[/]" if row["chosen"] else "",
            "manual" if row["percentile"] is None else f"{row['percentile']:g} %",
            f"{row['threshold']:.4g}" + ("" if row["supported"] else " *"),
            *_rate_cells(row),
            *(_rate_cells(row["rejected_or_in_review"]) if band else ()),
            style="" if row["supported"] or row["chosen"] else "dim",
        )
    renderables: list[Any] = [table, "", _LEGEND_OF_BAND if band else _LEGEND] if rows else []
    if not all(row["supported"] for row in rows):
        renderables.append(
            "[dim]* too few parts to support that percentile: the highest score of a good part is used[/]\n"
        )
    renderables.append(
        facts(
            [
                ("threshold", summary.threshold_text(model)),
                ("promise", summary.promise_text(model)),
                ("smallest region", f"{model.config.min_area} map pixels"),
                *summary.pixel_size_rows(model),
                (
                    "",
                    f"[green]saved in {summary.plain(path)}[/]"
                    if write
                    else "[dim]not saved; give --write to save it[/]",
                ),
            ]
        )
    )
    document = {**summary.document(model, path), "written": write, "percentiles": rows}
    terminal.result(document, *renderables)


def _rate_cells(rate: dict[str, Any]) -> tuple[str, str, str]:
    return (
        f"{rate['expected'] * 100:.1f} %",
        f"{rate['upper_95'] * 100:.1f} %",
        f"{rate['above']} of {rate['parts']}",
    )


def _basis(model: Padim) -> Literal["image", "pixel"]:
    return "pixel" if model.decision.choice.basis == "pixel" else "image"


def _table(model: Padim) -> list[dict[str, Any]]:
    """Return one row per usual percentile, and one for the current choice, in order of the threshold.

    The rate of a row is of the parts rejected; ``rejected_or_in_review`` has the rate that includes review.
    """
    from padim.analysis.percentile_table import percentile_table

    def rates(row: PercentileRow) -> dict[str, Any]:
        found = to_json.verdict_rates(row.rates)
        return {**found["false_rejects"], "rejected_or_in_review": found["rejected_or_in_review"]}

    return [
        {
            "percentile": None if row.threshold.permille is None else row.threshold.permille / 10,
            "threshold": model.state.fitted.quantizer.to_value(row.threshold.level),
            "level": row.threshold.level,
            "supported": row.threshold.supported,
            "needed": row.threshold.needed,
            **rates(row),
            "chosen": row.chosen,
        }
        for row in percentile_table(model, _basis(model))
    ]


def _lowest_permille(model: Padim, target: float) -> int:
    """Return the lowest percentile, in tenths, whose expected false rejects are at most ``target`` in 100.

    Raises:
        PadimError: there are too few parts for such a target, or the target is out of range.
    """
    from padim.analysis.percentile_table import lowest_percentile

    if not 0 < target < 100:
        raise PadimError(
            f"--target-false-rejects must be above 0 and below 100 (parts in 100), not {target:g}"
        )
    found = lowest_percentile(model, _basis(model), target / 100)
    if found is not None:
        return found
    parts = len(model.state.part_scores(model.config.min_area))
    raise PadimError(
        f"{parts} good parts are too few to expect only {target:g} false rejects in 100: that needs at least "
        f"{int(-(-100 // target)) - 1} parts"
    )
