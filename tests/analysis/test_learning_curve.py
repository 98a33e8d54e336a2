"""The learning curve compared with brute force: models fitted on the images of each subset alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import Cancelled, ImageError, Padim, PadimConfig, PadimError
from padim.analysis.defect_sets import LabeledDefects, PaintedDefects
from padim.analysis.learning_advice import advice, odd_parts, outlook
from padim.analysis.learning_curve import default_sizes, learning_curve, subset_state
from padim.analysis.learning_figures import Gain, LearningCurve, Size, Spread, Trial
from padim.data.decode import decode
from padim.data.loading import Watch
from padim.decision.calibration import odd_parts_tolerated, parts_needed, rank
from padim.decision.operating_points import Rate
from padim.decision.regions import map_mask
from padim.model import Choice
from padim.output.to_json import learning_curve as document
from tests.parts import defects, normals, part, png

PERMILLE = 900


@pytest.fixture(scope="module")
def shots(small_config: PadimConfig, tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a model of 24 parts, 4 of them with two shots; one is kept out of the fit, one is not good."""
    images = [*normals(24), *((f"again_{i}.png", png(part(i, shot=1))) for i in range(4))]
    groups = {f"again_{i}.png": f"{i}" for i in range(4)} | {f"good_{i:03d}.png": f"{i}" for i in range(4)}
    model = Padim(small_config, work_dir=tmp_path_factory.mktemp("shots")).fit(images, groups=groups)
    model.exclude(10, "kept_out").exclude(11, "not_good")
    model.set_decision(percentile=PERMILLE / 10)
    return model


def files_of(model: Padim, drawn: frozenset[str]) -> list[tuple[str, bytes]]:
    """Return the images of some parts."""
    every = {**dict(normals(24)), **{f"again_{i}.png": png(part(i, shot=1)) for i in range(4)}}
    return [(n.name, every[n.name]) for n in model.normals_ if n.group in drawn]  # type: ignore[misc]


# --- odd parts and ranks --------------------------------------------------------------------------------


@given(st.integers(1, 999), st.integers(0, 5), st.integers(0, 400))
def test_odd_parts_decide_the_threshold_below_the_stated_number(permille: int, odd: int, n: int) -> None:
    tolerated = odd_parts_tolerated(permille, n)
    assert (n >= parts_needed(permille, odd)) == (tolerated >= odd)
    r = rank(permille, n)
    if odd <= n and 1 <= r <= n:
        # The odd parts score above all others, and the r-th smallest score either is one of theirs or is not.
        scores = sorted([*range(n - odd), *(10**6 + i for i in range(odd))])
        assert (scores[r - 1] < 10**6) == (tolerated >= odd)


def test_the_numbers_people_ask_for() -> None:
    assert [parts_needed(950, k) for k in range(4)] == [19, 39, 59, 79]
    assert [parts_needed(990, k) for k in range(3)] == [99, 199, 299]
    assert odd_parts_tolerated(950, 38) == 0
    assert odd_parts_tolerated(950, 39) == 1


@pytest.mark.parametrize(
    ("parts", "phrase"),
    [
        (15, "takes at least 19 good parts. Of these 15 the highest"),
        (22, "one odd part among these 22 still decides the threshold; from 39 good parts on, 17 more"),
        (39, "it takes 2 odd parts among these 39 to decide the threshold"),
        (209, "it takes 10 odd parts among these 209 to decide the threshold; from 39 good parts on"),
    ],
)
def test_texts_about_odd_parts(parts: int, phrase: str) -> None:
    assert phrase in odd_parts(950, parts)


# --- subsets --------------------------------------------------------------------------------------------


def test_a_subset_is_the_model_that_its_images_alone_give(shots: Padim, small_config: PadimConfig) -> None:
    """Bit for bit: distances, scale, threshold and scores, of parts and of defects."""
    groups = {normal.name: normal.group for normal in shots.normals_}
    drawn = frozenset(dict.fromkeys(n.group for n in shots.normals_ if n.status == "fit")) - {"part 3", "#20"}
    drawn = frozenset(sorted(drawn)[:12]) | {"part 0"}
    subset = subset_state(shots, drawn)
    alone = Padim(small_config).fit(files_of(shots, drawn), groups=groups)
    inside = [i for i, normal in enumerate(shots.normals_) if normal.group in drawn]
    np.testing.assert_array_equal(subset.fitted.held_out[inside], alone.state.fitted.held_out)
    assert subset.fitted.quantizer == alone.state.fitted.quantizer
    area = small_config.min_area
    np.testing.assert_array_equal(
        subset.image_levels(area)[inside], alone.state.image_levels(alone.config.min_area)
    )
    outside = [i for i, normal in enumerate(shots.normals_) if normal.group not in drawn]
    others = files_of(shots, frozenset(shots.normals_[i].group for i in outside))
    scores = [scored.score_level for scored in alone.predict(others)]
    assert subset.image_levels(area)[outside].tolist() == scores


