"""Attribution to layers compared with all permutations and with refits, and the axioms of a fair split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim import CalibrationError, Padim, PadimConfig, PadimError
from padim.analysis import attribution
from padim.analysis.attribution import (
    MOST_LAYERS,
    embed,
    explain,
    explain_held_out,
    kept_layers,
    layer_shares,
    normals_layers,
    places_of,
    region_masks,
    strongest_place,
)
from padim.data.loading import prepare
from padim.decision.prediction import decide
from padim.methods.moments import PatchStatistics
from padim.storage.feature_store import FeatureStore
from tests.parts import defects, normals

Doubles = npt.NDArray[np.float64]


def covariances(rng: np.random.Generator, k: int, d: int, floor: float = 0.01) -> Doubles:
    root = rng.normal(size=(k, d, d)) * rng.uniform(0.1, 3, size=(k, d, 1))
    return root @ root.transpose(0, 2, 1) + floor * np.eye(d)


def by_permutations(covariance: Doubles, delta: Doubles, layer_of: npt.NDArray[np.int64], n: int) -> Doubles:
    """Compute the definition: the mean, over all orders of the layers, of what each one adds."""

    def worth(layers: tuple[int, ...]) -> float:
        chosen = np.flatnonzero(np.isin(layer_of, layers))
        part = np.linalg.inv(covariance[np.ix_(chosen, chosen)])
        return float(delta[chosen] @ part @ delta[chosen])

    shares = np.zeros(n)
    for order in itertools.permutations(range(n)):
        for i, layer in enumerate(order):
            shares[layer] += worth(order[: i + 1]) - worth(order[:i])
    return shares / math.factorial(n)


@pytest.mark.parametrize("n_layers", [1, 2, 3, 5])
def test_equals_the_mean_over_all_permutations(n_layers: int) -> None:
    rng = np.random.default_rng(n_layers)
    d = 3 * n_layers
    covariance, delta = covariances(rng, 4, d), rng.normal(size=(4, d))
    layer_of = rng.permutation(np.arange(d) % n_layers)
    got = layer_shares(covariance, delta, layer_of, n_layers)
    for row in range(4):
        expected = by_permutations(covariance[row], delta[row], layer_of, n_layers)
        np.testing.assert_allclose(got[row], expected, rtol=1e-8, atol=1e-12)


def test_a_hand_worked_case() -> None:
    """Variances 1, covariance c, observed at (1, 1): alone each is worth 1, together they are 2 / (1 + c)."""
    c = 0.6
    covariance = np.array([[[1.0, c], [c, 1.0]]])
    shares = layer_shares(covariance, np.ones((1, 2)), np.array([0, 1]), 2)
    np.testing.assert_allclose(shares, [[1 / (1 + c)] * 2])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_layers=st.integers(1, 5),
    d=st.integers(1, 12),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    floor=st.sampled_from([1e-6, 0.01, 1.0]),
)
def test_no_share_is_negative_and_they_sum_to_the_distance(
    seed: int, n_layers: int, d: int, scale: float, floor: float
) -> None:
    rng = np.random.default_rng(seed)
    # Of low rank before eps is added, as with fewer images than channels.
    root = rng.normal(size=(3, d, max(1, d // 2)))
    covariance = root @ root.transpose(0, 2, 1) + floor * np.eye(d)
    delta = scale * rng.normal(size=(3, d))
    layer_of = rng.integers(0, n_layers, d)
    shares = layer_shares(covariance, delta, layer_of, n_layers)
    assert shares.shape == (3, n_layers)
    assert (shares >= 0).all()
    white = np.linalg.solve(np.linalg.cholesky(covariance), delta[..., None])
    np.testing.assert_allclose(shares.sum(axis=1), (white**2).sum(axis=(1, 2)), rtol=1e-9)
    absent = np.setdiff1d(np.arange(n_layers), layer_of)
    assert (shares[:, absent] == 0).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), each=st.integers(1, 4), others=st.integers(0, 4))
def test_layers_that_say_the_same_get_the_same(seed: int, each: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    d = 2 * each + others
    covariance, delta = covariances(rng, 1, d), rng.normal(size=(1, d))
    # Make the problem symmetric in the first two layers.
    swap = np.r_[each : 2 * each, 0:each, 2 * each : d]
    covariance = (covariance + covariance[:, swap[:, None], swap]) / 2
    delta = (delta + delta[:, swap]) / 2
    layer_of = np.r_[np.zeros(each, np.int64), np.ones(each, np.int64), np.full(others, 2)]
    shares = layer_shares(covariance, delta, layer_of, 3)
    np.testing.assert_allclose(shares[0, 0], shares[0, 1], rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 6), silent=st.integers(1, 4))
def test_a_layer_that_sees_nothing_of_its_own_gets_nothing(seed: int, d: int, silent: int) -> None:
    rng = np.random.default_rng(seed)
    covariance = np.zeros((2, d + silent, d + silent))
    covariance[:, :d, :d], covariance[:, d:, d:] = covariances(rng, 2, d), covariances(rng, 2, silent)
    delta = np.concatenate([rng.normal(size=(2, d)), np.zeros((2, silent))], axis=1)
    layer_of = np.r_[np.zeros(d, np.int64), np.ones(silent, np.int64)]
    shares = layer_shares(covariance, delta, layer_of, 2)
    np.testing.assert_allclose(shares[:, 1], 0, atol=1e-12 * shares[:, 0].max())


def test_the_plain_split_goes_negative_where_this_does_not() -> None:
    """For two layers that always vary together, the weaker one's share of the plain split is negative."""
    covariance = np.array([[[1.0, 0.9], [0.9, 1.0]]])
    delta = np.array([[2.0, 0.5]])
    plain = delta * np.linalg.solve(covariance, delta[..., None])[..., 0]
    shares = layer_shares(covariance, delta, np.array([0, 1]), 2)
    assert plain[0, 1] < 0
    assert (shares > 0).all()
    np.testing.assert_allclose(shares.sum(), plain.sum())


