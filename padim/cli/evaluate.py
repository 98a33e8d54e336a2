"""``evaluate``: labelled pictures to figures, each with what it was counted on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.options import decide
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, columns, facts
from padim.errors import Cancelled, ImageError, PadimError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.datasets import Dataset
    from padim.metrics import Figure, Report
    from padim.model import Padim, ScoredImage
    from padim.operating import Rate


def evaluate(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    pictures: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Labelled pictures: in MVTec AD's layout (test/good, test/<defect>, ground_truth), or one "
            "folder good and one for each defect.",
        ),
    ],
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
) -> None:
    """Count how well defects are told from good parts.

    Ranking (AUROC, average precision) needs no threshold; false rejects and misses are counted at the model's
    own, or at the one given here. Pixel figures need masks. What cannot be counted says why.
    """
    from padim.datasets import open_dataset
    from padim.model import Padim

    model = Padim.load(path)
    decide(model, percentile=percentile, value=threshold, min_area=min_area)
    level = model.threshold_level
    dataset = open_dataset(pictures)
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; its figures mean nothing")
    with Stop(terminal) as stop:
        try:
            with terminal.progress() as progress:
                report, failed, known = _judge(model, dataset, level, progress, stop)
        except (Cancelled, KeyboardInterrupt) as error:
            terminal.error("stopped; figures over some of the pictures would say nothing, so there are none")
            raise typer.Exit(stop.exit_code) from error
    kinds = dataset.kinds
    document = {
        **summary.document(model, path),
        "folder": str(pictures),
        "layout": dataset.layout,
        "pictures_of": dict(kinds),
        "masks": dataset.masks,
        "fitted_on": known,
        **_figures(report, model),
        "skipped": [{"name": error.name, "error": error.reason} for error in failed],
    }
    terminal.result(document, *_shown(report, model, dataset, path))
    if known:
        terminal.warn(
            f"{known} of these pictures are among those the model was fitted on: the figures flatter it"
        )
    terminal.skipped(failed)


def _judge(
    model: Padim, dataset: Dataset, level: int, progress: Any, cancel: Stop
) -> tuple[Report, list[ImageError], int]:
    from padim import metrics
    from padim.datasets import GOOD, at_map_resolution, read_mask

    fitted_on = {normal.sha256 for normal in model.normals_ if normal.status == "fit"}
    pixels = metrics.Pixels()
    failed: list[ImageError] = []
    scores, kinds, verdicts, known = [], [], [], 0
    for scored in model.score(dataset, progress=progress, cancel=cancel, on_error=failed.append):
        sample = dataset.samples[scored.name]
        scores.append(scored.score)
        kinds.append(sample.kind)
        verdicts.append(model.verdict(scored.score, level))
        known += scored.sha256 in fitted_on
        mask = None
        if not sample.good:
            try:
                mask = None if sample.mask is None else read_mask(sample.mask, scored.original_size)
            except ImageError as error:
                failed.append(error)
            if mask is None:
                continue  # somewhere in it is a defect, nobody knows where
            mask = at_map_resolution(mask, model.preprocess)
        pixels.add(scored.map, mask, _judged_area(model, scored))
    if not scores:
        raise PadimError("none of the pictures could be used")
    return (
        metrics.evaluate(scores, kinds, verdicts, level, pixels, GOOD),
        [*dataset.skipped, *failed],
        known,
    )


def _judged_area(model: Padim, scored: ScoredImage) -> npt.NDArray[np.bool_] | None:
    """Pixels outside the region of interest or in the padding are nobody's; None where all are judged."""
    box = scored.content_box
    if box is None:
        return model.roi
    area = scored.map < 0  # nowhere
    area[box.top : box.top + box.height, box.left : box.left + box.width] = True
    return area if model.roi is None else area & model.roi


def _figures(report: Report, model: Padim) -> dict[str, Any]:
    best = report.best_f1
    return {
        **{
            name: asdict(getattr(report, name))
            for name in ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap")
        },
        "best_f1": None
        if best is None
        else {"f1": best.f1, "level": best.level, "threshold": model.quantizer.to_value(best.level)},
        "counted_false_rejects": _rate(report.false_rejects),
        "misses": _rate(report.misses),
        "review": {"good": report.review_good, "defects": report.review_defects},
        "kinds": [
            {
                "kind": kind.name,
                "auroc": asdict(kind.auroc),
                "caught": _rate(kind.caught),
                "review": kind.review,
            }
            for kind in report.kinds
        ],
    }


def _rate(rate: Rate) -> dict[str, Any]:
    share = rate.share if rate.of else None
    return {"count": rate.count, "of": rate.of, "share": share, "low_95": rate.low, "high_95": rate.high}


def _shown(report: Report, model: Padim, dataset: Dataset, path: Path) -> list[Any]:
    from padim.words import count, share_of

    def said(figure: Figure) -> str:
        return (
            f"[yellow]–[/] [dim]{figure.why}[/]" if figure.value is None else f"[bold]{figure.value:.4f}[/]"
        )

    def rate_of(rate: Rate) -> str:
        return share_of(rate.count, rate.of, rate.low, rate.high) if rate.of else "– [dim](none to count)[/]"

    kinds = dataset.kinds
    best = report.best_f1
    ranking = [
        ("image AUROC", said(report.image_auroc)),
        ("image average precision", said(report.image_ap)),
        (
            "best F1 of any threshold",
            "–" if best is None else f"{best.f1:.4f} [dim]at {model.quantizer.to_value(best.level):.4g}[/]",
        ),
        ("pixel AUROC", said(report.pixel_auroc)),
        ("pixel average precision", said(report.pixel_ap)),
    ]
    promised = summary.promise_words(model)
    decision = [
        ("threshold", summary.threshold_words(model)),
        ("promised", promised),
        ("good parts rejected", rate_of(report.false_rejects)),
        ("defects missed", rate_of(report.misses)),
    ]
    if model.guard is not None:
        decision.append(("to review", f"{report.review_good} good, {report.review_defects} with a defect"))
    defects = sum(kinds.values()) - kinds["good"]
    title = f"{path.name} on {count(kinds['good'], 'good picture')} and {count(defects, 'defect')}"
    shown: list[Any] = [
        "",
        facts(ranking, summary.plain(f"{title} ({dataset.layout})")),
        "",
        facts(decision, "At the threshold"),
    ]
    if report.kinds:
        table = columns([("defect", False), ("caught", True), ("95 % interval", True), ("AUROC", True)])
        for kind in report.kinds:
            value = kind.auroc.value
            table.add_row(
                summary.plain(kind.name),
                f"{kind.caught.count} of {kind.caught.of}",
                f"{kind.caught.low * 100:.0f} to {kind.caught.high * 100:.0f} %",
                "–" if value is None else f"{value:.4f}",
            )
        shown += ["", table]
    return shown
