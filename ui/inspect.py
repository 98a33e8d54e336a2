"""Logic and state of the Inspect page: scored images as rows, and the data of the viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from padim.errors import PadimError
from ui import label_messages, library, run_records, viewing
from ui.app import state
from ui.files import image_input
from ui.reviews import Review, Reviews
from ui.scoring import ScoredUpload
from ui.widgets import labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padim.decision.guard_band import Verdict
    from padim.model import Padim
    from padim.storage.model_folders import Entry

UPLOADER = "tests"
Order = Literal["worst", "best", "name", "arrival"]
ORDERS: dict[Order, str] = {
    "worst": "Worst first",
    "best": "Best first",
    "name": "Name",
    "arrival": "As they came",
}
Show = Literal["all", "reject", "review", "accept", "false_reject", "miss", "lost", "displaced"]


class InspectState(Reviews):
    """The Inspect page's state in one browser: a list of images for every model in use."""

    kind = "inspect"


def review(entry: Entry) -> Review:
    """Return this browser's images for this model."""
    return state.of_browser(InspectState).of(entry)


def take(
    entry: Entry,
    model: Padim,
    image_set: image_input.ImageSet,
    image_contexts: run_records.ImageContexts | None = None,
    version_id: int | None = None,
) -> None:
    """Score these images in the background, add them to the list, and record them.

    Args:
        entry: the saved model.
        model: the model that scores them.
        image_set: the images.
        image_contexts: where they come from; None: they are not to be recorded.
        version_id: row of the model's version.
    """
    recorder, failed = run_records.recorder(entry), False

    def record(items: Sequence[ScoredUpload]) -> str:
        nonlocal failed
        if image_contexts is not None:
            recorder.keep(items, model, version_id, image_contexts, attempt=not failed)
            failed = recorder.why is not None
        return ""

    title = f"Scoring {image_set.label}"
    review(entry).take(title, image_set, model, UPLOADER, keep=record, once=False)


def clear(entry: Entry) -> None:
    """Drop the images of the list; what is on record stays there."""
    review(entry).clear()
    run_records.recorder(entry).clear()


def sample(entry: Entry) -> image_input.SampleParts | None:
    """Return the sample's test images; None for a model of other parts, or if it is not installed."""
    part = image_input.sample_part()
    if part is None or not library.is_of_sample(entry):
        return None
    return image_input.SampleParts(
        "Good parts and five kinds of defects, to try it out.",
        lambda: image_input.from_folder(part / "test", f"Sample: {part.name}, test images"),
    )


# -- rows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Row:
    """One row of the results.

    Attributes:
        item: the scored image.
        score: its score, as a level.
        verdict: its verdict; None without a threshold.
        regions: number of regions in its mask.
        in_fit: whether the model was fitted on it, so that it scores it lower than a new image.
        joint: what decides: the score, or a displacement that weighs more; a level, for the order.
        checks: the named checks that fire: the part was not found, or lies too far from the reference.
        label: what a user has said that it shows; None if nothing.
    """

    item: ScoredUpload
    score: int
    verdict: Verdict | None
    regions: int
    in_fit: bool = False
    joint: int = 0
    checks: tuple[str, ...] = ()
    label: labels.Label | None = None

    def is_shown(self, show: Show) -> bool:
        """Whether the row is among those to show."""
        if show in ("lost", "displaced"):
            return bool(self.checks) and bool(self.item.lost) == (show == "lost")
        if show == "false_reject":
            return self.label == "good" and self.verdict == "reject"
        if show == "miss":
            return self.label == "defect" and self.verdict == "accept"
        return show in ("all", self.verdict)


def rows(entry: Entry, model: Padim, level: int | None) -> list[Row]:
    """Return a row for every scored image, decided at this threshold (a level), in order of arrival."""
    from padim.analysis.fit_overlap import KnownImages

    found = []
    area, known = model.config.min_area, KnownImages.of(model)
    of = labels.labels(entry)
    for item in review(entry).pile.items:
        score = item.score(model, area)
        if level is None:
            found.append(Row(item, score, None, 0, known.in_fit(item), item.joint(model, area)))
            continue
        regions = item.regions(model, level, area)
        verdict = item.verdict(model, level, area)
        joint, fired = item.joint(model, area), item.fired(model, level)
        found.append(
            Row(item, score, verdict, regions, known.in_fit(item), joint, fired, of.get(item.sha256))
        )
    return found