def test_a_zero_distance_has_zero_shares() -> None:
    shares = layer_shares(np.eye(4)[None], np.zeros((1, 4)), np.array([0, 0, 1, 2]), 3)
    np.testing.assert_array_equal(shares, np.zeros((1, 3)))


def test_what_does_not_fit_is_refused() -> None:
    d = MOST_LAYERS + 1
    with pytest.raises(ValueError, match="at most 10 layers"):
        layer_shares(np.eye(d)[None], np.ones((1, d)), np.arange(d), d)
    with pytest.raises(ValueError, match="covariance must be"):
        layer_shares(np.eye(3)[None], np.ones((1, 2)), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="layers 0 to 1"):
        layer_shares(np.eye(2)[None], np.ones((1, 2)), np.array([0, 2]), 2)


def test_places_are_the_cells_that_a_region_touches() -> None:
    region = np.zeros((16, 16), bool)
    region[3:5, 7] = True  # across a border between cells of four pixels
    np.testing.assert_array_equal(places_of(region, (4, 4)), [1, 5])
    assert len(places_of(np.zeros((16, 16), bool), (4, 4))) == 0
    wrongs: list[Any] = [np.zeros((16, 16)), np.zeros((16, 6), bool), np.zeros((18, 18), bool)]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="region must be"):
            places_of(wrong, (4, 4))


def test_regions_are_those_of_the_decision() -> None:
    rng = np.random.default_rng(3)
    q = (cv2.GaussianBlur(rng.random((64, 64)).astype(np.float32), (0, 0), 3) * 60_000).astype(np.uint16)
    threshold = int(np.quantile(q, 0.9))
    decision = decide(q, threshold, 9)
    masks = region_masks(q, threshold, 9)
    assert len(masks) == len(decision.regions) > 2
    np.testing.assert_array_equal(np.sum(masks, axis=0), decision.mask)
    for mask, region in zip(masks, decision.regions, strict=True):
        assert mask.sum() == region.area
        assert q[mask].max() == region.peak_level
    assert region_masks(q, 65535, 9) == []


