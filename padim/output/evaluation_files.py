"""CSV files of an evaluation: one with every metric and its interval, one with every image."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from padim.analysis.scored_dataset import ScoredDataset
from padim.decision.operating_points import Rate
from padim.output import results

if TYPE_CHECKING:
    from padim.analysis.metrics import EvaluationReport, Figure
    from padim.decision.verdicts import VerdictCounts
    from padim.model import Padim

__all__ = ["FIGURES", "figures_csv", "images_csv"]

IMAGE_COLUMNS = (
    *("name", "kind", "score", "threshold", "above_threshold", "verdict"),
    *("score_over_threshold", "review_above", "reject_above", "scoring_identity", "written_at"),
    *("error", "file"),
)
"""Columns of :func:`images_csv`."""

FIGURES = (
    "image_auroc",
    "image_ap",
    "image_f1",
    "zero_miss",
    "pixel_auroc",
    "pixel_ap",
    "aupro",
    "pixel_f1",
)
"""Metrics that need no threshold: attributes of :class:`padim.analysis.metrics.EvaluationReport`."""


def figures_csv(
    found: EvaluationReport, *, at_threshold: bool, band: bool = False, model: str, data: str
) -> bytes:
    """Build a CSV of the metrics with their 95 % intervals, one per line, in total and by kind of defect.

    Args:
        found: the evaluation.
        at_threshold: whether to include the rates at the threshold.
        band: whether a guard band is in use: the number of images with each verdict is then included.
        model: the model's name.
        data: the data set's name.

    Returns:
        The file's bytes, UTF-8 with a byte order mark.
    """
    lines: list[Iterable[object]] = []
    lines.append(("figure", "kind", "value", "low_95", "high_95", "count", "of", "why_not", "model", "data"))
    about = (model, data)

    def figure(name: str, one: Figure, kind: str = "") -> None:
        numbers = ("" if number is None else f"{number:.6g}" for number in (one.value, one.low, one.high))
        lines.append((name, kind, *numbers, "", "", one.why, *about))

    def rate(name: str, one: Rate, kind: str = "") -> None:
        numbers = (f"{number:.6g}" if one.of else "" for number in (one.share, one.low, one.high))
        lines.append((name, kind, *numbers, one.count, one.of, "", *about))

    def verdicts(whose: str, counts: VerdictCounts, kind: str = "") -> None:
        if not band:
            return
        words = (("accepted", counts.accept), ("in_review", counts.review), ("rejected", counts.reject))
        for word, number in words:
            rate(f"{whose}_{word}", Rate.counted(number, counts.total), kind)

    for name in FIGURES:
        figure(name, getattr(found, name))
    if at_threshold:
        rate("false_rejects", found.false_rejects)
        rate("misses", found.misses)
        verdicts("good", found.good)
        verdicts("defects", found.defects)
    for kind in found.kinds:
        figure("image_auroc", kind.auroc, kind.name)
        figure("pixel_auroc", kind.pixel_auroc, kind.name)
        figure("aupro", kind.aupro, kind.name)
        if at_threshold:
            rate("caught", kind.caught, kind.name)
            verdicts("defects", kind.verdicts, kind.name)
    return results.csv_file(lines)


def images_csv(found: ScoredDataset, model: Padim, level: int | None) -> bytes:
    """Build a CSV of the images with label, score and verdict, one per line, and of the files not used.

    Args:
        found: the scored images.
        model: the model that scored them.
        level: the threshold as a level; None leaves the verdict columns empty.

    Returns:
        The file's bytes, UTF-8 with a byte order mark.
    """
    lines: list[Iterable[object]] = []
    lines.append(IMAGE_COLUMNS)
    value = model.state.fitted.quantizer.to_value
    about = (model.state.identity, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    area = model.config.min_area
    for image in found.images:
        score = image.score(model, area)
        at: tuple[str, ...] = ("", "", "", "", "", "")
        if level is not None:
            above = "yes" if score > level else "no"
            limits = model.verdict_limits(level)
            band = (f"{value(max(0, end)):.6g}" for end in (limits.accept_up_to, limits.reject_above))
            ratio = f"{score / level:.6g}" if level else ""
            at = (f"{value(level):.6g}", above, image.verdict(model, level, area), ratio, *band)
        lines.append((image.name, image.kind, f"{value(score):.6g}", *at, *about, "", results.USED))
    account = found.evaluation.account
    for row in results.unused_rows(account.refused, account.passed_over):
        lines.append((row["name"], *[""] * (len(IMAGE_COLUMNS) - 3), row["error"], row["file"]))
    return results.csv_file(lines)
