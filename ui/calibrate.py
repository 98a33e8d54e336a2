"""Logic of the Calibrate page: the threshold being tried, the rate it promises, and the test images.

Nothing here runs the network: held-out grids and scored images are only read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from padim.decision.basis import Basis
from ui import label_messages, library, viewing
from ui.app import progress, state, workspace
from ui.app.text import count
from ui.files import image_input
from ui.reviews import Review, Reviews
from ui.scoring import areas_for
from ui.widgets import labels

if TYPE_CHECKING:
    from padim.decision.calibration import Threshold
    from padim.model import Padim
    from padim.records.library import LibraryImage
    from padim.storage.model_folders import Entry
    from ui.scoring import KnownLabel
    from ui.widgets.labels import Label

UPLOADER = "known"


@dataclass(frozen=True)
class Draft:
    """A setting of the threshold that is being tried.

    Attributes:
        basis: percentile of parts ("image"), percentile of pixels ("pixel"), or set by hand ("manual").
        permille: the percentile in tenths of a percent.
        value: the threshold set by hand, in anomaly-map units.
        min_area: smallest region that counts, in map pixels.
    """

    basis: Basis
    permille: int
    value: float | None
    min_area: int


def saved(model: Padim) -> Draft:
    """Return the setting of the threshold in use."""
    choice = model.decision.choice
    return Draft(choice.basis, choice.permille, choice.value, model.config.min_area)


def threshold(model: Padim, draft: Draft) -> Threshold:
    """Return the threshold that a draft results in.

    Raises:
        CalibrationError: the draft is a percentile, but there are no held-out scores.
    """
    from padim.model import Choice

    return model.state.threshold(Choice(draft.basis, draft.permille, draft.value), draft.min_area)


def same(model: Padim, one: Draft, other: Draft) -> bool:
    """Whether two drafts lead to the same verdict for every image."""
    return one.min_area == other.min_area and _level(model, one) == _level(model, other)


def _level(model: Padim, draft: Draft) -> int | None:
    from padim.errors import CalibrationError

    try:
        return threshold(model, draft).level
    except (CalibrationError, ValueError):
        return None


def described(model: Padim, draft: Draft) -> str:
    """Describe a draft in a few words: "the threshold 2.90 with a smallest region of 16 px²"."""
    value = model.state.fitted.quantizer.to_value(threshold(model, draft).level)
    return f"the threshold {value:.2f} with a smallest region of {draft.min_area} px²"


def apply_draft(entry: Entry, draft: Draft) -> None:
    """Save the draft as the model's threshold."""
    with workspace.edit(entry, what="setting the threshold") as model:
        if draft.basis == "manual":
            model.set_decision(value=draft.value, min_area=draft.min_area)
        else:
            model.set_decision(basis=draft.basis, percentile=draft.permille / 10, min_area=draft.min_area)
    progress.note(entry, "calibrated")
    page = page_state(entry)
    page.draft = None
    labels.forget_kept(entry)


# -- the draft -------------------------------------------------------------------------------------------


@dataclass
class CalibrateState:
    """The state of the Calibrate page for one model in this session and, after a reload, the next.

    Attributes:
        draft: the threshold being tried; None until it is first changed, which means the one in use.
        selected: id of the image shown large.
        handled: serial numbers of the viewer's actions that the server has handled.
        look: opacity and colormap of the heatmap.
        labeled: hashes of images that were labeled in the viewer since the page was opened.
        cleared: whether the user has cleared the list, so that the library's images wait to be asked for.
        tried: hashes of the library's images that were asked for.
        wanted: hash of the image to show large as soon as it is there; None for none.
    """

    draft: Draft | None = None
    selected: str | None = None
    handled: viewing.HandledCounts = field(default_factory=viewing.HandledCounts)
    look: dict[str, Any] = field(default_factory=lambda: {"opacity": 0.45, "colormap": "inferno"})
    labeled: set[str] = field(default_factory=set)
    cleared: bool = False
    tried: set[str] = field(default_factory=set)
    wanted: str | None = None


@dataclass
class _CalibrateStates:
    """The states of the Calibrate page, by model id."""

    of: dict[str, CalibrateState] = field(default_factory=dict)

    def begin_page(self) -> None:
        """Keep the drafts for a page that was loaded again; its viewer counts its actions anew."""
        for page in self.of.values():
            page.handled = viewing.HandledCounts()


