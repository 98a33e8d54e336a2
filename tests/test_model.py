"""Padim from images to verdicts, against brute force: refits, plain loops, fits made from the start."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import (
    BackboneError,
    CalibrationError,
    Cancelled,
    ImageError,
    NotFittedError,
    Padim,
    PadimConfig,
    PadimError,
)
from padim.data.decode import decode
from padim.decision.prediction import decide
from padim.decision.regions import map_mask, region_score
from padim.model import Choice
from padim.network.model_network import ModelNetwork
from tests.parts import RGB, defects, normals, part, png

Images = list[tuple[str, bytes | RGB]]
BROKEN = ("broken.png", b"no image at all")


def fit(config: PadimConfig, images: Images, **options: Any) -> Padim:
    return Padim(config).fit(images, **options)


def assert_same_model(one: Padim, other: Padim) -> None:
    """Bit for bit, in everything that follows from the images."""
    assert one.normals_ == other.normals_
    assert one.state.fitted.calibration == other.state.fitted.calibration
    assert one.state.fitted.quantizer == other.state.fitted.quantizer
    np.testing.assert_array_equal(one.state.gaussians.mean, other.state.gaussians.mean)
    assert_same_factor(one, other)
    np.testing.assert_array_equal(one.state.fitted.held_out, other.state.fitted.held_out)


def assert_same_factor(one: Padim, other: Padim) -> None:
    assert one.state.gaussians.factor.kind == other.state.gaussians.factor.kind
    for ours, theirs in zip(
        one.state.gaussians.factor.files().values(),
        other.state.gaussians.factor.files().values(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def grids_of(model: Padim, images: Images) -> np.ndarray:
    return np.stack([scored.grid for scored in model.predict(images)])


def snapshot(model: Padim) -> dict[str, Any]:
    """All that a failed or cancelled change must leave alone."""
    state = {
        "normals": model.normals_,
        "quantizer": model.state.fitted.quantizer,
        "calibration": model.state.fitted.calibration,
        "threshold": model.current_threshold,
        "mean": model.state.gaussians.mean.tobytes(),
        "factor": [array.tobytes() for array in model.state.gaussians.factor.files().values()],
        "held_out": model.state.fitted.held_out.tobytes(),
        "levels": model.state.image_levels(model.config.min_area).tolist()
        if model.state.fitted.calibration != "none"
        else None,
        "thumbnails": [model.working_set.thumbnail(i) for i in range(len(model.normals_))],
        "has_features": model.working_set.has_features,
    }
    files = (path for path in model.working_set.folder.rglob("*") if path.is_file())
    state["files"] = {
        str(path.relative_to(model.working_set.folder)): path.read_bytes() for path in sorted(files)
    }
    return state


# --- the three verbs ---


def test_fit_score_decide(small_model: Padim) -> None:
    scored = list(small_model.predict([*normals(8, first=100), *defects(8)]))
    assert [item.name for item in scored[:2]] == ["good_100.png", "good_101.png"]
    assert [item.name for item in scored[-1:]] == ["bad_007.png"]
    rejected = [small_model.decide(item).rejected for item in scored]
    assert sum(rejected[:8]) <= 2
    assert all(rejected[8:])
    for item in scored:
        assert item.grid.shape == (8, 8)
        assert item.grid.dtype == np.float32
        assert item.levels.shape == (64, 64)
        assert item.levels.dtype == np.uint16
        assert item.original_size == (96, 96)
        assert item.content_box is None
        assert np.isfinite(item.grid).all()


def test_not_fitted() -> None:
    model = Padim(PadimConfig(input_size=64))
    with pytest.raises(NotFittedError):
        _ = model.state
    with pytest.raises(NotFittedError, match=r"fit\(\)"):
        list(model.predict(normals(1)))
    with pytest.raises(NotFittedError):
        model.normals_  # noqa: B018
    with pytest.raises(NotFittedError):
        model.save("nowhere")
    assert not Path("nowhere").exists()


def test_unknown_backbone_is_told_at_once() -> None:
    config = PadimConfig().model_copy(update={"backbone": "efficientnet_lite"})
    with pytest.raises(BackboneError, match="did you mean 'efficientnet_lite0'"):
        Padim(config).fit(normals(1))


def test_arrays_and_files_give_the_same_model(small_config: PadimConfig) -> None:
    files = normals(4)
    arrays: Images = [(name, decode(data, name)) for name, data in files if isinstance(data, bytes)]
    one, other = fit(small_config, files), fit(small_config, arrays)
    np.testing.assert_array_equal(one.state.gaussians.mean, other.state.gaussians.mean)
    np.testing.assert_array_equal(one.state.fitted.held_out, other.state.fitted.held_out)


def test_a_score_does_not_depend_on_the_batch(small_model: Padim) -> None:
    images = [*normals(5, first=100), *defects(4)]
    expected = list(small_model.predict(images, batch_size=9))
    for size in (1, 2, 4):
        got = list(small_model.predict(images, batch_size=size))
        for a, b in zip(expected, got, strict=True):
            np.testing.assert_array_equal(a.levels, b.levels)
            assert a.score_level == b.score_level


def test_scoring_is_lazy_and_takes_an_endless_source(small_model: Padim) -> None:
    read = 0

    def endless() -> Iterator[tuple[str, RGB]]:
        nonlocal read
        for i in itertools.count():
            read += 1
            yield f"{i}.png", part(100 + i % 3)

    scores = small_model.predict(endless(), batch_size=2)
    assert read == 0
    working_files = list(itertools.islice(scores, 6))
    assert [item.name for item in working_files] == [f"{i}.png" for i in range(6)]
    scores.close()  # type: ignore[attr-defined]
    assert read <= 6 + 3 * 2
    assert working_files[0].score_level == working_files[3].score_level


# --- save and load ---


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_load_gives_back_the_model(name: str, small_model: Padim, tmp_path: Path) -> None:
    loaded = Padim.load(small_model.save(tmp_path / name))
    assert_same_model(loaded, small_model)
    assert loaded.config == small_model.config
    assert loaded.decision.choice == small_model.decision.choice
    assert loaded.current_threshold == small_model.current_threshold
    np.testing.assert_array_equal(loaded.state.channels, small_model.state.channels)
    np.testing.assert_array_equal(
        loaded.state.part_scores(loaded.config.min_area),
        small_model.state.part_scores(small_model.config.min_area),
    )
    for index in (0, 21):
        assert loaded.working_set.thumbnail(index) == small_model.working_set.thumbnail(index)
        assert decode(loaded.working_set.thumbnail(index), "thumbnail").shape == (96, 96, 3)
    images = [*normals(2, first=100), *defects(2)]
    for a, b in zip(loaded.predict(images), small_model.predict(images), strict=True):
        np.testing.assert_array_equal(a.levels, b.levels)
        assert (a.score_level, a.sha256) == (b.score_level, b.sha256)


def test_decision_settings_survive_a_restart(saved_model: Path, tmp_path: Path) -> None:
    model = Padim.load(saved_model)
    model.set_decision(basis="pixel", percentile=99.5, min_area=5)
    again = Padim.load(model.save(tmp_path / "m"))
    assert (again.decision.choice, again.config, again.current_threshold) == (
        model.decision.choice,
        model.config,
        model.current_threshold,
    )
    model.set_decision(value=12.5)
    again = Padim.load(model.save(tmp_path / "m"))
    assert again.decision.choice.value == 12.5
    assert again.threshold_level == model.threshold_level == model.state.fitted.quantizer.to_level(12.5)


def test_statuses_and_groups_survive_a_restart(small_config: PadimConfig, tmp_path: Path) -> None:
    images = normals(8)
    model = fit(small_config, images, groups={"good_000.png": "A", "good_001.png": "A"})
    model.exclude(0, "kept_out").exclude(3, "not_good")
    again = Padim.load(model.save(tmp_path / "m"))
    assert [n.status for n in again.normals_] == ["kept_out"] * 2 + ["fit", "not_good"] + ["fit"] * 4
    assert_same_model(again, model)
    np.testing.assert_array_equal(
        again.state.part_scores(again.config.min_area), model.state.part_scores(model.config.min_area)
    )


# --- held-out distances against refitting ---


def assert_held_out_equals_refit(config: PadimConfig, images: Images, groups: dict[str, str]) -> None:
    model = fit(config, images, groups=groups)
    assert model.state.fitted.calibration == "exact"
    parts = [groups.get(name, name) for name, _ in images]
    # The first and the last part, and one of several images if there is one.
    for chosen in {parts[0], parts[-1], max(parts, key=parts.count)}:
        rows = [i for i, name in enumerate(parts) if name == chosen]
        rest = [image for i, image in enumerate(images) if i not in rows]
        expected = grids_of(fit(config, rest, groups=groups), [images[i] for i in rows])
        np.testing.assert_allclose(model.state.fitted.held_out[rows], expected, rtol=1e-4)


@pytest.mark.parametrize("count", [3, 12, 25], ids=["fewest", "n < d", "n > d"])
def test_held_out_equals_refitting_without_the_image(small_config: PadimConfig, count: int) -> None:
    assert_held_out_equals_refit(small_config, normals(count), {})


def test_held_out_equals_refitting_without_the_part(small_config: PadimConfig) -> None:
    groups = {f"good_{i:03d}.png": part for part, rows in {"A": (2, 7), "B": (0, 3, 9)}.items() for i in rows}
    assert_held_out_equals_refit(small_config, normals(12), groups)


def test_held_out_with_shrinkage_and_other_eps(small_config: PadimConfig) -> None:
    config = small_config.model_copy(update={"shrinkage": 0.2, "eps": 0.1})
    assert_held_out_equals_refit(config, normals(8), {"good_001.png": "A", "good_002.png": "A"})


def test_held_out_maps_take_the_path_of_test_images(small_config: PadimConfig) -> None:
    images = normals(9)
    model = fit(small_config, images)
    without = fit(small_config, images[1:])
    (scored,) = without.predict(images[:1])
    # On the scale of the model that holds it, not of the one that does not.
    expected = scored.levels * (without.state.fitted.quantizer.step / model.state.fitted.quantizer.step)
    np.testing.assert_allclose(model.state.held_out_map(0), expected, atol=2)
    assert model.state.held_out_map(0).any()
    assert model.state.image_levels(model.config.min_area).tolist() == [
        region_score(model.state.held_out_map(i), small_config.min_area) for i in range(9)
    ]


def test_identical_files_are_one_part(small_config: PadimConfig) -> None:
    images = normals(7)
    images.append(("copy_of_2.png", images[2][1]))
    model = fit(small_config, images)
    assert model.normals_[7].group == model.normals_[2].group
    assert len({n.group for n in model.normals_}) == 7
    assert len(model.state.part_scores(model.config.min_area)) == 7
    rest = [image for i, image in enumerate(images) if i not in (2, 7)]
    expected = grids_of(fit(small_config, rest), [images[2]])
    np.testing.assert_allclose(model.state.fitted.held_out[[2, 7]], np.repeat(expected, 2, axis=0), rtol=1e-4)


def test_identical_files_link_the_parts_they_are_in(small_config: PadimConfig) -> None:
    images = normals(6)
    images[3] = ("copy.png", images[0][1])
    groups = {images[0][0]: "A", images[1][0]: "A", "copy.png": "B", images[4][0]: "B"}
    model = fit(small_config, images, groups=groups)
    assert len({model.normals_[i].group for i in (0, 1, 3, 4)}) == 1
    assert len(model.state.part_scores(model.config.min_area)) == 3


def test_a_part_counts_by_its_worst_image(small_config: PadimConfig) -> None:
    groups = {"good_000.png": "A", "good_004.png": "A", "good_005.png": "A"}
    model = fit(small_config, normals(8), groups=groups)
    levels = model.state.image_levels(model.config.min_area)
    expected = [max(levels[i] for i in (0, 4, 5)), levels[1], levels[2], levels[3], levels[6], levels[7]]
    assert sorted(model.state.part_scores(model.config.min_area)) == sorted(expected)


def test_group_names_do_not_collide_with_images_of_their_own(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(5), groups={"good_000.png": "#1", "good_002.png": "2"})
    assert len({n.group for n in model.normals_}) == 5


def test_regroup_is_as_if_grouped_from_the_start(small_config: PadimConfig) -> None:
    groups = {"good_001.png": "A", "good_002.png": "A"}
    grouped = fit(small_config, normals(8), groups=groups)
    model = fit(small_config, normals(8))
    undone = fit(small_config, normals(8))
    assert_same_model(model.regroup(groups), grouped)
    assert_same_model(model.regroup(None), undone)


@pytest.mark.slow
def test_parts_shot_twice(small_config: PadimConfig) -> None:
    """Promise 3. Leaving out images promises far too little; leaving out parts does not."""
    config = small_config.model_copy(update={"n_features": 100, "grid_stride": 16})

    def shots(first: int, count: int) -> Images:
        return [
            (f"part{i:03d}_{shot}.png", part(i, size=(64, 64), shot=shot))
            for i in range(first, first + count)
            for shot in (0, 1)
        ]

    def part_of(name: str) -> str:
        return name.split("_")[0]

    images, unseen = shots(0, 25), shots(1000, 60)

    def realized(model: Padim) -> float:
        worst: dict[str, int] = {}
        for scored in model.predict(unseen):
            worst[part_of(scored.name)] = max(worst.get(part_of(scored.name), 0), scored.score_level)
        assert len(worst) == 60
        return float(np.mean(np.array(list(worst.values())) > model.threshold_level))

    model = fit(config, images, groups=part_of)
    assert len(model.state.part_scores(model.config.min_area)) == 25
    promised = model.false_reject_rate_
    assert promised.expected < 0.08
    assert realized(model) <= promised.upper
    ignoring = fit(config, images)
    assert len(ignoring.state.part_scores(ignoring.config.min_area)) == 50
    promised = ignoring.false_reject_rate_
    assert promised.upper < 0.15
    assert realized(ignoring) > 3 * promised.upper


# --- who is in the fit ---


@pytest.mark.parametrize("reason", ["not_good", "kept_out"])
@pytest.mark.parametrize("index", [0, 5, 18])
def test_exclude_is_a_fit_without_it_and_include_undoes_it(
    small_config: PadimConfig, reason: Any, index: int
) -> None:
    images = normals(19)
    model = fit(small_config, images)
    before = snapshot(model)
    model.exclude(index, reason)
    assert [n.status for n in model.normals_].count(reason) == 1
    without = fit(small_config, [image for i, image in enumerate(images) if i != index])
    np.testing.assert_array_equal(model.state.gaussians.mean, without.state.gaussians.mean)
    assert_same_factor(model, without)
    np.testing.assert_array_equal(
        np.delete(model.state.fitted.held_out, index, axis=0), without.state.fitted.held_out
    )
    assert model.state.fitted.quantizer == without.state.fitted.quantizer
    # The one left out is judged as any other image.
    np.testing.assert_allclose(
        model.state.fitted.held_out[index], grids_of(without, [images[index]])[0], rtol=1e-4
    )
    expected = sorted(without.state.part_scores(without.config.min_area))
    if reason == "kept_out":
        expected = sorted([*expected, model.state.image_levels(model.config.min_area)[index]])
    assert sorted(model.state.part_scores(model.config.min_area)) == expected
    assert sorted(model.state.part_scores(model.config.min_area, include_kept_out=False)) == sorted(
        without.state.part_scores(without.config.min_area)
    )
    model.include(index)
    assert snapshot(model) == before


def test_exclusions_in_any_order_come_to_the_same(small_config: PadimConfig) -> None:
    one = fit(small_config, normals(10)).exclude(2, "not_good").exclude(7, "kept_out").exclude(4, "kept_out")
    other = fit(small_config, normals(10)).exclude(4, "not_good").exclude(7, "kept_out")
    other.include(4).exclude(4, "kept_out").exclude(2, "not_good")
    assert_same_model(one, other)


def test_a_part_leaves_with_all_its_images(small_config: PadimConfig) -> None:
    groups = {"good_001.png": "A", "good_006.png": "A"}
    model = fit(small_config, normals(8), groups=groups)
    former = snapshot(model)
    model.exclude(6, "kept_out")
    assert [i for i, n in enumerate(model.normals_) if n.status == "kept_out"] == [1, 6]
    assert len(model.state.part_scores(model.config.min_area)) == 7
    model.include(1)
    assert snapshot(model) == former


def test_exclude_takes_only_the_two_reasons(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(4))
    before = snapshot(model)
    for reason in ("fit", "odd", ""):
        with pytest.raises(ValueError, match="reason"):
            model.exclude(0, reason)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        model.exclude(4, "not_good")
    assert snapshot(model) == before


def test_the_last_part_cannot_leave(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(2)).exclude(0, "not_good")
    before = snapshot(model)
    with pytest.raises(PadimError, match="keep at least one"):
        model.exclude(1, "kept_out")
    assert snapshot(model) == before


def test_excluding_down_to_two_parts_ends_the_calibration(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(3)).exclude(0, "kept_out")
    assert model.state.fitted.calibration == "none"
    assert model.current_threshold is None
    assert model.include(0).state.fitted.calibration == "exact"


def test_a_duplicate_of_an_excluded_part_does_not_vouch_for_it(small_config: PadimConfig) -> None:
    """Kept out, then given again under another name: one part, which is either in the fit or not."""
    images = normals(8)
    model = fit(small_config, images).exclude(2, "kept_out")
    model.partial_fit([("again.png", images[2][1])])
    assert model.normals_[8].group == model.normals_[2].group
    assert len({model.normals_[8].status, model.normals_[2].status}) == 1


def test_regrouping_with_an_excluded_part_does_not_split_it(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(8)).exclude(2, "kept_out")
    model.regroup({"good_002.png": "A", "good_003.png": "A"})
    assert len({model.normals_[2].status, model.normals_[3].status}) == 1


# --- continuing ---


@pytest.mark.parametrize("split", [1, 7, 16, 20])
def test_partial_fit_is_one_fit(small_config: PadimConfig, split: int) -> None:
    images = normals(21)
    groups = {"good_000.png": "A", "good_020.png": "A"}
    model = Padim(small_config)
    model.partial_fit(images[:split], groups=groups).partial_fit(images[split:], groups=groups)
    whole = fit(small_config, images, groups=groups)
    assert_same_model(model, whole)
    assert [model.working_set.thumbnail(i) for i in (0, 20)] == [
        whole.working_set.thumbnail(i) for i in (0, 20)
    ]


def test_partial_fit_after_a_restart(small_config: PadimConfig, tmp_path: Path) -> None:
    images = normals(19)
    Padim(small_config, work_dir=tmp_path / "work").fit(images[:12]).save(tmp_path / "model")
    model = Padim.load(tmp_path / "model", work_dir=tmp_path / "work")
    assert model.working_set.has_features
    model.partial_fit(images[12:])
    assert_same_model(model, fit(small_config, images))
    model.exclude(3, "not_good")


def test_partial_fit_of_what_was_not_saved_is_forgotten(small_config: PadimConfig, tmp_path: Path) -> None:
    """A session that dies between partial_fit and save leaves a longer spool than the bundle knows."""
    images = normals(9)
    model = Padim(small_config, work_dir=tmp_path / "work").fit(images[:5])
    model.save(tmp_path / "model")
    model.partial_fit(normals(3, first=300))
    again = Padim.load(tmp_path / "model", work_dir=tmp_path / "work")
    assert [again.working_set.thumbnail(i) for i in range(5)] == [
        model.working_set.thumbnail(i) for i in range(5)
    ]
    assert_same_model(again.partial_fit(images[5:]), fit(small_config, images))


def test_fit_replaces(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(5)).fit(normals(4, first=50))
    assert_same_model(model, fit(small_config, normals(4, first=50)))
    assert model.working_set.thumbnail(0) == fit(small_config, normals(1, first=50)).working_set.thumbnail(0)
    assert not (model.working_set.folder / "new").exists()


def test_embeddings_of_another_fit_are_not_taken_for_these(small_config: PadimConfig, tmp_path: Path) -> None:
    """A new fit that is never saved leaves its spool beside the former bundle: it must not be used."""
    images = normals(6)
    model = Padim(small_config, work_dir=tmp_path / "work").fit(images)
    model.save(tmp_path / "model")
    model.fit(normals(6, first=300))
    again = Padim.load(tmp_path / "model", work_dir=tmp_path / "work")
    expected = fit(small_config, images).exclude(0, "not_good")
    try:
        again.exclude(0, "not_good")
    except PadimError:
        return  # asking for the images again is right, too
    np.testing.assert_array_equal(again.state.gaussians.mean, expected.state.gaussians.mean)


# --- cancelling, progress, errors ---


class StopAfter:
    """Asks to stop at the ``calls``-th question."""

    def __init__(self, calls: float) -> None:
        self.asked = 0
        self.calls = calls

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.calls


Change = Callable[[Padim, StopAfter], object]
CHANGES: dict[str, Change] = {
    "fit": lambda model, cancel: model.fit(normals(20, first=40), cancel=cancel),
    "partial_fit": lambda model, cancel: model.partial_fit(normals(20, first=40), cancel=cancel),
    "exclude": lambda model, cancel: model.exclude(1, "not_good", cancel=cancel),
    "include": lambda model, cancel: model.include(2, cancel=cancel),
    "regroup": lambda model, cancel: model.regroup({"good_000.png": "A", "good_001.png": "A"}, cancel=cancel),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_cancel_changes_nothing(small_config: PadimConfig, change: Change) -> None:
    model = fit(small_config, normals(6)).exclude(2, "kept_out")
    before = snapshot(model)
    never = StopAfter(float("inf"))
    change(fit(small_config, normals(6)).exclude(2, "kept_out"), never)
    assert never.asked > 1
    for calls in sorted({0, 1, never.asked // 2, never.asked - 1}):
        with pytest.raises(Cancelled):
            change(model, StopAfter(calls))
        assert snapshot(model) == before
    model.exclude(0, "not_good").include(0)
    assert snapshot(model) == before


def test_cancelled_first_fit_leaves_no_model(small_config: PadimConfig, tmp_path: Path) -> None:
    model = Padim(small_config, work_dir=tmp_path)
    for calls in (0, 3, 7):
        with pytest.raises(Cancelled):
            model.fit(normals(6), cancel=StopAfter(calls))
        with pytest.raises(NotFittedError):
            _ = model.state
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert_same_model(model.fit(normals(6)), fit(small_config, normals(6)))


def test_cancelled_scoring_keeps_what_was_scored(small_model: Padim) -> None:
    got: list[str] = []
    scores = small_model.predict(normals(9), batch_size=2, cancel=StopAfter(5))
    with pytest.raises(Cancelled):
        got.extend(scored.name for scored in scores)
    assert got == [name for name, _ in normals(9)][: len(got)]
    assert 2 <= len(got) <= 6


def check_progress(calls: list[tuple[int, int | None, str]], total: int | None) -> None:
    stages = [list(group) for _, group in itertools.groupby(calls, key=lambda call: call[2])]
    assert len({stage[0][2] for stage in stages}) == len(stages)
    for stage in stages:
        done = [call[0] for call in stage]
        assert done == sorted(done)
        assert len({call[1] for call in stage}) == 1
        if stage[0][1] is not None:
            assert done[-1] == stage[0][1], stage[0][2]
    assert calls[0][1] == total


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_progress_of_a_fit_reaches_its_total(small_config: PadimConfig, count: int) -> None:
    calls: list[tuple[int, int | None, str]] = []
    images = [*normals(count), BROKEN]
    model = Padim(small_config).fit(
        images, progress=lambda *call: calls.append(call), on_error=lambda error: None
    )
    check_progress(calls, count + 1)
    assert calls[0][0] == 1
    if count == 20:
        calls.clear()
        model.exclude(4, "kept_out", progress=lambda *call: calls.append(call))
        check_progress(calls, calls[0][1])
        calls.clear()
        model.exclude(5, "not_good", progress=lambda *call: calls.append(call))
        check_progress(calls, calls[0][1])


def test_progress_of_scoring(small_model: Padim) -> None:
    calls: list[tuple[int, int | None, str]] = []
    list(small_model.predict(normals(5), progress=lambda *call: calls.append(call)))
    assert calls == [(i, 5, "Scoring images") for i in range(1, 6)]
    calls.clear()
    list(small_model.predict(iter(normals(2)), progress=lambda *call: calls.append(call)))
    assert [call[:2] for call in calls] == [(1, None), (2, None)]


def test_broken_images_are_named_and_the_rest_is_used(small_config: PadimConfig) -> None:
    good = normals(6)
    empty: tuple[str, bytes | RGB] = ("empty.png", b"")
    floats: Any = ("floats", np.zeros((8, 8, 3)))
    images = [BROKEN, *good[:3], empty, floats, *good[3:], ("cut.png", good[0][1][:200])]
    errors: list[ImageError] = []
    model = fit(small_config, images, on_error=errors.append)
    assert [error.name for error in errors] == ["broken.png", "empty.png", "floats", "cut.png"]
    assert all(error.reason for error in errors)
    assert_same_model(model, fit(small_config, good))
    errors.clear()
    scored = [item.name for item in model.predict(images, on_error=errors.append)]
    assert scored == [name for name, _ in good]
    assert len(errors) == 4


def test_without_on_error_the_first_broken_image_raises(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(4))
    before = snapshot(model)
    for verb in (model.fit, model.partial_fit):
        with pytest.raises(ImageError, match=r"broken\.png"):
            verb([*normals(3, first=60), BROKEN])
        assert snapshot(model) == before
    with pytest.raises(ImageError, match=r"broken\.png"):
        list(model.predict([BROKEN]))


@pytest.mark.parametrize("images", [[], [BROKEN, BROKEN]], ids=["none", "only broken"])
def test_nothing_usable(small_config: PadimConfig, images: Images) -> None:
    model = Padim(small_config)
    with pytest.raises(PadimError, match="at least one"):
        model.fit(images, on_error=lambda error: None)
    with pytest.raises(NotFittedError):
        _ = model.state
    model.fit(normals(4))
    before = snapshot(model)
    with pytest.raises(PadimError, match="at least one"):
        model.fit(images, on_error=lambda error: None)
    assert snapshot(model) == before
    model.partial_fit(images, on_error=lambda error: None)
    assert snapshot(model) == before
    assert list(model.predict(images, on_error=lambda error: None)) == []


def test_a_source_that_fails_midway_changes_nothing(small_config: PadimConfig) -> None:
    def failing() -> Iterator[tuple[str, bytes | RGB]]:
        yield from normals(18, first=70)
        raise OSError("the disk is gone")

    model = fit(small_config, normals(5))
    before = snapshot(model)
    for verb in (model.fit, model.partial_fit):
        with pytest.raises(OSError, match="gone"):
            verb(failing())
        assert snapshot(model) == before


def test_the_former_model_serves_while_a_new_fit_runs(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(5))
    former = [model.working_set.thumbnail(i) for i in range(5)], model.threshold_level
    (expected,) = model.predict(normals(1))

    def looking_on() -> Iterator[tuple[str, bytes | RGB]]:
        for i, image in enumerate(normals(40, first=80)):
            if i > 35:  # by now a batch has been written
                assert ([model.working_set.thumbnail(i) for i in range(5)], model.threshold_level) == former
                assert next(iter(model.predict(normals(1)))).score_level == expected.score_level
            yield image

    model.fit(looking_on())
    assert len(model.normals_) == 40


# --- few and odd normals ---


def assert_judges(model: Padim) -> None:
    for scored in model.predict([*normals(1, first=100), *defects(1)]):
        assert np.isfinite(scored.grid).all()
        assert 0 < scored.score_level <= 65535


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_give_a_model_without_calibration(
    small_config: PadimConfig, count: int, tmp_path: Path
) -> None:
    model = Padim.load(fit(small_config, normals(count)).save(tmp_path / "m"))
    assert model.state.fitted.calibration == "none"
    assert model.current_threshold is None
    assert_judges(model)
    (scored,) = model.predict(defects(1))
    with pytest.raises(CalibrationError, match="at least 3"):
        model.decide(scored)
    with pytest.raises(CalibrationError, match="at least 3"):
        model.state.part_scores(model.config.min_area)
    with pytest.raises(CalibrationError, match="held-out"):
        model.state.held_out_map(0)
    with pytest.raises(CalibrationError):
        model.state.false_rejects(5, model.config.min_area)
    assert model.decide(scored, 0).rejected
    level = scored.score_level - 1
    model.set_decision(value=model.state.fitted.quantizer.to_value(level))
    assert model.threshold_level == level
    assert model.decide(scored).rejected
    model.set_decision(value=model.state.fitted.quantizer.to_value(level + 1))
    assert not model.decide(scored).rejected
    again = Padim.load(model.save(tmp_path / "m"))
    assert again.threshold_level == level + 1


def test_three_images_calibrate_and_say_how_little_that_is_worth(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(3))
    assert model.state.fitted.calibration == "exact"
    threshold = model.current_threshold
    assert threshold is not None
    assert not threshold.supported
    assert threshold.needed == 19
    assert threshold.level == model.state.part_scores(model.config.min_area).max()
    assert model.false_reject_rate_.expected == 0.25
    assert_judges(model)


def test_three_images_of_two_parts_do_not_calibrate(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(3), groups={"good_000.png": "A", "good_002.png": "A"})
    assert model.state.fitted.calibration == "none"
    assert_judges(model)


def test_all_duplicates(small_config: PadimConfig) -> None:
    content = normals(1)[0][1]
    model = fit(small_config, [(f"{i}.png", content) for i in range(6)])
    assert model.state.fitted.calibration == "none"
    assert_judges(model)


def test_constant_images(small_config: PadimConfig) -> None:
    images: Images = [(f"{v}", np.full((64, 64, 3), v, np.uint8)) for v in (100, 101, 102, 103)]
    model = fit(small_config, images)
    assert model.state.fitted.calibration == "exact"
    assert np.isfinite(model.state.fitted.held_out).all()
    assert_judges(model)
    # Equal pixels in files that are not: nothing varies at all, and everything stays finite.
    equal: Images = [(str(i), png(np.full((64 + i, 64, 3), 9, np.uint8))) for i in range(5)]
    model = fit(small_config, equal)
    assert np.isfinite(model.state.fitted.held_out).all()
    assert_judges(model)
    assert not any(model.decide(scored).rejected for scored in model.predict(equal))


@pytest.mark.parametrize("count", [1, 3, 22])
def test_the_smallest_eps_gives_sound_numbers(small_config: PadimConfig, count: int) -> None:
    config = PadimConfig.model_validate({**small_config.model_dump(), "eps": 1e-6})
    images = normals(count)
    model = fit(config, images)
    assert_judges(model)
    if count > 2:
        expected = grids_of(fit(config, images[1:]), images[:1])
        np.testing.assert_allclose(model.state.fitted.held_out[:1], expected, rtol=1e-2)


def test_mixed_sizes(small_config: PadimConfig) -> None:
    sizes = [(96, 96), (60, 120), (200, 90), (33, 47), (1, 1), (64, 64)]
    images: Images = [(f"{i}", part(i, size=size)) for i, size in enumerate(sizes)]
    model = fit(small_config, images)
    assert [n.original_size for n in model.normals_] == sizes
    for scored, size in zip(model.predict(images), sizes, strict=True):
        assert scored.original_size == size
        decision = model.decide(scored, 0)
        assert decision.mask.shape == size


def test_padding_is_never_judged(small_config: PadimConfig) -> None:
    config = small_config.model_copy(update={"fit": "pad"})
    sizes = [(96, 48), (48, 96), (96, 96), (90, 50), (50, 90)]
    model = fit(config, [(f"{i}", part(i, size=size)) for i, size in enumerate(sizes)])
    tall: RGB = part(100, size=(96, 48), defect=True)
    (scored,) = model.predict([("tall", tall)])
    assert scored.content_box == (0, 16, 64, 32)
    assert not scored.levels[:, :16].any()
    assert not scored.levels[:, 48:].any()
    assert scored.levels[:, 16:48].any()
    held_out = model.state.held_out_map(1)
    assert held_out[16:48].any()
    assert not held_out[:16].any()
    assert not held_out[48:].any()
    decision = model.decide(scored, 0, 1)
    assert decision.mask.shape == (96, 48)
    # A padded image keeps its aspect: the same part stretched is another image to the network.
    (stretched,) = fit(small_config, normals(3)).predict([("tall", tall)])
    assert stretched.content_box is None


# --- one threshold, three readings ---


@pytest.mark.parametrize("how", ["stretch", "pad"])
def test_rejected_exactly_when_score_exceeds_and_mask_shows(small_config: PadimConfig, how: Any) -> None:
    model = fit(small_config.model_copy(update={"fit": how}), normals(8))
    tests: Images = [("thin", part(7, size=(40, 150), defect=True)), ("small", part(8, size=(20, 12)))]
    outcomes = set()
    for scored in model.predict([*normals(3, first=100), *defects(3), *tests]):
        for min_area in (1, 8, 300):
            own = model.decide(scored, 0, min_area).score_level
            if min_area == small_config.min_area:
                assert own == scored.score_level
            thresholds = {0, own - 1, own, own + 1, model.threshold_level, 65535}
            thresholds |= set(range(0, 65535, 7919))
            for threshold in sorted(t for t in thresholds if 0 <= t <= 65535):
                decision = model.decide(scored, threshold, min_area)
                assert decision.rejected == (own > threshold)
                assert decision.rejected == bool(decision.mask.any())
                assert decision.rejected == bool(decision.regions)
                assert decision.rejected == bool(map_mask(scored.levels, threshold, min_area).any())
                assert decision.mask.shape == scored.original_size
                outcomes.add(decision.rejected)
    assert outcomes == {True, False}


@pytest.mark.parametrize("percentile", [50.0, 90.0, 95.0])
def test_the_normal_that_sets_the_threshold_passes(small_model: Padim, percentile: float) -> None:
    model = small_model
    threshold = model.state.threshold(Choice("image", round(percentile * 10)), model.config.min_area)
    levels = model.state.image_levels(model.config.min_area).tolist()
    assert threshold.level in levels
    setter = levels.index(threshold.level)
    size = model.normals_[setter].original_size
    area = model.config.min_area
    assert not decide(model.state.held_out_map(setter), threshold.level, area, original_size=size).rejected
    assert decide(model.state.held_out_map(setter), threshold.level - 1, area, original_size=size).rejected
    rejected = [
        decide(model.state.held_out_map(i), threshold.level, area, original_size=size).rejected
        for i in range(len(levels))
    ]
    assert sum(rejected) == model.state.false_rejects(threshold.level, model.config.min_area).above
    assert sum(rejected) <= len(levels) * (100 - percentile) / 100


def test_moving_the_threshold_never_runs_the_network(saved_model: Path) -> None:
    model = Padim.load(saved_model)
    scored = list(model.predict([*normals(2, first=100), *defects(2)]))
    runs = model.network.extractor.runs
    for percentile in (0.1, 50, 90, 95, 99.9):
        for basis in ("image", "pixel"):
            for min_area in (1, 8, 40):
                model.set_decision(basis=basis, percentile=percentile, min_area=min_area)
                assert model.false_reject_rate_.n
                for item in scored:
                    model.decide(item)
    model.set_decision(value=3.5)
    model.decide(scored[0])
    model.state.pixel_histogram()
    model.state.held_out_map(0)
    assert model.network.extractor.runs == runs
    list(model.predict(normals(1)))
    assert model.network.extractor.runs == runs + 1  # the count does count


def test_exclusion_never_runs_the_network(small_config: PadimConfig, tmp_path: Path) -> None:
    Padim(small_config, work_dir=tmp_path / "w").fit(normals(6)).save(tmp_path / "m")
    model = Padim.load(tmp_path / "m", work_dir=tmp_path / "w")
    runs = model.network.extractor.runs
    model.exclude(0, "kept_out").include(0).regroup(None).set_decision(percentile=80)
    model.state.part_scores(model.config.min_area)
    assert model.network.extractor.runs == runs


# --- calibration ---


@pytest.mark.parametrize("how", ["stretch", "pad"])
def test_pixel_histogram_equals_counting(small_config: PadimConfig, how: Any) -> None:
    model = fit(
        small_config.model_copy(update={"fit": how}),
        [(str(i), part(i, size=(96, 60) if i % 2 else (60, 96))) for i in range(7)],
    )
    model.exclude(1, "not_good").exclude(2, "kept_out")
    pixels = []
    for index, normal in enumerate(model.normals_):
        if normal.status == "not_good":
            continue
        q = model.state.held_out_map(index)
        if how == "pad":
            q = q[:, 12:52] if normal.original_size == (96, 60) else q[12:52]
        pixels += q.ravel().tolist()
    np.testing.assert_array_equal(model.state.pixel_histogram(), np.bincount(pixels, minlength=65536))
    model.set_decision(basis="pixel", percentile=98)
    rank = -(-980 * (len(pixels) + 1) // 1000)
    assert model.threshold_level == sorted(pixels)[rank - 1]
    # Both bases are judged by parts.
    assert model.false_reject_rate_.n == 6


def test_percentile_threshold_equals_sorting(small_model: Padim) -> None:
    scores = sorted(small_model.state.part_scores(small_model.config.min_area).tolist())
    for permille in (1, 500, 900, 950, 956):
        rank = -(-permille * 23 // 1000)
        assert (
            small_model.state.threshold(Choice("image", permille), small_model.config.min_area).level
            == scores[rank - 1]
        )


def test_min_area_moves_scores_and_threshold(saved_model: Path) -> None:
    model = Padim.load(saved_model)
    coarse = model.state.image_levels(64)
    fine = model.state.image_levels(1)
    assert (fine >= coarse).all()
    assert (fine > coarse).any()
    model.set_decision(min_area=1)
    assert model.config.min_area == 1
    threshold = model.current_threshold
    assert threshold is not None
    assert threshold.level == model.state.threshold(model.decision.choice, 1).level
    np.testing.assert_array_equal(model.state.part_scores(model.config.min_area), model.state.part_scores(1))


def test_set_decision_keeps_what_is_not_given(saved_model: Path) -> None:
    model = Padim.load(saved_model)
    model.set_decision(percentile=90)
    assert (model.decision.choice.basis, model.decision.choice.permille, model.config.min_area) == (
        "image",
        900,
        8,
    )
    model.set_decision(basis="pixel")
    assert (model.decision.choice.basis, model.decision.choice.permille) == ("pixel", 900)
    model.set_decision(value=4)
    assert (model.decision.choice.basis, model.decision.choice.value) == ("manual", 4.0)
    model.set_decision(min_area=3)
    assert (model.decision.choice.basis, model.config.min_area) == ("manual", 3)
    model.set_decision(basis="image")
    assert (model.decision.choice.basis, model.decision.choice.permille) == ("image", 900)


@pytest.mark.parametrize(
    "wrong",
    [
        {"percentile": 0},
        {"percentile": 100},
        {"percentile": float("nan")},
        {"value": -1.0},
        {"value": float("nan")},
        {"value": float("inf")},
        {"min_area": 0},
        {"min_area": 64 * 64 + 1},
        {"basis": "manual"},
        {"basis": "median"},
        {"percentile": 90, "min_area": 0},
    ],
    ids=str,
)
def test_set_decision_refuses_and_changes_nothing(saved_model: Path, wrong: dict[str, Any]) -> None:
    model = Padim.load(saved_model)
    before = model.decision.choice, model.config
    with pytest.raises(ValueError, match=r"percentile|threshold|min_area|value|basis"):
        model.set_decision(**wrong)
    assert (model.decision.choice, model.config) == before


# --- spool and checkpoint ---


def test_without_the_spool_exclusion_asks_for_the_images(small_config: PadimConfig) -> None:
    images = normals(7)
    model = fit(small_config, images)
    expected = fit(small_config, images).exclude(2, "not_good")
    size = model.working_set.nbytes
    assert size >= 7 * 176 * 64 * 4
    model.working_set.delete()
    assert not model.working_set.has_features
    assert model.working_set.nbytes == 0
    for change in (lambda: model.exclude(2, "not_good"), lambda: model.regroup({})):
        with pytest.raises(PadimError, match=r"rebuild\(\)"):
            change()
    assert model.state.fitted.calibration == "exact"  # what was derived from it stays
    model.state.image_levels(3)
    runs = model.network.extractor.runs
    model.working_set.rebuild([*reversed(images), *normals(1, first=99), images[0]])
    assert model.network.extractor.runs > runs
    assert model.working_set.has_features
    assert_same_model(model.exclude(2, "not_good"), expected)


def test_rebuilding_names_a_missing_image(small_config: PadimConfig) -> None:
    images = normals(6)
    model = fit(small_config, images)
    model.working_set.delete()
    before = snapshot(model)
    with pytest.raises(PadimError, match=r"2 of the 6 .*good_002\.png"):
        model.working_set.rebuild([image for i, image in enumerate(images) if i not in (2, 4)])
    assert not model.working_set.has_features
    assert snapshot(model) == before
    # The same name with other content is not the same image.
    with pytest.raises(PadimError, match=r"1 of the 6 .*good_002\.png"):
        model.working_set.rebuild([*images[:2], ("good_002.png", png(part(99))), *images[3:]])
    with pytest.raises(Cancelled):
        model.working_set.rebuild(images, cancel=StopAfter(2))
    assert snapshot(model) == before


def test_a_fit_continued_without_the_spool_is_marked_stale(small_config: PadimConfig, tmp_path: Path) -> None:
    small_config = small_config.model_copy(update={"n_features": 6})  # fewer than there are images
    images = normals(24)
    model = Padim(small_config, work_dir=tmp_path / "w").fit(images[:15]).exclude(3, "not_good")
    model.working_set.delete()
    model.save(tmp_path / "m")
    model = Padim.load(tmp_path / "m", work_dir=tmp_path / "w")
    threshold, quantizer = model.current_threshold, model.state.fitted.quantizer
    with pytest.raises(Cancelled):
        model.partial_fit(images[15:], cancel=StopAfter(4))
    assert len(model.normals_) == model.working_set.statistics().count + 1 == 15
    model.partial_fit(images[15:20]).partial_fit([*images[20:], BROKEN], on_error=lambda error: None)
    assert model.state.fitted.calibration == "stale"
    assert (model.current_threshold, model.state.fitted.quantizer) == (threshold, quantizer)
    assert len(model.state.part_scores(model.config.min_area)) == 14
    whole = fit(small_config, images).exclude(3, "not_good")
    assert [n.name for n in model.normals_] == [n.name for n in whole.normals_]
    np.testing.assert_allclose(model.state.gaussians.mean, whole.state.gaussians.mean, rtol=1e-6, atol=1e-6)
    everywhere = np.arange(len(model.state.gaussians.mean))
    ours, theirs = (
        model.state.gaussians.factor.covariance(everywhere),
        whole.state.gaussians.factor.covariance(everywhere),
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    statistics, expected = model.working_set.statistics(), whole.working_set.statistics()
    assert statistics.count == expected.count == 23
    np.testing.assert_allclose(statistics.scatter, expected.scatter, rtol=1e-6, atol=1e-9)
    assert model.working_set.thumbnail(23) == whole.working_set.thumbnail(23)
    with pytest.raises(CalibrationError, match="held-out"):
        model.state.held_out_map(20)
    again = Padim.load(model.save(tmp_path / "m"))
    assert again.state.fitted.calibration == "stale"
    assert again.current_threshold == threshold


def test_rebuilding_the_spool_of_a_continued_fit_ends_the_staleness(small_config: PadimConfig) -> None:
    small_config = small_config.model_copy(update={"n_features": 6})
    images = normals(12)
    model = fit(small_config, images[:8])
    model.working_set.delete()
    model.partial_fit(images[8:])
    assert model.state.fitted.calibration == "stale"
    model.working_set.rebuild(images)
    assert_same_model(model, fit(small_config, images))


def test_few_normals_are_continued_exactly_from_their_kept_channels(
    small_config: PadimConfig, tmp_path: Path
) -> None:
    """The checkpoint of fewer images than channels kept holds features: smaller, and nothing is lost."""
    images = normals(14)
    model = Padim(small_config, work_dir=tmp_path / "w").fit(images[:9], groups={"good_001.png": "a"})
    model.exclude(3, "kept_out").working_set.delete()
    assert not model.working_set.has_features
    d = len(model.state.channels)
    assert 9 < d < model.network.extractor.channels
    assert model.working_set.checkpoint_bytes == pytest.approx(
        9 * d * len(model.state.gaussians.mean) * 4, rel=0.05
    )
    assert model.working_set.statistics().count == 8
    model = Padim.load(model.save(tmp_path / "m"), work_dir=tmp_path / "w")
    before = snapshot(model)
    with pytest.raises(Cancelled):
        model.partial_fit(images[9:], cancel=StopAfter(4))
    assert snapshot(model) == before
    model.partial_fit(images[9:12]).partial_fit([*images[12:], BROKEN], on_error=lambda error: None)
    whole = fit(small_config, images, groups={"good_001.png": "a"}).exclude(3, "kept_out")
    assert_same_model(model, whole)
    assert model.state.fitted.calibration == "exact"
    with pytest.raises(PadimError, match=r"rebuild\(\)"):
        model.exclude(2, "not_good")


def test_a_checkpoint_outgrows_its_features(small_config: PadimConfig, tmp_path: Path) -> None:
    config = small_config.model_copy(update={"n_features": 8})
    images = normals(12)
    model = Padim(config, work_dir=tmp_path / "w").fit(images[:6])
    model.working_set.delete()
    model.partial_fit(images[6:10])  # now more than 8: what goes on are the statistics
    assert_same_model(model, fit(config, images[:10]))
    assert model.working_set.statistics().count == 10
    model.partial_fit(images[10:])
    assert model.state.fitted.calibration == "stale"
    assert model.working_set.statistics().count == 12


def test_continuing_needs_checkpoint_or_spool(saved_model: Path) -> None:
    model = Padim.load(saved_model)
    before = model.state.gaussians.mean.copy()
    with pytest.raises(PadimError, match="rebuild"):
        model.partial_fit(normals(1, first=90))
    with pytest.raises(PadimError):
        model.working_set.statistics()
    np.testing.assert_array_equal(model.state.gaussians.mean, before)


def test_a_checkpoint_that_is_ahead_of_the_model_is_not_counted_twice(
    small_config: PadimConfig, tmp_path: Path
) -> None:
    """A session that dies after a continued fit and before saving it; the next one does it again."""
    images = normals(10)
    model = Padim(small_config, work_dir=tmp_path / "w").fit(images[:6])
    model.working_set.delete()
    model.save(tmp_path / "m")
    model.partial_fit(images[6:])
    again = Padim.load(tmp_path / "m", work_dir=tmp_path / "w")
    try:
        again.partial_fit(images[6:])
    except PadimError:
        return  # refusing is right, too
    assert again.working_set.statistics().count == len(again.normals_) == 10


def test_a_continued_fit_of_nothing_usable_is_not_stale(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(5))
    model.working_set.delete()
    model.partial_fit([BROKEN], on_error=lambda error: None)
    assert model.state.fitted.calibration == "exact"


def test_an_image_scored_under_another_region_is_not_judged(saved_model: Path) -> None:
    model = Padim.load(saved_model)
    scored = next(model.predict(defects(1)))
    roi = np.ones(model.config.input_shape, bool)
    roi[:, : roi.shape[1] // 2] = False
    model.decide(scored)
    model.set_roi(roi)
    with pytest.raises(PadimError, match="score it again"):
        model.decide(scored)
    model.set_roi(None)
    model.decide(scored)  # the same state again


def test_a_network_without_numbers_names_the_image(
    small_config: PadimConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Padim(small_config)
    real = model.network.extractor

    def broken(rgb: RGB) -> np.ndarray:
        embeddings = real(rgb)
        embeddings[-1, 0, 0, 0] = np.nan
        return embeddings

    monkeypatch.setattr(ModelNetwork, "extractor", property(lambda self: Wrapped(real, broken)))
    with pytest.raises(PadimError, match=r"good_004\.png: .*not numbers"):
        model.fit(normals(5))
    with pytest.raises(NotFittedError):
        _ = model.state


class Wrapped:
    """An extractor with another way of giving embeddings."""

    def __init__(self, real: Any, call: Callable[[RGB], np.ndarray]) -> None:
        self._real, self._call = real, call

    def __call__(self, rgb: RGB) -> np.ndarray:
        return self._call(rgb)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_temporary_work_folder_goes_with_the_model(small_config: PadimConfig) -> None:
    model = fit(small_config, normals(2))
    folder = model.working_set.folder
    assert folder.is_dir()
    del model
    assert not folder.exists()


def test_judge_arrays_is_the_path_of_files(small_model: Padim) -> None:
    images = defects(3)
    rgb = np.stack([small_model.network.preprocess(part(500 + i, defect=True)) for i in range(3)])
    maps, scores = small_model.state.score_arrays(rgb, small_model.config.min_area)
    for scored, q, score in zip(small_model.predict(images), maps, scores, strict=True):
        np.testing.assert_array_equal(scored.levels, q)
        assert scored.score_level == score


def test_few_public_members() -> None:
    """What belongs to the scoring state, the working set, the network or the decision is asked of those."""
    assert len([name for name in dir(Padim) if not name.startswith("_")]) <= 29
    assert {name for name in vars(Padim()) if not name.startswith("_")} == {"config", "decision"}


def test_the_working_set_follows_the_model(small_config: PadimConfig, tmp_path: Path) -> None:
    """Asked for before a fit, it speaks of the model as it is afterwards."""
    model = Padim(small_config, work_dir=tmp_path)
    working_set = model.working_set
    assert not working_set.has_features
    assert working_set.problem is None
    assert working_set.nbytes == 0
    with pytest.raises(NotFittedError):
        working_set.require()
    with pytest.raises(NotFittedError):
        working_set.thumbnail(0)
    model.fit(normals(3))
    assert working_set.has_features
    assert working_set.folder == tmp_path
    assert working_set.nbytes > 0
    assert working_set.thumbnail(0).startswith(b"\xff\xd8")
    before = model.state
    working_set.delete()
    assert not working_set.has_features
    assert working_set.checkpoint_bytes > 0
    working_set.rebuild(normals(3))
    assert model.state is not before
    assert model.state.identity == before.identity
