"""The embedding graph against torch, and the sharing of its session."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from padim import PadimConfig, backbones, features
from padim.errors import BackboneError, BundleError
from padim.features import FeatureExtractor, draw_channels, open_extractor
from tests.parts import RGB, part

SIZE = 128


def pictures(count: int, size: int = SIZE) -> RGB:
    return np.stack([part(i, size=(size, size), defect=i % 2 == 1) for i in range(count)])


def reference(rgb: RGB, config: PadimConfig) -> np.ndarray:
    """The embedding as DESIGN 4.1 words it, with torch's own pooling and interpolation."""
    import torch
    from torch.nn import functional

    image = (rgb.astype(np.float32) - 127) / 128
    layers = backbones.get(config.backbone).select(config.layers)
    session = ort.InferenceSession(backbones.onnx_bytes(config.backbone, config.layers))
    maps = session.run([layer.name for layer in layers], {"image": image.transpose(0, 3, 1, 2)})
    on_grid = []
    for layer, raw in zip(layers, maps, strict=True):
        x = torch.from_numpy(raw)
        if layer.stride < config.grid_stride:
            x = functional.avg_pool2d(x, config.grid_stride // layer.stride)
        elif layer.stride > config.grid_stride:
            x = functional.interpolate(x, size=(config.grid,) * 2, mode="bilinear", align_corners=False)
        on_grid.append(x.numpy())
    return np.concatenate(on_grid, axis=1)


@pytest.mark.parametrize("grid_stride", [4, 8, 16])
def test_embedding_equals_torch(grid_stride: Any) -> None:
    config = PadimConfig(input_size=SIZE, grid_stride=grid_stride)
    rgb = pictures(3)
    got = open_extractor(config)(rgb)
    assert got.dtype == np.float32
    assert got.shape == (3, 24 + 40 + 112, SIZE // grid_stride, SIZE // grid_stride)
    expected = reference(rgb, config)
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_pixel_extremes_enter_the_network_as_documented() -> None:
    """0 and 255 would tell (x - 127) / 128 from any usual other normalisation."""
    config = PadimConfig(input_size=64)
    rgb = np.zeros((2, 64, 64, 3), np.uint8)
    rgb[1] = 255
    expected = reference(rgb, config)
    np.testing.assert_allclose(open_extractor(config)(rgb), expected, atol=1e-4 * np.abs(expected).max())


def test_embedding_does_not_depend_on_the_batch() -> None:
    """Bit for bit: a fit continued in other batches must come to the same model."""
    extractor = open_extractor(PadimConfig(input_size=64))
    rgb = pictures(7, 64)
    together = extractor(rgb)
    for size in (1, 2, 3):
        apart = np.concatenate([extractor(rgb[i : i + size]) for i in range(0, 7, size)])
        np.testing.assert_array_equal(apart, together)
    np.testing.assert_array_equal(extractor(rgb[::-1])[::-1], together)


def test_results_outlive_the_run() -> None:
    extractor = open_extractor(PadimConfig(input_size=64))
    first = extractor(pictures(2, 64))
    copy = first.copy()
    extractor(255 - pictures(2, 64))
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


def test_identity_names_all_that_determines_the_embedding() -> None:
    configs = [
        PadimConfig(input_size=64),
        PadimConfig(input_size=96),
        PadimConfig(input_size=64, grid_stride=16),
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
    rgb = pictures(1, 64)
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
    rgb = pictures(2, 64)
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