def page_state(entry: Entry) -> CalibrateState:
    """Return this session's state of the Calibrate page for this model."""
    return state.lasting(_CalibrateStates).of.setdefault(entry.id, CalibrateState())


def draft_of(entry: Entry, model: Padim) -> Draft:
    """Return the draft last tried, or the setting in use; set by hand if there are no held-out scores."""
    draft = page_state(entry).draft or saved(model)
    if draft.min_area > areas_for(model):  # tried when the size in use was larger
        draft = replace(draft, min_area=areas_for(model))
    highest = model.state.fitted.quantizer.highest_threshold
    if draft.value is not None and draft.value > highest:
        # A threshold beyond the scale would reject nothing, so a usable one is tried instead.
        draft = replace(draft, basis="image" if draft.basis == "manual" else draft.basis, value=None)
    if model.state.fitted.calibration == "none" and draft.basis != "manual":
        value = draft.value if draft.value is not None else min(100.0, highest / 2)
        return Draft("manual", draft.permille, value, draft.min_area)
    return draft


def discard_draft(entry: Entry) -> bool:
    """Drop the draft and return whether there was one."""
    page = page_state(entry)
    dropped = page.draft is not None
    page.draft = None
    return dropped


def keep_former(entry: Entry, former: Entry) -> None:
    """Try the threshold of a former state of the model, unless another one is being tried already."""
    page, manifest = page_state(entry), former.manifest
    if page.draft is None:
        choice = manifest["choice"]
        page.draft = Draft(
            choice["basis"], choice["permille"], choice.get("value"), manifest["config"]["min_area"]
        )


def set_draft(entry: Entry, draft: Draft) -> None:
    """Set the draft by a control outside the viewer, which then adopts it."""
    page_state(entry).draft = draft


def on_decision(entry: Entry, model: Padim, value: object) -> None:
    """Apply a decision message of the viewer to the draft.

    An invalid message is ignored, and so is a level of a scale that the model no longer has, because it would
    be another threshold. The viewer then adopts the server's draft.
    """
    try:
        event = _Message.model_validate(value)
    except ValidationError:
        return
    handled = page_state(entry).handled
    handled.decision = max(handled.decision, event.count)
    draft = _draft_from(event, model)
    if draft is not None:
        page_state(entry).draft = draft


def on_selected(entry: Entry, value: object) -> None:
    """Apply a selection message of the viewer, so that the image's full resolution is provided."""
    event = viewing.selection(value)
    if event is not None:
        page = page_state(entry)
        page.selected = event.id
        page.handled.selected = max(page.handled.selected, event.count)
        if page.wanted is not None and any(item.sha256 == page.wanted for item in tests(entry).pile.items):
            page.wanted = None  # it is shown, or the user has gone on to another one


def show_defect(entry: Entry, sha256: str) -> None:
    """Let the page show an image of the library large, once it is scored, also if the list was cleared."""
    page = page_state(entry)
    page.wanted, page.cleared = sha256, False
    page.tried.discard(sha256)


class _Message(BaseModel, strict=True):
    """A message of the viewer that the decision has changed; ``scale`` is the quantizer's offset and step."""

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
    """Return a draft in the viewer's format."""
    return {
        "basis": draft.basis,
        "permille": draft.permille,
        "level": threshold(model, draft).level,
        "min_area": draft.min_area,
    }


def decision_in_use(model: Padim) -> dict[str, Any] | None:
    """Return the decision in use in the viewer's format, or None."""
    return None if model.current_threshold is None else decision(model, saved(model))


# -- test images, of known or unknown content ------------------------------------------------------------


class Tests(Reviews):
    """The test images on which this browser tries thresholds, by model."""

    kind = "known"


def tests(entry: Entry) -> Review:
    """Return this browser's test images for this model."""
    return state.of_browser(Tests).of(entry)


def take(
    entry: Entry, model: Padim, image_set: image_input.ImageSet, origin: KnownLabel, defect_type: str = ""
) -> None:
    """Score the chosen images in the background, and add them to the test images and to the image library."""
    keep = library.keeper(entry, image_set, origin, defect_type)
    tests(entry).take(f"Scoring {image_set.label}", image_set, model, UPLOADER, origin, keep)


