"""What the Calibrate page works out: the threshold being tried, its promise, and the pictures near it.

Nothing here runs the network: held-out grids and scored defects are read, never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import streamlit as st

from ui import bring, normals, state, workspace
from ui.media import Picture
from ui.reviews import Review, Reviews
from ui.scoring import Scored
from ui.words import count, in_hundred

if TYPE_CHECKING:
    from padim.calibration import FalseRejectRate, Threshold
    from padim.model import Padim
    from padim.store import Entry

UPLOADER = "defects"
Basis = Literal["image", "pixel", "manual"]


@dataclass(frozen=True)
class Draft:
    """A way to set the threshold that is being tried.

    Attributes:
        basis: percentile of parts, percentile of pixels, or by hand.
        permille: the percentile in tenths of a percent.
        value: the threshold by hand, in map units.
        min_area: smallest region that counts, in map pixels.
    """

    basis: Basis
    permille: int
    value: float | None
    min_area: int


def saved(model: Padim) -> Draft:
    """The way the threshold in use is set."""
    choice = model.choice
    return Draft(choice.basis, choice.permille, choice.value, model.config.min_area)


def threshold(model: Padim, draft: Draft) -> Threshold:
    """What the draft comes to.

    Raises:
        CalibrationError: a percentile, and there are no held-out scores.
    """
    from padim.model import Choice

    return model.threshold_for(Choice(draft.basis, draft.permille, draft.value), draft.min_area)


def same(model: Padim, one: Draft, other: Draft) -> bool:
    """Whether two drafts judge every picture alike."""
    return one.min_area == other.min_area and _level(model, one) == _level(model, other)


def _level(model: Padim, draft: Draft) -> int | None:
    from padim.errors import CalibrationError

    try:
        return threshold(model, draft).level
    except (CalibrationError, ValueError):
        return None


def put_to_use(entry: Entry, draft: Draft) -> None:
    """Save the draft as the model's threshold."""
    with workspace.edit(entry) as model:
        if draft.basis == "manual":
            model.set_decision(value=draft.value, min_area=draft.min_area)
        else:
            model.set_decision(basis=draft.basis, percentile=draft.permille / 10, min_area=draft.min_area)


def outlook(rate: FalseRejectRate) -> str | None:
    """What more normals would bring, for a threshold judged from few; None where there are enough."""
    from scipy.stats import beta

    if rate.n >= 100:
        return None
    more = next(n for n in (40, 100, 200) if n >= 1.6 * rate.n)
    # The same rate to expect, told from more parts: only the certainty grows.
    above = max(0, round(rate.expected * (more + 1)) - 1)
    upper = 1.0 if above >= more else float(beta.ppf(0.95, above + 1, more - above))
    return (
        f"Judged from {count(rate.n, 'part')}, the true rate may be as high as "
        f"{in_hundred(rate.upper, up=True)}. "
        f"If {more} parts scored alike, that bound would be {in_hundred(upper, up=True)}; and a model that "
        "has seen more good parts tells defects apart better."
    )


def unsupported(found: Threshold) -> str | None:
    """The plain warning where a percentile asks for more than there are; None where it does not."""
    if found.supported or found.permille is None:
        return None
    unit = "good parts" if found.basis == "image" else "pixels"
    return (
        f"{found.permille / 10:g} % asks for at least {found.needed:,} {unit}; there are {found.n:,}. The "
        f"highest held-out score stands in for it. Fit with more, or choose a lower percentile."
    )


# -- pictures near the threshold -------------------------------------------------------------------------


@dataclass(frozen=True)
class Near:
    """Normals around a threshold: indices and levels, the nearest first on either side."""

    below: tuple[tuple[int, int], ...]
    above: tuple[tuple[int, int], ...]


def near(model: Padim, level: int, min_area: int, most: int = 6) -> Near:
    """The good pictures whose held-out scores lie nearest the threshold, on either side."""
    levels = [
        (index, int(score))
        for index, score in enumerate(model.image_levels(min_area))
        if model.normals_[index].status != "not_good"
    ]
    below = sorted((item for item in levels if item[1] <= level), key=lambda item: -item[1])
    above = sorted((item for item in levels if item[1] > level), key=lambda item: item[1])
    return Near(tuple(below[:most]), tuple(above[:most]))


# -- optional defect pictures ----------------------------------------------------------------------------


class Defects(Reviews):
    """The defect pictures of this session, by model."""

    kind = "defects"


def defects(entry: Entry) -> Review:
    """This session's defect pictures for this model."""
    return state.of(Defects).of(entry)


def take_defects(entry: Entry, model: Padim, brought: bring.Brought) -> None:
    """Score defect pictures in the background."""
    defects(entry).take("Scoring the defect pictures", brought, model, UPLOADER)


def sample_defects() -> bring.Sample | None:
    """The sample's defect pictures, or None where the sample is not installed."""
    part = bring.sample_part()
    if part is None:
        return None
    files = [
        (f"{path.parent.name}/{path.name}", path)
        for path in sorted((part / "test").glob("*/*"))
        if path.parent.name != "good" and path.is_file()
    ]
    return bring.Sample(
        "The sample has five kinds of defects.",
        lambda: bring.from_files(files, f"Sample: {part.name}, defects", "Sample"),
    )


def overlay_of_scored(entry: Entry, item: Scored, model: Padim, level: int, min_area: int) -> Picture:
    """A scored picture's small copy with its heat at this threshold."""
    identity = workspace.scoring_identity(entry)
    return Picture(_overlay_of_scored(item, model, identity, item.sha256, level, min_area))


@st.cache_resource(max_entries=500, show_spinner=False)
def _overlay_of_scored(
    _item: Scored, _model: Padim, identity: str, sha256: str, level: int, min_area: int
) -> bytes:
    from padim.images import decode

    rgb = decode(_item.thumb.data, _item.name)
    box = _item.content_box
    return normals.small_overlay(rgb, _item.levels(_model), level, min_area, box)
