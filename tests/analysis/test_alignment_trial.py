"""A trial of locating: the same parts and defects with and without, on parts that lie anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from padim.analysis.alignment_advice import advise
from padim.analysis.alignment_trial import AlignmentTrial, alignment_trial
from padim.analysis.trial_defects import TrialDefect, carriers_of
from padim.config import PadimConfig
from padim.errors import Cancelled, PadimError
from tests.posed import any_pose, posed

GOOD = any_pose(16)
BLANK = np.full((120, 160, 3), 30, np.uint8)


def config(align: Any = "outline") -> PadimConfig:
    return PadimConfig.of(
        {"align": align, "input_size": 64, "n_features": 20, "smoothing_sigma": 1.0, "min_area": 4}
    )


def defects(count: int = 6) -> list[TrialDefect]:
    rng = np.random.default_rng(3)
    poses: list[dict[str, Any]] = [
        {"dx": float(rng.uniform(-9, 9)), "turn": float(rng.uniform(-180, 180))} for _ in range(count)
    ]
    return [
        TrialDefect(f"spot_{i}.png", "spot", posed(500 + i, defect=(10, -6), **pose))
        for i, pose in enumerate(poses)
    ]


@pytest.fixture(scope="module")
def found() -> AlignmentTrial:
    larger = [
        TrialDefect(f"large_{i}.png", "misplaced", posed(700 + i, turn=50.0 * i, scale=1.12))
        for i in range(2)
    ]
    return alignment_trial(GOOD, config(), [*defects(), *larger, TrialDefect("none.png", "absent", BLANK)])


def test_both_fits_take_the_same_parts_and_defects_without_the_reference(found: AlignmentTrial) -> None:
    assert found.reference == "part_000.png"
    assert found.parts == len(found.without.good) == len(found.located.good) == 15
    assert len(found.defects) == len(found.without.outcomes) == len(found.located.outcomes) == 9
    assert not found.without.poses
    assert len(found.located.poses) == 16
    assert found.spread is not None
    assert found.spread.turn > 90


def test_parts_at_any_angle_are_told_from_defects_only_when_located(found: AlignmentTrial) -> None:
    assert found.located.caught[:6].mean() > found.without.caught[:6].mean()
    assert found.located.outcomes[-1].way == "not found"
    assert advise(found).sentences


def test_displaced_parts_are_told_by_their_kind_and_caught(found: AlignmentTrial) -> None:
    assert found.displaced == {"misplaced"}
    assert all(located.caught for _, located in found.ways("misplaced"))


def test_without_labelled_defects_some_are_painted_on_parts_of_neither_fit() -> None:
    trial = alignment_trial(GOOD, config())
    carriers = carriers_of([name for name, _ in GOOD], None, None)
    assert trial.source == "painted"
    assert trial.parts == 16 - 1 - len(carriers) == 12
    assert len(trial.defects) + trial.void == 6 * len(carriers)
    assert {name.partition(" ")[0] for name, _ in trial.defects} <= set(carriers)
    again = alignment_trial(GOOD, config())
    assert again.located.outcomes == trial.located.outcomes


def test_without_anything_painted_there_is_only_the_promise() -> None:
    trial = alignment_trial(GOOD[:8], config(), paint=False)
    assert (trial.source, trial.defects) == ("none", ())
    assert advise(trial).recommendation == "no difference"


def test_good_parts_that_are_not_found_have_a_reason_and_are_rejected() -> None:
    trial = alignment_trial([*GOOD, ("blank.png", BLANK)], config(), defects(2))
    ((name, reason),) = trial.located.lost
    assert name == "blank.png"
    assert reason
    assert trial.located.false_rejects.above >= 1


def test_only_some_images_are_taken_and_the_reference_is_among_them() -> None:
    trial = alignment_trial(
        GOOD, config({"method": "outline", "reference": "part_005.png"}), paint=False, most=6
    )
    assert trial.reference == "part_005.png"
    assert len(trial.names) in (6, 7)


def test_carriers_are_whole_parts_and_never_the_references() -> None:
    names = [f"{part}_{shot}" for part in range(10) for shot in range(2)]

    def part_of(name: str) -> str:
        return name.partition("_")[0]

    chosen = carriers_of(names, None, part_of)
    assert len(chosen) == 4
    assert {part_of(name) for name in chosen} == {part_of(name) for name in chosen[::2]}
    assert "0_0" not in chosen
    assert carriers_of(names[:4], None, part_of) == []


def test_it_can_be_stopped_and_says_what_it_lacks() -> None:
    with pytest.raises(Cancelled):
        alignment_trial(GOOD, config(), defects(2), cancel=lambda: True)
    with pytest.raises(PadimError, match="no align"):
        alignment_trial(GOOD, config(None))
    with pytest.raises(PadimError, match="no threshold"):
        alignment_trial(GOOD[:3], config(), paint=False)
    blank = [(f"blank_{i}.png", BLANK + np.uint8(i)) for i in range(4)]
    with pytest.raises(PadimError, match=r"found in none of the good images.*blank_0\.png"):
        alignment_trial([GOOD[0], *blank], config(), paint=False)
    with pytest.raises(PadimError, match="different names"):
        alignment_trial([GOOD[0], GOOD[0]], config())
