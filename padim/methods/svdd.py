"""The ``svdd`` method: a network that maps good patches close to one point (Deep SVDD, Ruff et al., 2018).

An encoder without biases (which alone could map everything to the center) and with an activation that has no
upper bound is first trained as part of an autoencoder. The center is the mean of its output on the good
patches, with coordinates moved away from zero, which weights of zero would map everything to. Then the
encoder alone is trained to minimize:

- ``one_class``: the mean squared distance to the center;
- ``soft_boundary``: ``R^2 + mean(max(0, distance^2 - R^2)) / nu``, with the radius R after every epoch set to
  the ``1 - nu`` quantile of the good patches' distances.

The network of one fit may shrink its distances more than that of another, so they are expressed in a unit of
the fit: the root mean square of the distances of the parts that were not trained on (``one_class``), or the
radius (``soft_boundary``: 1 is on the sphere; ranks are those of the paper's ``distance^2 - R^2``).

The settings come from measurements on the 83 test images of MVTec's bottle (image / pixel AUROC): patches
standardized for their position (:mod:`padim.methods.patches`) give .999 / .976; with one mean and one
standard deviation for all positions, it takes ten epochs at five times the rate to reach .991 / .962. The
loss falls for as long as the training continues, also on held-out parts, because everything shrinks;
meanwhile the map gets worse: .999 / .957 after 40 epochs at a rate of 1e-3. Hence the low rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.methods import cross_fitting, patches
from padim.methods.base import FitResult, Losses, Task
from padim.methods.patches import Standard
from padim.methods.training import Phase, TrainingPlan, Turn, initialize, train
from padim.network.detector import MISFIT, Array, EmbeddingDetector, Saved
from padim.network.nodes import FLOAT, Piece, op, tensor
from padim.network.randomness import drawing_from

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = 64
CODE = 32
LEAK = 0.1
# The smallest distance of the center's coordinates from zero, as in the paper.
AWAY = 0.1
RATE_PREPARING = 1e-3
RATE = 2e-4
DECAY = 1e-6


@dataclass(frozen=True)
class Sphere(EmbeddingDetector):
    """A detector whose distances are those of the encoded patches to a center, in the unit of the fit.

    Attributes:
        standard: the standardization of every position.
        first: float32 ``(d, hidden)``, the weights of the first layer.
        second: float32 ``(hidden, code)``, the weights of the second layer.
        center: float32 ``(code,)``.
        unit: float32 ``()``, above 0.
    """

    standard: Standard
    first: npt.NDArray[np.float32]
    second: npt.NDArray[np.float32]
    center: npt.NDArray[np.float32]
    unit: npt.NDArray[np.float32]

    method: ClassVar[str] = "svdd"

    @property
    def form(self) -> str:
        hidden, code = self.second.shape
        return f"svdd-{hidden}-{code}"

    @property
    def shape(self) -> tuple[int, int]:
        positions, features = self.standard.mean.shape
        return positions, features

    def piece(self, features: int) -> Piece:
        hidden, code = self.second.shape
        before = self.standard.piece(features)
        nodes = [
            op("MatMul", ["patches", "first"], ["raw"]),
            op("LeakyRelu", ["raw"], ["hidden"], alpha=LEAK),
            op("MatMul", ["hidden", "second"], ["code"]),
            op("Sub", ["code", "center"], ["away"]),
            op("ReduceL2", ["away"], ["radius"], axes=[2], keepdims=0),
            op("Div", ["radius", "radius_unit"], ["unchecked"]),
        ]
        inputs = [
            tensor("first", FLOAT, [features, hidden]),
            tensor("second", FLOAT, [hidden, code]),
            tensor("center", FLOAT, [code]),
            tensor("radius_unit", FLOAT, []),
        ]
        return Piece([*before.nodes, *nodes], before.constants, [*before.inputs, *inputs])

    def inputs(self) -> dict[str, Array]:
        return {
            **self.standard.arrays(),
            "first": self.first,
            "second": self.second,
            "center": self.center,
            "radius_unit": self.unit,
        }

    def files(self) -> dict[str, Array]:
        return {
            "mean.npy": self.standard.mean,
            "unit.npy": self.standard.unit,
            "svdd_first.npy": self.first,
            "svdd_second.npy": self.second,
            "svdd_center.npy": self.center,
            "svdd_unit.npy": self.unit.reshape(1),
        }

    @classmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> Sphere:
        mean, unit, first, second = (
            saved.array(f"{name}.npy", np.float32, 2)
            for name in ("mean", "unit", "svdd_first", "svdd_second")
        )
        center, distance = (saved.array(f"svdd_{name}.npy", np.float32, 1) for name in ("center", "unit"))
        fits = (
            mean.shape == unit.shape == shape
            and first.shape == (shape[1], second.shape[0])
            and center.shape == second.shape[1:]
            and distance.shape == (1,)
            and distance[0] > 0
        )
        if not fits:
            raise ValueError(MISFIT)
        return cls(Standard(mean, unit), first, second, center, distance.reshape(()))

    def distances(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        mean, unit, first, second, center = (
            array.astype(np.float64)
            for array in (self.standard.mean, self.standard.unit, self.first, self.second, self.center)
        )
        result = np.empty(x.shape[:2])
        for index, image in enumerate(x):
            hidden = (image - mean) * unit @ first
            code = np.where(hidden > 0, hidden, LEAK * hidden) @ second
            result[index] = np.linalg.norm(code - center, axis=-1)
        return result / float(self.unit)

    def scoring_bytes(self) -> int:
        positions, features = self.shape
        hidden, code = self.second.shape
        return 4 * positions * (3 * features + 2 * hidden + 2 * code)


def center_of(codes: Tensor) -> Tensor:
    """Return the mean of codes ``(k, code)``, each coordinate moved to at least :data:`AWAY` from zero."""
    import torch

    mean = codes.mean(dim=0)
    moved = torch.where(mean < 0, -AWAY, AWAY).to(mean.dtype)
    return torch.where(mean.abs() < AWAY, moved, mean)


def radius_of(squared: Tensor, nu: float) -> Tensor:
    """Return the radius that a share ``nu`` of the squared distances ``(k,)`` exceed."""
    import torch

    return torch.quantile(squared, 1 - nu).sqrt()


def objective(squared: Tensor, radius: Tensor | None, nu: float) -> Tensor:
    """Return the loss of squared distances ``(k,)``: soft-boundary with a radius, else their mean."""
    if radius is None:
        return squared.mean()
    return radius**2 + (squared - radius**2).clamp(min=0).mean() / nu


def fit_detector(task: Task) -> FitResult:
    """Train on the patches of the normal images in the fit, with cross-fitting for the held-out distances.

    Raises:
        Cancelled: the task's ``watch`` asked to cancel.
        PadimError: the embeddings are not finite.
    """
    return cross_fitting.cross_fit(task, lambda turn: fit(task, turn))


def fit(task: Task, turn: Turn) -> tuple[Sphere, tuple[Losses, ...]]:
    """Train the autoencoder, then the encoder, on a turn's rows; return the detector and loss curves."""
    import torch
    from torch import nn

    config = task.config
    standard = Standard.of(task, turn.rows)
    trained = torch.from_numpy(patches.draw(task, turn.rows, standard, turn.seed))
    other = torch.from_numpy(patches.draw(task, turn.stop_rows, standard, turn.seed, patches.MEASURING))
    measured = trained[:: max(1, len(trained) // patches.MEASURING)]

    d = task.features
    with drawing_from(turn.seed):
        encoder = nn.Sequential(
            nn.Linear(d, HIDDEN, bias=False), nn.LeakyReLU(LEAK), nn.Linear(HIDDEN, CODE, bias=False)
        )
        decoder = nn.Sequential(
            nn.LeakyReLU(LEAK), nn.Linear(CODE, HIDDEN), nn.LeakyReLU(LEAK), nn.Linear(HIDDEN, d)
        )
    autoencoder = nn.Sequential(encoder, decoder)
    initialize(autoencoder, turn.seed)

    def drawn(rng: np.random.Generator) -> Iterable[Tensor]:
        return (trained[torch.from_numpy(batch)] for batch in patches.batches(len(trained), rng))

    held_out = [other] if len(other) else []
    preparing = train(
        autoencoder,
        turn,
        TrainingPlan(max(1, config.max_epochs // 2), config.patience, RATE_PREPARING, DECAY),
        batches=drawn,
        loss=lambda x: (autoencoder(x) - x).square().mean(),
        held_out=lambda: held_out,
        phase=Phase("Preparing the network", " (autoencoder)", 0.0, 0.3),
        threads=1,
    )

    with torch.no_grad():
        center = center_of(encoder(measured))
    soft = config.svdd_objective == "soft_boundary"
    sphere: Any = nn.Module()
    sphere.encoder = encoder
    sphere.register_buffer("radius", torch.zeros(()))

    def squared(x: Tensor) -> Tensor:
        away: Tensor = encoder(x) - center
        return away.square().sum(dim=1)

    def set_radius() -> None:
        with torch.no_grad():
            sphere.radius.copy_(radius_of(squared(measured), config.svdd_nu))

    set_radius()
    losses = train(
        sphere,
        turn,
        TrainingPlan.of(config, RATE, DECAY),
        batches=drawn,
        loss=lambda x: objective(squared(x), sphere.radius if soft else None, config.svdd_nu),
        held_out=lambda: held_out,
        after_epoch=set_radius if soft else None,
        phase=Phase(begin=0.3),
        threads=1,
    )
    with torch.no_grad():
        usual = sphere.radius if soft else squared(other if len(other) else measured).mean().sqrt()
    first, second = (
        np.ascontiguousarray(layer.weight.detach().numpy().T) for layer in (encoder[0], encoder[2])
    )
    # If nothing varies, all distances are zero and there is no unit.
    unit = np.array(usual.item() or 1.0, np.float32)
    detector = Sphere(standard, first, second, center.numpy(), unit)
    return detector, (preparing, losses)


DETECTOR = Sphere
