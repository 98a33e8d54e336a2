"""State and data of the review desk: the next inspections to look at, and what the browser has decided.

The queue is the database: nothing of it is kept here, so that a reload, a second browser and a restart find
it as it was. The browser decides at once and reports its actions in order, each with a serial number and an
identifier; an action that arrives twice is recorded once.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from padim.errors import PadimError
from ui.app import clock, state, workspace
from ui.app.text import size
from ui.files.media import ServedImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from padim.records.inspection import Inspection
    from padim.records.inspection_query import InspectionOrder, InspectionQuery
    from padim.records.reviews import ReviewEvent, ReviewRecords

DeskMode = Literal["queue", "second", "disagreements"]
MODES: dict[DeskMode, str] = {
    "queue": "To review",
    "second": "Second opinions",
    "disagreements": "Disagreements",
}
ORDERS: dict[InspectionOrder, str] = {
    "worst": "Worst first",
    "nearest": "Nearest the threshold first",
    "oldest": "Oldest first",
    "newest": "Newest first",
}
# Inspections that one message has: those to decide next, whose images the browser loads ahead.
AHEAD = 12
# Images kept for the browser, by inspection; a few more than a message has.
_IMAGES = 32
_SAID = {
    "accept": "Accepted",
    "reject": "Rejected",
    "review": "In the guard band",
    "none": "Scored without a threshold",
}
_DECIDED = {"accept": "accepted", "reject": "rejected", "unsure": "was unsure"}
_SERIAL = Annotated[int, Field(ge=0, lt=2**53)]


class DeskAction(BaseModel, strict=True):
    """One action of the browser, with a serial number that increases and an identifier of its own."""

    serial: _SERIAL
    uid: str = Field(pattern=r"^[0-9a-f]{32}$")
    kind: Literal["decide", "comment", "undo", "more"]
    id: Annotated[int, Field(ge=1, lt=2**53)] | None = None
    decision: Literal["accept", "reject", "unsure"] | None = None
    type: str = Field(default="", max_length=200)
    text: str = Field(default="", max_length=4_000)


_ACTIONS = TypeAdapter(list[DeskAction])


@dataclass(frozen=True)
class _Shown:
    """What the browser draws of an inspection.

    Attributes:
        image: the image, or its small copy; None if there is neither.
        heat: its level map in colors; None if it is not kept.
        map_size: (height, width) of the map.
        matrix: from map pixels to image pixels.
        note: what cannot be shown, and why.
    """

    image: ServedImage | None
    heat: ServedImage | None
    map_size: tuple[int, int]
    matrix: tuple[float, ...]
    note: str


@dataclass
class DeskState:
    """What one page has of the desk.

    Attributes:
        handled: serial number of the latest action that was dealt with.
        done: how many inspections were decided.
        number: how many inspections a message has.
        refusals: the latest actions that were not carried out, with the reason.
        returned: the inspection that the latest undo has put back, with the action's serial number.
        shown: identifies the list that is shown: mode, filters and order.
    """

    handled: int = 0
    done: int = 0
    number: int = AHEAD
    refusals: list[dict[str, Any]] = field(default_factory=list)
    returned: dict[str, int] | None = None
    shown: str = ""
    _images: OrderedDict[int, _Shown] = field(default_factory=OrderedDict, repr=False)
    _slots: dict[int, int] = field(default_factory=dict, repr=False)

    def follow(self, shown: str) -> None:
        """Begin anew if another list is shown."""
        if shown != self.shown:
            self.shown, self.number, self.returned = shown, AHEAD, None

    def slots(self, items: Sequence[Inspection]) -> list[int]:
        """Return a number for each inspection, which it keeps while it is in the list.

        Images are served under these numbers: the next one with a number takes the place of the one before,
        so that the server does not keep all that were ever shown.
        """
        listed = {one.id for one in items}
        self._slots = {row: slot for row, slot in self._slots.items() if row in listed}
        free = iter(sorted(set(range(len(items))) - set(self._slots.values())))
        return [self._slots[one.id] if one.id in self._slots else self._take(one.id, free) for one in items]

    def _take(self, row: int, free: Iterator[int]) -> int:
        self._slots[row] = slot = next(free)
        return slot

    def image(self, one: Inspection) -> _Shown:
        """Return what the browser draws of an inspection, read once."""
        found = self._images.get(one.id)
        if found is None:
            found = self._images[one.id] = _shown(one)
        self._images.move_to_end(one.id)
        while len(self._images) > max(_IMAGES, self.number):
            self._images.popitem(last=False)
        return found


def desk() -> DeskState:
    """Return this page's state of the desk."""
    return state.of(DeskState)


