"""The ``flow`` method: the likelihood of every patch under a normalizing flow (RealNVP, Dinh et al., 2017).

A patch standardized for its position (:mod:`padim.methods.patches`) is whitened by the covariance of all good
patches, in closed form, and passes through couplings: each scales and shifts one half of the vector by the
output of a small network of the other half, with the halves in turn. The likelihood is that of the result z
under a standard normal distribution, times the change of volume on the way:

    log p(x) = -|z|^2 / 2 - d log(2 pi) / 2 + sum of the couplings' log scales + log |det W|

Before training the couplings are the identity and the likelihood is that of a Gaussian; training fits it
to the distribution of the patches. The distance is ``sqrt(max(0, 2 (c - log p)))``, with c chosen such
that the median of its square is d on good patches that were not trained on, as it would be about for a
Gaussian: of two patches at one position the less likely one never has the smaller distance. It is the
likelihood in the units of the position, without the volume of these units, which would make all patches
more likely where little varies.

The standardization is the only information on positions in the flow. Measured on MVTec's bottle (image /
pixel AUROC): .999 / .978. When the position is also an input of the couplings, as in CFLOW-AD, the likelihood
rises a little but the ranking is no better (1.000 / .977), so it is not an input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.errors import PadimError
from padim.methods import cross_fitting, patches
from padim.methods.base import FitResult, Losses, Task
from padim.methods.patches import Standard
from padim.methods.training import TrainingPlan, Turn, initialize, train
from padim.network.detector import MISFIT, Array, EmbeddingDetector, Saved
from padim.network.nodes import FLOAT, Piece, constants, op, tensor
from padim.network.randomness import drawing_from

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

HIDDEN = 64
# A coupling scales by at most e to this power, so that the first training steps stay bounded.
MOST_LOG_SCALE = 1.9
# Added to the diagonal of the covariance before whitening, in units of the standardized patches.
FLOOR = 0.01
RATE = 1e-3
DECAY = 1e-5
CLIP = 1.0

_Layer = tuple[npt.NDArray[np.float32], ...]
_NAMES = ("into", "into_bias", "out", "out_bias")


def _halves(features: int) -> tuple[int, int]:
    return features // 2, features - features // 2


def numbers(features: int, number: int) -> int:
    """Return the number of parameters of the coupling with a given index."""
    return sum(math.prod(shape) for shape in _shapes(features, HIDDEN, number))


def _shapes(features: int, hidden: int, number: int) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a coupling's arrays; odd couplings read the second half and change the first."""
    given, changed = _halves(features)[:: -1 if number % 2 else 1]
    return (given, hidden), (hidden,), (hidden, 2 * changed), (2 * changed,)


