"""Every method at settings that take little time, for the checks that all of them must pass."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from padim import Padim, PadimConfig
from tests.parts import normals

COUNT = 9
"""Good parts of the shared models."""

_SMALL = {
    "input_size": 64,
    "grid_stride": 8,
    "n_features": 16,
    "smoothing_sigma": 2,
    "min_area": 4,
    "max_epochs": 2,
    "folds": 2,
}

CASES: Mapping[str, Mapping[str, Any]] = {
    "padim": {"method": "padim"},
    "tolerant": {"method": "padim", "position_tolerance": 1},
    "shared": {"method": "shared"},
    "patchcore": {"method": "patchcore", "coreset_percent": 10},
    "local": {"method": "patchcore", "neighborhood": 1},
    "svdd": {"method": "svdd"},
    "soft": {"method": "svdd", "svdd_objective": "soft_boundary"},
    "flow": {"method": "flow", "flow_couplings": 4},
    "stfpm": {"method": "stfpm", "layers": ["blocks.2"]},
    "ensemble": {"method": "ensemble", "members": ["padim", "shared", "patchcore"]},
    "trained ensemble": {"method": "ensemble", "members": ["padim", "stfpm"], "layers": ["blocks.2"]},
}
"""Settings by the name of a case; every method of the catalog has at least one."""


def config(case: str, **changes: Any) -> PadimConfig:
    """The settings of a case."""
    return PadimConfig.of({**_SMALL, **CASES[case], **changes})


def fitted(case: str, work_dir: Path, count: int = COUNT) -> Padim:
    """A model of that many good parts."""
    return Padim(config(case), work_dir=work_dir).fit(normals(count))


def copied(model: Padim, folder: Path) -> Padim:
    """A copy that can be changed, its features at hand; no network runs for it."""
    shutil.copytree(model.working_set.folder, folder / "work")
    return Padim.load(model.save(folder / "model"), work_dir=folder / "work")
