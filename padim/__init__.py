"""PaDiM anomaly detection for visual inspection.

Fit on pictures of good parts, calibrate on their own held-out scores, judge test pictures:

>>> from padim import Padim
>>> model = Padim().fit(source)          # doctest: +SKIP
>>> for scored in model.score(tests):    # doctest: +SKIP
...     decision = model.decide(scored)

Importing the package loads neither torch nor onnxruntime: names are resolved at first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.errors import (
        BackboneError,
        BundleError,
        CalibrationError,
        Cancelled,
        ImageError,
        NotFittedError,
        PadimError,
    )
    from padim.model import Padim, ScoredImage
    from padim.sources import open_source
    from padim.store import Workspace

__version__ = "0.1.0"

_HOME = {
    "PadimConfig": "padim.config",
    "PadimError": "padim.errors",
    "BackboneError": "padim.errors",
    "BundleError": "padim.errors",
    "CalibrationError": "padim.errors",
    "Cancelled": "padim.errors",
    "ImageError": "padim.errors",
    "NotFittedError": "padim.errors",
    "open_source": "padim.sources",
    "Padim": "padim.model",
    "ScoredImage": "padim.model",
    "Workspace": "padim.store",
}

__all__ = [
    "BackboneError",
    "BundleError",
    "CalibrationError",
    "Cancelled",
    "ImageError",
    "NotFittedError",
    "Padim",
    "PadimConfig",
    "PadimError",
    "ScoredImage",
    "Workspace",
    "open_source",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'padim' has no attribute {name!r}")
