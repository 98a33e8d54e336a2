"""Self-supervised fine-tuning of a backbone's layers on good parts, without defects.

In square crops of good parts, a piece of another crop is pasted, mirrored and with changed brightness
(CutPaste, Li et al., 2021, arXiv 2104.04015). At every position of every layer, a linear head predicts the
pasted share, so that the layers learn to distinguish patches that they did not distinguish before. A second
loss term keeps the outputs on unmodified crops near those of the published network, whose features the method
depends on: the squared change relative to the variance, channel by channel.

The pasted pieces are cut out of good parts and differ from the defects that :mod:`padim.analysis.sensitivity`
paints, because a network must not be evaluated with the defects it was trained on.

Batch normalization keeps its published statistics: those of a few crops would be noise, and the output of an
exported network must not depend on the last images. Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.methods.base import Losses
from padim.methods.training import Phase, TrainingPlan, Turn, train
from padim.network import backbone as backbones
from padim.network.randomness import drawing_from
from padim.storage.image_store import ImageStore

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from padim.network.registry import Layer

Planes = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]

EPOCHS = 10
_PATIENCE = 4
_RATE = 5e-4
# The weight of the loss term that keeps the outputs near those of the published network.
_ANCHOR = 0.3
_BATCH = 8
_SQUARES = 160
# The learning rate of a head relative to that of the backbone.
_HEAD_SCALE = 10.0
_FEWEST_PIXELS = 4


def fine_tune(config: PadimConfig, images: ImageStore, turn: Turn, epochs: int) -> tuple[bytes, Losses]:
    """Fine-tune a copy of a config's backbone, and export it.

    Args:
        config: the config; its backbone, weights and layers are used, including inactive layers.
        images: the images at input size.
        turn: the rows to train on and to stop by, and the seed; no other image is read.
        epochs: the maximum number of epochs.

    Returns:
        The network in the form of :func:`padim.network.backbone.onnx_bytes`, and the loss curves.

    Raises:
        BackboneError: the weights are not available.
        Cancelled: the turn's ``watch`` asked to cancel.
    """
    import torch

    backbone = backbones.get(config.backbone)
    layers = backbone.select(config.layers)
    network, published = (backbones.build(backbone, layers, config.weights) for _ in range(2))
    module, outputs, anchor = (
        _trainable_layers(network, layers),
        _LayerOutputs(network, layers),
        _LayerOutputs(published, layers),
    )
    scale, offset = (np.asarray(v, np.float32)[:, None, None] for v in (backbone.scale, backbone.offset))

    def image(planes: Planes) -> Tensor:
        return torch.from_numpy(planes.astype(np.float32) * scale + offset)

    def loss(batch: tuple[Planes, Planes, Singles]) -> Tensor:
        clean, pasted, shares = batch
        pasting: Any = 0
        for layer, output, head in zip(layers, outputs(image(pasted)), module.heads, strict=True):
            wanted = torch.nn.functional.avg_pool2d(torch.from_numpy(shares), layer.stride)
            pasting = pasting + torch.nn.functional.binary_cross_entropy_with_logits(
                _HEAD_SCALE * head(output), wanted
            )
        with torch.no_grad():
            before = anchor(image(clean))
        changed: Any = 0
        for output, former in zip(outputs(image(clean)), before, strict=True):
            spread = former.var(dim=(0, 2, 3), keepdim=True) + 1e-6
            changed = changed + ((output - former).square() / spread).mean()
        total: Tensor = (pasting + _ANCHOR * changed) / len(layers)
        return total

    squares = _Squares(images, max(layer.stride for layer in layers))
    losses = train(
        module,
        turn,
        TrainingPlan(epochs, _PATIENCE, _RATE),
        batches=lambda rng: squares.drawn(turn.rows, rng, _SQUARES),
        loss=loss,
        # The same crops in every epoch, or their random selection would decide when to stop.
        held_out=lambda: squares.drawn(
            turn.stop_rows, np.random.default_rng(turn.seed), min(len(turn.stop_rows) * 8, _SQUARES)
        ),
        phase=Phase("Adapting the network"),
    )
    outputs.release()
    return backbones.exported(network, layers), losses


def _trainable_layers(network: Module, layers: Sequence[Layer]) -> Any:
    """Return a module of the network and the heads."""
    from torch import nn

    class TrainableLayers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.heads = nn.ModuleList(nn.Conv2d(layer.channels, 1, 1) for layer in layers)
            for parameter in self.heads.parameters():
                # The gradients of random heads would spoil the features in the first steps.
                nn.init.zeros_(parameter)

        def train(self, mode: bool = True) -> TrainableLayers:
            super().train(mode)
            self.network.eval()
            return self

    with drawing_from(0):  # all of it becomes zero
        return TrainableLayers()


class _DeepestLayerDone(Exception):
    """Raised when the deepest layer is computed, to skip the rest of the network."""


class _LayerOutputs:
    """A function from images to the outputs of layers, from shallow to deep."""

    def __init__(self, network: Module, layers: Sequence[Layer]) -> None:
        self._network, self._names = network, [layer.name for layer in layers]
        self._outputs: dict[str, Tensor] = {}
        modules = [network.get_submodule(layer.module) for layer in layers]
        self._hooks = [
            module.register_forward_hook(self._keeper(name))
            for name, module in zip(self._names, modules, strict=True)
        ]

    def _keeper(self, name: str) -> Any:
        def keep(_module: object, _inputs: object, output: Tensor) -> None:
            self._outputs[name] = output
            if name == self._names[-1]:
                raise _DeepestLayerDone

        return keep

    def __call__(self, image: Tensor) -> list[Tensor]:
        with suppress(_DeepestLayerDone):
            self._network(image)
        return [self._outputs[name] for name in self._names]

    def release(self) -> None:
        """Remove the hooks; the network runs to its end again."""
        for hook in self._hooks:
            hook.remove()


class _Squares:
    """Random square crops of images, unmodified and with a pasted piece."""

    def __init__(self, images: ImageStore, coarsest: int) -> None:
        self._images = images
        self.side = max(coarsest, min(images.shape) // 2 // coarsest * coarsest)

    def drawn(
        self, rows: Sequence[int], rng: np.random.Generator, count: int
    ) -> Iterator[tuple[Planes, Planes, Singles]]:
        """Yield batches: crops, the same crops with a pasted piece, and the pasted share at every pixel.

        The shapes are uint8 ``(n, 3, side, side)`` twice, and float32 ``(n, 1, side, side)``.
        """
        order = [int(row) for _ in range(-(-count // max(1, len(rows)))) for row in rng.permutation(rows)]
        for start in range(0, count, _BATCH):
            chosen = order[start : min(start + _BATCH, count)]
            clean = self._cut(chosen, rng)
            others = self._cut([int(row) for row in rng.choice(rows, len(chosen))], rng)
            pasted, shares = zip(
                *(paste(one, other, rng) for one, other in zip(clean, others, strict=True)), strict=True
            )
            yield clean, np.stack(pasted), np.stack(shares)[:, None]

    def _cut(self, rows: Sequence[int], rng: np.random.Generator) -> Planes:
        side = self.side
        most = [size - side for size in self._images.shape]
        cut = []
        for image in self._images.read(rows):
            y, x = rng.integers(0, most, 2, endpoint=True)
            cut.append(image[y : y + side, x : x + side].transpose(2, 0, 1))
        return np.stack(cut)


def paste(square: Planes, other: Planes, rng: np.random.Generator) -> tuple[Planes, Singles]:
    """Return a copy of a crop with a piece of another one pasted in.

    The piece is a rectangle or, with equal probability, a strip; it is mirrored at random, and brighter or
    darker by up to a quarter.

    Args:
        square, other: the crops, uint8 ``(3, side, side)``.
        rng: the source of randomness.

    Returns:
        The copy, uint8 ``(3, side, side)``, and the pasted pixels, float32 ``(side, side)``, 1 where pasted.
    """
    side = square.shape[1]
    if rng.random() < 0.5:
        height, width = rng.integers(max(_FEWEST_PIXELS, side // 20), max(6, side // 3), 2)
    else:
        height = rng.integers(2, max(3, side // 12))
        width = rng.integers(max(_FEWEST_PIXELS, side // 10), max(6, side // 2))
        if rng.random() < 0.5:
            height, width = width, height
    (top, left), (row, column) = (
        (rng.integers(0, side - height, endpoint=True), rng.integers(0, side - width, endpoint=True))
        for _ in range(2)
    )
    piece = other[:, top : top + height, left : left + width].astype(np.float32)
    piece = piece * rng.uniform(0.75, 1.25) + rng.uniform(-20, 20)
    piece = piece[:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    result, share = square.copy(), np.zeros((side, side), np.float32)
    place = slice(row, row + height), slice(column, column + width)
    result[:, *place] = np.clip(np.rint(piece), 0, 255).astype(np.uint8)
    share[place] = 1
    return result, share