def test_the_curve_is_what_such_models_would_say(
    shots: Padim, small_config: PadimConfig, tmp_path: Path
) -> None:
    bad = defects(5)
    curve = learning_curve(shots, bad, sizes=(12, 23), draws=2, seed=3)
    assert (curve.parts, curve.permille, curve.defects) == (23, PERMILLE, "labelled")
    assert [len(size.trials) for size in curve.sizes] == [2, 1]
    groups = {normal.name: normal.group for normal in shots.normals_}
    good = {normal.group for normal in shots.normals_ if normal.status != "not_good"}
    from padim.analysis.learning_curve import _drawn, _parts_by_status

    for draw, trial in enumerate(curve.sizes[0].trials):
        drawn = _drawn(*_parts_by_status(shots.normals_), 12, 3, draw)
        assert len(drawn) == 12
        assert drawn <= good
        odd = {n.name for n in shots.normals_ if n.status == "kept_out" and n.group in drawn}
        alone = Padim(small_config).fit(files_of(shots, drawn), groups=groups)
        for index, normal in enumerate(alone.normals_):
            if normal.name in odd:
                alone.exclude(index, "kept_out")
        threshold = alone.state.threshold(Choice(permille=PERMILLE), alone.config.min_area)
        assert trial.threshold == alone.state.fitted.quantizer.to_value(threshold.level)
        assert trial.promise == alone.state.false_rejects(threshold.level, alone.config.min_area)
        levels: dict[str, int] = {}
        for scored in alone.predict(files_of(shots, frozenset(good - drawn))):
            part_of = groups[scored.name]
            levels[part_of] = max(levels.get(part_of, 0), scored.score_level)
        above = sum(level > threshold.level for level in levels.values())
        assert trial.left_out == Rate.counted(above, 23 - 12)
        caught = [scored.score_level > threshold.level for scored in alone.predict(bad)]
        assert trial.caught.tolist() == caught
    (full,) = curve.sizes[1].trials
    assert shots.current_threshold is not None
    assert full.threshold == shots.state.fitted.quantizer.to_value(shots.current_threshold.level)
    assert full.promise == shots.false_reject_rate_
    assert full.left_out.of == 0
    assert full.caught.tolist() == [
        scored.score_level > shots.threshold_level for scored in shots.predict(bad)
    ]
    assert full.caught_at_full.tolist() == full.caught.tolist()


def test_painted_defects_are_those_of_the_sensitivity_measurement(shots: Padim, tmp_path: Path) -> None:
    painted = PaintedDefects.paint(shots, [4, 7], tmp_path / "spool", Watch(), seed=1)
    assert painted.painted == 2 * 5 * 3 * 2
    drawn = frozenset(n.group for n in shots.normals_ if n.status == "fit") - {"#4", "#7"}
    subset = subset_state(shots, drawn)
    level = int(np.median(subset.image_levels(8)))
    (shares,) = painted.shares_caught(subset, [level], Watch())
    # Independently: the same defects through the whole network.
    from padim.analysis.sensitivity import default_sizes as probe_sizes
    from padim.analysis.sensitivity import painted_images, place_at
    from padim.analysis.synthetic_defects import KINDS
    from padim.data.preprocess import Box

    for at, index in enumerate(painted.carriers):
        rgb = shots.network.preprocess(decode(shots.working_set.thumbnail(index), "small copy"))
        place = place_at(np.ones((64, 64), np.bool_), 8, 1, at)
        found = painted_images(rgb, [place], KINDS, probe_sizes((64, 64))[1:4], (0.1, 0.2), Box(0, 0, 64, 64))
        _, (bare,) = subset.scorer(rgb[None])
        outcomes = []
        for image, area in found:
            _, (q,) = subset.scorer(image[None])
            if not (map_mask(bare, level, 8) & area).any():
                outcomes.append(bool((map_mask(q, level, 8) & area).any()))
        assert shares[at] == pytest.approx(np.mean(outcomes))