@dataclass(frozen=True)
class Likelihood(EmbeddingDetector):
    """A detector whose distances come from the likelihood under a normalizing flow.

    Attributes:
        standard: the standardization of every position.
        whitening: float32 ``(d, d)``; patches are multiplied by it from the right.
        couplings: the arrays of each coupling, float32: weights ``(given, hidden)`` and bias ``(hidden,)``
            into the hidden layer, weights ``(hidden, 2 changed)`` and bias out of it, log scales first.
        level: float32 ``()``, twice c, without the constants of log p that all patches share.
    """

    standard: Standard
    whitening: npt.NDArray[np.float32]
    couplings: tuple[_Layer, ...]
    level: npt.NDArray[np.float32]

    method: ClassVar[str] = "flow"

    @property
    def form(self) -> str:
        return f"flow-{len(self.couplings)}-{self.hidden}"

    @property
    def hidden(self) -> int:
        """Return the hidden width of the networks in the couplings."""
        return int(self.couplings[0][0].shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        positions, features = self.standard.mean.shape
        return positions, features

    def piece(self, features: int) -> Piece:
        halves = _halves(features)
        before = self.standard.piece(features)
        nodes = [
            op("MatMul", ["patches", "whitening"], ["white"]),
            op("Split", ["white", "halves"], ["half_0", "half_1"], axis=2),
        ]
        inputs = [tensor("whitening", FLOAT, [features, features]), tensor("flow_level", FLOAT, [])]
        fixed = constants(
            halves=np.array(halves),
            bound=np.float32(MOST_LOG_SCALE),
            last_axis=np.array([2]),
            nothing=np.float32(0),
            two=np.float32(2),
        )
        current = ["half_0", "half_1"]
        stretched: list[str] = []
        for number in range(len(self.couplings)):
            given, changed = (1, 0) if number % 2 else (0, 1)
            name = f"c{number}"
            into, into_bias, out, out_bias = (f"{name}_{part}" for part in _NAMES)
            fixed += constants(**{f"{name}_sizes": np.array([halves[changed]] * 2)})
            inputs += [
                tensor(value, FLOAT, shape)
                for value, shape in zip(
                    (into, into_bias, out, out_bias), _shapes(features, self.hidden, number), strict=True
                )
            ]
            nodes += [
                op("MatMul", [current[given], into], [f"{name}_a"]),
                op("Add", [f"{name}_a", into_bias], [f"{name}_b"]),
                op("Relu", [f"{name}_b"], [f"{name}_c"]),
                op("MatMul", [f"{name}_c", out], [f"{name}_d"]),
                op("Add", [f"{name}_d", out_bias], [f"{name}_e"]),
                op("Split", [f"{name}_e", f"{name}_sizes"], [f"{name}_raw", f"{name}_shift"], axis=2),
                op("Div", [f"{name}_raw", "bound"], [f"{name}_f"]),
                op("Tanh", [f"{name}_f"], [f"{name}_g"]),
                op("Mul", [f"{name}_g", "bound"], [f"{name}_log"]),
                op("Exp", [f"{name}_log"], [f"{name}_factor"]),
                op("Mul", [current[changed], f"{name}_factor"], [f"{name}_h"]),
                op("Add", [f"{name}_h", f"{name}_shift"], [f"{name}_half"]),
                op("ReduceSum", [f"{name}_log", "last_axis"], [f"{name}_volume"], keepdims=0),
            ]
            current[changed] = f"{name}_half"
            stretched.append(f"{name}_volume")
        nodes += [
            op("ReduceSumSquare", [current[0]], ["square_0"], axes=[2], keepdims=0),
            op("ReduceSumSquare", [current[1]], ["square_1"], axes=[2], keepdims=0),
            op("Add", ["square_0", "square_1"], ["square"]),
            op("Sum", stretched, ["volume"]),
            op("Mul", ["volume", "two"], ["twice_volume"]),
            op("Sub", ["square", "twice_volume"], ["unlikely"]),
            op("Add", ["unlikely", "flow_level"], ["squared"]),
            op("Max", ["squared", "nothing"], ["positive"]),
            op("Sqrt", ["positive"], ["unchecked"]),
        ]
        return Piece([*before.nodes, *nodes], [*before.constants, *fixed], [*before.inputs, *inputs])

    def inputs(self) -> dict[str, Array]:
        return {
            **self.standard.arrays(),
            "whitening": self.whitening,
            "flow_level": self.level,
            **{
                f"c{number}_{name}": array
                for number, layer in enumerate(self.couplings)
                for name, array in zip(_NAMES, layer, strict=True)
            },
        }

    def files(self) -> dict[str, Array]:
        flat = [array.ravel() for layer in self.couplings for array in layer]
        return {
            "mean.npy": self.standard.mean,
            "unit.npy": self.standard.unit,
            "flow_whitening.npy": self.whitening,
            "flow_couplings.npy": np.concatenate(flat),
            "flow_level.npy": self.level.reshape(1),
        }

    @classmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> Likelihood:
        mean, unit, whitening = (
            saved.array(f"{name}.npy", np.float32, 2) for name in ("mean", "unit", "flow_whitening")
        )
        flat, level = (saved.array(f"flow_{name}.npy", np.float32, 1) for name in ("couplings", "level"))
        d = shape[1]
        shapes = [_shapes(d, HIDDEN, number) for number in range(config.flow_couplings)]
        sizes = [math.prod(of) for layer in shapes for of in layer]
        fits = (
            mean.shape == unit.shape == shape
            and whitening.shape == (d, d)
            and len(flat) == sum(sizes)
            and level.shape == (1,)
        )
        if not fits:
            raise ValueError(MISFIT)
        pieces = iter(np.split(flat, np.cumsum(sizes)[:-1]))
        couplings = tuple(tuple(next(pieces).reshape(of) for of in layer) for layer in shapes)
        return cls(Standard(mean, unit), whitening, couplings, level.reshape(()))

    def distances(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        result = np.empty(x.shape[:2])
        for index, image in enumerate(x):
            result[index] = self._unlikely(image)
        return np.asarray(np.sqrt(np.maximum(result + float(self.level), 0)))

    def log_likelihood(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the exact log likelihood of patches in the units of their positions.

        Args:
            x: embeddings, ``(n, p, d)``.

        Returns:
            float64 ``(n, p)``, natural logarithms.
        """
        d = self.shape[1]
        _, volume = np.linalg.slogdet(self.whitening.astype(np.float64))
        constant = float(volume) - d * math.log(2 * math.pi) / 2
        return constant - np.stack([self._unlikely(image) for image in x]) / 2

    def _unlikely(self, patch: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return ``-2 log p``, ``(p,)``, of patches ``(p, d)``, without the constants common to all."""
        z = (patch - self.standard.mean.astype(np.float64)) * self.standard.unit @ self.whitening
        half = [z[:, : z.shape[1] // 2], z[:, z.shape[1] // 2 :]]
        volume = np.zeros(len(z))
        for number, (into, into_bias, out, out_bias) in enumerate(self.couplings):
            given, changed = (1, 0) if number % 2 else (0, 1)
            raw, shift = np.split(np.maximum(half[given] @ into + into_bias, 0) @ out + out_bias, 2, axis=1)
            log_scale = MOST_LOG_SCALE * np.tanh(raw / MOST_LOG_SCALE)
            half[changed] = half[changed] * np.exp(log_scale) + shift
            volume += log_scale.sum(axis=1)
        return np.asarray((half[0] ** 2).sum(axis=1) + (half[1] ** 2).sum(axis=1) - 2 * volume)

    def scoring_bytes(self) -> int:
        positions, features = self.shape
        return 4 * positions * (8 * features + 3 * self.hidden)


def fit_detector(task: Task) -> FitResult:
    """Train on the patches of the normal images in the fit, with cross-fitting for the held-out distances.

    Raises:
        Cancelled: the task's ``watch`` asked to cancel.
        PadimError: fewer than two features are kept, or the embeddings are not finite.
    """
    if task.features < 2:
        raise PadimError("the flow needs two halves of every patch's features; keep at least 2 (n_features)")
    return cross_fitting.cross_fit(task, lambda turn: fit(task, turn))


def network(features: int, couplings: int, seed: int) -> Module:
    """Build untrained couplings, which are the identity.

    Args:
        features: d.
        couplings: the number of couplings.
        seed: the seed of the weights.

    Returns:
        A module from whitened patches ``(k, d)`` to z ``(k, d)`` and the log of the change of volume
        ``(k,)``.
    """
    import torch
    from torch import nn

    class Flow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList()
            for number in range(couplings):
                (given, hidden), _, (_, both), _ = _shapes(features, HIDDEN, number)
                self.layers.append(
                    nn.Sequential(nn.Linear(given, hidden), nn.ReLU(), nn.Linear(hidden, both))
                )

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            half = list(x.split(_halves(features), dim=1))
            volume = torch.zeros(len(x), dtype=x.dtype)
            for number, layer in enumerate(self.layers):
                given, changed = (1, 0) if number % 2 else (0, 1)
                raw, shift = layer(half[given]).chunk(2, dim=1)
                log_scale = MOST_LOG_SCALE * torch.tanh(raw / MOST_LOG_SCALE)
                half[changed] = half[changed] * log_scale.exp() + shift
                volume = volume + log_scale.sum(dim=1)
            return torch.cat(half, dim=1), volume

    with drawing_from(seed):
        flow = Flow()
    initialize(flow, seed)
    with torch.no_grad():
        for layer in flow.layers:
            layer[2].weight.zero_()
    return flow


def whitening_of(x: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """Return the matrix, float32 ``(d, d)``, that makes patches ``(k, d)`` uncorrelated and of unit variance.

    Its columns are permuted at random, so that the halves used by the couplings mix channels of all kinds.
    """
    d = x.shape[1]
    square = np.zeros((d, d))
    for start in range(0, len(x), 65_536):
        block = x[start : start + 65_536].astype(np.float64)
        square += block.T @ block
    values, vectors = np.linalg.eigh(square / len(x) + FLOOR * np.eye(d))
    white = vectors / np.sqrt(values) @ vectors.T
    return np.ascontiguousarray(white[:, np.random.default_rng([seed, 1]).permutation(d)], np.float32)


def fit(task: Task, turn: Turn) -> tuple[Likelihood, tuple[Losses, ...]]:
    """Train one flow on the rows of a turn, and return the detector with its loss curves."""
    import torch

    config, d = task.config, task.features
    standard = Standard.of(task, turn.rows)
    own = patches.draw(task, turn.rows, standard, turn.seed)
    whitening = whitening_of(own, turn.seed)
    trained = torch.from_numpy(own @ whitening)
    other = torch.from_numpy(
        patches.draw(task, turn.stop_rows, standard, turn.seed, patches.MEASURING) @ whitening
    )
    flow = network(d, config.flow_couplings, turn.seed)

    def unlikely(x: Tensor) -> Tensor:
        z, volume = flow(x)
        return z.square().sum(dim=1) / 2 - volume

    def drawn(rng: np.random.Generator) -> Iterable[Tensor]:
        return (trained[torch.from_numpy(batch)] for batch in patches.batches(len(trained), rng))

    held_out = [other] if len(other) else []
    losses = train(
        flow,
        turn,
        TrainingPlan.of(config, RATE, DECAY, CLIP),
        batches=drawn,
        # The loss per feature, so that it does not depend on their number; without the
        # constants of all patches.
        loss=lambda x: unlikely(x).mean() / d,
        held_out=lambda: held_out,
        threads=1,
    )
    measured = other if len(other) else trained[: patches.MEASURING]
    with torch.no_grad():
        level = np.array(d - 2 * unlikely(measured).median().item(), np.float32)
    couplings = []
    for layer in flow.layers:
        arrays = (layer[0].weight.T, layer[0].bias, layer[2].weight.T, layer[2].bias)
        couplings.append(tuple(np.ascontiguousarray(array.detach().numpy()) for array in arrays))
    return Likelihood(standard, whitening, tuple(couplings), level), (losses,)


DETECTOR = Likelihood
