"""Texts that state the memory and disk space of settings before a model is fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.app.text import count, megabytes

if TYPE_CHECKING:
    from padim.config import PadimConfig


def facts(config: PadimConfig, images: int) -> list[tuple[str, str]]:
    """Return the memory and disk space of these settings for a number of good images, as (label, value)."""
    from padim.analysis.cost import estimate

    cost = estimate(config, images)
    remembered = [] if cost.patches is None else [("Patches remembered", f"{cost.patches:,}")]
    return [
        *remembered,
        ("Memory while fitting", megabytes(cost.fit_memory)),
        ("Memory while scoring", megabytes(cost.score_memory)),
        ("Saved model", megabytes(cost.bundle)),
        ("Working features", megabytes(cost.features_per_image * images)),
        ("Checkpoint, optional", megabytes(cost.checkpoint) if cost.checkpoint else "none"),
    ]


def note(config: PadimConfig, images: int) -> str:
    """Return a note on how these costs depend on the number of images."""
    from padim.analysis.cost import estimate, images_for_full_size

    cost = estimate(config, images)
    text = "The network itself comes on top."
    if cost.rank is not None:
        whole = estimate(config)
        text = (
            f"With only {count(images, 'image')} the model stays small: from "
            f"{images_for_full_size(cost.features)} on, fitting takes "
            f"{megabytes(whole.fit_memory)} and the saved model {megabytes(whole.bundle)}. " + text
        )
    if cost.kept_per_image:
        text = (
            "PatchCore keeps all patches here: every further image adds "
            f"{megabytes(cost.kept_per_image)} to the model, on disk and in memory. {text}"
        )
    return text


def checkpoint(config: PadimConfig, images: int) -> str:
    """Format the disk space that remains after deleting the working features of a number of images."""
    from padim.analysis.cost import estimate

    return megabytes(estimate(config, images).checkpoint)
