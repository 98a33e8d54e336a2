"""The Connections tab of the Line page: the machines that are sent results, or ask for them."""

from __future__ import annotations

__all__ = ["draw"]


def draw() -> None:
    """Draw the tab."""
