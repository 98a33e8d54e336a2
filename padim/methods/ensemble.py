"""The ``ensemble`` method: the mean map of several methods, or of methods on several backbones.

Distances of different methods are not comparable: a 3 of one may correspond to a 30 of another. So each
member's distances are first converted to a common scale by means of its own held-out pixels: a distance that
a share s of them exceeds becomes ``log10(1 / s)``, its surprise. Of a hundred pixels of good parts one
reaches 2, whatever the method. Beyond the largest held-out distances, where no pixels are left to count, the
scale continues as a straight line, so that a defect ten times as far as any good pixel does not get nearly
the same value as one just outside the range. The maps are averaged on that scale.

All members use the same embeddings; on several backbones, each uses those of its own backbone. Each is fitted
by itself, and its held-out distances are converted like any others: the held-out scores of an ensemble are as
exact as those of its least exact member. (The pixels of a normal image contribute one part in n to the scale;
the scale is the same for all images and never changes their order.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.data.loading import Progress, Watch
from padim.errors import PadimError
from padim.methods import catalogue, lookup
from padim.methods.base import FitResult, Task
from padim.network import registry
from padim.network.detector import MISFIT, Array, Detector, EmbeddingDetector, Saved
from padim.network.nodes import FLOAT, Piece, constants, op, renamed, tensor

Singles = npt.NDArray[np.float32]

# The shares of held-out pixels above the knots of a scale: dense in the tail, where good
# and defective separate.
_SHARES = 10.0 ** -np.linspace(0, 4, 33)
# With fewer pixels than this above it, the position of a knot is too uncertain.
_FEWEST_ABOVE = 10


@dataclass(frozen=True)
class Surprise:
    """The conversion of a method's distances to surprise: piecewise linear, extended beyond the last knot.

    Attributes:
        knots: float32 ``(k,)``, distances, strictly increasing.
        slopes: float32 ``(k,)``, the slope from each knot to the next; the last one continues without end.
    """

    knots: Singles
    slopes: Singles

    @classmethod
    def of(cls, distances: npt.NDArray[np.floating]) -> Surprise:
        """Derive the scale from held-out distances, an array of any shape."""
        values = np.sort(distances, axis=None).astype(np.float64)
        shares = _SHARES[_SHARES * len(values) >= _FEWEST_ABOVE]
        if len(shares) < 2:
            shares = np.array([1.0, 0.5])
        knots = np.quantile(values, 1 - shares)
        knots[0] = min(knots[0], values[0])
        levels = -np.log10(shares)
        # Many equal distances give equal knots; of these the last one is kept, which states how rare larger
        # distances are. A nearly vertical line would, besides, lose all precision in float32.
        last = np.append(np.diff(knots) > 1e-3 * max(knots[-1], 1e-12), True)
        knots, levels = knots[last], levels[last]
        if len(knots) == 1:
            # All distances are equal: of their spread it is only known that it is small
            # compared with their size.
            return cls(knots.astype(np.float32), np.array([1 / max(abs(knots[0]), 1.0)], np.float32))
        slopes = np.diff(levels) / np.diff(knots)
        # The tail is the tenth of the pixels with the largest distances; its mean slope
        # continues beyond the last knot.
        body = int(np.searchsorted(levels, 1.0))
        body = min(body, len(knots) - 2)
        beyond = (levels[-1] - levels[body]) / (knots[-1] - knots[body])
        return cls(knots.astype(np.float32), np.append(slopes, beyond).astype(np.float32))

    def __call__(self, distances: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the surprise of distances, an array of any shape; 0 below the first knot."""
        d, knots = np.asarray(distances, np.float64), self.knots.astype(np.float64)
        levels = np.concatenate([[0.0], np.cumsum(np.diff(knots) * self.slopes[:-1])])
        at = np.maximum(np.searchsorted(knots, d, side="right") - 1, 0)
        return np.where(d < knots[0], 0.0, levels[at] + (d - knots[at]) * self.slopes[at])

    def turns(self) -> Singles:
        """Return the change of slope at each knot, float32 ``(k,)``.

        The scale is then the sum ``sum_i turns_i max(0, d - knots_i)``, which is how the graph computes it.
        """
        return np.diff(self.slopes.astype(np.float64), prepend=0.0).astype(np.float32)


