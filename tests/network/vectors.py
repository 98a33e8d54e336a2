"""What every network of the registry makes of one synthetic image, as numbers to hold later versions against.

    python -m tests.network.vectors > new.json     # and compare with vectors.json before it takes its place

Features of the pretrained network that comes with this program are what saved models consist of: if they
change, every model does. Of the other networks, whose weights are not at hand everywhere, the numbers are
those of random weights; they change when the architecture, the order of its layers, the seed or the levelling
does, and then ``RANDOM_VERSION`` in :mod:`padim.network.weights` has to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from padim import PadimConfig
from padim.network import backbone as backbones
from padim.network.backbone import REGISTRY, Backbone, Layer
from padim.network.extractor import open_extractor

FILE = Path(__file__).with_name("vectors.json")
SIDE = 64

Vectors = dict[str, list[float]]


def image() -> npt.NDArray[np.uint8]:
    """uint8 ``(1, SIDE, SIDE, 3)``: a ramp, a ring and a grid, by integers alone, so the same everywhere."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    ring = ((x - 30) ** 2 + (y - 34) ** 2) // 60 % 2
    lines = ((x % 9 == 0) | (y % 13 == 0)).astype(int)
    rgb = np.stack([3 * x + 40 * ring, 2 * y + 90 * lines, x + y + 60 * ring * lines], axis=2)
    return (rgb % 256).astype(np.uint8)[None]


def fed(backbone: Backbone) -> npt.NDArray[np.float32]:
    """The image as the backbone's network takes it: float32 ``(1, 3, SIDE, SIDE)``, normalized."""
    rgb = image() * np.array(backbone.scale, np.float32) + np.array(backbone.offset, np.float32)
    return np.ascontiguousarray(rgb.transpose(0, 3, 1, 2), np.float32)


def layers_of(backbone: Backbone) -> tuple[Layer, ...]:
    """The layers whose numbers are kept: the last stage of the largest costs most of the time."""
    return backbone.layers[:6] if backbone.name in ("efficientnet_b5", "wide_resnet50_2") else backbone.layers


def vectors(content: bytes, backbone: Backbone) -> Vectors:
    """By layer: three channels in the middle of the map, and the spread of all its numbers."""
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found: Vectors = {}
    for name, values in zip(names, session.run(names, {"image": fed(backbone)}), strict=True):
        _, channels, height, width = values.shape
        some = values[0, [0, channels // 2, channels - 1], height // 2, width // 2]
        found[name] = [float(f"{value:.6g}") for value in (*some, values.std())]
    return found


def embeddings() -> Vectors:
    """Of the default network, by feature normalization: some channels at one position, and the spread."""
    found: Vectors = {}
    for norm in ("none", "l2"):
        values = open_extractor(PadimConfig.of({"input_size": SIDE, "feature_norm": norm}))(image())
        some = values.reshape(values.shape[1], -1)[:: values.shape[1] // 5, 27]
        found[norm] = [float(f"{value:.6g}") for value in (*some, values.std())]
    return found


def expected() -> Mapping[str, Mapping[str, Vectors]]:
    """The kept numbers: by weights and backbone, and the embeddings of the default one."""
    kept: Mapping[str, Mapping[str, Vectors]] = json.loads(FILE.read_text(encoding="utf-8"))
    return kept


def check(found: Vectors, wanted: Vectors) -> None:
    """Equal to a thousandth of the layer's spread: processors and libraries round differently, no more."""
    assert list(found) == list(wanted)
    for layer, numbers in wanted.items():
        np.testing.assert_allclose(found[layer], numbers, rtol=1e-3, atol=1e-3 * numbers[-1], err_msg=layer)


def main() -> None:
    """Print all numbers as they are now."""
    lite0 = backbones.EFFICIENTNET_LITE0
    whole = backbones.onnx_bytes(lite0.name, [layer.name for layer in lite0.layers])
    print("pretrained", file=sys.stderr)
    random = {}
    for name, backbone in REGISTRY.items():
        print(name, file=sys.stderr)
        random[name] = vectors(backbones.export(backbone, layers_of(backbone), "random"), backbone)
    pretrained = {lite0.name: vectors(whole, lite0)}
    found = {"pretrained": pretrained, "random": random, "embeddings": {lite0.name: embeddings()}}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
