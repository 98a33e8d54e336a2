"""Two who save one model: a command never undoes what somebody else has saved while it ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from padim import Padim
from padim.adaptation import adapt
from padim.analysis import percentile_table
from padim.storage import leftovers
from tests.cli.conftest import SMALL, Run


def meanwhile(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, happens: Callable[[], object]) -> None:
    """Let something happen once, just before a function returns."""
    function, left = getattr(target, name), [happens]

    def wrapped(*args: Any, **more: Any) -> Any:
        result = function(*args, **more)
        while left:
            left.pop()()
        return result

    monkeypatch.setattr(target, name, wrapped)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_calibrate_does_not_undo_what_was_saved_meanwhile(
    run: Run, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    place = Padim.load(own_model).save(tmp_path / f"shared{suffix}")

    def another() -> None:
        Padim.load(place).set_decision(min_area=9).save(place)

    meanwhile(monkeypatch, percentile_table, "percentile_table", another)
    sentence = run("calibrate", place, "--percentile", 80, "--write").sentence
    assert f"{place}: was changed by someone else since it was opened (" in sentence
    assert "smallest region 8 → 9" in sentence
    assert "--force" in sentence
    model = Padim.load(place)
    assert (model.decision.choice.permille, model.config.min_area) == (950, 9)

    # Run again, it starts from what is there now.
    assert run("calibrate", place, "--percentile", 80, "--write").code == 0
    model = Padim.load(place)
    assert (model.decision.choice.permille, model.config.min_area) == (800, 9)

    meanwhile(monkeypatch, percentile_table, "percentile_table", lambda: Padim.load(own_model).save(place))
    assert run("calibrate", place, "--percentile", 70, "--write", "--force").code == 0
    model = Padim.load(place)
    assert (model.decision.choice.permille, model.config.min_area) == (700, 9)


def test_fit_does_not_replace_a_model_saved_during_the_fit(
    run: Run, good: Path, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "new"
    theirs = Padim.load(own_model).set_decision(min_area=9)
    meanwhile(monkeypatch, Padim, "fit", lambda: theirs.save(place))
    done = run("fit", good, "-o", place, *SMALL)
    assert done.code == 2
    assert "a model was saved here meanwhile" in done.err
    assert Padim.load(place).revision == theirs.revision
    # The finished work is kept: with another place, or with --force, it is saved without running the network.
    meanwhile(monkeypatch, Padim, "fit", lambda: theirs.save(place))
    assert run("fit", good, "-o", place, "--resume", "--force", *SMALL).code == 0
    assert Padim.load(place).revision != theirs.revision
    assert not place.with_name("new.partial").exists()


def test_a_fit_replaces_only_what_it_was_told_to(
    run: Run, good: Path, own_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--force`` is about the model that is there at the start, and about any other."""
    meanwhile(
        monkeypatch, Padim, "fit", lambda: Padim.load(own_model).set_decision(min_area=9).save(own_model)
    )
    assert run("fit", good, "-o", own_model, "--force", *SMALL).code == 0
    assert Padim.load(own_model).config.min_area == 8


def test_results_written_while_a_scoring_waited_to_begin_are_not_replaced(
    run: Run, own_model: Path, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other scoring ends in the same folder after this one was called, and before it has the lock."""
    output, held_folder = tmp_path / "results", leftovers.held_folder
    command = ("score", own_model, good, "--output", output)

    def late(folder: Path) -> Any:
        monkeypatch.setattr(leftovers, "held_folder", held_folder)
        assert run(*command).code == 0
        return held_folder(folder)

    monkeypatch.setattr(leftovers, "held_folder", late)
    assert "holds earlier results" in run(*command).sentence
    before = (output / "results.csv").read_bytes()
    assert "holds earlier results" in run(*command).sentence
    assert (output / "results.csv").read_bytes() == before


def test_two_scorings_in_one_folder(run: Run, own_model: Path, good: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    output.mkdir()
    with leftovers.held_folder(output) as acquired:
        assert acquired
        sentence = run("score", own_model, good, "--output", output).sentence
    assert "another scoring is running there" in sentence
    assert list(output.iterdir()) == []


def test_adapt_does_not_replace_a_model_saved_meanwhile(
    run: Run, good: Path, own_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "adapted"

    def adapted(*_: object, **__: object) -> tuple[Padim, None]:
        Padim.load(own_model).set_decision(min_area=9).save(place)
        return Padim.load(own_model), None

    monkeypatch.setattr(adapt, "adapt", adapted)
    assert "a model was saved here meanwhile" in run("adapt", good, "-o", place).err
    assert Padim.load(place).config.min_area == 9
