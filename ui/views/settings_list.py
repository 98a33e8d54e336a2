"""The Settings tab of the Settings page: every setting, its value and where it comes from."""

from __future__ import annotations

__all__ = ["draw"]


def draw() -> None:
    """Draw the tab."""
