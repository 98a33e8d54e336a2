"""Optional dependencies of the methods: those that train a network need PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padim.extras import installed, require_torch
from padim.methods.catalogue import METHODS

if TYPE_CHECKING:
    from padim.config import PadimConfig


def can_fit(name: str) -> bool:
    """Whether the packages needed to fit a method are installed; its saved models score without them."""
    return not METHODS[name].trains or installed("torch")


def check_can_fit(config: PadimConfig) -> None:
    """Check that the method of a config, or every member of an ensemble, can be fitted.

    Raises:
        MissingExtraError: a method trains a network and PyTorch is not installed; the
            message says what to run.
    """
    for name in config.methods_used:
        if not can_fit(name):
            require_torch(f"the method {METHODS[name].title}")
