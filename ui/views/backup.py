"""The Backup tab of the Settings page: how all that this server keeps is copied and brought back."""

from __future__ import annotations

__all__ = ["draw"]


def draw() -> None:
    """Draw the tab."""
