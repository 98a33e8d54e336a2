"""What the Checks page works out, against plain counting and against the engine's own words."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from padim import (
    Guard,
    Padim,
    PadimError,
    Workspace,
    check_session,
)
from tests.parts import part, png
from ui import checks
from ui.files.media import Picture
from ui.jobs.jobs import Job
from ui.scoring import Pile, Scored


def scored(*names: str, scores: dict[str, int] | None = None, area: int = 8) -> list[Scored]:
    """Pictures of these names as if scored, each with a content of its own."""
    return [
        Scored(
            name,
            hashlib.sha256(name.encode()).hexdigest(),
            (96, 96),
            None,
            np.zeros((8, 8), np.float32),
            _scores={area: (scores or {}).get(name, 0)},
            number=number,
            file=Path(name),
            thumb=Picture(b""),
        )
        for number, name in enumerate(names, 1)
    ]


# -- repeat shots --------------------------------------------------------------------------------------------


def test_a_copy_is_no_second_shot() -> None:
    items = scored("a.png", "b.png", "a.png")
    assert checks.distinct(items) == items[:2]


def test_a_band_of_another_model_is_refused(
    small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    store = Workspace(tmp_path)
    entry = store.create("Parts")
    small_model.save(entry.path)
    guard = Guard(2.0, 1.0, 9, 10, 1)
    checks.use_guard(entry, small_model, guard)
    assert store.open(entry.id).decision.guard == guard
    changed = store.open(entry.id)
    changed.set_decision(min_area=20).save(entry.path)
    with pytest.raises(PadimError, match="changed meanwhile"):
        checks.use_guard(entry, small_model, Guard(3.0, 1.0, 9, 10, 1))
    assert store.open(entry.id).decision.guard == guard
    checks.use_guard(entry, small_model, None)  # removing one asks for no measurement
    assert store.open(entry.id).decision.guard is None


@pytest.mark.parametrize(
    ("width", "said"),
    [(50.0, "0.50 ×"), (9.5, "0.095 ×"), (0.34, "0.0034 ×"), (250, "2.50 ×"), (0, "0.00 ×")],
)
def test_a_width_in_thresholds(width: float, said: str) -> None:
    assert checks.in_thresholds(width, 100.0) == said
    assert checks.in_thresholds(width, 0.0) == "–"


def test_small_widths_keep_their_digits() -> None:
    assert [checks.amount(value) for value in (1234.5, 7, 0.1, 0.01234, 0)] == [
        "1,234.50",
        "7.00",
        "0.10",
        "0.012",
        "0.00",
    ]


# -- second session ------------------------------------------------------------------------------------------


def test_a_session_is_compared_part_by_part(small_model: Padim) -> None:
    level = small_model.threshold_level
    # Three shots each of twelve other parts; likeness tells which belong together, names say nothing.
    files = {f"{i:02d}{k}x.png": png(part(300 + i, shot=k)) for i in range(12) for k in range(3)}
    pile = Pile("some")
    items = _into(pile, files, small_model)
    found = checks.session(small_model, items, level)
    assert [{item.name[:2] for item in shots} for shots in found.parts] == [{f"{i:02d}"} for i in range(12)]
    assert found.images == 36
    area = small_model.config.min_area
    expected = [
        max(item.score(small_model, area) for item in items if item.name.startswith(f"{i:02d}"))
        for i in range(12)
    ]
    assert found.scores.tolist() == expected
    assert found.check == check_session(
        small_model.state.part_scores(small_model.config.min_area), np.array(expected), level
    )
    middle = sorted(expected)[6]
    rejected = found.rejected(small_model, middle)
    assert [score for score, _ in rejected] == sorted((s for s in expected if s > middle), reverse=True)


def _into(pile: Pile, files: dict[str, bytes], model: Padim) -> list[Scored]:
    class Files(dict[str, bytes]):
        skipped: tuple[()] = ()

        def __iter__(self) -> object:  # type: ignore[override]
            return iter(self.items())

    job: Job[None] = Job("test", "test", lambda job: pile.add(Files(files), model, job))  # type: ignore[arg-type]
    job.run()
    assert job.state == "done", job.error
    return pile.items


def test_only_what_the_model_does_not_know_tests_it(small_model: Padim) -> None:
    own = png(part(3))
    items = _into(Pile("some"), {"mine.png": own, "other.png": png(part(400))}, small_model)
    assert [item.name for item in checks.unknown(small_model, items)] == ["other.png"]


def test_picked_pictures_are_a_source_of_just_those(small_model: Padim) -> None:
    files = {f"{i}.png": png(part(400 + i)) for i in range(3)}
    pile = Pile("some")
    items = _into(pile, files, small_model)
    source = checks.Picked(pile, items[1:])
    assert len(source) == 2
    assert dict(source) == {name: files[name] for name in ("1.png", "2.png")}
    assert list(source) == list(source)


@pytest.mark.parametrize(
    ("rejected", "n", "says"),
    [
        (12, 20, "More good parts are rejected than promised."),
        (2, 20, "no further apart than chance explains"),
        (1, 1, "1 of 1 good part is rejected"),
    ],
)
def test_the_verdict_in_words(rejected: int, n: int, says: str) -> None:
    held_out = np.arange(100)
    check = check_session(held_out, np.array([99] * rejected + [0] * (n - rejected)), 89)
    assert says in checks.verdict(check)
    assert "about 11 in 100" in checks.verdict(check)


def test_too_few_rejected_is_said_as_well() -> None:
    check = check_session(np.arange(100), np.zeros(40, np.int64), 49)
    assert "Fewer good parts are rejected than promised." in checks.verdict(check)
    assert "fewer than 1 in 1,000" in checks.verdict(check)


# -- alignment -----------------------------------------------------------------------------------------------


def test_the_measurement_is_shared_until_it_is_forgotten(small_model: Padim) -> None:
    job = checks.lie(small_model)
    assert job.wait(240)
    assert job.result.good == len(small_model.normals_)
    assert checks.lie(small_model) is job
    checks.measure_again(job)
    again = checks.lie(small_model)
    assert again is not job
    assert again.wait(240)
    checks.measure_again(again)
