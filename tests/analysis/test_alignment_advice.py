"""What a trial of locating recommends, from made-up outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from padim.analysis.alignment_advice import advise, compared
from padim.analysis.alignment_trial import AlignmentTrial, Arm, TrialOutcome, displaced_kinds
from padim.config import PadimConfig
from padim.decision.calibration import FalseRejectRate
from padim.locating.pose import Pose

N = 30


def arm(ways: Sequence[str], lost: int = 0, good: Sequence[int] | None = None) -> Arm:
    levels = {"map": 900, "displacement": 950, "not found": 65535, "missed": 100}
    return Arm(
        1.0,
        FalseRejectRate.counted(1, N),
        tuple((f"lost_{i}.png", "two parts in the image") for i in range(lost)),
        tuple(Pose(1, 0, 2, 1, 1) for _ in range(N - lost)),
        np.arange(N) if good is None else np.array(good, np.int64),
        tuple(TrialOutcome(levels[way], way) for way in ways),  # type: ignore[arg-type]
    )


def trial(
    without: Sequence[str], located: Sequence[str], kinds: Sequence[str] | None = None, **more: Any
) -> AlignmentTrial:
    kinds = ["scratch"] * len(without) if kinds is None else kinds
    source = more.pop("source", "labelled" if without else "none")
    return AlignmentTrial(
        PadimConfig(),
        "part_0.png",
        N,
        arm(without),
        arm(located, **more),
        tuple((f"{kind}_{i}.png", kind) for i, kind in enumerate(kinds)),
        source,
        displaced_kinds(kinds),
        locator=None,  # type: ignore[arg-type]
    )


def test_more_defects_caught_than_chance_explains_helps() -> None:
    found = advise(trial(["missed"] * 12, ["map"] * 12))
    assert found.recommendation == "helps"
    assert "Of 12 defects 0% are caught without and 100% with it" in found.text


def test_one_more_defect_is_no_difference() -> None:
    found = advise(trial(["map"] * 9 + ["missed"], ["map"] * 10))
    assert found.recommendation == "no difference"
    assert "Leave it off" in found.text


def test_fewer_caught_is_worse() -> None:
    found = advise(trial(["map"] * 12, ["missed"] * 12))
    assert found.recommendation == "worse"
    assert "Leave it off" in found.text


def test_displaced_parts_that_are_corrected_away_are_worse_even_if_the_rest_gains() -> None:
    kinds = ["scratch"] * 12 + ["misplaced"] * 2
    found = advise(trial(["missed"] * 12 + ["map"] * 2, ["map"] * 12 + ["missed"] * 2, kinds))
    assert found.recommendation == "worse"
    assert "hides defects" in found.text
    assert "Judge the displacement" in found.text
    # Caught by a limit of their displacement, they are not hidden.
    found = advise(trial(["missed"] * 12 + ["map"] * 2, ["map"] * 12 + ["displacement"] * 2, kinds))
    assert found.recommendation == "helps"
    assert "2 are caught without and 2 with it" in found.text


def test_good_parts_that_are_not_found_are_worse_with_the_reason() -> None:
    found = advise(trial(["missed"] * 12, ["map"] * 12, lost=4))
    assert found.recommendation == "worse"
    assert "4 of 30 good images, such as lost_0.png: two parts in the image" in found.text


def test_painted_defects_are_an_indication_and_none_cannot_show_a_gain() -> None:
    assert "painted" in advise(trial(["missed"] * 12, ["map"] * 12, source="painted")).text
    found = advise(trial([], []))
    assert found.recommendation == "no difference"
    assert "Give images of defective parts" in found.text


def test_a_part_that_is_not_found_ranks_above_all() -> None:
    found = compared(trial(["missed"] * 4, ["not found"] * 4))
    assert found.aurocs == (1.0, 1.0)
    assert found.recalls == (0.0, 1.0)


def test_displaced_kinds_are_told_by_their_names() -> None:
    kinds = ["misplaced", "Part rotated", "flip", "scratch", "thread_top", "gauge"]
    assert displaced_kinds(kinds) == {"misplaced", "Part rotated", "flip"}
