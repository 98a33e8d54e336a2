"""The export to ONNX against torch itself, and the cache of exports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from padim.errors import BackboneError
from padim.network import backbone as backbones
from padim.network import weights
from padim.network.backbone import EFFICIENTNET_LITE0, REGISTRY, Backbone, Layer, onnx_bytes
from padim.network.check import check_network
from tests.network import vectors

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


# --- the export ---


def layers_of(network: Any, backbone: Backbone, image: np.ndarray) -> dict[str, np.ndarray]:
    """The layers' outputs as torch computes them."""
    import torch

    working_files: dict[str, np.ndarray] = {}

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        # A copy: a later step may work in place.
        return lambda module, inputs, output: working_files.update({name: output.numpy().copy()})

    for layer in backbone.layers:
        network.get_submodule(layer.module).register_forward_hook(keep(layer.name))
    with torch.no_grad():
        network(torch.from_numpy(image))
    return working_files


@pytest.mark.slow
def test_export_equals_torch(every_layer: bytes) -> None:
    network = backbones.build(EFFICIENTNET_LITE0, EFFICIENTNET_LITE0.layers)
    image = random_image(3)
    working_files = layers_of(network, EFFICIENTNET_LITE0, image)
    for name, got in outputs(every_layer, image).items():
        scale = np.abs(working_files[name]).max()
        np.testing.assert_allclose(got, working_files[name], atol=1e-4 * scale, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", REGISTRY.values(), ids=lambda b: b.name)
def test_every_network_exported_equals_torch(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights, which need no download: every stage, and another size than it was traced at."""
    built: list[Any] = []
    real = backbones.build

    def build(*args: Any) -> Any:
        built.append(real(*args))
        return built[-1]

    monkeypatch.setattr(backbones, "build", build)
    layers = vectors.layers_of(backbone)
    content = backbones.export(backbone, layers, "random")
    for size in (64, 256, 2048):
        check_network(content, "backbone.onnx", layers, (size, size))
    # The same numbers as ever: another seed, order of layers or levelling would show here.
    vectors.check(vectors.vectors(content, backbone), vectors.expected()["random"][backbone.name])
    image = random_image(2, 64, SIDE)
    working_files = layers_of(built[0], backbone, image)
    got = outputs(content, image)
    assert list(got) == [layer.name for layer in layers]
    for layer in layers:
        expected = working_files[layer.name]
        assert got[layer.name].shape == (2, layer.channels, 64 // layer.stride, SIDE // layer.stride)
        # Levelled: features that have faded to nothing would equal anything.
        assert expected.std() > 0.1, layer
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got[layer.name], expected, atol=1e-4 * scale, err_msg=layer.name)


@pytest.mark.slow
def test_random_weights_are_the_same_every_time() -> None:
    backbone = backbones.get("mobilenet_v3_small")
    layers = backbone.select(backbone.default_layers)
    first = backbones.build(backbone, layers, "random").state_dict()
    # Whatever else draws random numbers in between neither changes them nor is changed by them.
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    second = backbones.build(backbone, layers, "random").state_dict()
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.allclose(first[key], second[key]) for key in first)
    assert weights.random_seed("resnet18") != weights.random_seed("resnet34")


@pytest.mark.slow
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

    def __call__(self, backbone: Backbone, layers: Sequence[Layer], weights: str) -> bytes:
        self.calls.append(tuple(layer.name for layer in layers))
        return weights.encode() + b" network up to " + layers[-1].name.encode() * 1000


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CountingExport:
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    # With weights of the user's own: the published ones' network is packaged, and never exported.
    own = tmp_path / "own.pth"
    own.write_bytes(b"weights")
    monkeypatch.setattr(weights, "_named", own)
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
    own = tmp_path / "other.pth"
    own.write_bytes(b"other weights")
    monkeypatch.setattr(weights, "_named", own)
    onnx_bytes("efficientnet_lite0", ["blocks.2"])
    assert len(counting.calls) == 4
    own.write_bytes(b"newer weights, replaced in place")
    onnx_bytes("efficientnet_lite0", ["blocks.2"])
    assert len(counting.calls) == 5
    assert onnx_bytes("efficientnet_lite0", ["blocks.2"], "random").startswith(b"random")
    assert onnx_bytes("efficientnet_lite0", ["blocks.2"]).startswith(b"pretrained")
    assert len(counting.calls) == 6
    assert len(entries(tmp_path, ".onnx")) == 6


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
        assert onnx_bytes("efficientnet_lite0", DEFAULT).startswith(b"pretrained network up to")


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    backbone = backbones.get("resnet18")
    with pytest.raises(BackboneError, match=r"resnet18 needs PyTorch.*padim-inspection\[torch\]"):
        backbones.build(backbone, backbone.layers, "random")


def test_cached_network_needs_no_torch(counting: CountingExport, monkeypatch: pytest.MonkeyPatch) -> None:
    content = onnx_bytes("efficientnet_lite0", DEFAULT)
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it would now raise
    assert onnx_bytes("efficientnet_lite0", DEFAULT) == content
