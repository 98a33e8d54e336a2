"""The student network of ``stfpm``: a small convolutional pyramid with an output for each teacher layer.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from padim.network.backbone import SPATIAL, traced
from padim.network.randomness import drawing_from
from padim.network.registry import Layer

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

# The number of channels by stride: the cost of a layer is about the same at every stride, and the total cost
# about that of the smallest supported backbone.
_WIDTHS = {2: 16, 4: 32, 8: 64, 16: 128, 32: 192}


def build(layers: Sequence[Layer]) -> Module:
    """Build a student for a teacher's layers.

    Args:
        layers: the layers of the teacher, from shallow to deep.

    Returns:
        A module from ``image``, float32 ``(n, 3, h, w)``, to one map ``(n, channels, h / stride, w /
        stride)`` for each layer.
    """
    from torch import nn, relu

    class Residual(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
            )

        def forward(self, x: Tensor) -> Tensor:
            return relu(x + self.inner(x))

    class Student(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages, self.heads = nn.ModuleList(), nn.ModuleList()
            stride, width = 1, 3
            for layer in layers:
                stage: list[nn.Module] = []
                while stride < layer.stride:
                    stride *= 2
                    wider = _WIDTHS[stride]
                    stage += [
                        nn.Conv2d(width, wider, 3, stride=2, padding=1, bias=False),
                        nn.BatchNorm2d(wider),
                        nn.ReLU(inplace=True),
                    ]
                    width = wider
                self.stages.append(nn.Sequential(*stage, Residual(width)))
                self.heads.append(nn.Conv2d(width, layer.channels, 1))

        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            outputs, x = [], image
            for stage, head in zip(self.stages, self.heads, strict=True):
                x = stage(x)
                outputs.append(head(x))
            return tuple(outputs)

    with drawing_from(0):  # training draws the weights again
        return Student()


def weights(layers: Sequence[Layer]) -> int:
    """Return the number of weights in a student of some layers, without those of batch normalization."""
    count, stride, width = 0, 1, 3
    for layer in layers:
        while stride < layer.stride:
            stride *= 2
            count += 9 * width * _WIDTHS[stride]
            width = _WIDTHS[stride]
        count += 2 * 9 * width**2 + (width + 1) * layer.channels
    return count


def export(student: Module, layers: Sequence[Layer]) -> bytes:
    """Export a student in eval mode as ONNX: input ``image``, one output for each layer, named like it."""
    return traced(student, [layer.name for layer in layers], side=64, axes=SPATIAL)
