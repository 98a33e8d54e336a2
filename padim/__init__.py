"""PaDiM anomaly detection for visual inspection.

Fit a model on images of good parts, calibrate it on their held-out scores, and decide test images:

>>> from padim import Padim
>>> model = Padim(input_size=64, n_features=20).fit("parts/good")
>>> model.threshold_ > 0
True
>>> [found.verdict for found in model.predict("parts/today.zip")]
['reject', 'accept']

Importing the package loads neither torch nor onnxruntime: names are resolved at first use (PEP 562).
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from padim._version import __version__ as __version__

if TYPE_CHECKING:
    from padim.analysis.alignment import Alignment, advise, align
    from padim.analysis.region_preview import false_alarm_map, levels_under_region, mean_normal
    from padim.analysis.session_check import SessionCheck, check_session
    from padim.config import PadimConfig
    from padim.data.opening import open_source
    from padim.decision.guard_band import Guard, Repeatability, guard_levels, half_width, pooled, verdict_of
    from padim.decision.operating_points import Costs, OperatingPoint, Rate, evaluate_at, operating_points
    from padim.decision.prediction import Prediction
    from padim.decision.roi import Shape, rasterize
    from padim.errors import (
        BackboneError,
        BundleError,
        BusyError,
        CalibrationError,
        Cancelled,
        ChangedSinceOpenedError,
        ImageError,
        InputError,
        LabeledInputError,
        NotFittedError,
        PadimError,
    )
    from padim.model import Padim
    from padim.workspace import Workspace

# ONNX Runtime sends usage reports that identify the machine, unless this is set before it is loaded. It is
# set whatever the environment says, because no data may leave the machine. Child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOME = {
    "Alignment": "padim.analysis.alignment",
    "advise": "padim.analysis.alignment",
    "align": "padim.analysis.alignment",
    "PadimConfig": "padim.config",
    "PadimError": "padim.errors",
    "BackboneError": "padim.errors",
    "BundleError": "padim.errors",
    "BusyError": "padim.errors",
    "CalibrationError": "padim.errors",
    "Cancelled": "padim.errors",
    "ChangedSinceOpenedError": "padim.errors",
    "ImageError": "padim.errors",
    "InputError": "padim.errors",
    "LabeledInputError": "padim.errors",
    "NotFittedError": "padim.errors",
    "open_source": "padim.data.opening",
    "Padim": "padim.model",
    "Prediction": "padim.decision.prediction",
    "Costs": "padim.decision.operating_points",
    "OperatingPoint": "padim.decision.operating_points",
    "Rate": "padim.decision.operating_points",
    "evaluate_at": "padim.decision.operating_points",
    "operating_points": "padim.decision.operating_points",
    "Guard": "padim.decision.guard_band",
    "Repeatability": "padim.decision.guard_band",
    "guard_levels": "padim.decision.guard_band",
    "half_width": "padim.decision.guard_band",
    "pooled": "padim.decision.guard_band",
    "verdict_of": "padim.decision.guard_band",
    "Shape": "padim.decision.roi",
    "false_alarm_map": "padim.analysis.region_preview",
    "mean_normal": "padim.analysis.region_preview",
    "rasterize": "padim.decision.roi",
    "levels_under_region": "padim.analysis.region_preview",
    "SessionCheck": "padim.analysis.session_check",
    "check_session": "padim.analysis.session_check",
    "Workspace": "padim.workspace",
}

__all__ = [
    "Alignment",
    "BackboneError",
    "BundleError",
    "BusyError",
    "CalibrationError",
    "Cancelled",
    "ChangedSinceOpenedError",
    "Costs",
    "Guard",
    "ImageError",
    "InputError",
    "LabeledInputError",
    "NotFittedError",
    "OperatingPoint",
    "Padim",
    "PadimConfig",
    "PadimError",
    "Prediction",
    "Rate",
    "Repeatability",
    "SessionCheck",
    "Shape",
    "Workspace",
    "advise",
    "align",
    "check_session",
    "evaluate_at",
    "false_alarm_map",
    "guard_levels",
    "half_width",
    "levels_under_region",
    "mean_normal",
    "open_source",
    "operating_points",
    "pooled",
    "rasterize",
    "verdict_of",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'padim' has no attribute {name!r}")
