"""Provide backbones as ONNX: the packaged network, or one built with torch, exported once and cached.

Only :func:`build` and :func:`export` need torch. Their result is cached on disk, keyed by everything that
determines it, so torch runs only once per machine. With the published weights of EfficientNet-Lite0 neither
is needed: the exported network is part of this package.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from padim.errors import BackboneError
from padim.network import state_dict
from padim.network import weights as weight_files
from padim.network.concat import joined
from padim.network.packaged import packaged_onnx
from padim.network.randomness import drawing_from
from padim.network.registry import EFFICIENTNET_LITE0, REGISTRY, Backbone, Layer, get, own_layers
from padim.network.weights import Availability, available, cache_folder, provenance
from padim.storage.atomic import write_atomic

if TYPE_CHECKING:
    import torch

__all__ = [
    "EFFICIENTNET_LITE0",
    "OPSET",
    "REGISTRY",
    "Availability",
    "Backbone",
    "Layer",
    "available",
    "build",
    "cache_folder",
    "check_fit",
    "export",
    "exported",
    "get",
    "onnx_bytes",
    "provenance",
]

# Part of the cache key: increase it when the exported graph changes for the same weights and layers.
EXPORTER_VERSION = 1
OPSET = 17
# Dynamic axes of a tensor of images or maps: their number and size are not fixed.
SPATIAL = {0: "n", 2: "h", 3: "w"}


def onnx_bytes(
    name: str,
    layers: Sequence[str],
    weights: str = "pretrained",
    progress: weight_files.DownloadProgress | None = None,
) -> bytes:
    """Return a backbone as ONNX up to the deepest of ``layers``: packaged, cached, or exported now.

    Its input is ``image``: float32 ``(n, 3, h, w)``, already normalised, h and w multiples of 32. It has one
    output per layer, named as the layer, float32 ``(n, channels, h / stride, w / stride)``.

    Args:
        name: name of the backbone.
        layers: names of layers, in any order.
        weights: ``pretrained``, or ``random`` for trials without weights.
        progress: called with the bytes of a download, if one is needed.

    Raises:
        BackboneError: a name is unknown, or the weights are not available or belong to another network.
    """
    backbone = get(name)
    chosen = backbone.select(layers)
    if backbone.joins:
        return joined(
            backbone,
            {
                part: onnx_bytes(part, own, weights, progress)
                for part in backbone.joins
                if (own := own_layers(part, [layer.name for layer in chosen]))
            },
        )
    if weights == "random":
        origin = f"random {weight_files.RANDOM_VERSION} {weight_files.random_seed(name)}"
    else:
        found = weight_files.origin(name, progress)
        if found.network is not None:
            return packaged_onnx(found.network, tuple(layer.name for layer in chosen))
        origin = found.sha256
    key = hashlib.sha256(
        "\n".join([name, origin, *(la.name for la in chosen), str(EXPORTER_VERSION), str(OPSET)]).encode()
    ).hexdigest()[:20]
    path = cache_folder() / "backbones" / f"{name}-{key}.onnx"
    seal = path.with_suffix(".sha256")
    try:
        content = path.read_bytes()
        # Checked, so that a cache entry cut short by a full disk does not become an obscure runtime error.
        if hashlib.sha256(content).hexdigest().encode() == seal.read_bytes().strip():
            return content
    except OSError:
        pass
    content = export(backbone, chosen, weights)
    try:
        write_atomic(path, content)
        write_atomic(seal, hashlib.sha256(content).hexdigest().encode())
    except OSError as error:
        warnings.warn(f"the exported network cannot be cached in {path.parent}: {error}", stacklevel=2)
    return content


def build(backbone: Backbone, layers: Sequence[Layer], weights: str = "pretrained") -> torch.nn.Module:
    """Build a backbone as a torch module in eval mode, with weights up to the deepest of ``layers``.

    Args:
        backbone: an entry of the registry.
        layers: from shallow to deep; after the last one the weights may be random.
        weights: ``pretrained`` or ``random``.

    Raises:
        BackboneError: the architecture's package is missing, or the weights are not available.
    """
    _check_builder(backbone)
    with drawing_from(weight_files.random_seed(backbone.name)):
        network = _untrained(backbone)
        if weights == "random":
            _set_norm_statistics(network)
        else:
            path = weight_files.locate(backbone.name)
            state_dict.load(network, backbone.name, layers[-1].module, path)
    return network


def _check_builder(backbone: Backbone) -> None:
    """Raise BackboneError if torch or the architecture's package is missing, before importing either."""
    if missing := weight_files.lacks_builder(backbone):
        raise BackboneError(missing)


def _untrained(backbone: Backbone) -> torch.nn.Module:
    try:
        package = importlib.import_module(backbone.builder)
    except ImportError as error:
        raise BackboneError(weight_files.needs_builder(backbone)) from error
    if backbone.builder == "torchvision":
        network: torch.nn.Module = package.models.get_model(backbone.architecture, weights=None)
    else:
        network = package.EfficientNet.from_name(backbone.architecture)
    return network.eval()


def check_fit(name: str, layers: Sequence[str], path: Path) -> None:
    """Check that a file of weights fits a backbone's architecture, up to the deepest of ``layers``.

    Raises:
        BackboneError: a name is unknown, the architecture's package is missing, or the file cannot be read or
            belongs to another network.
    """
    backbone = get(name)
    _check_builder(backbone)
    with drawing_from(weight_files.random_seed(name)):
        network = _untrained(backbone)
    state_dict.load(network, name, backbone.select(layers)[-1].module, path)


def _set_norm_statistics(network: torch.nn.Module) -> None:
    """Set the batch norms' statistics of a random network from noise images.

    With their initial statistics, activations shrink from block to block, and the deep layers of a random
    network would carry no information.
    """
    import torch

    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        network(torch.randn(4, 3, 128, 128))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def export(backbone: Backbone, layers: Sequence[Layer], weights: str = "pretrained") -> bytes:
    """Build a backbone with torch and return it as ONNX (see :func:`onnx_bytes`)."""
    return exported(build(backbone, layers, weights), layers)


def exported(network: torch.nn.Module, layers: Sequence[Layer]) -> bytes:
    """Export a network in eval mode as ONNX, with the outputs of ``layers``.

    The tracer drops everything on which the named outputs do not depend, which truncates the network after
    the deepest layer.
    """
    import torch

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

    return traced(Taps(), [layer.name for layer in layers], side=256, axes={0: "n"})


def traced(network: torch.nn.Module, names: Sequence[str], *, side: int, axes: Mapping[int, str]) -> bytes:
    """Trace a network, after setting it to eval mode, as ONNX with images of any size as input.

    The input is ``image``, float32 ``(n, 3, h, w)``.

    Args:
        network: the module; it returns one tensor per name.
        names: names of the outputs.
        side: side in pixels of the square image that it is traced with.
        axes: the outputs' axes that depend on the input, by number, with their names.
    """
    import torch

    buffer = io.BytesIO()
    # The TorchScript exporter is deprecated in favour of one that takes ten times as long and needs another
    # package; requirements.txt limits torch to the releases that have it. Its warnings are not silenced:
    # Python's filters apply to the whole program, and this may be one of its threads.
    with torch.no_grad():
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, side, side),),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(names),
            dynamic_axes={"image": SPATIAL, **dict.fromkeys(names, axes)},
        )
    return buffer.getvalue()
