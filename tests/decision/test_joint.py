"""One promise for several statistics: whole numbers against fractions, ranks, limits, parts not found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.calibration import image_threshold, rank
from padim.decision.guard_band import Guard, VerdictLimits
from padim.decision.joint import BEYOND, JointScale, Statistic, scale_of
from padim.decision.part_scores import PartScores, joint_scale, part_scores, without_limits
from padim.decision.prediction import Prediction, decide
from padim.decision.verdicts import count_verdicts
from padim.locating.frame import Frame
from padim.locating.pose import Pose
from padim.locating.settings import STATISTICS, Align, Displacement
from padim.storage.normals import Normal

FRAME = Frame.whole((64, 64))
SHAPE = (64, 64)

levels = st.integers(0, 60_000)
steps = st.integers(0, 5_000)
weights = st.sampled_from((0.001, 0.1, 0.3, 0.5, 1.0, 1.7, 2.0, 1000.0))


@st.composite
def calibrations(draw: st.DrawFn) -> tuple[JointScale, list[tuple[int, dict[Displacement, int]]]]:
    """Scales and parts, some with ties and medians of 0."""
    n = draw(st.integers(1, 30))
    few = draw(st.booleans())
    level, step = (st.integers(0, 3), st.integers(0, 2)) if few else (levels, steps)
    names: Sequence[Displacement] = STATISTICS[: draw(st.integers(0, 3))]
    parts = [(draw(level), {name: draw(step) for name in names}) for _ in range(n)]
    statistics = tuple(
        Statistic.of(name, scale_of((sizes[name] for _, sizes in parts), draw(weights)), 1.0)
        for name in names
    )
    return JointScale(scale_of(level for level, _ in parts), statistics, "reject"), parts


def joint_level(scale: JointScale, level: int, sizes: dict[Displacement, int]) -> int:
    return max(level, scale.displaced(sizes))


def u_of(scale: JointScale, level: int, sizes: dict[Displacement, int]) -> Fraction:
    """The definition: the largest value of all statistics, each by its scale."""
    return max([level / scale.map_scale, *(sizes[one.name] / one.scale for one in scale.statistics)])


@given(calibrations(), st.integers(1, 999))
def test_the_verdict_is_that_of_fractions_to_within_a_level(
    calibration: tuple[JointScale, list[tuple[int, dict[Displacement, int]]]], permille: int
) -> None:
    scale, parts = calibration
    us = [u_of(scale, *part) for part in parts]
    joint = np.array([joint_level(scale, *part) for part in parts], np.int64)
    for level, u in zip(joint, us, strict=True):
        assert level == scale.map_scale * u // 1  # the joint level is floor(a_map u)
    threshold = image_threshold(joint, permille).level
    t_u = sorted(us)[min(rank(permille, len(us)), len(us)) - 1]
    assert threshold == scale.map_scale * t_u // 1  # L = floor(a_map T_u)
    limits = scale.limits(threshold)
    for (level, sizes), u in zip(parts, us, strict=True):
        rejected = level > threshold or any(sizes[name] > limit for name, limit in limits.items())
        assert rejected == (joint_level(scale, level, sizes) > threshold)
        if rejected:
            assert u > t_u
        elif u > t_u:  # by less than one level of the map
            assert scale.map_scale * u < threshold + 1
    for one in scale.statistics:
        exact = one.scale * t_u // 1
        assert exact <= limits[one.name] < one.scale * (t_u + 1 / scale.map_scale)


@given(calibrations(), st.integers(0, MAX_LEVEL))
def test_limits_are_the_largest_sizes_that_pass_and_grow_with_the_threshold(
    calibration: tuple[JointScale, list[tuple[int, dict[Displacement, int]]]], threshold: int
) -> None:
    scale, _ = calibration
    for name, limit in scale.limits(threshold).items():
        assert scale.displaced({name: limit}) <= threshold < scale.displaced({name: limit + 1})
        assert limit <= scale.limits(threshold + 1)[name]


@given(calibrations(), st.integers(1, 999))
def test_the_part_that_sets_the_threshold_passes_and_no_more_than_promised_are_rejected(
    calibration: tuple[JointScale, list[tuple[int, dict[Displacement, int]]]], permille: int
) -> None:
    scale, parts = calibration
    joint = np.array([joint_level(scale, *part) for part in parts], np.int64)
    threshold = image_threshold(joint, permille).level
    assert threshold in joint
    assert np.count_nonzero(joint > threshold) <= max(0, len(parts) - rank(permille, len(parts)))


@given(st.lists(levels, min_size=1, max_size=40), st.integers(1, 999))
def test_with_the_map_alone_everything_is_as_without_locating(scores: list[int], permille: int) -> None:
    scale = JointScale(scale_of(scores), (), "reject")
    normals = [normal(str(index)) for index in range(len(scores))]
    alone = part_scores(normals, scores, lambda one: scale.displaced({}, bool(one.lost)))
    assert alone.joint.tolist() == scores == part_scores(normals, scores).joint.tolist()
    assert image_threshold(alone.joint, permille) == image_threshold(np.array(scores), permille)


@pytest.mark.parametrize(
    ("values", "weight", "expected"),
    [
        ([], 1.0, Fraction(1)),
        ([0, 0, 9], 1.0, Fraction(1)),  # a median of 0 counts as one level
        ([0, 1, 2, 9], 1.0, Fraction(3, 2)),
        ([7, 3, 5], 0.1, Fraction(1, 2)),
        ([0], 0.25, Fraction(1, 4)),
    ],
)
def test_a_scale_is_the_weight_times_the_median(values: list[int], weight: float, expected: Fraction) -> None:
    assert scale_of(values, weight) == expected


def test_a_weight_makes_a_statistic_more_lenient_in_proportion() -> None:
    limits = [
        JointScale(Fraction(1000), (Statistic.of("shift", Fraction(w) * 20, 1.0),), "reject").limits(1499)[
            "shift"
        ]
        for w in (1, 2, 10)
    ]
    assert limits == [29, 59, 299]  # below 1.5 times the scale


# -- parts -------------------------------------------------------------------------------------------------


def normal(group: str, *, shift: float = 0.0, turn: float = 0.0, **changes: object) -> Normal:
    pose = Pose(shift, 0.0, turn, 1.0, 0.9)
    return replace(Normal("a", "0", group, "fit", (64, 64), (0, 0), pose=pose), **changes)  # type: ignore[arg-type]


def sizes_of(one: Normal) -> dict[Displacement, int]:
    return {} if one.pose is None else one.pose.levels(FRAME, SHAPE)


def lost(group: str, status: str = "kept_out") -> Normal:
    return normal(group, status=status, pose=None, lost="no outline")


def test_scales_are_medians_over_parts_each_by_its_worst_image() -> None:
    normals = [
        normal("a", shift=1),
        normal("a", shift=5),
        normal("b", shift=2),
        normal("c", shift=3, status="kept_out"),
        normal("d", shift=90, status="not_good"),
        normal("e", shift=0, status="reference"),
        lost("f"),
    ]
    align = Align(method="features", shift_weight=0.5, turn_weight=None, scale_weight=1)
    scale = joint_scale(align, FRAME, SHAPE, normals, [10, 20, 30, 50, 9000, 9000, 9000])
    assert scale.map_scale == 30
    assert {one.name: one.scale for one in scale.statistics} == {
        "shift": Fraction(1, 2) * 30,  # steps of 0.1 map pixel
        "scale": Fraction(1),
    }
    assert [one.unit for one in scale.statistics] == ["px", "%"]


def test_a_group_counts_once_by_the_worst_of_all_its_images() -> None:
    normals = [normal("a", shift=5), normal("a"), normal("b", shift=1)]
    align = Align(method="features", turn_weight=None, scale_weight=None, shift_weight=1)
    scale = joint_scale(align, FRAME, SHAPE, normals, [100, 300, 200])
    of_parts = part_scores(
        normals,
        [100, 300, 200],
        lambda one: scale.displaced(one.pose.levels(FRAME, SHAPE)) if one.pose else 0,
    )
    assert scale.map_scale == 250
    assert of_parts.scores.tolist() == [300, 200]
    assert of_parts.displaced.tolist() == [50 * 250 // 30, 10 * 250 // 30]
    assert of_parts.joint.tolist() == [416, 200]


def test_a_part_not_found_in_one_image_is_above_everything_when_rejected() -> None:
    normals = [normal("a"), lost("a"), normal("b")]
    scale = JointScale(Fraction(10), (), "reject")
    parts = part_scores(normals, [10, 65_000, 20], lambda one: scale.displaced({}, bool(one.lost)))
    assert parts.scores.tolist() == [10, 20]  # a map of something else counts for nothing
    assert parts.joint.tolist() == [MAX_LEVEL, 20]
    assert count_verdicts(parts, VerdictLimits(0, MAX_LEVEL, MAX_LEVEL)).reject == 1
    assert not parts.unsure.any()


def test_a_part_not_found_is_below_everything_and_in_review_when_reviewed() -> None:
    normals = [lost("a"), normal("b"), normal("c"), lost("d", "not_good")]
    scale = JointScale(Fraction(10), (), "review")
    parts = part_scores(
        normals, [65_000, 20, 90, 1], lambda one: scale.displaced({}, bool(one.lost)), review_lost=True
    )
    assert parts.joint.tolist() == [0, 20, 90]
    counts = count_verdicts(parts, VerdictLimits(50, 50, 50))
    assert (counts.accept, counts.review, counts.reject) == (1, 1, 1)


def test_displacements_have_no_guard_band() -> None:
    limits = VerdictLimits(90, 110, 100)
    assert [limits.verdict(0, displaced) for displaced in (95, 100, 101, 105)] == [
        *("accept", "accept", "reject", "reject")
    ]
    assert [limits.verdict(score, 0) for score in (90, 95, 105, 111)] == [
        *("accept", "review", "review", "reject")
    ]


# -- predictions -------------------------------------------------------------------------------------------

SHIFT = JointScale(Fraction(100), (Statistic.of("shift", Fraction(20), 2.0),), "reject")


def prediction(peak: int, threshold: int, shift: int | None = None, **changes: object) -> Prediction:
    q = np.zeros((8, 8), np.uint16)
    q[2:4, 2:4] = peak
    found = {} if shift is None else {"shift": shift}
    return replace(decide(q, threshold, 4), displacement=found, joint=SHIFT, **changes)  # type: ignore[arg-type]


@given(levels, st.integers(0, MAX_LEVEL - 1), steps)
def test_an_image_is_rejected_exactly_when_its_mask_is_not_empty_or_a_check_fires(
    peak: int, threshold: int, shift: int
) -> None:
    one = prediction(peak, threshold, shift)
    (check,) = one.checks
    assert one.rejected == (one.mask.any() or check.fired) == (one.verdict == "reject")
    assert check.fired == (check.value > check.limit)
    assert bool(one.reasons) == one.rejected
    assert (one.joint_score > threshold) == one.rejected
    assert one.score == peak


def test_reasons_name_what_is_above_its_limit() -> None:
    one = prediction(50, 60, 30)
    assert one.rejected
    assert not one.mask.any()
    assert one.reasons == ("shifted by 6 px, above the limit of 2.4 px",)
    assert one.joint_level == 150
    # The limit follows the threshold.
    assert not one.at(level=150).rejected
    assert one.at(level=150).reasons == ()
    assert one.at(level=40).reasons == (
        "score 50, above the threshold of 40",
        "shifted by 6 px, above the limit of 1.6 px",
    )


def test_a_part_that_is_not_found_has_its_own_verdict_even_without_a_threshold() -> None:
    gone = prediction(0, 60, lost="two parts", threshold_level=None)
    assert gone.rejected
    assert gone.verdict == "reject"
    assert gone.reasons == ("part not found: two parts",)
    assert gone.displaced_level == BEYOND
    assert gone.checks == ()
    to_review = replace(gone, joint=replace(SHIFT, on_lost="review"))
    assert not to_review.rejected
    assert to_review.verdict == "review"
    assert "not found" in repr(to_review)


def test_the_guard_band_is_a_reason_too() -> None:
    one = prediction(55, 60, 3, guard=Guard(8.0, 4.0, 9, 12, 3))
    assert one.verdict == "review"
    assert one.reasons == ("score 55, in the guard band around 60",)
    assert not one.rejected


def test_without_held_out_scores_only_a_part_that_is_not_found_is_judged() -> None:
    scale = without_limits(Align(method="outline", on_lost="reject"))
    assert scale.displaced({"shift": 4000, "turn": 1, "scale": 1}) == 0
    assert scale.displaced({}, lost=True) == BEYOND
    assert scale.limits(10) == {}


def test_scores_of_maps_alone_have_no_displacement() -> None:
    parts = PartScores.of_map([3, 1])
    assert parts.joint.tolist() == [3, 1]
    assert len(parts) == 2