def records() -> Any:
    """Return the inspections of the workspace."""
    from padim.records.inspections import InspectionRecords

    return InspectionRecords(workspace.root())


def reviews() -> ReviewRecords:
    """Return the reviews of the workspace."""
    from padim.records.reviews import ReviewRecords

    return ReviewRecords(workspace.root())


def audit_share() -> float:
    """Return which share of the accepted images is drawn at random for review."""
    from padim.records.workspace_settings import AuditSettings, WorkspaceSettings

    return WorkspaceSettings(workspace.root()).get(AuditSettings).share


def set_audit_share(share: float, who: str) -> None:
    """Set which share of the accepted images is drawn from now on.

    Raises:
        StorageError: the setting cannot be stored.
    """
    from padim.records.workspace_settings import AuditSettings, WorkspaceSettings

    WorkspaceSettings(workspace.root()).set(AuditSettings(share=share), who)


def asked(mode: DeskMode, filters: InspectionQuery, who: str) -> InspectionQuery:
    """Return which inspections a mode shows, among those that the filters let through."""
    if mode == "second":
        return replace(filters, second_for=who)
    if mode == "disagreements":
        return replace(filters, disagrees=True)
    return replace(filters, waits=True)


# -- what the browser has done ---------------------------------------------------------------------------


def on_actions(now: DeskState, mode: DeskMode, who: str, value: object) -> None:
    """Carry out the actions in a message of the desk that are new; a bad message has none.

    Args:
        now: the page's state.
        mode: the mode in which they were made.
        who: the person; nothing is recorded without a name.
        value: what the browser has sent.
    """
    try:
        sent = _ACTIONS.validate_python(value)
    except ValidationError:
        return
    for action in sorted(sent, key=lambda action: action.serial):
        if action.serial <= now.handled:
            continue
        try:
            _carry_out(now, action, mode, who)
        except (PadimError, OSError) as error:
            text = _refusal(error, who)
            now.refusals.append({"serial": action.serial, "id": action.id or 0, "text": text})
            del now.refusals[:-8]
        now.handled = action.serial


def _refusal(error: Exception, who: str) -> str:
    from padim.records.reviews import AlreadyDecidedError

    if not isinstance(error, AlreadyDecidedError):
        return f"Not recorded: {error}."
    if error.by == who:
        return "Not recorded: you have decided this already."
    # What was decided is not said: a second opinion is to be blind.
    return (
        f"Not recorded: decided by {error.by} meanwhile, {clock.at(error.at)}. "
        "If you see it differently, say so in the list “Second opinions”."
    )


def _carry_out(now: DeskState, action: DeskAction, mode: DeskMode, who: str) -> None:
    if action.kind == "more":
        now.number += AHEAD
        return
    if action.kind == "undo":
        event = reviews().undo(who, action.id, uid=action.uid)
        if event is None:
            raise PadimError("there is nothing of yours to undo")
        now.returned = {"serial": action.serial, "id": event.inspection_id}
        undone = next(one for one in reviews().events(event.inspection_id) if one.id == event.undoes)
        now.done = max(0, now.done - (undone.kind == "decision"))
        return
    if action.id is None:
        return
    if action.kind == "comment":
        reviews().comment(action.id, who, action.text, uid=action.uid)
    elif action.decision is not None:
        reviews().decide(
            action.id,
            who,
            action.decision,
            action.type,
            uid=action.uid,
            second=mode == "second",
            instead=mode == "disagreements",
        )
        now.done += 1


# -- what the browser is sent ----------------------------------------------------------------------------


def message(
    now: DeskState, mode: DeskMode, query: InspectionQuery, order: InspectionOrder, who: str
) -> dict[str, Any]:
    """Return the complete data of the desk, ready to be encoded as JSON.

    Args:
        now: the page's state, which follows the list.
        mode: which list.
        query: the inspections in it, see :func:`asked`.
        order: their order.
        who: the person; empty if no name is given yet, and then nothing can be decided.
    """
    from padim.records.review_queue import next_inspections

    now.follow(f"{mode} {order} {query!r}")
    found = records()
    items = next_inspections(found, query, order, now.number)
    if now.returned is not None:
        # What an undo has put back may lie far behind in the list: it is shown now.
        back = found.get(now.returned["id"])
        if back is not None and found.count(replace(query, ids=(back.id,))):
            items = [back, *(one for one in items if one.id != back.id)]
    return {
        "list": now.shown,
        "items": [_item(now, one, mode, slot) for one, slot in zip(items, now.slots(items), strict=True)],
        "total": found.count(query),
        "done": now.done,
        "types": types(found),
        "handled": now.handled,
        "refusals": now.refusals,
        "returned": now.returned,
        "locked": not who,
    }