@dataclass(frozen=True)
class Ensemble(Detector):
    """A detector whose map is the mean surprise of its members.

    Attributes:
        members: the detectors.
        scales: the scale of each member.
        channels: int64, for each member: which of the d channels it uses.
    """

    members: tuple[Detector, ...]
    scales: tuple[Surprise, ...]
    channels: tuple[npt.NDArray[np.int64], ...]

    method: ClassVar[str] = "ensemble"

    @property
    def form(self) -> str:
        knots = ",".join(str(len(scale.knots)) for scale in self.scales)
        forms = "|".join(member.form for member in self.members)
        seen = hashlib.sha256(b"|".join(own.tobytes() for own in self.channels)).hexdigest()[:12]
        return f"ensemble({forms})[{knots}]{seen}"

    @property
    def needs_image(self) -> bool:  # type: ignore[override]
        return any(member.needs_image for member in self.members)

    @property
    def shape(self) -> tuple[int, int]:
        return self.members[0].shape[0], 1 + max(int(own.max()) for own in self.channels)

    def piece(self, features: int) -> Piece:
        nodes, fixed, inputs = [], constants(last=np.array([-1]), none=np.float32(0)), []
        surprises = []
        for index, (member, scale) in enumerate(zip(self.members, self.scales, strict=True)):
            prefix = f"member{index}_"
            own = _with_channels(member.piece(len(self.channels[index])), self.channels[index], features)
            made = {name for node in own.nodes for name in node.output}
            used_names = {value.name for value in (*own.constants, *own.inputs)}
            # Inputs that the piece itself neither computes nor declares come from the network.
            given = {name for node in own.nodes for name in node.input} - made - used_names
            own = renamed(own, prefix, given)
            k = len(scale.knots)
            nodes += [
                *own.nodes,
                op("Unsqueeze", [f"{prefix}unchecked", "last"], [f"{prefix}column"]),
                op("Sub", [f"{prefix}column", f"{prefix}knots"], [f"{prefix}beyond_each"]),
                op("Max", [f"{prefix}beyond_each", "none"], [f"{prefix}beyond"]),
                # Not a matrix product: the last bit of its sums depends on the number of images in the batch.
                op("Mul", [f"{prefix}beyond", f"{prefix}turns"], [f"{prefix}each"]),
                op("ReduceSum", [f"{prefix}each", "last"], [f"{prefix}surprise"], keepdims=0),
            ]
            fixed += own.constants
            inputs += [
                *own.inputs,
                tensor(f"{prefix}knots", FLOAT, [k]),
                tensor(f"{prefix}turns", FLOAT, [k]),
            ]
            surprises.append(f"{prefix}surprise")
        return Piece([*nodes, op("Mean", surprises, ["unchecked"])], fixed, inputs)

    def inputs(self) -> dict[str, Array]:
        inputs: dict[str, Array] = {}
        for index, (member, scale) in enumerate(zip(self.members, self.scales, strict=True)):
            inputs |= {f"member{index}_{name}": value for name, value in member.inputs().items()}
            inputs |= {
                f"member{index}_knots": scale.knots,
                f"member{index}_turns": scale.turns(),
            }
        return inputs

    def files(self) -> dict[str, Array | bytes]:
        files: dict[str, Array | bytes] = {}
        for index, (member, scale) in enumerate(zip(self.members, self.scales, strict=True)):
            files |= {f"member{index}_{name}": content for name, content in member.files().items()}
            files |= {f"member{index}_knots.npy": scale.knots, f"member{index}_slopes.npy": scale.slopes}
        return files

    @classmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> Ensemble:
        members, scales = [], []
        positions, features = shape
        seen = saved.array("channels.npy", np.int64, 1)
        if len(seen) != features:
            raise ValueError(MISFIT)
        plans = _plan_members(config, seen)
        for index, (name, _, channels) in enumerate(plans):
            own = _Prefixed(saved, f"member{index}_")
            place = positions, len(channels)
            members.append(lookup.detector(name).load(own, of_member(config, name), place))
            knots, slopes = (own.array(f"{part}.npy", np.float32, 1) for part in ("knots", "slopes"))
            if not 0 < len(knots) == len(slopes) or (np.diff(knots) <= 0).any():
                raise ValueError(MISFIT)
            scales.append(Surprise(knots, slopes))
        return cls(tuple(members), tuple(scales), tuple(channels for _, _, channels in plans))

    def distances(self, x: Singles) -> npt.NDArray[np.float64]:
        """Return distances as :meth:`padim.network.detector.EmbeddingDetector.distances` does.

        Raises:
            ValueError: a member scores images and not embeddings.
        """
        each = []
        for member, channels in zip(self.members, self.channels, strict=True):
            if not isinstance(member, EmbeddingDetector):
                raise ValueError(f"the method {member.method} scores images, not embeddings")
            each.append(member.distances(np.ascontiguousarray(x[..., channels])))
        return self._mean(each)

    def _mean(self, distances: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.float64]:
        surprises = [scale(own) for scale, own in zip(self.scales, distances, strict=True)]
        return np.asarray(np.mean(surprises, axis=0))

    def strange(self) -> float:
        each = [np.array(member.strange()) for member in self.members]
        return float(self._mean(each))

    def scoring_bytes(self) -> int:
        positions = self.shape[0]
        knots = sum(len(scale.knots) for scale in self.scales)
        return sum(member.scoring_bytes() for member in self.members) + 2 * 4 * positions * knots


