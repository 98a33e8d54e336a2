"""Parts that lists of test images share: progress, the buttons above the list, and the model’s own images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui.app import shell
from ui.app.text import count
from ui.jobs import watch
from ui.widgets import file_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.reviews import Review


def ready(entry: Entry, model: Padim, review: Review) -> bool:
    """Draw the progress of scoring a list and its failures; return whether all images are scored."""
    if not review.follow(entry, model):
        st.info(
            "The model has changed. When these images are through, all are scored again by the model as it "
            "is now.",
            icon=":material/info:",
        )
    if review.running:
        watch.watch(review.running[-1])
        return False
    for job in review.jobs:
        if job.state == "failed":
            shell.failure("Some images were not scored.", job.error)
    file_account.draw(review.pile.failed, review.pile.passed_over)
    return True


def add_or_clear(name: str, review: Review, label: str, draw: Callable[[], None]) -> None:
    """Draw the buttons above a list, which add images to it and clear it.

    Args:
        name: name of the list in the keys of its widgets.
        review: the list.
        label: label of the button that adds images.
        draw: draws the ways to choose images.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        # The key changes with every batch, so that the next popover starts closed.
        with st.popover(label, icon=":material/add:", key=f"checks-{name}-add-{len(review.job_keys)}"):
            draw()
        if st.button("Clear the list", key=f"checks-{name}-clear", icon=":material/close:"):
            review.clear()
            st.rerun()


def own_images(n: int, of: int) -> None:
    """Show that ``n`` of ``of`` images belong to the model already and therefore cannot test it."""
    if n == 0:
        return
    text = (
        "These images belong to the model already."
        if n == of
        else f"{n:,} of these {count(of, 'image')} {'belongs' if n == 1 else 'belong'} to the model "
        f"already and {'does' if n == 1 else 'do'} not count here."
    )
    st.info(
        f"{text} Its own images cannot test a model: drop in images of other parts.",
        icon=":material/info:",
    )
