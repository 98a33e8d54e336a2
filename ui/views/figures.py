"""The Records page's tab Figures."""

from __future__ import annotations

from ui.app import shell

__all__ = ["draw"]


def draw() -> None:
    """Draw the tab."""
    shell.empty("No figures yet", "They come from inspections on record. Inspect images first.")
