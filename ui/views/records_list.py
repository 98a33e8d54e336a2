"""The Records page's tab Records."""

from __future__ import annotations

from ui.app import shell

__all__ = ["draw"]


def draw() -> None:
    """Draw the tab."""
    shell.empty("No records yet", "Every image that is inspected is put on record. Inspect images first.")
