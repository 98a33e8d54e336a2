"""The part number that a page inspects: typed or scanned, it chooses the model by its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from padim.errors import PadimError
from padim.text import clipped, one_line
from ui.app import person, state, workspace

if TYPE_CHECKING:
    from padim.records.recipes import Recipes
    from padim.storage.model_folders import Entry

__all__ = ["PartInUse", "batch_refusal", "in_use", "recipes", "standing", "type_in"]


@dataclass
class PartInUse:
    """The part number of one page.

    Attributes:
        text: the part number; empty for none.
        refused: why it cannot be inspected, as a sentence; empty if it can.
        model_id: the model that its recipe named when it was last looked up.
        unnoted: why the history of switches lacks the latest entry; empty if it does not.
    """

    text: str = ""
    refused: str = ""
    model_id: str = ""
    unnoted: str = ""


def in_use() -> PartInUse:
    """Return this page's part number; it outlives a reload of the page."""
    return state.lasting(PartInUse)


def recipes() -> Recipes:
    """Return access to the workspace's recipes."""
    from padim.records.recipes import Recipes

    return Recipes(workspace.root())


def type_in(text: str, station: str = "") -> None:
    """Switch to the model of a part number, or refuse it; an empty one is no part number.

    Args:
        text: as typed or scanned.
        station: the inspection station, for the history.
    """
    from padim.records.recipes import LONGEST_PART_NUMBER, PartNumberError

    now = in_use()
    now.text, now.refused, now.model_id = one_line(text, LONGEST_PART_NUMBER), "", ""
    if not now.text:
        return
    try:
        model_id = recipes().of(now.text).model_id
        if not _is_there(model_id):
            raise PartNumberError(
                f"the model of part number {now.text} is not there or cannot be opened; give it another one "
                "on Models, Part numbers"
            )
    except (PadimError, OSError) as error:
        now.refused = _sentence(error)
        if isinstance(error, PartNumberError):
            note("refused", now.text, station=station)
        return
    now.model_id = model_id
    workspace.use(model_id)
    note("switched", now.text, model_id=model_id, station=station)


def note(
    kind: Literal["switched", "refused"],
    part_number: str,
    *,
    model_id: str = "",
    station: str = "",
    how: str = "typed",
) -> None:
    """Add a switch or a refusal to the history; if that fails, the page says so."""
    try:
        recipes().note(kind, part_number, person.name(), model_id=model_id, station=station, how=how)
        in_use().unnoted = ""
    except (PadimError, OSError) as error:
        in_use().unnoted = _sentence(error)


def standing(entry: Entry) -> str:
    """Return why this page's part number cannot be inspected by a model, as a sentence; empty if it can."""
    from padim.records.recipes import PartNumberError

    now = in_use()
    if not now.text:
        return ""
    try:
        now.model_id = recipes().of(now.text).model_id
        now.refused = ""
    except PartNumberError as error:
        now.refused = _sentence(error)
    except (PadimError, OSError):
        pass  # the database is away: the recipe counts as it was last read
    if now.refused:
        return now.refused
    if now.model_id != entry.id:
        return (
            f"Part number {now.text} is inspected by {_called(now.model_id)}, and the model in use is "
            f"“{entry.name}”."
        )
    return ""


def batch_refusal(entry: Entry, part_numbers: Mapping[str, str], unread: Sequence[str]) -> dict[str, str]:
    """Return which images of a batch may not be scored by a model, each with the reason, as a phrase.

    Args:
        entry: the model in use.
        part_numbers: the part numbers that file names give, by name.
        unread: names that give none, though the pattern asks for it.

    Raises:
        PadimError: the recipes cannot be read.
    """
    models = {recipe.part_number: recipe.model_id for recipe in recipes().all()}
    found = {}
    for name, number in part_numbers.items():
        of = models.get(number)
        if of is None:
            found[name] = f"part number {clipped(number, 60)} has no model"
        elif of != entry.id:
            found[name] = f"part number {clipped(number, 60)} is inspected by {_called(of)}"
    if not in_use().text:
        found |= dict.fromkeys(unread, "the name gives no part number, and none is typed")
    return found


def common_model(entry: Entry, part_numbers: Sequence[str]) -> str:
    """Return the one other model that inspects all these part numbers; empty if there is none."""
    models = {recipe.part_number: recipe.model_id for recipe in recipes().all()}
    wanted = {models.get(number, "") for number in part_numbers}
    only = next(iter(wanted)) if len(wanted) == 1 else ""
    return only if only and only != entry.id and _is_there(only) else ""


def _is_there(model_id: str) -> bool:
    return any(one.id == model_id and not one.broken for one in workspace.store().models())


def _called(model_id: str) -> str:
    name = next((one.name for one in workspace.store().models() if one.id == model_id), "")
    return f"“{name}”" if name else "a model that is not there"


def _sentence(error: BaseException) -> str:
    text = str(error).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text[-1:] in '.!?' else '.'}"


def listed(names: Sequence[str]) -> str:
    """Return "a.png, b.png and 1 more" for a message."""
    shown = ", ".join(clipped(one, 60) for one in names[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown
