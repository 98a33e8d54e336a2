"""Repeatability and the guard band: against their definitions and promise, and through a bundle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from padim import BundleError, CalibrationError, Padim, PadimConfig
from padim.decision.anomaly_map import MAX_LEVEL, Quantizer
from padim.decision.guard_band import Guard, Repeatability, guard_levels, half_width, pooled, verdict_of
from padim.decision.prediction import decide
from padim.storage import bundle
from tests.parts import normals

NO_LEVELS = (1, 0)
SCORES = st.floats(-1e6, 1e6)


# --- the scatter ---


@given(groups=st.lists(st.lists(SCORES, max_size=6), max_size=8))
def test_pooled_variance_weighs_each_part_by_its_degrees_of_freedom(groups: list[list[float]]) -> None:
    repeated = [group for group in groups if len(group) > 1]
    found = pooled(groups)
    if not repeated:
        assert found is None
        return
    assert found is not None
    dof = sum(len(group) - 1 for group in repeated)
    variance = sum((len(group) - 1) * np.var(group, ddof=1) for group in repeated) / dof
    assert found.sd == pytest.approx(math.sqrt(variance), rel=1e-6, abs=1e-6)
    assert (found.dof, found.shots, found.parts) == (dof, sum(map(len, repeated)), len(repeated))


@given(
    group=st.lists(st.integers(-100, 100), min_size=2, max_size=6),
    shifts=st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=5),
)
def test_how_parts_differ_does_not_enter(group: list[int], shifts: list[int]) -> None:
    one = pooled([group])
    many = pooled([[score + shift for score in group] for shift in shifts])
    assert one is not None
    assert many is not None
    # More degrees of freedom in the divisor, the same ratio.
    assert many.sd == pytest.approx(one.sd)
    assert many.dof == len(shifts) * one.dof


def test_equal_shots_do_not_scatter() -> None:
    assert pooled([[0.1, 0.1, 0.1], [0.7] * 4]) == Repeatability(0.0, 5, 7, 2)


def test_nothing_cancels_far_from_zero() -> None:
    found = pooled([[1e9, 1e9 + 1, 1e9 + 2]])
    assert found is not None
    assert found.sd == 1.0


def test_parts_shot_once_tell_nothing() -> None:
    assert pooled([]) is None
    assert pooled([[1.0], [], [5.0]]) is None
    assert pooled([[1.0], [3.0, 5.0]]) == pooled([[3.0, 5.0]])


def test_groups_may_be_read_once_and_hold_numbers_of_numpy() -> None:
    found = pooled(list(np.array(group, np.float32)) for group in ([1, 2], [5, 7]))
    assert found == pooled([[1, 2], [5, 7]])
    assert found is not None
    assert type(found.sd) is float


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        pooled([[1.0, 2.0], [wrong]])


# --- the half width ---


@given(dof=st.integers(1, 500), confidence=st.floats(0.5, 0.999), sd=st.floats(0, 1e3))
def test_half_width_is_the_one_sided_quantile(dof: int, confidence: float, sd: float) -> None:
    found = half_width(Repeatability(sd, dof, dof + 1, 1), confidence)
    assert found == pytest.approx(t.ppf(confidence, dof) * sd, rel=1e-8, abs=1e-9)
    assert found >= 0


def test_known_quantiles() -> None:
    assert half_width(Repeatability(1, 1, 2, 1)) == pytest.approx(6.314, abs=0.001)
    assert half_width(Repeatability(2, 10, 12, 2)) == pytest.approx(2 * 1.812, abs=0.001)
    assert half_width(Repeatability(1, 10**6, 10**6 + 1, 1)) == pytest.approx(1.645, abs=0.001)


@pytest.mark.parametrize("confidence", [0.49, 1.0, -1, math.nan])
def test_impossible_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        half_width(Repeatability(1, 3, 4, 1), confidence)


def test_no_degrees_of_freedom_are_refused() -> None:
    with pytest.raises(ValueError, match="at least twice"):
        half_width(Repeatability(0, 0, 1, 1))


def test_the_guard_band_keeps_its_promise() -> None:
    """A part whose mean is just beyond the threshold is judged the other way outright on 5 % of its shots."""
    rng = np.random.default_rng(0)
    quantizer, threshold, draws = Quantizer(0.0, 1e-4), 30_000, 4000
    value = quantizer.to_value(threshold)
    accepted = rejected = crossed = 0
    for _ in range(draws):
        # Two parts, three shots each: four degrees of freedom, where the normal quantile would not do.
        measured = pooled(rng.normal([[1.0], [2.0]], 0.05, (2, 3)))
        assert measured is not None
        guard = Guard.of(measured)
        shot = rng.normal(0, 0.05)
        above, below = (quantizer.to_level(value + side * 1e-4 + shot) for side in (1, -1))
        accepted += verdict_of(above, threshold, guard, quantizer) == "accept"
        rejected += verdict_of(below, threshold, guard, quantizer) == "reject"
        crossed += shot < -1.645 * measured.sd
    error = 4 * math.sqrt(0.05 * 0.95 / draws)
    assert abs(accepted / draws - 0.05) < error
    assert abs(rejected / draws - 0.05) < error
    assert crossed / draws > 0.05 + error


# --- verdicts ---

GUARDS = st.builds(lambda w: Guard(w, 1.0, 1, 2, 1), st.floats(0, 400))


@settings(max_examples=300)
@given(
    score=st.integers(0, MAX_LEVEL),
    threshold=st.integers(0, MAX_LEVEL),
    guard=st.none() | GUARDS,
    step=st.sampled_from([0.25, 0.5, 1.0, 3.0]),
)
def test_verdicts_follow_their_definition(
    score: int, threshold: int, guard: Guard | None, step: float
) -> None:
    quantizer = Quantizer(-3.0, step)
    found = verdict_of(score, threshold, guard, quantizer)
    # These steps divide exactly, so that the distance in map units is the definition itself.
    if guard is not None and guard.half_width >= step and abs(score - threshold) * step <= guard.half_width:
        assert found == "review"
    else:
        assert found == ("reject" if score > threshold else "accept")
    low, high = guard_levels(threshold, guard, quantizer)
    assert (low <= score <= high) == (found == "review")
    assert 0 <= low <= MAX_LEVEL
    assert 0 <= high <= MAX_LEVEL


def test_the_border_calls_for_review() -> None:
    guard, quantizer = Guard(10.0, 5.0, 8, 10, 2), Quantizer(0.0, 2.0)
    assert guard_levels(100, guard, quantizer) == (95, 105)
    found = [verdict_of(score, 100, guard, quantizer) for score in (94, 95, 100, 101, 105, 106)]
    assert found == ["accept", "review", "review", "review", "review", "reject"]


@pytest.mark.parametrize("width", [0.0, 1.99])
def test_a_band_of_less_than_a_level_is_none(width: float) -> None:
    quantizer = Quantizer(0.0, 2.0)
    for guard in (None, Guard(width, 1.0, 1, 2, 1)):
        assert guard_levels(100, guard, quantizer) == NO_LEVELS
        assert verdict_of(100, 100, guard, quantizer) == "accept"
        assert verdict_of(101, 100, guard, quantizer) == "reject"


def test_the_band_ends_with_the_scale() -> None:
    wide, quantizer = Guard(1e300, 1.0, 1, 2, 1), Quantizer(0.0, 1e-300)
    assert guard_levels(100, wide, quantizer) == (0, MAX_LEVEL)
    narrow, quantizer = Guard(5, 1.0, 1, 2, 1), Quantizer(0.0, 1.0)
    assert guard_levels(2, narrow, quantizer) == (0, 7)
    assert guard_levels(MAX_LEVEL, narrow, quantizer) == (MAX_LEVEL - 5, MAX_LEVEL)


@pytest.mark.parametrize("threshold", [-1, 65536])
def test_impossible_thresholds_are_refused(threshold: int) -> None:
    with pytest.raises(ValueError, match="level of 0 to 65535"):
        verdict_of(3, threshold, None, Quantizer(0.0, 1.0))


def test_a_guard_is_what_was_measured() -> None:
    measured = pooled([[1.0, 1.2, 1.1], [3.0, 3.3]])
    assert measured is not None
    guard = Guard.of(measured)
    assert (guard.sd, guard.dof, guard.shots, guard.parts) == (measured.sd, 3, 5, 2)
    assert guard.half_width == half_width(measured)
    assert Guard.of(measured, 0.99).half_width == half_width(measured, 0.99) > guard.half_width


BAD: list[dict[str, Any]] = [
    {"half_width": -0.1},
    {"half_width": math.nan},
    {"half_width": math.inf},
    {"half_width": 10**400},
    {"half_width": "1"},
    {"half_width": None},
    {"half_width": True},
    {"sd": -1.0},
    {"sd": math.nan},
    {"sd": [1.0]},
    {"dof": -1},
    {"dof": 1.5},
    {"shots": "4"},
    {"parts": True},
    {"parts": None},
]
GOOD: dict[str, Any] = {"half_width": 1.5, "sd": 0.5, "dof": 4, "shots": 6, "parts": 2}


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_impossible_guards_are_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Guard(**{**GOOD, **wrong})


# --- in the model and its bundle ---


@pytest.fixture
def model(saved_model: Path) -> Padim:
    return Padim.load(saved_model)


def test_a_model_without_a_guard_never_calls_for_review(model: Padim) -> None:
    assert model.decision.guard is None
    level = model.threshold_level
    assert [model.verdict(level), model.verdict(level + 1)] == ["accept", "reject"]


def test_the_guard_changes_verdicts_and_no_mask(model: Padim) -> None:
    level = model.threshold_level
    before = model.state.part_scores(model.config.min_area).copy()
    step = model.state.fitted.quantizer.step
    assert model.set_guard(Guard(3.5 * step, step, 4, 6, 2)) is model
    found = [model.verdict(score) for score in range(level - 4, level + 6)]
    assert found == ["accept", *["review"] * 7, "reject", "reject"]
    assert model.threshold_level == level
    np.testing.assert_array_equal(model.state.part_scores(model.config.min_area), before)
    assert model.verdict(level, level - 10) == "reject"
    for index in range(3):
        q = model.state.held_out_map(index)
        score = int(model.state.image_levels(model.config.min_area)[index])
        # Right below its score an image is rejected, with a mask, although the verdict asks for review.
        decision = decide(q, score - 1, model.config.min_area, original_size=q.shape[::-1])
        assert decision.rejected
        assert decision.mask.any()
        assert model.verdict(score, score - 1) == "review"
    model.set_guard(None)
    assert model.verdict(level + 1) == "reject"


def test_without_a_threshold_there_is_no_verdict(small_config: PadimConfig) -> None:
    model = Padim(small_config).fit(normals(2))
    with pytest.raises(CalibrationError, match="no threshold"):
        model.verdict(5)
    assert model.verdict(5, 4) == "reject"


def test_the_guard_stays_through_a_change_of_scale(model: Padim) -> None:
    guard = Guard(**GOOD)
    model.set_guard(guard).set_decision(smoothing_sigma=4.0)
    assert model.decision.guard == guard


@pytest.mark.parametrize("place", ["model", "model.zip"])
def test_the_guard_is_saved_and_taken_back(model: Padim, tmp_path: Path, place: str) -> None:
    guard = Guard(0.1 + 0.2, 1 / 3, 4, 6, 2)
    again = Padim.load(model.set_guard(guard).save(tmp_path / place))
    assert again.decision.guard == guard
    assert Padim.load(again.set_guard(None).save(tmp_path / place)).decision.guard is None


def test_a_model_saved_before_guards_opens(model: Padim, tmp_path: Path) -> None:
    path = model.set_guard(Guard(**GOOD)).save(tmp_path / "m")
    edit(path, lambda manifest: manifest.pop("guard"))
    assert Padim.load(path).decision.guard is None


@pytest.mark.parametrize(
    "guard",
    [
        *({**GOOD, **wrong} for wrong in BAD),
        {},
        {"half_width": 1.5},
        {**GOOD, "extra": 1},
        [],
        [1.5, 0.5, 4, 6, 2],
        "wide",
        3,
        False,
    ],
    ids=str,
)
def test_a_damaged_guard_is_refused(model: Padim, tmp_path: Path, guard: Any) -> None:
    path = model.save(tmp_path / "m")
    edit(path, lambda manifest: manifest.update(guard=guard))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Padim.load(path)


def edit(path: Path, change: Any) -> None:
    """Change a manifest and seal it again."""
    manifest = json.loads((path / bundle.MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    manifest["seal"] = bundle._seal(manifest)
    (path / bundle.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
