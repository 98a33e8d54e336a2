"""The Review tab of the Inspect page: what awaits a person, one image after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.app import shell

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry


def draw(entry: Entry | None) -> None:
    """Draw the tab.

    Args:
        entry: the model in use, or None.
    """
    shell.empty(
        "Nothing to review",
        "Rejects, images within the guard band and a random share of the accepted ones will be here, "
        "until a person has decided.",
    )
