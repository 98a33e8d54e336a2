"""The Service tab of the Line page: keys for other programs, and how they ask for an inspection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry

__all__ = ["draw"]


def draw(entry: Entry | None) -> None:
    """Draw the tab.

    Args:
        entry: the model in use.
    """
