"""Recipes: one model a part number, unknown ones refused, and a history that keeps everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.errors import PadimError
from padim.records.recipes import PartNumberError, Recipes


def test_a_part_number_has_one_model(tmp_path: Path) -> None:
    recipes = Recipes(tmp_path)
    assert recipes.all() == []
    recipes.set(" 4711-A ", "flange", "Anna")
    recipes.set("0815", "plate", "Anna")
    recipes.set("4711-A", "flange-2", "Ben")
    assert [(r.part_number, r.model_id, r.who) for r in recipes.all()] == [
        ("0815", "plate", "Anna"),
        ("4711-A", "flange-2", "Ben"),
    ]
    assert recipes.of("4711-A\n").model_id == "flange-2"
    assert recipes.others(["4711-A", "0815", "9"], "plate") == {
        "4711-A": "belongs to another model",
        "9": "has no model",
    }


def test_an_unknown_one_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    recipes = Recipes(tmp_path)
    with pytest.raises(PartNumberError, match="no part number has one"):
        recipes.of("1")
    for number in range(8):
        recipes.set(f"P{number}", "plate", "Anna")
    with pytest.raises(PartNumberError, match="known are P0, P1, P2, P3, P4 and 3 more"):
        recipes.of("p1")
    recipes.remove("P1", "Ben")
    recipes.remove("P1", "Ben")
    with pytest.raises(PartNumberError):
        recipes.of("P1")


def test_the_history_keeps_everything_latest_first(tmp_path: Path) -> None:
    recipes = Recipes(tmp_path)
    recipes.set("P1", "plate", "Anna")
    recipes.note("switched", "P1", "Ben", model_id="plate", station="2")
    recipes.note("refused", "P9", "Ben", how="file name")
    recipes.remove("P1", "Anna")
    assert [(e.kind, e.part_number, e.model_id, e.who, e.how) for e in recipes.events()] == [
        ("removed", "P1", "plate", "Anna", "typed"),
        ("refused", "P9", "", "Ben", "file name"),
        ("switched", "P1", "plate", "Ben", "typed"),
        ("set", "P1", "plate", "Anna", "typed"),
    ]
    assert [e.kind for e in recipes.events(2)] == ["removed", "refused"]


@pytest.mark.parametrize("number", ["", " \x00 ", "x" * 101])
def test_part_numbers_that_are_none(tmp_path: Path, number: str) -> None:
    with pytest.raises(PadimError, match="1 to 100 characters"):
        Recipes(tmp_path).set(number, "plate", "Anna")
