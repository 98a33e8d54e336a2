"""The ``robustness`` command: find what change of light, camera or fixture a model tolerates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.measuring import measuring, model_at
from padim.cli.terminal import Terminal, columns, facts
from padim.errors import ImageError, PadimError
from padim.output import to_json

if TYPE_CHECKING:
    from padim.analysis.robustness import Robustness, Tolerance
    from padim.decision.operating_points import Rate
    from padim.model import Padim

CHANGES = "The changes"


def robustness(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    images: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Labelled images, as for evaluate; or images of good parts only, a folder or a .zip. "
            "Good images that the model was fitted on are skipped.",
        ),
    ],
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            metavar="A,B,C",
            help="Some of brighter, darker, gamma, flatter, blur, noise, jpeg, shift, rotation; default all.",
            rich_help_panel=CHANGES,
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            "--margin",
            metavar="PERCENT",
            help="Largest tolerated drop in the share of defects caught, in percentage points.",
            rich_help_panel=CHANGES,
        ),
    ] = 5.0,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            metavar="N",
            help="Seed of noise and directions.",
            rich_help_panel=CHANGES,
        ),
    ] = 0,
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
) -> None:
    """Find what change of light, camera or fixture the model tolerates.

    The images are made brighter, darker, flatter, blurred, noisy, displaced and so on, with increasing
    severity, and decided at the model's threshold, or at the one given here. A change is tolerated as long as
    good parts are rejected no more often than the threshold's upper bound, and defects are caught nearly as
    often as before.
    """
    from padim.analysis import robustness as engine
    from padim.analysis.fit_overlap import left_out, passed_over
    from padim.analysis.image_changes import KINDS, SEVERITIES
    from padim.data.account import FileAccount
    from padim.data.labeled_images import open_labeled

    if not 0 < margin <= 100:
        raise PadimError(f"--margin must be above 0 and at most 100 percentage points, not {margin:g}")
    names = list(KINDS) if kinds is None else [name.strip() for name in kinds.split(",")]
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise PadimError(f"unknown kinds '{', '.join(unknown)}'; --kinds takes some of {', '.join(KINDS)}")
    model = model_at(terminal, path, percentile=percentile, threshold=threshold, min_area=min_area)
    labeled = open_labeled(images)
    failed: list[ImageError] = []
    known: list[str] = []
    severities: Any = {name: of for name, of in SEVERITIES.items() if name in names}
    with measuring(terminal) as (progress, stop):
        found = engine.measure(
            model,
            labeled.images,
            labeled.kind_of,
            severities=severities,
            seed=seed,
            progress=progress,
            cancel=stop,
            on_error=failed.append,
            on_known=known.append,
        )
    account = FileAccount.of(found.good + found.defects, labeled.images, failed)
    account += FileAccount(0, passed_over=passed_over(known))
    document = {
        **summary.document(model, path),
        "folder": str(images),
        **to_json.robustness(found, margin / 100),
        "files": account.to_dict(),
        "skipped": to_json.skipped(account.refused),
    }
    terminal.result(document, *_shown(found, model, path, margin / 100))
    if found.guard is not None:
        terminal.note(engine.BAND_NOTE)
    if found.in_fit:
        terminal.note(left_out(found.in_fit, found.in_fit + found.good + found.defects))
    terminal.files(account)


def _shown(found: Robustness, model: Padim, path: Path, margin: float) -> list[Any]:
    from padim.analysis.image_changes import words
    from padim.text import count

    limit = "nothing promised" if found.limit is None else f"{found.limit * 100:.1f} % of good parts rejected"
    rows = [
        ("threshold", summary.threshold_text(model)),
        ("promise", summary.promise_text(model)),
        ("scored", f"{count(found.good, 'good image')} and {count(found.defects, 'defect')}"),
        ("tolerated", f"up to {limit}, and fewer than {margin * 100:g} in 100 defects lost"),
    ]
    heads = ("change", "tolerated", "95 %", "what fails beyond it")
    tolerance = columns([(head, False) for head in heads])
    table = columns(
        [
            *(("change", False), ("severity", False)),
            *(("good rejected", True), ("95 %", True)),
            *(("defects caught", True), ("95 %", True)),
        ]
    )
    for series in found.series:
        tolerated = series.tolerance(found.limit, margin)
        low, high = (words(series.kind, severity or 0) for severity in (tolerated.low, tolerated.high))
        interval = "" if tolerated.severity is None or tolerated.low is None else f"{low} to {high}"
        tolerance.add_row(
            series.kind,
            _tolerance_text(tolerated, words(series.kind, tolerated.severity or 0)),
            interval,
            "; ".join(text for text in (tolerated.why, tolerated.note) if text),
        )
        for severity, rejects, caught in zip(
            series.severities, series.false_rejects, series.caught, strict=True
        ):
            # Severity 0 is the same for all kinds of change and is listed once.
            if severity or series is found.series[0]:
                name = series.kind if severity == series.severities[1] else ""
                table.add_row(name, words(series.kind, severity), *_counted(rejects), *_counted(caught))
    title = summary.plain(f"{path.name}: tolerated changes")
    return ["", facts(rows, title), "", tolerance, "", table]


def _tolerance_text(tolerated: Tolerance, text: str) -> str:
    if tolerated.severity is None:
        return "[yellow]too few to say[/]" if tolerated.why.startswith("too few") else "–"
    if tolerated.severity == 0:
        return "[yellow]not even the mildest change tested[/]"
    return f"[bold]{text}[/]" + (" or more" if tolerated.at_least else "")


def _counted(rate: Rate) -> tuple[str, str]:
    if not rate.of:
        return "–", ""
    return f"{rate.count} of {rate.of}", f"{rate.low * 100:.0f} to {rate.high * 100:.0f} %"
