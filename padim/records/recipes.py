"""Recipes: which model inspects which part number, and the history of switches from part to part.

A part number without a recipe is refused: its images are not scored by whatever model was used last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import delete, insert, select, update

from padim.errors import PadimError
from padim.records.database import RecordsDatabase
from padim.records.schema import RECIPE_EVENTS, RECIPES
from padim.text import clipped, one_line

__all__ = ["LONGEST_PART_NUMBER", "PartNumberError", "Recipe", "RecipeEvent", "Recipes"]

LONGEST_PART_NUMBER = 100
_MOST_NAMED = 5
# What happened: a recipe was made or taken away, a part was switched to, or refused.
RecipeEventKind = Literal["set", "removed", "switched", "refused"]


class PartNumberError(PadimError):
    """A part number has no recipe, or one of another model; the message says which are known."""


@dataclass(frozen=True)
class Recipe:
    """The model that inspects a part number; who said so, and when."""

    part_number: str
    model_id: str
    changed: datetime
    who: str


@dataclass(frozen=True)
class RecipeEvent:
    """One entry of the history.

    Attributes:
        at, who: when, and by whom.
        kind: what happened.
        part_number: the part number.
        model_id: the model that was switched to, or whose recipe was changed; empty if there is none.
        station: the inspection station; empty if it is not known.
        how: how the part number was given: "typed", "file name" or "shell".
    """

    at: datetime
    who: str
    kind: RecipeEventKind
    part_number: str
    model_id: str
    station: str
    how: str


class Recipes:
    """The recipes of a workspace; cheap to create.

    Every method sees what others have stored. Those that store something raise StorageError if the database
    cannot be written, and then have stored nothing.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, root: str | Path) -> None:
        self._database = RecordsDatabase(root)

    def all(self) -> list[Recipe]:
        """Return the recipes by part number, in alphabetical order."""
        with self._database.reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(select(RECIPES)).mappings().all()
        found = [
            Recipe(row["part_number"], row["model_id"], datetime.fromisoformat(row["changed"]), row["who"])
            for row in rows
        ]
        return sorted(found, key=lambda recipe: recipe.part_number)

    def of(self, part_number: str) -> Recipe:
        """Return the recipe of a part number, as typed or scanned: spaces at the ends do not count.

        Raises:
            PartNumberError: it has none; the message names some that have one.
        """
        wanted, recipes = one_line(part_number, LONGEST_PART_NUMBER), self.all()
        for recipe in recipes:
            if recipe.part_number == wanted:
                return recipe
        named = ", ".join(recipe.part_number for recipe in recipes[:_MOST_NAMED])
        more = f" and {len(recipes) - _MOST_NAMED:,} more" if len(recipes) > _MOST_NAMED else ""
        known = f"known are {named}{more}" if recipes else "no part number has one"
        raise PartNumberError(
            f"part number {clipped(wanted, 60)} has no model ({known}); give it one on Models, Part numbers"
        )

    def set(self, part_number: str, model_id: str, who: str) -> Recipe:
        """Have a model inspect a part number from now on, instead of any other.

        Raises:
            PadimError: the part number is empty or too long.
            StorageError: the database cannot be written.
        """
        cleaned = one_line(part_number, LONGEST_PART_NUMBER + 1)
        if not cleaned or len(cleaned) > LONGEST_PART_NUMBER:
            raise PadimError(
                f"a part number has 1 to {LONGEST_PART_NUMBER} characters; this one has {len(cleaned)}"
                f"{' or more' if len(cleaned) > LONGEST_PART_NUMBER else ''}"
            )
        now = _now()
        row = {"model_id": model_id, "changed": now, "who": who}
        mine = RECIPES.c.part_number == cleaned
        with self._database.writing() as connection:
            if not connection.execute(update(RECIPES).where(mine).values(row)).rowcount:
                connection.execute(insert(RECIPES).values(part_number=cleaned, **row))
            connection.execute(
                insert(RECIPE_EVENTS).values(_event(who, "set", cleaned, model_id, "", "typed"))
            )
        return Recipe(cleaned, model_id, datetime.fromisoformat(now), who)

    def remove(self, part_number: str, who: str) -> None:
        """Take a part number's recipe away, so that it is refused; nothing happens if it has none."""
        mine = RECIPES.c.part_number == part_number
        with self._database.writing() as connection:
            former = connection.execute(select(RECIPES.c.model_id).where(mine)).scalar()
            if former is not None:
                connection.execute(delete(RECIPES).where(mine))
                event = _event(who, "removed", part_number, former, "", "typed")
                connection.execute(insert(RECIPE_EVENTS).values(event))

    def note(
        self,
        kind: Literal["switched", "refused"],
        part_number: str,
        who: str,
        *,
        model_id: str = "",
        station: str = "",
        how: str = "typed",
    ) -> None:
        """Record that a part number was switched to, or refused.

        Args:
            kind: which of the two.
            part_number: the part number.
            who: the person or program.
            model_id: the model that was switched to.
            station: the inspection station, if known.
            how: how the part number was given: "typed", "file name" or "shell".
        """
        with self._database.writing() as connection:
            event = _event(who, kind, one_line(part_number, LONGEST_PART_NUMBER), model_id, station, how)
            connection.execute(insert(RECIPE_EVENTS).values(event))

    def events(self, most: int = 100) -> list[RecipeEvent]:
        """Return the latest entries of the history, the latest first."""
        query = select(RECIPE_EVENTS).order_by(RECIPE_EVENTS.c.id.desc()).limit(most)
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(query).mappings().all()
        names = RecipeEvent.__dataclass_fields__
        return [
            RecipeEvent(
                **{name: row[name] for name in names if name != "at"}, at=datetime.fromisoformat(row["at"])
            )
            for row in rows
        ]

    def others(self, part_numbers: Iterable[str], model_id: str) -> dict[str, str]:
        """Return the part numbers that this model does not inspect, each with the reason, as a phrase."""
        recipes = {recipe.part_number: recipe.model_id for recipe in self.all()}
        found = {}
        for number in dict.fromkeys(part_numbers):
            of = recipes.get(one_line(number, LONGEST_PART_NUMBER))
            if of is None:
                found[number] = "has no model"
            elif of != model_id:
                found[number] = "belongs to another model"
        return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _event(
    who: str, kind: RecipeEventKind, part_number: str, model_id: str, station: str, how: str
) -> dict[str, str]:
    return {
        "at": _now(),
        "who": who,
        "kind": kind,
        "part_number": part_number,
        "model_id": model_id,
        "station": station,
        "how": how,
    }
