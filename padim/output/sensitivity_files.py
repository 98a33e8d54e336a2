"""Files of a sensitivity measurement: CSV with one line per setting, JSON with all figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from padim.analysis.blind_spots import counts_by_place
from padim.analysis.sensitivity import Sensitivity
from padim.errors import ImageError
from padim.output import results, to_json

__all__ = ["sensitivity_csv", "sensitivity_json"]


def sensitivity_csv(found: Sensitivity, *, threshold: float, model: str, data: str) -> bytes:
    """Build a CSV of the painted defects caught, one line per kind, contrast and size.

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
            *("kind", "contrast", "size_map_px", "size_px_across", "size_px_down"),
            *("caught", "tried", "share", "low_95", "high_95", "half_from_map_px", "nine_in_ten_from_map_px"),
            *("threshold", "model", "data"),
        )
    )
    about = f"{threshold:.6g}", model, data
    for kind in found.kinds:
        for contrast in found.contrasts:
            curve = found.over_size(kind, contrast)
            ends = (
                "" if reach.value is None else f"{reach.value:.4g}" for reach in (curve.at_50, curve.at_90)
            )
            half, nine = ends
            for size, rate in zip(curve.values, curve.rates, strict=True):
                sizes = (f"{size * factor:.4g}" for factor in (1.0, *found.scale))
                shares = (f"{number:.6g}" if rate.of else "" for number in (rate.share, rate.low, rate.high))
                lines.append(
                    (kind, f"{contrast:g}", *sizes, rate.count, rate.of, *shares, half, nine, *about)
                )
    return results.csv_file(lines)


def sensitivity_json(
    found: Sensitivity,
    failed: Iterable[ImageError],
    *,
    threshold: float,
    model: dict[str, str],
    data: str,
) -> bytes:
    """Build a JSON document of settings, counts, curves and places; sizes and places in map pixels.

    Args:
        found: the measurement.
        failed: errors of the files that could not be used.
        threshold, data: as for :func:`sensitivity_csv`.
        model: the model's name and id.

    Returns:
        The file's bytes, UTF-8.
    """
    document = {
        "model": model,
        "data": data,
        "threshold": threshold,
        "min_area": found.min_area,
        **to_json.sensitivity(found),
        "places": [asdict(place) for place in counts_by_place(found)],
        "skipped": to_json.skipped(failed),
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
