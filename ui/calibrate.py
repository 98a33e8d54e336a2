"""What the Calibrate page works out: the threshold being tried, its promise, and thresholds worth trying.

Nothing here runs the network: held-out grids and scored images are read, never made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from padim.decision.basis import Basis
from ui import viewing
from ui.app import state, workspace
from ui.app.text import count, in_hundred
from ui.files import bring
from ui.reviews import Review, Reviews
from ui.scoring import areas_for
from ui.widgets import labels

if TYPE_CHECKING:
    from padim.decision.calibration import FalseRejectRate, Threshold
    from padim.decision.operating_points import Costs, OperatingPoint
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.scoring import KnownLabel

UPLOADER = "known"


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
    choice = model.decision.choice
    return Draft(choice.basis, choice.permille, choice.value, model.config.min_area)


def threshold(model: Padim, draft: Draft) -> Threshold:
    """What the draft comes to.

    Raises:
        CalibrationError: a percentile, and there are no held-out scores.
    """
    from padim.model import Choice

    return model.state.threshold(Choice(draft.basis, draft.permille, draft.value), draft.min_area)


def same(model: Padim, one: Draft, other: Draft) -> bool:
    """Whether two drafts judge every image alike."""
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
    tried = trying(entry)
    tried.draft = None
    labels.forget_kept(entry)


# -- what is being tried ---------------------------------------------------------------------------------


@dataclass
class Trying:
    """One model's threshold being tried in this session.

    Attributes:
        draft: None until it is first changed: what is in use.
        selected: id of the image shown large.
        heard: how far the server has heard what was done in the viewer.
        look: how strong the heat is drawn and in what colours.
    """

    draft: Draft | None = None
    selected: str | None = None
    handled: viewing.HandledCounts = field(default_factory=viewing.HandledCounts)
    look: dict[str, Any] = field(default_factory=lambda: {"opacity": 0.45, "colormap": "inferno"})


@dataclass
class _Tried:
    """By model, what is being tried."""

    of: dict[str, Trying] = field(default_factory=dict)


def trying(entry: Entry) -> Trying:
    """This session's threshold being tried for this model."""
    return state.of(_Tried).of.setdefault(entry.id, Trying())


def draft_of(entry: Entry, model: Padim) -> Draft:
    """What was last tried, or what is in use; by hand, where a percentile has no scores to go by."""
    draft = trying(entry).draft or saved(model)
    if draft.min_area > areas_for(model):  # tried when the one in use was larger still
        draft = replace(draft, min_area=areas_for(model))
    highest = model.state.fitted.quantizer.highest_threshold
    if draft.value is not None and draft.value > highest:
        # Beyond the scale it would reject nothing: something to go on from is tried instead.
        draft = replace(draft, basis="image" if draft.basis == "manual" else draft.basis, value=None)
    if model.state.fitted.calibration == "none" and draft.basis != "manual":
        value = draft.value if draft.value is not None else min(100.0, highest / 2)
        return Draft("manual", draft.permille, value, draft.min_area)
    return draft


def give_up(entry: Entry) -> bool:
    """Drop the draft; returns whether there was one."""
    tried = trying(entry)
    dropped = tried.draft is not None
    tried.draft = None
    return dropped


def impose(entry: Entry, draft: Draft) -> None:
    """Set the draft from outside the viewer, which then follows it."""
    trying(entry).draft = draft


def on_decision(entry: Entry, model: Padim, value: object) -> None:
    """Take over what the viewer says has been decided.

    What makes no sense is ignored, and so is a level of a scale that the model no longer has: it would be
    another threshold. The viewer then takes over the server's.
    """
    try:
        event = _Message.model_validate(value)
    except ValidationError:
        return
    handled = trying(entry).handled
    handled.decision = max(handled.decision, event.count)
    draft = _draft_from(event, model)
    if draft is not None:
        trying(entry).draft = draft


def on_selected(entry: Entry, value: object) -> None:
    """Take over which image is shown large: its full resolution is fetched then."""
    event = viewing.selection(value)
    if event is not None:
        tried = trying(entry)
        tried.selected = event.id
        tried.handled.selected = max(tried.handled.selected, event.count)


class _Message(BaseModel, strict=True):
    """A decision as the viewer says it."""

    basis: Basis
    permille: int = Field(ge=1, le=999)
    level: int = Field(ge=0, lt=65535)
    min_area: int = Field(ge=1)
    scale: list[float]
    count: viewing.Count


def _draft_from(event: _Message, model: Padim) -> Draft | None:
    if event.min_area > areas_for(model) or event.scale != [
        model.state.fitted.quantizer.offset,
        model.state.fitted.quantizer.step,
    ]:
        return None
    by_hand = model.state.fitted.quantizer.to_value(event.level) if event.basis == "manual" else None
    return Draft(event.basis, event.permille, by_hand, event.min_area)


def decision(model: Padim, draft: Draft) -> dict[str, Any]:
    """A draft as the viewer takes it."""
    return {
        "basis": draft.basis,
        "permille": draft.permille,
        "level": threshold(model, draft).level,
        "min_area": draft.min_area,
    }


def decision_in_use(model: Padim) -> dict[str, Any] | None:
    """The decision in use as the viewer takes it; None where there is none."""
    return None if model.current_threshold is None else decision(model, saved(model))


# -- images whose content is known, or to be judged ----------------------------------------------------


class Tests(Reviews):
    """The images that this session tries thresholds on, by model."""

    kind = "known"


def tests(entry: Entry) -> Review:
    """This session's test images for this model."""
    return state.of(Tests).of(entry)


