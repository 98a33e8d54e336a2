"""What the measurements count as plain JSON, alike in the shell and in the app."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from padim.errors import ImageError
    from padim.operating import Rate
    from padim.probe import Curve, Probe
    from padim.shift import Shift


def rate(of: Rate) -> dict[str, Any]:
    """A counted share; None of none."""
    share = of.share if of.of else None
    return {"count": of.count, "of": of.of, "share": share, "low_95": of.low, "high_95": of.high}


def curve(of: Curve) -> dict[str, Any]:
    """Counts along sizes or contrasts, and what is read off the curve through them."""
    return {
        "caught": [rate(one) for one in of.rates],
        "logistic": None if of.slope is None else {"intercept": of.intercept, "slope_per_log": of.slope},
        "at_50": asdict(of.at_50),
        "at_90": asdict(of.at_90),
        "smallest_90": asdict(of.smallest),
    }


def probe(found: Probe) -> dict[str, Any]:
    """A probe's settings, counts and curves over size; sizes in map pixels."""
    return {
        "painted_on": list(found.pictures),
        "fitted_on": found.in_fit,
        "not_good": found.not_good,
        "rejected_unpainted": found.bare_rejected,
        "void_trials": int(found.void.sum()),
        "share_caught": None if math.isnan(found.share) else found.share,
        "picture_pixels_per_map_pixel": {"x": found.scale[0], "y": found.scale[1]},
        "sizes": list(found.sizes),
        "contrasts": list(found.contrasts),
        "seed": found.seed,
        "over_size": [
            {"kind": kind, "contrast": contrast, **curve(found.over_size(kind, contrast))}
            for kind in found.kinds
            for contrast in found.contrasts
        ],
    }


def shift(found: Shift, margin: float) -> dict[str, Any]:
    """Everything counted under changes, and what is borne.

    Args:
        found: the counts.
        margin: fall in the share of defects caught that is too much.
    """
    return {
        "good": found.good,
        "defects": found.defects,
        "fitted_on": found.in_fit,
        "limit": found.limit,
        "margin": margin,
        "seed": found.seed,
        "changes": [
            {
                "kind": series.kind,
                "severities": list(series.severities),
                "false_rejects": [rate(one) for one in series.false_rejects],
                "caught": [rate(one) for one in series.caught],
                "caught_by_defect": {
                    kind: [rate(one) for one in rates] for kind, rates in series.by_defect.items()
                },
                "bears": asdict(series.bears(found.limit, margin)),
            }
            for series in found.series
        ],
    }


def skipped(failed: Iterable[ImageError]) -> list[dict[str, str]]:
    """Files that could not be used."""
    return [{"name": error.name, "error": error.reason} for error in failed]
