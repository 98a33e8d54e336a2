"""The records of normal images: what older models lack, the reference part, and parts that were not found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from padim.errors import BundleError, PadimError
from padim.locating.pose import Pose
from padim.storage.normals import Normal, join_duplicates, with_status

PLAIN = Normal("a.png", "a" * 64, "#0", "fit", (90, 120), (0, 7))
POSED = replace(PLAIN, status="reference", pose=Pose(1.5, -2.0, 3.0, 1.01, 0.9))


def test_a_record_without_a_pose_is_written_as_before_poses_were_recorded() -> None:
    assert set(PLAIN.to_json()) == {
        *("name", "sha256", "group", "status", "original_size", "thumbnail", "color_kind", "input_sha256")
    }


@pytest.mark.parametrize(
    "normal", [PLAIN, POSED, replace(PLAIN, lost="nothing stands out", status="kept_out")]
)
def test_a_record_is_read_as_it_was_written(normal: Normal) -> None:
    assert Normal.from_json(normal.to_json()) == normal


@pytest.mark.parametrize("change", [{"pose": [1, 2]}, {"pose": {"dx": 1}}, {"lost": 3}, {"status": "spare"}])
def test_a_damaged_record_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="not a list of normal images"):
        Normal.from_json({**PLAIN.to_json(), **change})


def test_the_reference_is_in_neither_fit_nor_calibration_and_nothing_changes_that() -> None:
    assert not POSED.in_calibration
    with pytest.raises(PadimError, match="reference part"):
        with_status([POSED], 0, "not_good")


def test_a_copy_of_the_reference_shows_the_same_part() -> None:
    copy = replace(PLAIN, name="copy.png", group="#1")
    assert [normal.status for normal in join_duplicates([POSED, copy])] == ["reference", "reference"]


def test_a_part_that_was_not_found_cannot_be_put_into_the_fit_but_called_not_good() -> None:
    lost = replace(PLAIN, status="kept_out", lost="nothing stands out")
    assert with_status([lost], 0, "fit")[0].status == "kept_out"
    assert with_status([lost], 0, "not_good")[0].status == "not_good"