def test_parts_that_are_painted_on_are_in_no_subset(shots: Padim) -> None:
    curve = learning_curve(shots, painted=True, sizes=(10, 19, 23), draws=1)
    assert curve.defects == "painted"
    assert len(curve.names) == 4  # a fifth of 22
    assert [size.recall is None for size in curve.sizes] == [False, False, True]
    assert curve.sizes[1].trials[0].left_out.of == 4
    with pytest.raises(PadimError, match="at most 19"):
        learning_curve(shots, painted=True, sizes=(10, 20), draws=1)


def test_the_same_arguments_give_the_same_curve_and_the_model_stays(small_model: Padim) -> None:
    before = small_model.state
    one, other = (document(learning_curve(small_model, draws=2, sizes=(10, 15))) for _ in range(2))
    assert one == other
    assert small_model.state is before
    another = document(learning_curve(small_model, draws=2, sizes=(10, 15), seed=1))
    assert one["sizes"] != another["sizes"]
    # A subset does not depend on the other sizes that are asked for.
    assert document(learning_curve(small_model, draws=2, sizes=(15,)))["sizes"][0] == one["sizes"][1]


# --- refusals -------------------------------------------------------------------------------------------


def test_what_cannot_be_done_says_what_to_do(small_config: PadimConfig, small_model: Padim) -> None:
    few = Padim(small_config).fit(normals(12))
    with pytest.raises(PadimError, match="at least 20 good parts, and this model has 12; add 8"):
        learning_curve(few)
    with pytest.raises(PadimError, match="not both"):
        learning_curve(small_model, defects(1), painted=True)
    for sizes in ((), (2, 10), (10, 10), (10, 23)):
        with pytest.raises(PadimError, match="must grow and be 3 to 22"):
            learning_curve(small_model, sizes=sizes)
    with pytest.raises(PadimError, match="draws"):
        learning_curve(small_model, draws=0)
    with pytest.raises(PadimError, match="percentile"):
        learning_curve(small_model, percentile=100)
    with pytest.raises(PadimError, match="not among the model's good ones"):
        learning_curve(small_model, normals(2))
    with pytest.raises(ImageError, match="broken"):
        learning_curve(small_model, [("broken.png", b"no image")])


def test_deleted_features_are_reported(small_config: PadimConfig) -> None:
    model = Padim(small_config).fit(normals(20))
    model.working_set.delete()
    with pytest.raises(PadimError, match="features were deleted; give the same images again"):
        learning_curve(model)


