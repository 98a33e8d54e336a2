"""Files of a robustness measurement: CSV with one line per rate, JSON with all figures."""

from __future__ import annotations

import json
from collections.abc import Iterable

from padim.analysis.image_changes import words
from padim.analysis.robustness import Robustness
from padim.errors import ImageError
from padim.output import results, to_json

__all__ = ["robustness_csv", "robustness_json"]


def robustness_csv(found: Robustness, *, threshold: float, model: str, data: str) -> bytes:
    """Build a CSV of the rates at every severity of every change, in total and by kind of defect.

    Args:
        found: the measurement.
        threshold: the threshold of the decisions, in map units.
        model: the model's name.
        data: the data set's name.

    Returns:
        The file's bytes, UTF-8 with a byte order mark.
    """
    lines: list[Iterable[object]] = []
    lines.append(
        (
            *("change", "severity", "in_words", "figure", "kind"),
            *("count", "of", "share", "low_95", "high_95"),
            *("promised_at_most", "threshold", "model", "data"),
        )
    )
    limit = "" if found.limit is None else f"{found.limit:.6g}"
    about = limit, f"{threshold:.6g}", model, data
    for series in found.series:
        named = {("false_rejects", ""): series.false_rejects, ("caught", ""): series.caught}
        named |= {("caught", kind): rates for kind, rates in series.by_defect.items()}
        for (figure, kind), rates in named.items():
            for severity, rate in zip(series.severities, rates, strict=True):
                if rate.of:
                    shares = (f"{number:.6g}" for number in (rate.share, rate.low, rate.high))
                    lines.append(
                        (
                            *(series.kind, f"{severity:g}", words(series.kind, severity)),
                            *(figure, kind, rate.count, rate.of, *shares, *about),
                        )
                    )
    return results.csv_file(lines)


def robustness_json(
    found: Robustness,
    failed: Iterable[ImageError],
    margin: float,
    *,
    threshold: float,
    model: dict[str, str],
    data: str,
) -> bytes:
    """Build a JSON document of all rates, and of the tolerated severity of every change.

    Args:
        found: the measurement.
        failed: errors of the files that could not be used.
        margin: the drop in the share of defects caught, 0..1, from which a change is not tolerated.
        threshold, data: as for :func:`robustness_csv`.
        model: the model's name and id.

    Returns:
        The file's bytes, UTF-8.
    """
    document = {
        "model": model,
        "data": data,
        "threshold": threshold,
        "min_area": found.min_area,
        **to_json.robustness(found, margin),
        "skipped": to_json.skipped(failed),
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
