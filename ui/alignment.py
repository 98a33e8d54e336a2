"""The background job that measures how far good parts are displaced and rotated; sessions share it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

from ui.jobs import watch

if TYPE_CHECKING:
    from padim.analysis.pose_spread import PoseSpread
    from padim.model import Padim
    from ui.jobs.jobs import Job


def pose_spread_job(model: Padim) -> Job[PoseSpread]:
    """Return the job that measures the pose spread of the good parts; the first call starts it.

    The result depends on the images alone and is shared by all sessions: a new threshold, or another fit of
    the same images, does not measure again.
    """
    from padim.analysis.pose_spread import good_images, pose_spread

    seen = [model.normals_[i].sha256 for i in good_images(model)], model.state.preprocess
    key = f"alignment:{hashlib.sha256(repr(seen).encode()).hexdigest()[:20]}"
    found = watch.find(key)
    if found is not None:
        return cast("Job[PoseSpread]", found)
    return watch.start(
        key,
        "Measuring how the parts lie",
        lambda job: pose_spread(model, progress=job.progress, cancel=job.cancelled),
    )


def measure_again(job: Job[PoseSpread]) -> None:
    """Discard a measurement that was cancelled or failed; :func:`pose_spread_job` then starts another."""
    watch.registry().discard(job.key)