def arranged(found: list[Row], order: Order, show: Show, search: str) -> list[Row]:
    """Return the rows that match the filter and the search, sorted; equal scores in order of arrival."""
    from natsort import natsort_keygen, ns

    words = search.lower().split()
    kept = [
        row for row in found if row.is_shown(show) and all(word in row.item.name.lower() for word in words)
    ]
    if order == "name":
        by_name = natsort_keygen(key=lambda row: row.item.name, alg=ns.IGNORECASE)
        return sorted(kept, key=by_name)
    if order == "arrival":
        return sorted(kept, key=lambda row: row.item.number)
    sign = -1 if order == "worst" else 1
    return sorted(kept, key=lambda row: (sign * max(row.score, row.joint), row.item.number))


def chosen(entry: Entry, arranged_rows: list[Row]) -> bool:
    """Whether the user has selected one of these images."""
    number = review(entry).view.selected
    return any(row.item.number == number for row in arranged_rows)


def position(entry: Entry, arranged_rows: list[Row]) -> int:
    """Return the index of the selected image in the list, or 0 if it is not in the list."""
    number = review(entry).view.selected
    return next((i for i, row in enumerate(arranged_rows) if row.item.number == number), 0)


# -- the viewer ------------------------------------------------------------------------------------------


@dataclass
class _Looks:
    """This page's display of the heatmap, which never changes a verdict."""

    look: dict[str, Any] = field(default_factory=lambda: {"opacity": 0.45, "colormap": "inferno"})


def look() -> dict[str, Any]:
    """Return the heatmap's opacity and colormap, which the exports use too."""
    return state.lasting(_Looks).look


def on_selected(entry: Entry, value: object) -> None:
    """Apply a selection message of the viewer."""
    event = viewing.selection(value)
    if event is None:
        return
    found = review(entry)
    view = found.view
    view.handled.selected = max(view.handled.selected, event.count)
    item = next((one for one in found.pile.items if viewing.test_id(one) == event.id), None)
    if item is not None:
        view.selected = item.number


def on_labels(entry: Entry, value: object) -> None:
    """Store the labels in a message of the viewer, and their images in the image library.

    Raises:
        OSError: a label cannot be saved. The labels after it are dropped too, and all count as handled, so
            that the viewer shows the labels that were saved.
        PadimError: an image has no room in the library; its label is stored.
    """
    found = review(entry)
    items = {item.sha256: item for item in found.pile.items}
    for one in label_messages.received(found.view.handled, value):
        label_messages.apply(entry, one)
        if one.label is None or one.sha256 not in items or one.sha256 in library.hashes(entry):
            continue
        # What is known of an image is of use to Calibrate and Validate, which read the library.
        if why := library.keep_scored(entry, [items[one.sha256]]):
            raise PadimError(why)


# Prefix of the keys of the page's containers that are about the selected image.
FOLLOWER = "inspect-of"


def follower(row: Row) -> str:
    """Return the key of a container with the page's content about one image."""
    return f"{FOLLOWER}-{viewing.test_id(row.item)}"


def message(
    entry: Entry, model: Padim, found: list[Row], shown: Row, *, listing: bool = False
) -> dict[str, Any]:
    """Return the viewer's data on this page: these rows, decided by the threshold in use.

    Args:
        entry: the saved model.
        model: the same model, opened.
        found: the rows, in the order to show them.
        shown: the row that the rest of the page is about.
        listing: show only the list until an image is chosen.
    """
    from padim.decision.guard_band import band_levels

    area = model.config.min_area
    return viewing.message(
        model,
        viewing.tests_shown(model, [row.item for row in found], area),
        mode="inspect",
        decision={
            "basis": "manual",
            "permille": model.decision.choice.permille,
            "level": model.threshold_level,
            "min_area": area,
        },
        selected=viewing.test_id(shown.item),
        look=look(),
        labels=labels.labels(entry),
        kept=set(),
        handled=review(entry).view.handled,
        band=band_levels(model.decision.guard, model.state.fitted.quantizer),
        arranged=True,
        regions={viewing.test_id(row.item): row.regions for row in found},
        listing=listing,
        follower=FOLLOWER,
        labeling=True,
    )
