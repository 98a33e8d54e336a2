"""What the Checks page works out, against plain counting and against the engine's own words."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import (
    Alignment,
    Guard,
    Padim,
    PadimConfig,
    PadimError,
    Workspace,
    check_session,
    pooled,
    verdict_of,
)
from tests.parts import part, png
from ui import checks
from ui.checks import Lie, Shots
from ui.files.media import Picture
from ui.jobs.jobs import Job
from ui.scoring import Pile, Scored

SHOTS = {f"part{i:02d}_{k}.png": png(part(i, shot=k)) for i in range(4) for k in range(3)}


def scored(*names: str, scores: dict[str, int] | None = None, area: int = 8) -> list[Scored]:
    """Pictures of these names as if scored, each with a content of its own."""
    return [
        Scored(
            number,
            name,
            hashlib.sha256(name.encode()).hexdigest(),
            (96, 96),
            None,
            np.zeros((8, 8), np.float32),
            Path(name),
            Picture(b""),
            "unknown",
            {area: (scores or {}).get(name, 0)},
        )
        for number, name in enumerate(names, 1)
    ]


@pytest.fixture(scope="module")
def repeated_model(small_config: PadimConfig, tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """12 good parts shot once, four shot three times, and a copy of one file. Not to be changed."""
    files = {
        **{f"good_{i:03d}.png": png(part(100 + i)) for i in range(12)},
        **SHOTS,
        "copy.png": SHOTS["part00_0.png"],
    }
    groups = {name: name.split("_")[0] for name in SHOTS}
    return Padim(small_config, work_dir=tmp_path_factory.mktemp("repeated")).fit(files.items(), groups=groups)


# -- which shots show the same part ------------------------------------------------------------------------


def test_a_folder_a_part() -> None:
    # Two parts of thirty shots each: among normals that would be two days.
    names = [f"shots.zip/{part}/{i:02d}.png" for part in ("left", "right") for i in range(30)]
    ways = checks.splits(scored(*names))
    assert list(ways) == ["folder", "one"]
    assert ways["folder"] == [
        ("shots.zip/left", list(range(30))),
        ("shots.zip/right", list(range(30, 60))),
    ]
    assert ways["one"] == [("The part", list(range(60)))]


def test_a_folder_a_shot_below_a_folder_a_part() -> None:
    names = [f"p{part}/shot{shot}/image.png" for part in range(3) for shot in range(2)]
    assert checks.splits(scored(*names))["folder"] == [(f"p{i}", [2 * i, 2 * i + 1]) for i in range(3)]


def test_parts_by_name() -> None:
    names = [f"part{part:03d}_{shot}.png" for part in (7, 8, 9) for shot in "abc"]
    ways = checks.splits(scored(*names))
    assert list(ways) == ["name", "one"]
    assert [name for name, _ in ways["name"]] == ["part007", "part008", "part009"]
    assert [group for _, group in ways["name"]] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(
    "names",
    [
        ["shot_01.png", "shot_02.png", "shot_03.png"],
        ["IMG_0001.png", "IMG_0002.png"],
        ["folder/a.png", "folder/b.png"],
        ["one.png"],
    ],
)
def test_otherwise_all_are_one_part(names: list[str]) -> None:
    assert list(checks.splits(scored(*names))) == ["one"]


@given(st.lists(st.text("ab01_/. -", min_size=1, max_size=9), max_size=12, unique=True))
def test_no_picture_is_in_two_parts(names: list[str]) -> None:
    for parts in checks.splits(scored(*names)).values():
        taken = [i for _, group in parts for i in group]
        assert len(taken) == len(set(taken))
        assert set(taken) <= set(range(len(names)))


def test_a_copy_is_no_second_shot() -> None:
    items = scored("a.png", "b.png", "a.png")
    assert checks.distinct(items) == items[:2]


# -- guard band ----------------------------------------------------------------------------------------------


def test_normals_that_were_shot_repeatedly(repeated_model: Padim) -> None:
    levels = repeated_model.image_levels()
    value = repeated_model.quantizer.to_value
    expected = {
        frozenset(
            value(int(level))
            for normal, level in zip(repeated_model.normals_, levels, strict=True)
            if normal.name.startswith(f"part{i:02d}")
        )
        for i in range(4)
    }
    found = checks.of_normals(repeated_model)
    assert {frozenset(shots.values) for shots in found} == expected
    assert all(len(shots.values) == 3 for shots in found)  # the copy is none
    band = checks.band(found)
    assert band is not None
    assert band.repeatability == pooled([shots.values for shots in found])
    assert band.guard == Guard.of(band.repeatability)
    assert band.mean == pytest.approx(np.mean([value for shots in found for value in shots.values]))


def test_a_model_without_repeat_shots_offers_none(small_model: Padim) -> None:
    assert checks.of_normals(small_model) == []
    assert checks.band([Shots("a", ("a.png",), (3.0,))]) is None


def test_single_shots_do_not_count() -> None:
    band = checks.band([Shots("a", ("1", "2"), (1.0, 3.0)), Shots("b", ("3",), (100.0,))])
    assert band is not None
    assert (band.repeatability.shots, band.mean) == (2, 2.0)


@pytest.mark.parametrize("width", [0.0, 0.4, 3.0, 60.0, 1e6])
def test_under_review_counts_as_the_verdicts(small_model: Padim, width: float) -> None:
    guard = Guard(width, width / 2, 9, 10, 1)
    level, scores = small_model.threshold_level, small_model.held_out_scores()
    verdicts = [verdict_of(int(score), level, guard, small_model.quantizer) for score in scores]
    found = checks.under_review(small_model, guard)
    assert found is not None
    assert (found.count, found.of) == (verdicts.count("review"), len(scores))
    assert found.above == sum(
        score > level and verdict == "review" for score, verdict in zip(scores, verdicts, strict=True)
    )


def test_a_band_of_another_model_is_refused(
    small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    store = Workspace(tmp_path)
    entry = store.create("Parts")
    small_model.save(entry.path)
    guard = Guard(2.0, 1.0, 9, 10, 1)
    checks.use_guard(entry, small_model, guard)
    assert store.open(entry.id).guard == guard
    changed = store.open(entry.id)
    changed.set_decision(min_area=20).save(entry.path)
    with pytest.raises(PadimError, match="changed meanwhile"):
        checks.use_guard(entry, small_model, Guard(3.0, 1.0, 9, 10, 1))
    assert store.open(entry.id).guard == guard
    checks.use_guard(entry, small_model, None)  # removing one asks for no measurement
    assert store.open(entry.id).guard is None


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
    assert found.pictures == 36
    area = small_model.config.min_area
    expected = [
        max(item.score(small_model, area) for item in items if item.name.startswith(f"{i:02d}"))
        for i in range(12)
    ]
    assert found.scores.tolist() == expected
    assert found.check == check_session(small_model.held_out_scores(), np.array(expected), level)
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


def test_the_farthest_and_the_typical() -> None:
    shifts = np.array([[0, 1], [3, 4], [np.nan, np.nan], [0, -2], [6, 8]], np.float32)
    angles = np.zeros(5, np.float32)
    lie = Lie(Alignment(shifts, angles, angles, True, 9.0, 0.0, 9.0), (10, 11, 12, 13, 14), 5)
    assert lie.typical == 3.5
    assert lie.without_outline == 1
    assert lie.farthest(2.0) == [(14, 10.0), (11, 5.0)]
    assert lie.farthest(0.0, most=1) == [(14, 10.0)]


def test_of_many_pictures_some_are_measured_evenly(
    repeated_model: Padim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "MOST_ALIGNED", 10)
    job = checks.lie(repeated_model)
    assert job.wait(60)
    lie = job.result
    assert (len(lie.measured), lie.good) == (10, 25)
    assert set(np.diff(lie.measured)) == {2, 3}
    assert checks.lie(repeated_model) is job  # shared, and measured once
    checks.measure_again(job)
    again = checks.lie(repeated_model)
    assert again is not job
    assert again.wait(60)
    checks.measure_again(again)
