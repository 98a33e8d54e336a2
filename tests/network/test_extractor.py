"""The embedding graph against torch, and the sharing of its session."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim import PadimConfig
from padim.errors import BackboneError, BundleError
from padim.network import backbone
from padim.network import extractor as features
from padim.network.extractor import FeatureExtractor, draw_channels, open_extractor
from padim.network.graph import _layer_piece, embedding_graph
from padim.network.registry import Layer
from padim.network.runtime import open_session
from tests.parts import RGB, part

SIZE = 128
# fmt: off
EXPECTED_L2 = [
    -0.0785, -1.4706, -0.4669, -0.4338, 0.6632, 0.1558, -1.6205, -1.5861, 0.5005, 1.2246, 0.7453, 0.7153,
]
EXPECTED_NONE = [
    -0.5851, -11.1269, -3.4795, -3.2818, 6.4059, 1.2641, -15.6516, -12.8694, 4.4757, 5.2234, 6.6652, 3.051,
]
# fmt: on


def images(count: int, size: int = SIZE) -> RGB:
    return np.stack([part(i, size=(size, size), defect=i % 2 == 1) for i in range(count)])


def reference(rgb: RGB, config: PadimConfig) -> np.ndarray:
    """The embedding as docs/design.md, section 4.1 words it, with torch's own pooling and interpolation."""
    import torch
    from torch.nn import functional

    image = (rgb.astype(np.float32) - 127) / 128
    layers = backbone.get(config.backbone).select(config.layers)
    session = ort.InferenceSession(backbone.onnx_bytes(config.backbone, config.layers))
    maps = session.run([layer.name for layer in layers], {"image": image.transpose(0, 3, 1, 2)})
    on_grid = []
    for layer, raw in zip(layers, maps, strict=True):
        x = torch.from_numpy(raw)
        if layer.stride < config.grid_stride:
            x = functional.avg_pool2d(x, config.grid_stride // layer.stride)
        elif layer.stride > config.grid_stride:
            x = functional.interpolate(x, size=config.grid_shape, mode="bilinear", align_corners=False)
        if config.feature_norm == "l2":
            x = x * layer.channels**0.5 / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1e-6)
        on_grid.append(x.numpy())
    return np.concatenate(on_grid, axis=1)


@pytest.mark.parametrize("feature_norm", ["none", "l2"])
@pytest.mark.parametrize("grid_stride", [4, 8, 16])
def test_embedding_equals_torch(grid_stride: Any, feature_norm: Any) -> None:
    config = PadimConfig(input_size=SIZE, grid_stride=grid_stride, feature_norm=feature_norm)
    rgb = images(3)
    got = open_extractor(config)(rgb)
    assert got.dtype == np.float32
    assert got.shape == (3, 24 + 40 + 112, SIZE // grid_stride, SIZE // grid_stride)
    expected = reference(rgb, config)
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_pixel_extremes_enter_the_network_as_documented() -> None:
    """0 and 255 would tell (x - 127) / 128 from any usual other normalisation."""
    config = PadimConfig(input_size=64, feature_norm="none")
    rgb = np.zeros((2, 64, 64, 3), np.uint8)
    rgb[1] = 255
    expected = reference(rgb, config)
    np.testing.assert_allclose(open_extractor(config)(rgb), expected, atol=1e-4 * np.abs(expected).max())


def of_layer(layer: Layer, own: Any, size: int, stride: int, norm: Any, x: np.ndarray) -> np.ndarray:
    """One layer's kept channels on the grid, from what the layer gives."""
    piece = _layer_piece(layer, np.asarray(own), (size, size), stride, norm)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        piece.nodes,
        "layer",
        [value(layer.name, onnx.TensorProto.FLOAT, x.shape)],
        [value(f"{layer.name}_on_grid", onnx.TensorProto.FLOAT, None)],
        piece.constants,
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {layer.name: x})[0])


