"""The ``check`` command: is a fitted model fit for use, or blind, and what is to be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from padim.cli import summary
from padim.cli.measuring import measuring
from padim.cli.terminal import Terminal, facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from padim.analysis.health import Finding, Health, Remedy
    from padim.cli.stopping import Stop
    from padim.data.loading import Named, Progress
    from padim.model import Padim

_COLORS = {"green": "green", "amber": "yellow", "red": "red"}
# Options of ``fit`` by the settings that remedies change.
_OPTIONS = {
    "align": "--align",
    "method": "--method",
    "position_tolerance": "--position-tolerance",
    "fit": "--resize",
    "input_size": "--input-size",
    "bit_depth": "--bit-depth",
}


def check(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model.")],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="DIR|ZIP",
            help="The images that the model was fitted on, to paint defects on. Default: the small copies in "
            "the model.",
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="For a method that trains a network: train it once more, without a fifth of the parts, and "
            "paint defects on those. Takes as long as the fit.",
        ),
    ] = False,
) -> None:
    """Check whether a model is fit for use, from its good parts alone.

    Looked at are how far the parts move and turn; what the model catches of defects painted on good parts,
    each scored by the model without that part; whether there are enough parts for the threshold, and whether
    one decides it; resolution, range of values, repeat shots, and images unlike the others. Each finding is
    green, amber or red, and names what to do. Painted defects confirm a model, they never choose one: which
    setting is better is for labelled defects to say.

    Exit codes: 0 green or amber · 1 red · 2 an error.
    """
    from padim.data.opening import open_source
    from padim.model import Padim

    work = path / "work"
    model = Padim.load(path, work_dir=work if work.is_dir() else None)
    source = None if images is None else open_source(images)
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; its figures mean nothing")
    with measuring(terminal) as (progress, stop):
        found = checked(model, source, progress, stop, retrain=retrain)
    document = {"model": str(path), **document_of(found)}
    terminal.result(document, facts(rows(found), f"{escape(str(path))}: {escape(found.title)}"))
    if found.grade == "red":
        raise typer.Exit(1)


def checked(
    model: Padim, images: Iterable[Named] | None, progress: Progress, stop: Stop, *, retrain: bool = False
) -> Health:
    """Check a model; errors as :func:`padim.analysis.health.check_health`."""
    from padim.analysis.health import check_health

    return check_health(model, images, retrain=retrain, progress=progress, cancel=stop)


def document_of(health: Health) -> dict[str, Any]:
    """Return a check as plain JSON."""
    return {"grade": health.grade, "findings": [finding.to_json() for finding in health.findings]}


def rows(health: Health) -> summary.Facts:
    """Return a row for each finding, with its grade and what to do."""
    return [(finding.topic, _text(finding)) for finding in health.findings]


def short_rows(health: Health) -> summary.Facts:
    """Return a row with the grade, and one for each finding that is not green, for the summary of a fit."""
    color = _COLORS[health.grade]
    first = ("health", f"[{color}]{health.grade}[/]: {escape(health.title.partition(': ')[2])}")
    return [first, *((finding.topic, _text(finding)) for finding in health.open)]


def _text(finding: Finding) -> str:
    color = _COLORS[finding.grade]
    text = f"[{color}]{finding.grade}[/]: {escape(finding.sentence)}"
    if finding.remedy is not None:
        text += f" [bold]{escape(finding.remedy.text)}[/]{_options(finding.remedy)}"
        if finding.remedy.action == "retrain":
            text += " (check --retrain)"
    return text


def _options(remedy: Remedy) -> str:
    """Return the options of ``fit`` that a remedy means: " (fit --align outline)"."""
    words = []
    for name, value in (remedy.changes or {}).items():
        shown = value["method"] if isinstance(value, dict) else value
        if isinstance(shown, list):
            shown = "x".join(map(str, shown))
        words.append(f"{_OPTIONS[name]} {shown}")
    return f" ({escape('fit ' + ' '.join(words))})" if words else ""
