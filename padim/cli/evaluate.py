"""The ``evaluate`` command: measure a model on labelled images, with confidence intervals."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.measuring import measuring, model_at
from padim.cli.terminal import Terminal, columns, facts, titled
from padim.output import to_json

if TYPE_CHECKING:
    from padim.analysis.evaluation import Evaluation
    from padim.analysis.metrics import EvaluationReport, Figure
    from padim.decision.operating_points import Rate
    from padim.decision.prediction import Prediction
    from padim.model import Padim

# Number of folders that are listed on the terminal.
_MOST_FOLDERS = 40


def evaluate(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    images: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|ZIP|CSV",
            help="Labelled images: in the layout of MVTec AD (test/good, test/<defect>, ground_truth), VisA, "
            "BTAD, KolektorSDD or DAGM, a folder 'good' (or ok, pass, io, gut, normal) beside one folder for "
            "each defect, images with their masks, a zip of any of these, or a CSV with the columns path, "
            "label and mask.",
        ),
    ],
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
) -> None:
    """Measure how well a model separates defects from good parts.

    Ranking metrics (AUROC, average precision) need no threshold; false rejects and missed defects are counted
    at the model's threshold, or at the one given here. Pixel metrics need masks. A metric that cannot be
    computed is reported with the reason. The 95 % intervals are bootstrap intervals over the images.
    """
    from padim.analysis.evaluation import evaluate_dataset
    from padim.analysis.other_product import Strangers, is_stranger, stranger_limit
    from padim.data.datasets import open_dataset

    model = model_at(terminal, path, percentile=percentile, threshold=threshold, min_area=min_area)
    level = model.threshold_level
    dataset = open_dataset(images)
    limit, unlike = stranger_limit(model), list[str]()
    judged = 0

    def look(scored: Prediction, _: str) -> None:
        nonlocal judged
        judged += limit is not None and not scored.lost and scored.grid.size > 0
        if is_stranger(scored, limit):
            unlike.append(scored.name)

    with measuring(terminal) as (progress, stop):
        evaluation = evaluate_dataset(model, dataset, progress=progress, cancel=stop, on_scored=look)
        report = evaluation.report(model, level)
    strangers = Strangers(tuple(unlike), judged)
    kinds = dataset.kinds
    document = {
        **summary.document(model, path),
        "folder": str(images),
        "layout": dataset.layout,
        "images_of": dict(kinds),
        "folders": [asdict(use) for use in evaluation.folders],
        "masks": evaluation.masks,
        "mask_files": evaluation.mask_account.to_dict(),
        "fitted_on": evaluation.known,
        "kept_out_of_fit": evaluation.calibrated,
        "two_labels": [{"good": good, "defect": defect} for good, defect in evaluation.conflicts],
        "unlike_the_parts": {"images": unlike, "of": judged, "sentence": strangers.sentence},
        "milliseconds_per_image": round(evaluation.milliseconds, 2),
        **_figures(report, model),
        "files": evaluation.account.to_dict(),
        "skipped": to_json.skipped(evaluation.failed),
    }
    terminal.result(document, *_shown(report, model, evaluation, path), *_taken_for(evaluation))
    for note in evaluation.mask_account.notes:
        terminal.note(note)
    for note in evaluation.overlap_notes:
        terminal.warn(note)
    if strangers.sentence:
        terminal.warn(strangers.sentence)
    terminal.files(evaluation.account)


def _taken_for(evaluation: Evaluation) -> list[Any]:
    """Return a table of what each folder was taken for, at most of the first folders."""
    if not evaluation.folders:
        return []
    table = columns([("folder", False), ("taken for", False), ("files", True)])
    for use in evaluation.folders[:_MOST_FOLDERS]:
        table.add_row(summary.plain(use.folder), summary.plain(use.taken_for), f"{use.files:,}")
    more = len(evaluation.folders) - _MOST_FOLDERS
    return [
        "",
        titled("What each folder was taken for", table),
        *([f"  and {more} more; --json lists all"] if more > 0 else []),
    ]


def _figures(report: EvaluationReport, model: Padim) -> dict[str, Any]:
    best = report.best_f1
    return {
        **{
            name: _figure(getattr(report, name))
            for name in (
                "image_auroc",
                "image_ap",
                "image_f1",
                "pixel_auroc",
                "pixel_ap",
                "aupro",
                "pixel_f1",
            )
        },
        "zero_miss": {
            **_figure(report.zero_miss),
            "level": report.zero_miss_level,
            "threshold": _threshold(report.zero_miss_level, model),
        },
        "pixel_f1_level": report.pixel_f1_level,
        "best_f1": None
        if best is None
        else {
            "f1": best.f1,
            "level": best.level,
            "threshold": model.state.fitted.quantizer.to_value(best.level),
        },
        "counted_false_rejects": to_json.rate(report.false_rejects),
        "misses": to_json.rate(report.misses),
        "verdicts": {"good": to_json.verdicts(report.good), "defects": to_json.verdicts(report.defects)},
        "review": {"good": report.good.review, "defects": report.defects.review},
        "kinds": [
            {
                "kind": kind.name,
                "auroc": _figure(kind.auroc),
                "pixel_auroc": _figure(kind.pixel_auroc),
                "aupro": _figure(kind.aupro),
                "caught": to_json.rate(kind.caught),
                "verdicts": to_json.verdicts(kind.verdicts),
                "review": kind.verdicts.review,
            }
            for kind in report.kinds
        ],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "why": figure.why, "low_95": figure.low, "high_95": figure.high}


def _threshold(level: int | None, model: Padim) -> float | None:
    return None if level is None else model.state.fitted.quantizer.to_value(level)


def _shown(report: EvaluationReport, model: Padim, evaluation: Evaluation, path: Path) -> list[Any]:
    from padim.text import count, share_of

    def figure_text(figure: Figure, more: str = "") -> str:
        if figure.value is None:
            return f"[yellow]–[/] [dim]{figure.why}[/]"
        between = "" if figure.low is None else f"  {figure.low:.4f} to {figure.high:.4f}"
        return f"[bold]{figure.value:.4f}[/][dim]{between}{more}[/]"

    def at(level: int | None) -> str:
        return "" if level is None else f"  at {model.state.fitted.quantizer.to_value(level):.4g}"

    def rate_of(rate: Rate) -> str:
        return share_of(rate.count, rate.of, rate.low, rate.high) if rate.of else "– [dim](no images)[/]"

    kinds = evaluation.kinds
    best = report.best_f1
    ranking = [
        ("image AUROC", figure_text(report.image_auroc)),
        ("image average precision", figure_text(report.image_ap)),
        ("best F1 of any threshold", figure_text(report.image_f1, at(None if best is None else best.level))),
        ("false rejects, no missed defect", figure_text(report.zero_miss, at(report.zero_miss_level))),
        ("pixel AUROC", figure_text(report.pixel_auroc)),
        ("pixel average precision", figure_text(report.pixel_ap)),
        ("pixel AUPRO (up to 30 %)", figure_text(report.aupro)),
        ("best pixel F1", figure_text(report.pixel_f1, at(report.pixel_f1_level))),
    ]
    promised = summary.promise_text(model)
    band = model.decision.guard is not None
    decision = [
        ("threshold", summary.threshold_text(model)),
        ("promise", promised),
        ("false rejects (overkill)", rate_of(report.false_rejects)),
        ("missed defects (escapes)", rate_of(report.misses)),
    ]
    if band:
        for what, counts in (("good parts", report.good), ("defects", report.defects)):
            text = f"{counts.accept} accepted, {counts.review} in review, {counts.reject} rejected"
            decision.append((what, text))
    decision.append(("time", f"{evaluation.milliseconds:.1f} ms per image, decoding included"))
    defects = sum(kinds.values()) - kinds["good"]
    title = f"{path.name} on {count(kinds['good'], 'good image')} and {count(defects, 'defect')}"
    renderables: list[Any] = [
        "",
        facts(ranking, summary.plain(f"{title} ({evaluation.layout}), with 95 % intervals")),
        "",
        facts(decision, "At the threshold"),
    ]
    if report.kinds:
        table = columns(
            [
                ("defect", False),
                ("rejected or in review" if band else "caught", True),
                ("95 % interval", True),
                ("AUROC", True),
                ("AUPRO", True),
            ]
        )
        for kind in report.kinds:
            table.add_row(
                summary.plain(kind.name),
                f"{kind.caught.count} of {kind.caught.of}",
                f"{kind.caught.low * 100:.0f} to {kind.caught.high * 100:.0f} %",
                *("–" if f.value is None else f"{f.value:.4f}" for f in (kind.auroc, kind.aupro)),
            )
        renderables += ["", table]
    return renderables
