"""Models that judge how a part lies: threshold, counts and verdicts go by one joint score everywhere."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from padim import Padim
from padim.analysis.held_out_scores import held_out_scores
from padim.analysis.percentile_table import percentile_table
from padim.analysis.second_session import second_session
from padim.analysis.stored_score import StoredScore
from padim.decision.calibration import image_threshold
from padim.decision.guard_band import Guard
from padim.decision.joint import JointScale
from padim.decision.prediction import Prediction
from padim.output.results import csv_cells, decision_document
from tests.posed import any_pose, posed

BLANK = ("blank.png", np.full((120, 160, 3), 30, np.uint8))


@cache
def parts() -> list[tuple[str, np.ndarray[Any, np.dtype[np.uint8]]]]:
    return [*any_pose(46, seed=3, shift=4.0, turn=5.0), BLANK]


def fitted(**align: Any) -> Padim:
    weights = {"shift_weight": 1.0, "turn_weight": None, "scale_weight": None, **align}
    return Padim(
        align={"method": "outline", **weights},
        input_size=64,
        n_features=20,
        smoothing_sigma=1.0,
        min_area=4,
    ).fit(parts())


@pytest.fixture(scope="module")
def model() -> Padim:
    return fitted()


def scale_of(model: Padim) -> JointScale:
    found = model.state.joint
    assert found is not None
    return found


def scored(model: Padim, **pose: Any) -> Prediction:
    return next(iter(model.predict([posed(4000, **pose)])))


def stored(one: Prediction) -> StoredScore:
    return StoredScore(
        *(one.name, one.sha256, one.original_size, one.content_box, one.grid),
        pose=one.pose,
        placement=one.placement,
        lost=one.lost,
    )


def test_the_threshold_is_the_percentile_of_the_joint_scores(model: Padim) -> None:
    area = model.config.min_area
    parts = model.state.parts(area)
    assert len(parts) == 46  # the reference is not counted, the part that is not found is
    assert parts.joint.max() == 65_535
    assert (parts.scores != parts.joint).sum() > 1, "some parts are judged by their displacement"
    assert model.threshold_level == image_threshold(parts.joint, 950).level
    assert model.state.part_scores(area).tolist() == parts.scores.tolist()
    by_hand = {one.name: one for one in model.normals_}
    scale = scale_of(model)
    for index, normal in enumerate(model.normals_):
        if normal.pose is None:
            continue
        shift = model.state.displacement(normal.pose)["shift"]
        assert model.state.displaced(normal.pose, "") == int(
            shift * scale.map_scale // scale.statistics[0].scale
        )
        assert by_hand[normal.name] is model.normals_[index]


def test_a_part_that_lies_too_far_away_is_rejected_with_an_empty_mask(model: Padim) -> None:
    far = scored(model, dx=22)
    assert far.rejected
    assert far.verdict == "reject"
    (check,) = far.checks
    assert (check.name, check.unit, check.fired) == ("shift", "px", True)
    assert check.value == pytest.approx(22, abs=1.5)
    assert any("shifted by" in reason for reason in far.reasons)
    assert far.joint_score > model.threshold_ >= 0
    near = scored(model, dx=1)
    assert not near.checks[0].fired
    # The limit follows the threshold, and nothing else of the prediction changes.
    lenient = far.at(level=far.displaced_level)
    assert not lenient.checks[0].fired
    assert lenient.score == far.score
    assert far.at(level=far.displaced_level - 1).checks[0].fired


def test_a_threshold_set_by_hand_has_limits_by_the_same_rule(model: Padim) -> None:
    level = model.threshold_level
    limits = scale_of(model).limits(level)["shift"], scale_of(model).limits(2 * level + 1)["shift"]
    assert limits[1] == pytest.approx(2 * limits[0], abs=2)


def test_every_count_goes_by_the_verdicts(model: Padim) -> None:
    area, level = model.config.min_area, model.threshold_level
    parts = model.state.parts(area)
    above = int((parts.joint > level).sum())
    assert model.false_reject_rate_.above == above
    assert model.state.false_rejects(level, area).above == above
    chosen = next(row for row in percentile_table(model, "image") if row.chosen)
    assert chosen.rates.rejected.above == above
    held = held_out_scores(model, 8)
    joint = [0] * held.parts
    for index, part in zip(held.indices, held.part, strict=True):
        joint[part] = max(joint[part], int(held.levels[index, area - 1]), held.displaced[part])
    assert sorted(min(one, 65_535) for one in joint) == sorted(parts.joint.tolist())
    images = [stored(one) for one in model.predict([image for _, image in any_pose(9, seed=8, shift=20)])]
    session = second_session(model, images, list(range(9)), level)
    assert session.verdicts.reject == sum(one.verdict(model, level, area) == "reject" for one in images)
    assert session.check is not None
    assert session.check.rejected == session.verdicts.reject
    assert len(session.not_accepted(model)) == session.verdicts.not_accepted


def test_a_stored_score_is_decided_as_its_prediction(model: Padim) -> None:
    area = model.config.min_area
    for one in (scored(model, dx=22), scored(model), next(iter(model.predict([BLANK])))):
        kept = stored(one)
        for level in (model.threshold_level, 1, 60_000):
            decided = kept.decide(model, level, area)
            again = one.at(level=level)
            assert kept.verdict(model, level, area) == decided.verdict == again.verdict
            assert decided.reasons == again.reasons
            assert kept.joint(model, area) == again.joint_level


def test_a_guard_band_is_one_of_the_map_alone(model: Padim) -> None:
    far = replace(scored(model, dx=22), guard=Guard(1e6, 1.0, 9, 12, 3))
    level = far.displaced_level - 1
    assert far.at(level=level).verdict == "reject"
    assert far.at(level=level + 1).verdict == "review"


def test_a_part_that_is_not_found_and_reviewed_neither_sets_the_threshold_nor_is_accepted() -> None:
    model = fitted(on_lost="review")
    rates = model.verdict_rates_
    assert rates.has_review
    assert rates.not_accepted.above == rates.rejected.above + 1
    assert model.state.parts(4).joint.max() < 65_535
    (blank,) = model.predict([BLANK])
    assert blank.verdict == "review"
    assert not blank.rejected


def test_a_weight_changes_limits_without_scoring_again(model: Padim) -> None:
    lenient = fitted(shift_weight=1000.0)
    assert lenient.state.image_levels(4).tolist() == model.state.image_levels(4).tolist()
    far = scored(lenient, dx=22)
    assert not far.checks[0].fired
    nothing = fitted(shift_weight=None)
    assert scored(nothing, dx=22).checks == ()
    found = [normal for normal in nothing.normals_ if normal.in_calibration and not normal.lost]
    assert len(found) == 45
    parts = nothing.state.parts(4)
    assert parts.joint[parts.displaced == 0].tolist() == parts.scores[parts.displaced == 0].tolist()


def test_the_reason_is_in_the_results(model: Padim) -> None:
    far = scored(model, dx=22)
    row = decision_document(
        far.name,
        far.sha256,
        far.original_size,
        far.score_level,
        far.quantizer,
        far,
        far.verdict,
        in_fit=False,
    )
    assert row["verdict"] == "reject"
    assert row["above_threshold"] == (far.score_level > far.decision_level)
    assert "shifted by" in "".join(csv_cells(row, ("reasons",)))
