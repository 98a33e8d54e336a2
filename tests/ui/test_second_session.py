"""The second session on the Checks page, against plain counting and against the engine's own words."""

from __future__ import annotations

import numpy as np
import pytest

from padim import Padim, check_session
from tests.parts import part, png
from ui import second_session
from ui.jobs.jobs import Job
from ui.reviews import unknown
from ui.scoring import Pile, PileSelection, ScoredUpload


def test_a_session_is_compared_part_by_part(small_model: Padim) -> None:
    level = small_model.threshold_level
    # Three shots each of twelve other parts; likeness tells which belong together, names say nothing.
    files = {f"{i:02d}{k}x.png": png(part(300 + i, shot=k)) for i in range(12) for k in range(3)}
    pile = Pile("some")
    items = _into(pile, files, small_model)
    found = second_session.session(small_model, items, level)
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
    rejected = second_session.session(small_model, items, middle).not_accepted(small_model)
    assert [score for score, _ in rejected] == sorted((s for s in expected if s > middle), reverse=True)


def _into(pile: Pile, files: dict[str, bytes], model: Padim) -> list[ScoredUpload]:
    class Files(dict[str, bytes]):
        skipped: tuple[()] = ()
        passed_over: tuple[()] = ()

        def __iter__(self) -> object:  # type: ignore[override]
            return iter(self.items())

    job: Job[None] = Job("test", "test", lambda job: pile.add(Files(files), model, job))  # type: ignore[arg-type]
    job.run()
    assert job.state == "done", job.error
    return pile.items


def test_only_what_the_model_does_not_know_tests_it(small_model: Padim) -> None:
    own = png(part(3))
    items = _into(Pile("some"), {"mine.png": own, "other.png": png(part(400))}, small_model)
    assert [item.name for item in unknown(small_model, items)] == ["other.png"]


def test_picked_images_are_a_source_of_just_those(small_model: Padim) -> None:
    files = {f"{i}.png": png(part(400 + i)) for i in range(3)}
    pile = Pile("some")
    items = _into(pile, files, small_model)
    source = PileSelection(pile, items[1:])
    assert len(source) == 2
    assert dict(source) == {name: files[name] for name in ("1.png", "2.png")}
    assert list(source) == list(source)


@pytest.mark.parametrize(
    ("rejected", "n", "says"),
    [
        (12, 20, "More false rejects than expected."),
        (2, 20, "no further apart than chance explains"),
        (1, 1, "1 of 1 good part is rejected"),
    ],
)
def test_the_verdict_in_words(rejected: int, n: int, says: str) -> None:
    held_out = np.arange(100)
    check = check_session(held_out, np.array([99] * rejected + [0] * (n - rejected)), 89)
    assert says in second_session.verdict(check)
    assert "11 % are expected" in second_session.verdict(check)


def test_too_few_rejected_is_reported_as_well() -> None:
    check = check_session(np.arange(100), np.zeros(40, np.int64), 49)
    assert "Fewer false rejects than expected." in second_session.verdict(check)
    assert "fewer than 1 in 1,000" in second_session.verdict(check)
