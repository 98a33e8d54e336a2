"""The tolerated change: how severe a change may be before a model makes more errors than it may.

The counts at the severities tried waver, although a harsher change does no good. So the limit is read from
monotone estimates, and comes with an interval from resampled images. Where one part more or less would decide
it, nothing is stated but that there are too few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.analysis.monotone import RESAMPLES, resampled_shares, rising
from padim.text import count

__all__ = ["Outcomes", "Tolerance", "parts_to_say", "tolerated_change"]

# By image, whether it is rejected (good parts) or not accepted (defects) at each severity.
Outcomes = tuple[tuple[bool, ...], ...]
# Shares are quotients of counts, and rounding must not decide a tie.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Tolerance:
    """The tolerance of a model for one kind of change.

    Attributes:
        severity: the largest severity tried that is tolerated, as are all smaller ones; 0 if not even the
            smallest is; None if it cannot be determined.
        at_least: whether all severities tried are tolerated, so that the tolerance may be larger.
        why: what fails at the next severity, or why the tolerance cannot be determined.
        low, high: ends of the 95 % interval of ``severity``, among the severities tried; None without one.
        note: which parts are too few to say anything about, so that the others alone decide; may be empty.
    """

    severity: float | None
    at_least: bool
    why: str
    low: float | None = None
    high: float | None = None
    note: str = ""


def parts_to_say(share: float) -> int:
    """Return the smallest number of parts of which a single one is less than a share: 21 for 5 %."""
    return math.floor(1 / share + _ROUNDING) + 1 if share > 0 else 1


def tolerated_change(
    severities: Sequence[float],
    rejects: Sequence[int],
    good: int,
    caught: Sequence[int],
    defects: int,
    *,
    limit: float | None,
    margin: float,
    in_words: Sequence[str],
    outcomes: tuple[Outcomes, Outcomes] | None = None,
) -> Tolerance:
    """Return up to which severity a change is tolerated.

    Args:
        severities: m severities, increasing from 0.
        rejects: good parts rejected at each of them.
        good: number of good parts.
        caught: defects not accepted at each of them.
        defects: number of defects.
        limit: largest acceptable share of good parts rejected; None if nothing is promised.
        margin: decrease in the share of defects caught that is not acceptable.
        in_words: the severities in words.
        outcomes: by image, of the good parts and of the defects, what the counts sum up; for the interval.

    Raises:
        ValueError: ``limit`` or ``margin`` is not a share, or ``margin`` is 0.
    """
    if not (limit is None or 0 <= limit <= 1) or not 0 < margin <= 1:
        raise ValueError(f"limit must be a share and margin a share above 0, got {limit} and {margin}")
    few = []
    if not good or limit is None:
        few.append("the threshold promises nothing" if limit is None else "there are no new good parts")
    elif good < (least := parts_to_say(limit)) and limit < 1:
        few.append(f"too few good parts to say: {good}, of which one is over {limit:.0%}; it takes {least}")
    of_good = limit is not None and not few
    if not defects:
        few.append("there are no defects")
    elif defects < (least := parts_to_say(margin)):
        few.append(f"too few defects to say: {defects}, of which one is {1 / defects:.0%}; it takes {least}")
    of_bad = defects > 0 and defects >= parts_to_say(margin)
    note = "; ".join(text for text in few if text.startswith("too few"))
    if not of_good and not of_bad:
        return Tolerance(None, False, " and ".join(few))
    top = 1.0 if limit is None else limit
    if of_good and rejects[0] / good > top + _ROUNDING:
        why = f"too much already as it is: {rejects[0]} of {count(good, 'good part')} are rejected"
        return Tolerance(None, False, why, note=note)
    rejected = rising(np.array([rejects]) / max(1, good))
    missed = rising(1 - np.array([caught]) / max(1, defects))
    fails_good, fails_bad = _fails(rejected, top)[0] & of_good, _loses(missed, margin)[0] & of_bad
    place = _last(fails_good | fails_bad)
    low, high = _interval(severities, outcomes, top, margin, of_good, of_bad)
    if place == len(severities) - 1:
        return Tolerance(severities[place], len(severities) > 1, "", low, high, note)
    reasons = []
    after = place + 1
    if fails_good[after]:
        reasons.append(f"{rejects[after]} of {good} good parts are rejected")
    if fails_bad[after]:
        reasons.append(f"{caught[after]} of {defects} defects are caught, not {caught[0]}")
    text = f"at {in_words[after]} {' and '.join(reasons)}"
    return Tolerance(severities[max(0, place)], False, text, low, high, note)


def _fails(rejected: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.bool_]:
    return rejected > limit + _ROUNDING


def _loses(missed: npt.NDArray[np.float64], margin: float) -> npt.NDArray[np.bool_]:
    return missed - missed[..., :1] >= margin - _ROUNDING


def _last(fails: npt.NDArray[np.bool_]) -> int:
    """Return the last index before the first failure; -1 if the first fails."""
    return int(fails.argmax()) - 1 if fails.any() else len(fails) - 1


def _interval(
    severities: Sequence[float],
    outcomes: tuple[Outcomes, Outcomes] | None,
    limit: float,
    margin: float,
    of_good: bool,
    of_bad: bool,
) -> tuple[float | None, float | None]:
    """Return the ends between which 95 % of the resamples of the images put the limit."""
    if outcomes is None:
        return None, None
    random = np.random.default_rng(0)
    good, bad = (np.array(one, bool).reshape(len(one), len(severities)) for one in outcomes)
    fails = np.zeros((RESAMPLES, len(severities)), bool)
    if of_good:
        fails |= _fails(rising(resampled_shares(good, random)), limit)
    if of_bad:
        fails |= _loses(rising(1 - resampled_shares(bad, random)), margin)
    places = np.sort([max(0, _last(one)) for one in fails])
    tail = RESAMPLES // 40
    return severities[places[tail]], severities[places[-1 - tail]]