def take(entry: Entry, model: Padim, brought: bring.Brought, origin: KnownLabel) -> None:
    """Score images in the background."""
    tests(entry).take(f"Scoring {brought.label}", brought, model, UPLOADER, origin)


def sample(origin: KnownLabel) -> bring.SampleParts | None:
    """The sample's images of that kind, or None where the sample is not installed."""
    part = bring.sample_part()
    if part is None or origin == "unknown":
        return None
    wanted: Callable[[str], bool] = (
        (lambda kind: kind == "good") if origin == "good" else (lambda kind: kind != "good")
    )
    files = [
        (f"{path.parent.name}/{path.name}", path)
        for path in sorted((part / "test").glob("*/*"))
        if wanted(path.parent.name) and path.is_file()
    ]
    what = "good parts" if origin == "good" else "defects"
    note = "Good parts that were not in the fit." if origin == "good" else "Five kinds of defects."
    return bring.SampleParts(note, lambda: bring.from_files(files, f"Sample: {part.name}, {what}", "Sample"))


def shown(
    entry: Entry, model: Padim, held: viewing.HeldOut | None, min_area: int
) -> list[viewing.ViewerImage]:
    """All that the viewer shows: the good parts with their held-out maps, then the test images."""
    images = [] if held is None else viewing.normals_shown(model, held, min_area)
    return [*images, *viewing.tests_shown(model, tests(entry).pile.items, min_area)]


class _Labelled(BaseModel, strict=True):
    """A label as the viewer says it, by the image's content; ``count`` grows from one to the next.

    Undoing puts back what was there before, and only over ``instead_of``, the label that is undone: one that
    another session has given since stays.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    label: Literal["good", "defect", "kept", "unkept"] | None
    count: viewing.Count
    undo: bool = False
    instead_of: Literal["good", "defect"] | None = None


def on_labels(entry: Entry, value: object) -> None:
    """Take over the labels that the viewer has given and not heard of yet; what makes no sense is ignored.

    Raises:
        OSError: a label cannot be saved. Those after it are dropped too, and all count as heard: the viewer
            then shows the labels that there are.
    """
    handled = trying(entry).handled
    try:
        event = _LABELS.validate_python(value)
    except ValidationError:
        return
    new = [one for one in event if one.count > handled.labels]
    handled.labels = max([handled.labels, *(one.count for one in new)])
    for one in new:
        if one.label == "kept" or one.label == "unkept":
            labels.keep(entry, one.sha256, off=one.label == "kept")
        elif one.undo:
            labels.put(entry, one.sha256, one.label, instead_of=one.instead_of)
        else:
            labels.put(entry, one.sha256, one.label)


_LABELS = TypeAdapter(list[_Labelled])


# -- thresholds worth trying -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """Scores of what is known to be good or defective, levels.

    Attributes:
        good: good parts by their held-out scores, and good test images.
        defect: defect images.
        doubted: indices of normals that somebody has called defective; they still count as good.
    """

    good: np.ndarray[tuple[int], np.dtype[np.int64]]
    defect: np.ndarray[tuple[int], np.dtype[np.int64]]
    doubted: tuple[int, ...]


def known(entry: Entry, model: Padim, images: Sequence[viewing.ViewerImage], min_area: int) -> Known:
    """What thresholds can be chosen by, scored for that smallest region as ``images`` are."""
    event = labels.labels(entry)
    good: list[int] = []
    defect: list[int] = []
    for one in images:
        if one.item is None:
            continue
        group = event.get(one.sha256) or one.group
        if group != "unknown":
            (good if group == "good" else defect).append(one.score)
    if model.state.fitted.calibration != "none":
        good += model.state.part_scores(min_area).tolist()
    doubted = tuple(
        index
        for index, normal in enumerate(model.normals_)
        if normal.status != "not_good" and event.get(normal.sha256) == "defect"
    )
    return Known(np.asarray(good, np.int64), np.asarray(defect, np.int64), doubted)


def points(found: Known, costs: Costs | None) -> tuple[OperatingPoint, ...]:
    """The operating points; none where goods or defects are missing."""
    from padim.decision.operating_points import operating_points

    if not len(found.good) or not len(found.defect):
        return ()
    return operating_points(found.good, found.defect, costs)


def draft_at(model: Padim, level: int, min_area: int) -> Draft:
    """A draft by hand at that level."""
    return Draft(
        "manual", model.decision.choice.permille, model.state.fitted.quantizer.to_value(level), min_area
    )


def message(
    entry: Entry,
    model: Padim,
    images: Sequence[viewing.ViewerImage],
    held: viewing.HeldOut | None,
    draft: Draft,
) -> dict[str, Any]:
    """What the viewer is given on this page."""
    from padim.decision.guard_band import band_levels

    tried = trying(entry)
    return viewing.message(
        model,
        images,
        mode="calibrate",
        decision=decision(model, draft),
        selected=tried.selected,
        look=tried.look,
        labels=labels.labels(entry),
        kept=labels.kept(entry),
        handled=tried.handled,
        saved=decision_in_use(model),
        band=band_levels(model.decision.guard, model.state.fitted.quantizer),
        held=held,
    )


# -- words -----------------------------------------------------------------------------------------------


def outlook(rate: FalseRejectRate) -> str | None:
    """What more normals would bring, for a threshold judged from few; None where there are enough."""
    from padim.analysis.more_parts import bound_with_more_parts

    more = bound_with_more_parts(rate)
    if more is None:
        return None
    return (
        f"Judged from {count(rate.n, 'part')}, the true rate may be as high as "
        f"{in_hundred(rate.upper, up=True)}. "
        f"If {more.parts} parts scored alike, that bound would be {in_hundred(more.upper, up=True)}; and a "
        "model that has seen more good parts tells defects apart better."
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