def test_a_method_that_trains_is_refused(small_model: Padim, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_model.config.model_copy(update={"method": "svdd"})
    monkeypatch.setattr(small_model, "config", config)
    with pytest.raises(PadimError, match=r"Deep SVDD trains a network each time.*by PaDiM"):
        learning_curve(small_model)


def test_cancelling_leaves_nothing(
    small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stages: list[str] = []

    def progress(done: int, total: int | None, stage: str) -> None:
        stages.append(stage)

    before = small_model.state
    for at in ("Reading", "Fitting"):

        def cancel(at: str = at) -> bool:
            return any(stage.startswith(at) for stage in stages)

        with pytest.raises(Cancelled):
            learning_curve(
                small_model,
                defects(2),
                progress=progress,
                cancel=cancel,
            )
        assert list(tmp_path.iterdir()) == []
        stages.clear()
    assert small_model.state is before


def test_images_that_cannot_be_used_or_are_the_models_own_are_counted(
    small_model: Padim, tmp_path: Path
) -> None:
    failed: list[ImageError] = []
    images = [("broken.png", b"no image"), *normals(1), *defects(2)]
    found = LabeledDefects.read(small_model, images, tmp_path / "spool", Watch(None, None, failed.append))
    assert found.names == ("bad_000.png", "bad_001.png")
    assert found.passed_over == 1
    assert [error.name for error in failed] == ["broken.png"]


# --- sizes and texts --------------------------------------------------------------------------------------


@given(st.integers(20, 6000))
def test_default_sizes_grow_to_all_and_hold_about_half(parts: int) -> None:
    sizes = default_sizes(parts)
    assert list(sizes) == sorted(set(sizes))
    assert sizes[0] == 10
    assert sizes[-1] == parts
    assert any(0.8 <= size / (parts // 2) <= 1.25 for size in sizes[:-1])
    assert len(sizes) <= 16


def of_recalls(*recalls: Sequence[Sequence[float]], kind: str = "labelled") -> LearningCurve:
    """Return a curve of 80 parts, from the share of each defect that each fit has caught."""
    sizes = []
    for index, trials in enumerate(recalls):
        made = tuple(
            Trial(
                1.0 + place,
                True,
                _rate(),
                Rate.counted(1, 20),
                Rate.counted(1, 20),
                np.array(caught),
                np.array(caught),
            )
            for place, caught in enumerate(trials)
        )
        sizes.append(Size(20 * 2**index, made))
    names = tuple(f"{i}" for i in range(len(recalls[0][0])))
    return LearningCurve(80, 950, 0, 2, tuple(sizes), kind, names, 0, 0)  # type: ignore[arg-type]


def _rate():  # type: ignore[no-untyped-def]
    from padim.decision.calibration import false_reject_rate

    return false_reject_rate(np.arange(40), 38)


def test_the_gain_and_its_standard_error() -> None:
    first = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    second = [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    # The model itself is one fit: the largest number of parts with several subsets tells more.
    gain = of_recalls(first, second, [[1, 1, 1, 0]]).gain
    assert gain is not None
    assert (gain.low, gain.high) == (20, 40)
    difference = np.array([0.5, 0.5, 0.0, 0.0])
    assert gain.points == pytest.approx(difference.mean())
    of_draws = np.var([0.25, 0.0], ddof=1) / 2 + np.var([0.5, 0.25], ddof=1) / 2
    assert gain.standard_error == pytest.approx(math.sqrt(difference.var(ddof=1) / 4 + of_draws))
    # Where nothing else is there, it is taken to vary as the subsets do.
    alone = of_recalls(second, [[1, 1, 1, 0]]).gain
    assert alone is not None
    assert (alone.low, alone.high) == (20, 40)
    difference = np.array([0.0, 0.5, 1.0, 0.0])
    of_draws = np.var([0.5, 0.25], ddof=1) * (1 / 2 + 1)
    assert alone.standard_error == pytest.approx(math.sqrt(difference.var(ddof=1) / 4 + of_draws))
    assert of_recalls([[1, 0]], [[1, 1]]).gain is None  # one subset says nothing of others


def test_texts_about_the_curve() -> None:
    flat = of_recalls([[1, 0, 1, 0]] * 2, [[1, 0, 1, 0]] * 2)
    assert flat.gain == Gain(20, 40, 0.0, 0.0)
    assert "the curve has flattened" in outlook(flat)
    some = [1.0] * 10 + [0.0] * 10
    rising = of_recalls([some] * 2, [[1.0] * 19 + [0.0]])
    assert "still rising" in outlook(rising)
    assert "too rough to say" in outlook(of_recalls([some] * 2, [[1.0] * 12 + [0.0] * 8]))
    many = [1.0] * 50 + [0.0] * 50
    assert "may still be rising" in outlook(of_recalls([many] * 2, [[1.0] * 53 + [0.0] * 47]))
    every = of_recalls([some] * 2, [[1.0] * 20] * 2, [[1.0] * 20])
    assert "From 40 parts on every one of the 20 defects given was caught" in outlook(every)
    painted = of_recalls([some] * 2, [[*some[:-1], math.nan]] * 2, kind="painted")
    assert painted.gain == Gain(20, 40, 0.0, 0.0)
    assert "correlation of .3" in advice(painted)
    bare = of_recalls([[]] * 2, [[]])
    assert bare.gain is None
    assert Spread.of([math.nan]) is None


def test_without_defects_the_spread_of_the_threshold_is_reported(small_model: Padim) -> None:
    curve = learning_curve(small_model, sizes=(10, 22), draws=2)
    phrase = advice(curve)
    assert "Without defects nobody can say" in phrase
    assert "Between subsets of 10 parts the threshold differs by" in phrase
    assert "one odd part among these 22 still decides" in phrase
    assert json.loads(json.dumps(document(curve)))["advice"] == phrase
    assert document(curve)["odd_parts"] == {
        "tolerated": 0,
        "parts_for_a_threshold": 19,
        "parts_to_tolerate_one": 39,
        "parts_to_tolerate_two": 59,
    }
