"""What a method needs beyond the package itself: those that train a network need PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padim.extras import installed, require_torch
from padim.methods.catalogue import METHODS

if TYPE_CHECKING:
    from padim.config import PadimConfig


def can_fit(name: str) -> bool:
    """Whether a method can be fitted with what is installed; its saved models score without."""
    return not METHODS[name].trains or installed("torch")


def check_can_fit(config: PadimConfig) -> None:
    """Make sure that the method of a config, or every one of an ensemble, can be fitted.

    Raises:
        MissingExtraError: one trains a network, and PyTorch is not installed; says what to run.
    """
    for name in config.methods_used:
        if not can_fit(name):
            require_torch(f"the method {METHODS[name].title}")