class _Prefixed:
    """The files of one member in the bundle of an ensemble, selected by the prefix of their names."""

    def __init__(self, saved: Saved, prefix: str) -> None:
        self._saved, self._prefix = saved, prefix

    def bytes(self, name: str) -> bytes:
        return self._saved.bytes(self._prefix + name)

    def array(self, name: str, dtypes: type | tuple[type, ...], ndim: int) -> Array:
        return self._saved.array(self._prefix + name, dtypes, ndim)

    def arrays(self, kinds: Mapping[str, tuple[tuple[type, ...], int]]) -> dict[str, Array]:
        found = self._saved.arrays({self._prefix + name: kind for name, kind in kinds.items()})
        return {name.removeprefix(self._prefix): array for name, array in found.items()}


def of_member(config: PadimConfig, name: catalogue.MethodName) -> PadimConfig:
    """Return the settings that a member of the ensemble is fitted with."""
    return config.model_copy(update={"method": name})


def fit_detector(task: Task) -> FitResult:
    """Fit every member by itself, and then derive its scale from its held-out distances.

    Raises:
        PadimError: there are too few parts for held-out distances, without which there is no common scale.
    """
    if not task.calibrated:
        raise PadimError(
            "an ensemble takes at least 3 good parts in the fit: the scales of its members come from their "
            "held-out scores"
        )
    plans = _plan_members(task.config, task.channels if task.drawn is None else task.drawn)
    members, losses = [], []
    for index, (name, title, channels) in enumerate(plans):
        own = replace(
            task,
            channels=task.channels[channels],
            config=of_member(task.config, name),
            watch=_share(task.watch, index, len(plans), title),
            folder=None if task.folder is None else task.folder / f"member{index}",
        )
        result = lookup.fitter(name)(own)
        members.append(result)
        losses += [replace(one, name=f"{title}: {one.name}") for one in result.losses]
    # Images that are not in the fit do not influence the model: they do not contribute to the scales either.
    scales = tuple(Surprise.of(member.held_out[task.fit_rows]) for member in members)
    ensemble = Ensemble(
        tuple(member.detector for member in members), scales, tuple(channels for _, _, channels in plans)
    )
    held_out = ensemble._mean([member.held_out for member in members])
    return FitResult(ensemble, held_out.astype(np.float32), tuple(losses))


MemberPlan = tuple[catalogue.MethodName, str, npt.NDArray[np.int64]]


def _plan_members(config: PadimConfig, drawn: npt.NDArray[np.int64]) -> list[MemberPlan]:
    """List the method, title and channels of every member: each method on each of the backbones.

    Args:
        config: names the methods and the backbones.
        drawn: int64 ``(d,)``, the channels in use, as indices into the channels of all layers.

    Raises:
        PadimError: no channel of one of the backbones is in use.
    """
    backbone = registry.get(config.backbone)
    if not backbone.joins:
        everything = np.arange(len(drawn))
        return [(name, catalogue.get(name).title, everything) for name in config.members]
    layers = backbone.select(config.layers)
    part_of = np.repeat(
        [layer.name.partition(registry.OF)[0] for layer in layers], [layer.channels for layer in layers]
    )[drawn]
    plans = []
    for part in backbone.joins:
        channels = np.flatnonzero(part_of == part)
        if not len(channels):
            raise PadimError(f"no channel of {part} is in use; choose layers of each backbone")
        title = registry.get(part).title
        plans += [(name, f"{catalogue.get(name).title} on {title}", channels) for name in config.members]
    return plans


def _with_channels(piece: Piece, channels: npt.NDArray[np.int64], features: int) -> Piece:
    """Return the piece with its embedding reduced to some of the channels."""
    if len(channels) == features:
        return piece
    own = renamed(piece, "", ())
    for node in own.nodes:
        node.input[:] = ["own_embedding" if name == "embedding" else name for name in node.input]
    gather = op("Gather", ["embedding", "own_channels"], ["own_embedding"], axis=1)
    return Piece([gather, *own.nodes], [*own.constants, *constants(own_channels=channels)], own.inputs)


def _share(watch: Watch, index: int, count: int, title: str) -> Watch:
    """Return a watch that reports the progress of one member as its share of the progress of all."""
    if watch.progress is None:
        return watch
    report_progress: Progress = watch.progress

    def progress(done: int, total: int | None, stage: str) -> None:
        if total:
            done, total = index * total + done, count * total
        report_progress(done, total, f"{title}: {stage[:1].lower()}{stage[1:]}")

    return replace(watch, progress=progress)


DETECTOR = Ensemble