def take_library(entry: Entry, model: Padim) -> bool:
    """Score the test images of the library that are not on the list yet; return whether there are any.

    Nothing is done while images are being scored, or once the user has cleared the list.
    """
    page, review = page_state(entry), tests(entry)
    if review.running or page.cleared:
        return False
    missing = library_left(entry, model)
    found = library.set_of(entry, missing, count(len(missing), "image"))
    if found is None:
        return False
    page.tried |= {image.sha256 for image in missing}
    by_name = {name: image.label for name, image in library.names_of(missing).items()}
    review.take(f"Scoring {found.label}", found, model, UPLOADER, by_name)
    return True


def library_left(entry: Entry, model: Padim) -> list[LibraryImage]:
    """Return the library's images outside the fit that are neither on the list nor could not be scored."""
    page, items = page_state(entry), tests(entry).pile.items
    known = {item.sha256 for item in items}
    if not items:
        page.tried.clear()
    return [one for one in library.images(entry, "test") if one.sha256 not in known | page.tried]


def sample(entry: Entry, origin: KnownLabel) -> image_input.SampleParts | None:
    """Return the sample's good or defective test images; None for a model that is not of the sample."""
    part = image_input.sample_part()
    if part is None or origin == "unknown" or not library.is_of_sample(entry):
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
    return image_input.SampleParts(
        note, lambda: image_input.from_files(files, f"Sample: {part.name}, {what}", "Sample")
    )


def shown(
    entry: Entry, model: Padim, held: viewing.HeldOut | None, min_area: int
) -> list[viewing.ViewerImage]:
    """Return all images of the viewer: the good parts with their held-out maps, then the test images."""
    images = [] if held is None else viewing.normals_shown(model, held, min_area)
    found = viewing.tests_shown(model, tests(entry).pile.items, min_area)
    # Where the label was taken away since, an image is one of unknown content.
    unlabeled = {sha for sha, label in library.all_labels(entry).items() if label == "unknown"}
    gone = library.library(entry).removed()
    return [
        *images,
        *(
            replace(one, group="unknown") if one.sha256 in unlabeled else one
            for one in found
            if one.sha256 not in gone
        ),
    ]


def on_labels(entry: Entry, value: object) -> None:
    """Save the labels in a message of the viewer that have not been handled yet; ignore an invalid message.

    Raises:
        OSError: a label cannot be saved. The labels after it are dropped too, and all count as handled, so
            that the viewer shows the labels that were saved.
    """
    page = page_state(entry)
    origins = {item.sha256: item.origin for item in tests(entry).pile.items}
    for one in label_messages.received(page.handled, value):
        label_messages.apply(entry, one, origins.get(one.sha256, "unknown"))
        if one.label not in ("kept", "unkept"):
            (page.labeled.discard if one.label is None else page.labeled.add)(one.sha256)


def _labels_by_key(entry: Entry, images: Sequence[viewing.ViewerImage]) -> dict[str, Label]:
    """Return the labels that the viewer shows as given by key: not those that images came with."""
    page = page_state(entry)
    came_with = {one.sha256: one.group for one in images if one.item is not None}
    return {
        sha: label
        for sha, label in labels.labels(entry).items()
        if sha in page.labeled or came_with.get(sha) != label
    }


def draft_at(model: Padim, level: int, min_area: int) -> Draft:
    """Return a draft with the threshold set by hand to a level."""
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
    """Return the viewer's data on this page."""
    from padim.decision.guard_band import band_levels

    page = page_state(entry)
    wanted = next((one.id for one in images if one.sha256 == page.wanted), None)
    page.selected = wanted or page.selected
    return viewing.message(
        model,
        images,
        mode="calibrate",
        wanted=wanted,
        labeling=True,
        decision=decision(model, draft),
        selected=page.selected,
        look=page.look,
        labels=_labels_by_key(entry, images),
        kept=labels.kept(entry),
        handled=page.handled,
        saved=decision_in_use(model),
        band=band_levels(model.decision.guard, model.state.fitted.quantizer),
        held=held,
    )
