"""Repeat shots of one session, their scores by part, and the guard band that is saved with the model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from padim.errors import PadimError
from ui.app import state, workspace
from ui.reviews import Review, Reviews

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from padim.analysis.repeat_shots import Shots
    from padim.data.parts_by_name import Part, Split
    from padim.decision.guard_band import Guard
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.files import image_input
    from ui.scoring import ScoredUpload

REPEATS = "repeats"
SPLITS: dict[Split, str] = {
    "one": "All show one part",
    "folder": "A part for each folder",
    "name": "Parts by file name",
}


class _RepeatShots(Reviews):
    """The lists of repeat shots of this browser, one for each model."""

    kind = REPEATS


def repeat_shots(entry: Entry) -> Review:
    """Return this browser's list of repeat shots for a model."""
    return state.of_browser(_RepeatShots).of(entry)


def take_repeats(entry: Entry, model: Padim, image_set: image_input.ImageSet) -> None:
    """Score repeat shots in the background."""
    repeat_shots(entry).take("Scoring the repeat shots", image_set, model, REPEATS)


def distinct(items: Iterable[ScoredUpload]) -> list[ScoredUpload]:
    """Return each file once, because a copy has the same score and would make the scatter look smaller."""
    first: dict[str, ScoredUpload] = {}
    for item in items:
        first.setdefault(item.sha256, item)
    return list(first.values())


def splits(items: Sequence[ScoredUpload]) -> dict[Split, list[Part]]:
    """Return the ways to group these images into parts by folder or file name, the most likely first."""
    from padim.data import parts_by_name

    return parts_by_name.splits([item.name for item in items])


def shots_by_part(model: Padim, items: Sequence[ScoredUpload], parts: Iterable[Part]) -> list[Shots]:
    """Return the shots of each part with their scores in map units."""
    from padim.analysis.repeat_shots import Shots

    area, value = model.config.min_area, model.state.fitted.quantizer.to_value
    return [
        Shots(
            part,
            tuple(items[i].name for i in group),
            tuple(value(items[i].score(model, area)) for i in group),
        )
        for part, group in parts
    ]


def use_guard(entry: Entry, seen: Padim, guard: Guard | None) -> None:
    """Save a guard band with the model, or remove the one that it has.

    Args:
        entry: the model.
        seen: the opened model that the band was measured with.
        guard: None removes it.

    Raises:
        PadimError: the model has changed since, so that the band no longer applies to it.
    """
    with workspace.edit(entry, what="setting the guard band") as model:
        same = model.state.fitted.quantizer == seen.state.fitted.quantizer and model.config == seen.config
        if guard is not None and not same:
            raise PadimError("the model was changed meanwhile; measure the guard band again")
        model.set_guard(guard)


def amount(value: float) -> str:
    """Format a width in map units, with two decimals or two significant digits, whichever is finer."""
    return f"{value:,.2f}" if value >= 0.1 or value <= 0 else f"{value:.2g}"


def in_thresholds(width: float, threshold: float) -> str:
    """Format a width as a multiple of the threshold with two significant digits, as in "0.0034 ×"."""
    if threshold <= 0:
        return "–"
    multiple = width / threshold
    digits = 2 if multiple >= 0.1 or multiple <= 0 else min(6, 1 - math.floor(math.log10(multiple)))
    return f"{multiple:,.{digits}f} ×"
