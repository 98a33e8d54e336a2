"""Sensitivity measurements of trials that a test makes up."""

from __future__ import annotations

from typing import Any

import numpy as np

from padim.analysis.sensitivity import Sensitivity
from padim.analysis.synthetic_defects import KINDS


def made(caught: Any, void: Any = None) -> Sensitivity:
    """A measurement of these trials, bool (places, kinds, sizes, contrasts), places along the diagonal."""
    caught = np.asarray(caught, bool)
    places, kinds, sizes, contrasts = caught.shape
    at = (np.arange(places) + 0.5) * 64 / places
    return Sensitivity(
        kinds=KINDS[:kinds],
        sizes=tuple(4.0 * 2**i for i in range(sizes)),
        contrasts=tuple(0.1 * 2**i for i in range(contrasts)),
        images=("a.png",),
        image_of=np.zeros(places, np.int64),
        places=np.stack([at, at], axis=1),
        caught=caught,
        rejected=caught,
        void=np.zeros_like(caught) if void is None else np.asarray(void, bool),
        bare_rejected=0,
        in_fit=0,
        not_good=0,
        map_shape=(64, 64),
        cells=3,
        scale=(2.0, 2.0),
        threshold=100,
        min_area=8,
        seed=0,
    )
