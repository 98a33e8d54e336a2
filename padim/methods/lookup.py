"""Lookup of a method's code by its name; the module of a method is imported when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from padim.methods.catalogue import METHODS

if TYPE_CHECKING:
    from padim.methods.base import FitResult, Task
    from padim.network.detector import Detector


def _module(name: str) -> Any:
    return import_module(f"padim.methods.{METHODS[name].module}")


def fitter(name: str) -> Callable[[Task], FitResult]:
    """Return the function that fits a detector with a method."""
    function: Callable[[Task], FitResult] = _module(name).fit_detector
    return function


def detector(name: str) -> type[Detector]:
    """Return the detector class of a method."""
    kind: type[Detector] = _module(name).DETECTOR
    return kind