def test_the_strongest_place_is_where_the_score_comes_from() -> None:
    q = np.zeros((16, 16), np.uint16)
    q[2:5, 2:5], q[3, 3], q[10, 10] = 50, 90, 200
    place = strongest_place(q, 4)  # the single hot pixel is too small to count
    np.testing.assert_array_equal(np.argwhere(place)[[0, -1]], [[2, 2], [4, 4]])
    assert place.sum() == 9
    assert strongest_place(q, 1).sum() == 1
    assert strongest_place(np.zeros((4, 4), np.uint16), 4).all()


# --- a test image ---


def test_an_images_shares_sum_to_the_distances_it_was_scored_by(small_model: Padim) -> None:
    (scored,) = small_model.predict(defects(1))
    rgb = prepare(defects(1)[0], small_model.network.preprocess).rgb
    runs = small_model.network.extractor.runs
    embedding = embed(small_model, rgb)
    assert small_model.network.extractor.runs == runs + 1
    mask = scored.levels > small_model.threshold_level
    whole, there = explain(small_model, embedding), explain(small_model, embedding, mask)
    assert small_model.network.extractor.runs == runs + 1
    assert whole.layers == ("blocks.2", "blocks.4", "blocks.10")
    np.testing.assert_allclose(whole.maps((8, 8)).sum(axis=0), scored.grid**2, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(there.positions, places_of(mask, (8, 8)))
    assert 0 < len(there.positions) < 64
    np.testing.assert_allclose(
        there.total.sum(), (scored.grid.ravel()[there.positions] ** 2).sum(), rtol=1e-3
    )
    np.testing.assert_allclose(there.squared, whole.squared[there.positions])
    assert there.shares.sum() == pytest.approx(1)
    assert (there.shares >= 0).all()
    assert np.count_nonzero(there.maps((8, 8)).sum(axis=0)) == len(there.positions)


def test_channels_are_assigned_to_their_layer(small_model: Padim) -> None:
    layers, layer_of = kept_layers(small_model)
    stops = np.cumsum([layer.channels for layer in layers])
    np.testing.assert_array_equal(layer_of, np.searchsorted(stops, small_model.state.channels, side="right"))


def test_too_many_layers_are_refused(small_model: Padim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "MOST_LAYERS", 2)
    with pytest.raises(PadimError, match="at most 2 layers can be told apart, and the model uses 3"):
        kept_layers(small_model)


def test_another_images_shape_is_refused(small_model: Padim) -> None:
    with pytest.raises(ValueError, match="embedding must be"):
        explain(small_model, np.zeros((64, 19), np.float32))


# --- normals ---


def shot_again(model_of: Callable[..., Padim], config: PadimConfig) -> Padim:
    """Return a model of 11 parts: two with three shots, one with two, one kept out."""
    groups = {f"good_{i:03d}.png": part for i, part in enumerate("aaabbbccdefghijk")}
    return model_of(config).fit(normals(16), groups=groups).exclude(15, "kept_out")


def test_held_out_shares_are_those_of_a_model_without_the_part(small_config: PadimConfig) -> None:
    model = shot_again(Padim, small_config)
    everywhere = np.ones((64, 64), bool)
    corner = np.zeros((64, 64), bool)
    corner[40:, 40:] = True
    asked = [(0, everywhere), (4, corner), (6, everywhere), (9, corner)]
    runs = model.network.extractor.runs
    for (index, region), report in zip(asked, explain_held_out(model, asked), strict=True):
        places = places_of(region, (8, 8))
        np.testing.assert_array_equal(report.positions, places)
        held_out = model.state.fitted.held_out[index].ravel()[places].astype(float) ** 2
        np.testing.assert_allclose(report.squared.sum(axis=1), held_out, rtol=1e-4)
        assert (report.squared >= 0).all()
    assert model.network.extractor.runs == runs
    # The same from a model that was fitted without the part.
    name, data = normals(16)[4]
    others = [item for i, item in enumerate(normals(15)) if i not in (3, 4, 5)]
    groups = {item.name: item.group for item in model.normals_}
    fresh = Padim(small_config).fit(others, groups=groups)
    rgb = prepare((name, data), fresh.network.preprocess).rgb
    expected = explain(fresh, embed(fresh, rgb), corner)
    (report,) = explain_held_out(model, [(4, corner)])
    np.testing.assert_allclose(report.squared, expected.squared, rtol=2e-3, atol=1e-3)


def test_memory_does_not_grow_with_the_regions(
    small_config: PadimConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shot_again(Padim, small_config)
    corners = np.zeros((64, 64), bool)
    corners[:16, :16] = corners[-8:, -20:] = True
    asked = [(0, np.ones((64, 64), bool)), (4, corners), (9, corners), (9, np.zeros((64, 64), bool))]
    expected = explain_held_out(model, asked)
    looked_at: list[int] = []
    read: list[npt.NDArray[np.int64]] = []

    class Counted(PatchStatistics):
        def __init__(self, positions: int, features: int) -> None:
            super().__init__(positions, features)
            looked_at.append(positions)

    whole = FeatureStore.read

    def counted(self: FeatureStore, rows: Any, channels: Any, positions: slice = slice(None)) -> Any:
        read.append(np.arange(self.positions)[positions])
        return whole(self, rows, channels, positions)

    monkeypatch.setattr(attribution, "PatchStatistics", Counted)
    monkeypatch.setattr(FeatureStore, "read", counted)
    monkeypatch.setattr(attribution, "_SCATTER_ROOM", 7 * 8 * 20 * 20)  # of seven positions
    for report, before in zip(explain_held_out(model, asked), expected, strict=True):
        np.testing.assert_array_equal(report.positions, before.positions)
        np.testing.assert_allclose(report.squared, before.squared, rtol=1e-9)
    assert max(looked_at) == 7
    assert max(map(len, read)) <= 7
    np.testing.assert_array_equal(np.sort(np.concatenate(read)), np.arange(64))  # each once
    read.clear()
    explain_held_out(model, asked[1:])
    np.testing.assert_array_equal(np.sort(np.concatenate(read)), places_of(corners, (8, 8)))
    assert explain_held_out(model, []) == []


def test_what_is_set_meanwhile_changes_nothing(small_config: PadimConfig) -> None:
    """The settings of a model change before its new state exists; the whole answer must use one state."""
    model = Padim(small_config).fit(normals(6))
    rgb = prepare(defects(1)[0], model.network.preprocess).rgb
    region = np.ones((64, 64), bool)
    before, held_out = explain(model, embed(model, rgb)), explain_held_out(model, [(2, region)])[0]
    model.config = PadimConfig.model_validate(
        {**small_config.model_dump(), "seed": 9, "n_features": 12, "inactive_layers": ("blocks.2",)}
    )
    again = explain(model, embed(model, rgb))
    assert again.layers == before.layers
    np.testing.assert_array_equal(again.squared, before.squared)
    np.testing.assert_array_equal(explain_held_out(model, [(2, region)])[0].squared, held_out.squared)
    assert normals_layers(model).layers == before.layers


def test_the_normals_layers_are_the_mean_of_their_held_out_shares(small_config: PadimConfig) -> None:
    model = shot_again(Padim, small_config)
    report = normals_layers(model)
    fitted = [i for i, normal in enumerate(model.normals_) if normal.status == "fit"]
    everywhere = np.ones((64, 64), bool)
    one_by_one = explain_held_out(model, [(i, everywhere) for i in fitted])
    assert len(report.positions) == 64  # all positions of so small a grid are used
    np.testing.assert_allclose(
        report.squared, np.mean([one.squared for one in one_by_one], axis=0), rtol=1e-9
    )


def test_a_large_grid_is_looked_at_here_and_there() -> None:
    config = PadimConfig(input_size=160, grid_stride=4, n_features=10)
    report = normals_layers(Padim(config).fit(normals(4)))
    assert 100 <= len(report.positions) <= 256
    rows, columns = np.divmod(report.positions, 40)
    np.testing.assert_array_equal(np.unique(rows), np.unique(columns))


def test_without_features_or_parts_it_says_so(small_config: PadimConfig) -> None:
    two = Padim(small_config).fit(normals(2))
    with pytest.raises(CalibrationError, match="at least 3 parts"):
        normals_layers(two)
    model = Padim(small_config).fit(normals(4))
    model.working_set.delete()
    with pytest.raises(PadimError, match="features were deleted"):
        explain_held_out(model, [(0, np.ones((64, 64), bool))])


# --- layers turned off and on ---


def same(one: Padim, other: Padim) -> None:
    """Compare two models bit for bit."""
    assert one.config == other.config
    assert one.state.fitted.quantizer == other.state.fitted.quantizer
    assert one.current_threshold == other.current_threshold
    np.testing.assert_array_equal(one.state.channels, other.state.channels)
    np.testing.assert_array_equal(one.state.gaussians.mean, other.state.gaussians.mean)
    np.testing.assert_array_equal(one.state.fitted.held_out, other.state.fitted.held_out)
    for ours, theirs in zip(
        one.state.gaussians.factor.files().values(),
        other.state.gaussians.factor.files().values(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_layers_are_turned_off_and_on_without_the_network(small_config: PadimConfig) -> None:
    config = small_config.model_copy(update={"n_features": 100})
    model, before = (Padim(config).fit(normals(8)) for _ in range(2))
    runs = model.network.extractor.runs
    model.set_layers(["blocks.4", "blocks.2"])
    assert model.network.extractor.runs == runs
    assert model.config.inactive_layers == ("blocks.10",)
    assert model.config.n_features == 64  # all there are
    assert set(model.state.channels) <= set(range(64))
    fresh = Padim(model.config).fit(normals(8))
    same(model, fresh)
    assert model.current_threshold != before.current_threshold
    layers, layer_of = kept_layers(model)
    assert [layer.name for layer in layers] == ["blocks.2", "blocks.4"]
    assert set(layer_of) == {0, 1}
    runs = model.network.extractor.runs
    model.set_layers(model.config.layers)
    same(model, before)
    assert model.network.extractor.runs == runs


def test_middle_layers_off_and_a_number_of_features(small_config: PadimConfig) -> None:
    model = Padim(small_config).fit(normals(6))
    model.set_layers(["blocks.2", "blocks.10"], 30)
    assert len(model.state.channels) == 30
    assert not set(model.state.channels) & set(range(24, 64))
    same(model, Padim(model.config).fit(normals(6)))
    (scored,) = model.predict(defects(1))
    report = explain(model, embed(model, prepare(defects(1)[0], model.network.preprocess).rgb))
    assert report.layers == ("blocks.2", "blocks.10")
    np.testing.assert_allclose(report.maps((8, 8)).sum(axis=0), scored.grid**2, rtol=1e-3, atol=1e-3)


def test_the_number_asked_for_outlives_saving(small_config: PadimConfig, tmp_path: object) -> None:
    config = small_config.model_copy(update={"n_features": 100})
    model = Padim(config, work_dir=f"{tmp_path}/work").fit(normals(5))
    model.set_layers(["blocks.2"]).save(f"{tmp_path}/model")
    loaded = Padim.load(f"{tmp_path}/model", work_dir=f"{tmp_path}/work")
    same(loaded, model)
    loaded.set_layers(loaded.config.layers)
    assert loaded.config == config


def test_a_checkpoint_of_other_layers_is_not_taken(small_config: PadimConfig) -> None:
    model = Padim(small_config).fit(normals(4))
    whole = model.working_set.save_checkpoint()
    assert model.set_layers(["blocks.2", "blocks.4"]).working_set.save_checkpoint() != whole


def test_what_cannot_be_set_changes_nothing(small_config: PadimConfig) -> None:
    model = Padim(small_config).fit(normals(4))
    before = replace(model.state.fitted)
    for wrong, word in (((), "none given"), (("blocks.7",), "blocks.7 given"), (("nonsense",), "nonsense")):
        with pytest.raises(PadimError, match=word):
            model.set_layers(wrong)
    with pytest.raises(PadimError, match="n_features"):
        model.set_layers(["blocks.2"], 0)
    model.working_set.delete()
    with pytest.raises(PadimError, match="features were deleted"):
        model.set_layers(["blocks.2"])
    assert model.state.fitted == before
    assert model.config == small_config