@given(
    seed=st.integers(0, 10_000),
    channels=st.integers(1, 12),
    stride=st.sampled_from([4, 8, 16, 32]),
    power=st.integers(-8, 8),
)
@settings(max_examples=40, deadline=None)
def test_a_normalized_layer_has_a_mean_square_of_one(
    seed: int, channels: int, stride: int, power: int
) -> None:
    """Over all channels of the layer, on the grid, whichever are kept; and it has lost its scale."""
    rng = np.random.default_rng(seed)
    layer = Layer("layer", "layer", channels, stride)
    x = rng.normal(size=(2, channels, 64 // stride, 64 // stride)).astype(np.float32)
    every = of_layer(layer, range(channels), 64, 8, "l2", x)
    raw = of_layer(layer, range(channels), 64, 8, "none", x)
    np.testing.assert_allclose((every.astype(np.float64) ** 2).mean(axis=1), 1, rtol=1e-5)
    length = np.sqrt((raw.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(every, raw * np.sqrt(channels) / length, rtol=1e-4, atol=1e-6)
    # Brighter or fainter by a power of two it is the same image to the layer, as long as it is above 1e-6.
    shifted = of_layer(layer, range(channels), 64, 8, "l2", x * np.float32(2.0**power))
    np.testing.assert_allclose(shifted, every, rtol=1e-5, atol=1e-6)
    some = np.flatnonzero(rng.random(channels) < 0.5)
    if len(some):
        np.testing.assert_array_equal(of_layer(layer, some, 64, 8, "l2", x), every[:, some])


def test_what_is_next_to_nothing_is_not_blown_up() -> None:
    layer = Layer("layer", "layer", 4, 8)
    x = np.zeros((1, 4, 8, 8), np.float32)
    x[0, 0, 0, 0], x[0, 1, 0, 1] = 1e-7, -3.0
    got = of_layer(layer, range(4), 64, 8, "l2", x)
    assert np.isfinite(got).all()
    assert got[0, 0, 0, 0] == pytest.approx(0.2)  # 1e-7 * sqrt(4) / 1e-6
    assert got[0, 1, 0, 1] == pytest.approx(-2.0)
    assert np.count_nonzero(got) == 2


@pytest.mark.parametrize("feature_norm", ["none", "l2"])
def test_scoring_sees_the_features_that_were_fitted_to_the_bit(feature_norm: Any) -> None:
    config = PadimConfig(input_size=64, grid_stride=8, feature_norm=feature_norm)
    extractor = open_extractor(config)
    rgb = images(3, 64)
    everything = extractor(rgb)
    for seed, count in ((0, 20), (1, 100), (2, 176), (3, 1)):
        kept = draw_channels(extractor.channels, count, seed)
        session = open_session(embedding_graph(extractor._piece(kept), count, config.grid_shape))
        np.testing.assert_array_equal(session.run(None, {"rgb": rgb})[0], everything[:, kept])


@pytest.mark.parametrize(
    ("feature_norm", "expected"),
    [
        ("l2", EXPECTED_L2),
        ("none", EXPECTED_NONE),
    ],
)
def test_vectors_are_those_of_the_published_weights(feature_norm: Any, expected: list[float]) -> None:
    """Channels of every layer at a corner and in the middle, for an image that anybody can make."""
    rows, columns = np.mgrid[0:128, 0:128]
    rgb = np.stack([rows * 2, columns * 2, (rows * columns) % 256], axis=-1).astype(np.uint8)[None]
    got = open_extractor(PadimConfig(input_size=128, feature_norm=feature_norm))(rgb)[0]
    chosen = [got[c, y, x] for c in (0, 23, 24, 63, 64, 175) for y, x in ((0, 0), (8, 7))]
    np.testing.assert_allclose(chosen, expected, rtol=2e-3, atol=2e-4)


def test_embedding_does_not_depend_on_the_batch() -> None:
    """Bit for bit: a fit continued in other batches must come to the same model."""
    extractor = open_extractor(PadimConfig(input_size=64))
    rgb = images(7, 64)
    together = extractor(rgb)
    for size in (1, 2, 3):
        apart = np.concatenate([extractor(rgb[i : i + size]) for i in range(0, 7, size)])
        np.testing.assert_array_equal(apart, together)
    np.testing.assert_array_equal(extractor(rgb[::-1])[::-1], together)


def test_results_outlive_the_run() -> None:
    extractor = open_extractor(PadimConfig(input_size=64))
    first = extractor(images(2, 64))
    copy = first.copy()
    extractor(255 - images(2, 64))
    np.testing.assert_array_equal(first, copy)


def test_session_is_shared_by_what_determines_it() -> None:
    config = PadimConfig(input_size=64)
    extractor = open_extractor(config)
    assert open_extractor(PadimConfig(input_size=64, n_features=3, seed=9, min_area=2)) is extractor
    reordered = PadimConfig(input_size=64, layers=("blocks.10", "blocks.4", "blocks.2"))
    assert open_extractor(reordered) is extractor
    assert open_extractor(config, extractor.backbone_onnx) is extractor
    assert open_extractor(PadimConfig(input_size=96)) is not extractor
    assert open_extractor(PadimConfig(input_size=64, grid_stride=16)) is not extractor
    assert open_extractor(PadimConfig(input_size=64, feature_norm="none")) is not extractor


def test_identity_names_all_that_determines_the_embedding() -> None:
    configs = [
        PadimConfig(input_size=64),
        PadimConfig(input_size=96),
        PadimConfig(input_size=64, grid_stride=16),
        PadimConfig(input_size=64, feature_norm="none"),
    ]
    assert len({open_extractor(config).identity for config in configs}) == len(configs)
    network = open_extractor(configs[0]).backbone_onnx
    # Another network: the same one with one more field of metadata.
    model = onnx.load_model_from_string(network)
    model.doc_string = "another"
    other = open_extractor(configs[0], model.SerializeToString())
    assert other.identity != open_extractor(configs[0]).identity
    assert open_extractor(PadimConfig(input_size=64, eps=1)).identity == open_extractor(configs[0]).identity


def test_opened_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []

    class Counted(FeatureExtractor):
        def __init__(self, backbone_onnx: bytes, config: PadimConfig) -> None:
            opened.append(config)
            super().__init__(backbone_onnx, config)

    monkeypatch.setattr(features, "_opened", {})
    monkeypatch.setattr(features, "FeatureExtractor", Counted)
    got: list[FeatureExtractor] = []
    threads = [
        threading.Thread(target=lambda: got.append(open_extractor(PadimConfig(input_size=64))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert len(got) == 6
    assert len({id(extractor) for extractor in got}) == 1


def test_number_of_open_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_opened", {})
    monkeypatch.setattr(features, "_MOST_OPEN", 2)
    for size in (64, 96, 128):
        open_extractor(PadimConfig(input_size=size, layers=("blocks.2", "blocks.4", "blocks.10")))
    assert len(features._opened) == 2


def test_runs_are_counted_from_all_threads() -> None:
    extractor = open_extractor(PadimConfig(input_size=64))
    before = extractor.runs
    rgb = images(1, 64)
    threads = [threading.Thread(target=extractor, args=(rgb,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert extractor.runs == before + 5


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((1, 64, 64, 4), np.uint8),
        np.zeros((1, 64, 32, 3), np.uint8),
        np.zeros((1, 96, 96, 3), np.uint8),
    ],
    ids=["float", "no batch", "planes first", "alpha", "not square", "other size"],
)
def test_wrong_input_is_told(rgb: Any) -> None:
    with pytest.raises(ValueError, match=r"rgb must be uint8 \(n, 64, 64, 3\)"):
        open_extractor(PadimConfig(input_size=64))(rgb)


def test_input_in_any_memory_order() -> None:
    extractor = open_extractor(PadimConfig(input_size=64))
    rgb = images(2, 64)
    np.testing.assert_array_equal(extractor(np.asfortranarray(rgb)), extractor(rgb))


def test_a_broken_network_is_a_bundle_error() -> None:
    with pytest.raises(BundleError, match="is not a network that padim writes"):
        open_extractor(PadimConfig(input_size=64), b"not a network")


def test_unknown_names() -> None:
    with pytest.raises(BackboneError, match="unknown backbone"):
        open_extractor(PadimConfig().model_copy(update={"backbone": "resnet"}))
    with pytest.raises(BackboneError, match="no layer"):
        open_extractor(PadimConfig().model_copy(update={"layers": ("layer1",)}))


# --- the channel draw ---


def test_draw_is_deterministic_sorted_and_without_repeats() -> None:
    drawn = draw_channels(176, 100, 0)
    assert drawn.dtype == np.int64
    assert len(drawn) == 100
    assert (np.diff(drawn) > 0).all()
    assert 0 <= drawn[0] <= drawn[-1] < 176
    np.testing.assert_array_equal(drawn, draw_channels(176, 100, 0))
    assert not np.array_equal(drawn, draw_channels(176, 100, 1))


def test_draw_is_the_same_for_ever() -> None:
    """Bundles hold the draw, but YAML files hold only the seed."""
    assert draw_channels(176, 8, 0).tolist() == [2, 7, 13, 46, 53, 87, 108, 143]


@pytest.mark.parametrize("n_features", [None, 176, 1000])
def test_all_channels(n_features: int | None) -> None:
    np.testing.assert_array_equal(draw_channels(176, n_features, 3), np.arange(176))
