"""A robustness measurement as files: CSV with a line a count, JSON with everything."""

from __future__ import annotations

import json
from collections.abc import Iterable

from padim.analysis.image_changes import words
from padim.analysis.robustness import Robustness
from padim.errors import ImageError
from padim.output import results, to_json

__all__ = ["robustness_csv", "robustness_json"]


def robustness_csv(found: Robustness, *, threshold: float, model: str, data: str) -> bytes:
    """Counts at every severity of every change, one a line; those of a kind of defect name it.

    Args:
        found: the measurement.
        threshold: it was judged at, in map units.
        model: its name.
        data: what the images are, as the user knows them.
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
    """Everything counted, and what change is tolerated, as JSON.

    Args:
        found: the measurement.
        failed: files that could not be used.
        margin: fall in the share of defects caught that is too much.
        threshold, data: as for :func:`robustness_csv`.
        model: what identifies it.
    """
    whole = {
        "model": model,
        "data": data,
        "threshold": threshold,
        "min_area": found.min_area,
        **to_json.robustness(found, margin),
        "skipped": to_json.skipped(failed),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()
