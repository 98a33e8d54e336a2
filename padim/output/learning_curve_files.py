"""Files of a learning curve: CSV with one line per fit, JSON with all figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from padim.output import results, to_json

if TYPE_CHECKING:
    from padim.analysis.learning_figures import LearningCurve
    from padim.errors import ImageError

__all__ = ["learning_curve_csv", "learning_curve_json"]


def learning_curve_csv(curve: LearningCurve, *, model: str) -> bytes:
    """Build a CSV of the learning curve, one line per fit.

    Args:
        curve: the learning curve.
        model: the model's name.

    Returns:
        The file's bytes, UTF-8 with a byte order mark.
    """
    lines: list[Iterable[object]] = []
    lines.append(
        (
            *("parts", "draw", "threshold", "percentile_supported"),
            *("promised", "promised_at_most_95", "left_out_rejected", "left_out"),
            *("defects", "share_caught", "percentile", "seed", "model"),
        )
    )
    for size in curve.sizes:
        for draw, trial in enumerate(size.trials, 1):
            caught = _share(trial.caught.tolist())
            lines.append(
                (
                    *(size.parts, draw, f"{trial.threshold:.6g}", "yes" if trial.supported else "no"),
                    *(f"{trial.promise.expected:.6g}", f"{trial.promise.upper:.6g}"),
                    *(trial.left_out.count, trial.left_out.of),
                    *(curve.defects or "", "" if caught is None else f"{caught:.6g}"),
                    *(f"{curve.permille / 10:g}", curve.seed, model),
                )
            )
    return results.csv_file(lines)


def _share(caught: Sequence[float]) -> float | None:
    known = [value for value in caught if value == value]  # NaN: the defect could not be scored
    return sum(known) / len(known) if known else None


def learning_curve_json(
    curve: LearningCurve, failed: Iterable[ImageError], *, model: dict[str, str]
) -> bytes:
    """Build a JSON document of the learning curve, with all figures.

    Args:
        curve: the learning curve.
        failed: errors of the defects' files that could not be used.
        model: the model's name and id.

    Returns:
        The file's bytes, UTF-8.
    """
    document = {
        "model": model,
        **to_json.learning_curve(curve),
        "skipped": to_json.skipped(failed),
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
