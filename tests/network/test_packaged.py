"""The packaged network against torch's own exports, and what it stands in for."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest

from padim.errors import BackboneError
from padim.network import backbone as backbones
from padim.network import packaged, weights
from padim.network.backbone import EFFICIENTNET_LITE0 as LITE0
from padim.network.packaged import packaged_onnx

ALL = tuple(layer.name for layer in LITE0.layers)
# Of every working file ever made with the default layers and torch 2.15: other bytes would orphan them.
DEFAULT_SHA256 = "1e8031d506ccc95050ab841ff75712f2bdec7fa894ff111bdb3550a04bbf957f"


def file() -> str:
    name = LITE0.files[0].network
    assert name is not None
    return name


def test_the_default_layers_are_the_bytes_that_working_files_know() -> None:
    content = backbones.onnx_bytes(LITE0.name, LITE0.default_layers)
    assert hashlib.sha256(content).hexdigest() == DEFAULT_SHA256


@pytest.mark.slow
@pytest.mark.parametrize(
    "layers",
    [
        LITE0.default_layers,
        ALL,
        ("blocks.4", "blocks.10"),
        ("blocks.0",),
        ("blocks.0", "blocks.14"),
        ("blocks.15",),
    ],
    ids="+".join,
)
def test_torch_exports_the_same_bytes(layers: tuple[str, ...]) -> None:
    import onnx
    import torch

    exported = onnx.load_model_from_string(backbones.export(LITE0, LITE0.select(layers)))
    cut = onnx.load_model_from_string(packaged_onnx(file(), layers))
    # Another release of torch names itself; beyond its own name nothing may differ.
    assert exported.producer_version == torch.__version__.partition("+")[0]
    exported.producer_version = cut.producer_version
    assert packaged_onnx(file(), layers) == exported.SerializeToString()


def test_neither_torch_nor_weights_are_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_torch(monkeypatch)
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "_in_package", lambda backbone: None)
    assert weights.find(LITE0.name) is None
    there = weights.available(LITE0.name)
    assert (there.at_hand, there.path) == (True, None)
    assert backbones.onnx_bytes(LITE0.name, ALL) == packaged_onnx(file(), ALL)
    assert weights.provenance(LITE0.name, "pretrained") == {
        "weights": "pretrained",
        "source": LITE0.files[0].name,
        "sha256": LITE0.files[0].sha256,
    }
    assert not (tmp_path / "cache").exists()


def test_weights_of_ones_own_are_not_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "efficientnet_lite0.npz"
    own.write_bytes(b"own weights")
    monkeypatch.setenv("PADIM_WEIGHTS", str(own))
    assert weights.comes_with_program(LITE0.name) is False
    without_torch(monkeypatch)
    assert weights.available(LITE0.name).at_hand is False
    with pytest.raises(BackboneError, match=r"other weights than those that come with this program.*PyTorch"):
        backbones.onnx_bytes(LITE0.name, ALL)


def test_a_network_that_needs_torch_is_refused_before_its_weights_are_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_torch(monkeypatch)
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path))

    def download(*_: object) -> Path:
        raise AssertionError("downloaded")

    monkeypatch.setattr(weights, "_download", download)
    with pytest.raises(BackboneError, match=r"resnet18 needs PyTorch.*padim-inspection\[torch\]"):
        backbones.onnx_bytes("resnet18", ["layer1"])


def test_a_file_that_is_missing_from_the_installation_is_one_sentence() -> None:
    with pytest.raises(BackboneError, match=r"no_such\.onnx is missing from the installation"):
        packaged_onnx("no_such.onnx", ALL)


def test_a_cut_holds_nothing_behind_its_deepest_layer() -> None:
    sizes = [len(packaged_onnx(file(), ALL[: count + 1])) for count in range(len(ALL))]
    assert sizes == sorted(sizes)
    assert sizes[0] < 50_000
    assert packaged.packaged_onnx(file(), ALL[:1]) is packaged_onnx(file(), ALL[:1])


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed: the packages are not found."""
    real = importlib.util.find_spec
    absent = ("torch", "torchvision", "efficientnet_lite_pytorch")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest)
    )
