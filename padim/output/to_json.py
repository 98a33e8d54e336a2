"""Conversion of measurements to plain JSON, the same for the command line and the web application."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from padim.analysis.detection_curve import Curve
    from padim.analysis.learning_figures import LearningCurve, Spread, Trial
    from padim.analysis.robustness import Robustness
    from padim.analysis.sensitivity import Sensitivity
    from padim.decision.operating_points import Rate
    from padim.decision.verdicts import VerdictCounts, VerdictRates
    from padim.errors import ImageError


def rate(of: Rate) -> dict[str, Any]:
    """Convert a counted share; its ``share`` is null if nothing was counted."""
    share = of.share if of.of else None
    return {"count": of.count, "of": of.of, "share": share, "low_95": of.low, "high_95": of.high}


def verdicts(of: VerdictCounts) -> dict[str, int]:
    """Convert the number of images with each verdict."""
    return asdict(of)


def verdict_rates(of: VerdictRates) -> dict[str, dict[str, float]]:
    """Convert the expected shares of good parts: rejected, and rejected or in review.

    ``limit`` is the score, in map units, above which a part counts; without a guard band the two are equal.
    """
    return {
        name: {
            "above": one.above,
            "parts": one.n,
            "expected": one.expected,
            "upper_95": one.upper,
            "limit": limit,
        }
        for name, one, limit in (
            ("false_rejects", of.rejected, of.reject_above),
            ("rejected_or_in_review", of.not_accepted, of.review_above),
        )
    }


def curve(of: Curve) -> dict[str, Any]:
    """Convert a detection curve: counts by size or contrast, the logistic fit, and sizes read from it."""
    return {
        "caught": [rate(one) for one in of.rates],
        "logistic": None if of.slope is None else {"intercept": of.intercept, "slope_per_log": of.slope},
        "at_50": asdict(of.at_50),
        "at_90": asdict(of.at_90),
        "smallest_90": asdict(of.smallest),
    }


def sensitivity(found: Sensitivity) -> dict[str, Any]:
    """Convert a sensitivity measurement: settings, counts and curves over size, in map pixels."""
    return {
        "painted_on": list(found.images),
        "fitted_on": found.in_fit,
        "not_good": found.not_good,
        "rejected_unpainted": found.bare_rejected,
        "void_trials": int(found.void.sum()),
        "share_caught": None if math.isnan(found.share) else found.share,
        "image_pixels_per_map_pixel": {"x": found.scale[0], "y": found.scale[1]},
        "sizes": list(found.sizes),
        "contrasts": list(found.contrasts),
        "seed": found.seed,
        "over_size": [
            {"kind": kind, "contrast": contrast, **curve(found.over_size(kind, contrast))}
            for kind in found.kinds
            for contrast in found.contrasts
        ],
    }


def robustness(found: Robustness, margin: float) -> dict[str, Any]:
    """Convert a robustness measurement: rates at every severity, and the tolerated severities.

    Args:
        found: the measurement.
        margin: the drop in the share of defects caught, 0..1, from which a change is not tolerated.
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
                "tolerance": asdict(series.tolerance(found.limit, margin)),
            }
            for series in found.series
        ],
    }


def learning_curve(found: LearningCurve) -> dict[str, Any]:
    """Convert a learning curve: figures by number of parts, the advice, and the number of unusual parts that
    the threshold tolerates."""
    from padim.analysis.learning_advice import advice
    from padim.decision.calibration import odd_parts_tolerated, parts_needed

    gain = found.gain
    return {
        "parts": found.parts,
        "percentile": found.permille / 10,
        "seed": found.seed,
        "draws": found.draws,
        "defects": None
        if found.defects is None
        else {
            "kind": found.defects,
            "count": found.painted or len(found.names),
            "names": list(found.names),
            "passed_over": found.passed_over,
        },
        "sizes": [
            {
                "parts": size.parts,
                "threshold": asdict(size.threshold),
                "promised": asdict(size.promised),
                "promised_at_most_95": asdict(size.promised_at_most),
                "left_out_rejected": _spread(size.left_out),
                "left_out_rejected_at_threshold_of_all": _spread(size.left_out_at_full),
                "caught": _spread(size.recall),
                "caught_at_threshold_of_all": _spread(size.recall_at_full),
                "fits": [_trial(trial) for trial in size.trials],
            }
            for size in found.sizes
        ],
        "last_doubling": None if gain is None else {**asdict(gain), "trend": gain.trend},
        "odd_parts": {
            "tolerated": max(0, odd_parts_tolerated(found.permille, found.parts)),
            "parts_for_a_threshold": parts_needed(found.permille),
            "parts_to_tolerate_one": parts_needed(found.permille, 1),
            "parts_to_tolerate_two": parts_needed(found.permille, 2),
        },
        "advice": advice(found),
    }


def _spread(found: Spread | None) -> dict[str, float] | None:
    return None if found is None else asdict(found)


def _trial(trial: Trial) -> dict[str, Any]:
    """Convert one fit; the share of defects caught is null without defects."""
    caught = [None if math.isnan(value) else value for value in trial.caught.tolist()]
    return {
        "threshold": trial.threshold,
        "supported": trial.supported,
        "promised": {
            "above": trial.promise.above,
            "parts": trial.promise.n,
            "expected": trial.promise.expected,
            "upper_95": trial.promise.upper,
        },
        "left_out_rejected": rate(trial.left_out),
        "caught_by_defect": caught or None,
    }


def skipped(failed: Iterable[ImageError]) -> list[dict[str, str]]:
    """Convert errors of files that could not be used to names and reasons."""
    return [{"name": error.name, "error": error.reason} for error in failed]
