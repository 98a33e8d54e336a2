"""The Learn tab of the Inspect page: what the decisions of reviewers would change in the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.app import shell

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry


def draw(entry: Entry) -> None:
    """Draw the tab.

    Args:
        entry: the model in use.
    """
    shell.empty(
        "Nothing to learn from yet",
        "Good parts that reviewers have confirmed can be added to the model here, and confirmed defects to "
        "its image library.",
    )
