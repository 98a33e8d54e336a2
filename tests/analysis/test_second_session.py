"""Good parts of another session: counted by part, compared with the promise, worst first."""

from __future__ import annotations

import numpy as np

from padim import Padim, PadimConfig, check_session
from padim.analysis.second_session import not_in_model, second_session
from padim.analysis.stored_score import StoredScore
from padim.decision.verdicts import VerdictCounts
from tests.parts import normals, part, png


def scored(model: Padim, files: dict[str, bytes]) -> list[StoredScore]:
    return [
        StoredScore(one.name, one.sha256, one.original_size, one.content_box, one.grid)
        for one in model.predict(files.items())
    ]


def test_a_part_counts_once_by_its_highest_shot(small_model: Padim) -> None:
    files = {f"{i:02d}{k}.png": png(part(300 + i, shot=k)) for i in range(6) for k in range(2)}
    images = scored(small_model, files)
    level, area = small_model.threshold_level, small_model.config.min_area
    found = second_session(small_model, images, [int(image.name[:2]) for image in images], level)
    assert found.images == 12
    highest = [max(image.score(small_model, area) for image in images[2 * i : 2 * i + 2]) for i in range(6)]
    assert found.scores.tolist() == highest
    assert found.check == check_session(
        small_model.state.part_scores(small_model.config.min_area), np.array(highest), level
    )
    middle = sorted(highest)[2]
    found = second_session(small_model, images, [int(image.name[:2]) for image in images], middle)
    rejected = found.not_accepted(small_model)
    assert found.verdicts == VerdictCounts(3, 0, 3)
    assert [score for score, _ in rejected] == sorted((s for s in highest if s > middle), reverse=True)
    assert all(image.score(small_model, area) == score for score, image in rejected)


def test_the_models_own_images_are_left_out(small_model: Padim) -> None:
    images = scored(small_model, {"mine.png": png(part(3)), "other.png": png(part(400))})
    assert [image.name for image in not_in_model(small_model, images)] == ["other.png"]


def test_without_held_out_scores_there_is_nothing_to_compare_with(small_config: PadimConfig) -> None:
    two = Padim(small_config).fit(normals(2))
    assert second_session(two, scored(two, {"a.png": png(part(9))}), [0], 100).check is None
