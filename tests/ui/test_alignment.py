"""The measurement of the pose spread on the Checks page is a job that sessions share."""

from __future__ import annotations

from padim import Padim
from ui import alignment


def test_the_measurement_is_shared_until_it_is_forgotten(small_model: Padim) -> None:
    job = alignment.pose_spread_job(small_model)
    assert job.wait(240)
    assert job.result.good == len(small_model.normals_)
    assert alignment.pose_spread_job(small_model) is job
    alignment.measure_again(job)
    again = alignment.pose_spread_job(small_model)
    assert again is not job
    assert again.wait(240)
    alignment.measure_again(again)