def types(found: Any) -> list[str]:
    """Return the known types of defects, the most frequent first."""
    counts: dict[str, int] = found.counts_by("defect_type")
    return sorted((name for name in counts if name), key=lambda name: (-counts[name], name.casefold()))


def _item(now: DeskState, one: Inspection, mode: DeskMode, slot: int) -> dict[str, Any]:
    shown = now.image(one)
    height, width = one.size
    return {
        "id": one.id,
        "name": one.name,
        "image": "" if shown.image is None else shown.image.url(f"desk-image-{slot}"),
        "width": width,
        "height": height,
        "heat": "" if shown.heat is None else shown.heat.url(f"desk-heat-{slot}"),
        "matrix": list(shown.matrix),
        "mapHeight": shown.map_size[0],
        "mapWidth": shown.map_size[1],
        "regions": [[region.x, region.y, region.width, region.height] for region in one.regions],
        "verdict": one.verdict,
        "said": f"{_SAID[one.verdict]} by the model",
        "reasons": [_sentence(reason) for reason in (*one.reasons, *one.notes)],
        "facts": facts(one),
        # A second opinion does not know of the first.
        "history": [] if mode == "second" else [_said(event) for event in reviews().events(one.id)],
        "note": shown.note,
    }


def facts(one: Inspection) -> list[tuple[str, str]]:
    """Return what is known of an inspection, as labels and values, without what is not."""
    band = ""
    if one.review_above is not None and one.reject_above is not None and one.review_above != one.reject_above:
        band = f"{one.review_above:.4g} to {one.reject_above:.4g}"
    version = "" if one.version_number is None else f", version {one.version_number}"
    found = [
        ("Score", f"{one.score:.4g}"),
        ("Threshold", "" if one.threshold is None else f"{one.threshold:.4g}"),
        ("Guard band", band),
        ("Part number", one.part_number),
        ("Serial number", one.serial),
        ("Lot", one.lot),
        ("Station", one.station),
        ("Shift", one.shift),
        ("Inspected", clock.when(one.judged)),
        ("Taken", "" if one.taken is None else f"{one.taken:%d %b %Y, %H:%M}"),
        ("Model", f"{one.model_name or one.model_id}{version}"),
        ("Size", f"{size(one.size)} px"),
    ]
    return [(label, value) for label, value in found if value]


def _said(event: ReviewEvent) -> str:
    when, second = clock.at(event.at), " in a second opinion" if event.second else ""
    if event.kind == "undo":
        return f"{event.who} took that back, {when}"
    if event.kind == "comment":
        return f"{event.who}, {when}: {event.comment}"
    kind = f" ({event.defect_type})" if event.defect_type else ""
    return f"{event.who} {_DECIDED[str(event.decision)]}{kind}{second}, {when}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _shown(one: Inspection) -> _Shown:
    from padim.records import shown

    found = records()
    kept = found.evidence(one.id)
    data = found.original(one.id)
    image = None if data is None else shown.displayable(data, one.name)
    notes = []
    if image is None:
        image = found.thumbnail(one.id)
        why = kept.original_gone or "its file is damaged"
        notes.append(f"Shown is the small copy: {why}.")
    levels = found.levels(one.id)
    if levels is None or one.threshold_level is None:
        heat, map_size = None, (1, 1)
        notes.append("Its heatmap is not kept.")
    else:
        heat, map_size = ServedImage(shown.heat_layer(levels, one.threshold_level)), levels.shape
    matrix = shown.map_to_image(kept.place, (map_size[0], map_size[1]), one.size)
    return _Shown(
        ServedImage(image) if image else None, heat, (map_size[0], map_size[1]), matrix, " ".join(notes)
    )


# -- filters ---------------------------------------------------------------------------------------------


def choices(column: Any, asked_for: InspectionQuery) -> Sequence[str]:
    """Return the values of a column among the inspections of a list."""
    chosen: list[str] = records().choices(column, asked_for)
    return chosen
