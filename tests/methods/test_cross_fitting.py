"""Cross-fitting: held-out parts are scored by a model fitted without them, whatever the order of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.data.loading import Watch
from padim.errors import Cancelled
from padim.methods import cross_fitting
from padim.methods.base import Losses, Task
from padim.methods.training import Turn
from padim.storage.normals import Status
from tests.methods import arrays


def task_of(folder: Path, count: int, groups: list[str] | None = None, **settings: Any) -> Task:
    return arrays.task(
        folder, arrays.embeddings(count, 4, 3), groups, **{"method": "svdd", "folds": 5, **settings}
    )


class Spy:
    """A replacement of a method whose detectors record the rows they were fitted on and those they scored."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.scored: dict[int, Turn] = {}

    def fit(self, turn: Turn) -> tuple[Turn, tuple[Losses, ...]]:
        self.turns.append(turn)
        return turn, (Losses(turn.name, (1.0,), (1.0,), 0),)

    def measure(self, detector: Turn, rows: list[int]) -> npt.NDArray[np.float64]:
        for row in rows:
            assert row not in self.scored, "scored twice"
            self.scored[row] = detector
        return np.full((len(rows), 16), 1.0 + detector.number)


def fitted(task: Task) -> tuple[Spy, npt.NDArray[np.float32], tuple[Losses, ...]]:
    spy = Spy()
    result = cross_fitting.cross_fit(task, spy.fit, spy.measure)  # type: ignore[arg-type]
    assert result.detector is spy.turns[-1]  # type: ignore[comparison-overlap]
    return spy, result.held_out, result.losses


def part_of(task: Task, rows: object) -> set[str]:
    return {task.normals[row].group for row in rows}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("count", "models"), [(3, 3), (4, 4), (5, 5), (12, 5), (41, 5)])
def test_no_part_is_scored_by_what_has_seen_it(tmp_path: Path, count: int, models: int) -> None:
    task = task_of(tmp_path, count)
    spy, held_out, losses = fitted(task)
    assert sorted(spy.scored) == list(range(count))
    for row, turn in spy.scored.items():
        assert turn is not spy.turns[-1]
        assert row not in [*turn.rows, *turn.stop_rows]
        assert (held_out[row] == 1 + turn.number).all()
    for turn in spy.turns:
        assert turn.rows
        assert turn.stop_rows
        assert not set(turn.rows) & set(turn.stop_rows)
    assert sorted([*spy.turns[-1].rows, *spy.turns[-1].stop_rows]) == list(range(count))
    assert [turn.name for turn in spy.turns] == [
        *(f"without fold {i + 1}" for i in range(models)),
        "all parts",
    ]
    assert next(curve.name for curve in losses) == "all parts"
    assert len(losses) == models + 1


def test_images_of_a_part_stay_together(tmp_path: Path) -> None:
    groups = [f"part {index // 3}" for index in range(21)]
    task = task_of(tmp_path, 21, groups)
    spy, _, _ = fitted(task)
    for row, turn in spy.scored.items():
        seen = part_of(task, turn.rows) | part_of(task, turn.stop_rows)
        assert task.normals[row].group not in seen
        assert not part_of(task, turn.rows) & part_of(task, turn.stop_rows)


def test_what_is_out_of_the_fit_is_scored_by_the_model_of_all_parts(tmp_path: Path) -> None:
    statuses: dict[int, Status] = {2: "kept_out", 5: "not_good"}
    spy, held_out, _ = fitted(arrays.task(tmp_path, arrays.embeddings(8, 4, 3), statuses=statuses, folds=5))
    assert spy.scored[2] is spy.turns[-1]
    assert spy.scored[5] is spy.turns[-1]
    assert all(not {2, 5} & {*turn.rows, *turn.stop_rows} for turn in spy.turns)
    assert (held_out[[2, 5]] == 1 + spy.turns[-1].number).all()


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_parts_are_fitted_without_cross_fitting(tmp_path: Path, count: int) -> None:
    spy, held_out, _ = fitted(task_of(tmp_path, count))
    assert len(spy.turns) == 1
    assert not held_out.any()
    assert len(spy.turns[0].rows) == 1
    assert len(spy.turns[0].stop_rows) == count - 1


def test_the_folds_do_not_depend_on_the_order_of_the_images(tmp_path: Path) -> None:
    there = task_of(tmp_path, 17)
    turned = replace(there, normals=there.normals[::-1])

    def split(task: Task) -> list[tuple[set[str], set[str]]]:
        spy, _, _ = fitted(task)
        return [(part_of(task, turn.rows), part_of(task, turn.stop_rows)) for turn in spy.turns]

    assert split(there) == split(turned)


def test_another_seed_deals_otherwise(tmp_path: Path) -> None:
    first, _, _ = fitted(task_of(tmp_path / "a", 17))
    second, _, _ = fitted(task_of(tmp_path / "b", 17, seed=1))
    assert [turn.rows for turn in first.turns] != [turn.rows for turn in second.turns]


def test_other_settings_and_other_images_have_other_keys(tmp_path: Path) -> None:
    def key(name: str, count: int = 6, **settings: Any) -> str:
        return fitted(task_of(tmp_path / name, count, **settings))[0].turns[0].key

    assert key("a") == key("b") == key("c", smoothing_sigma=9.0)
    assert len({key("a"), key("d", count=7), key("e", svdd_nu=0.3), key("f", seed=4)}) == 4


def test_progress_counts_all_trainings_and_cancel_stops_between_them(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    stop = False
    watch = Watch(progress=lambda done, total, stage: seen.append((done, total)), cancel=lambda: stop)
    task = replace(task_of(tmp_path, 10), watch=watch)
    spy = Spy()

    def fit(turn: Turn) -> tuple[Turn, tuple[Losses, ...]]:
        nonlocal stop
        turn.report(0.5, f"Training {turn.words}")
        stop = turn.number == 3
        return spy.fit(turn)

    with pytest.raises(Cancelled):
        cross_fitting.cross_fit(task, fit, spy.measure)  # type: ignore[arg-type]
    assert len(spy.turns) == 4
    assert [done / (total or 1) for done, total in seen] == pytest.approx(
        [0.5 / 6, 1.5 / 6, 2.5 / 6, 3.5 / 6]
    )


@given(st.integers(1, 300), st.integers(2, 20))
def test_folds_are_even_and_whole(count: int, asked: int) -> None:
    parts = [str(index) for index in range(count)]
    dealt = cross_fitting.deal(parts, asked)
    assert len(dealt) == min(asked, count)
    assert sorted(part for fold in dealt for part in fold) == sorted(parts)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert 0 <= cross_fitting.stop_parts(count) < count
    assert (cross_fitting.stop_parts(count) > 0) == (count > 1)
