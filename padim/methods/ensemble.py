"""``ensemble``: several methods judge together, or one or several on each of several backbones.

Distances of different methods do not compare: one's 3 is another's 30. So each member's is first put on the
scale of its own held-out pixels: to a distance that a share s of them exceeds belongs ``log10(1 / s)``, its
surprise. Of a hundred pixels of good parts one reaches 2, whatever the method. Beyond the largest held-out
distances, where there is nothing to count, the scale goes on as a straight line: a defect ten times as far as
any good pixel must not end up beside one just outside. The maps are averaged on that scale.

Members see the same embeddings, or on several backbones each those of its own. Each learns by itself, and its
held-out distances go through its scale like any others: an ensemble's held-out scores are as honest as its
least exact member's. (A normal's own pixels have a share in the scale, one in n; it is the same scale for all
images, and moves none past another.)
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

# Shares of the held-out pixels above each knot of a scale: dense where good and strange part.
_SHARES = 10.0 ** -np.linspace(0, 4, 33)
# Fewer pixels than this above a knot say little about it.
_FEWEST_ABOVE = 10


@dataclass(frozen=True)
class Surprise:
    """A distance's scale: straight lines between knots, and on as the last one.

    Attributes:
        knots: float32 ``(k,)``, distances, growing strictly.
        slopes: float32 ``(k,)``, of the line from each knot to the next; the last goes on for ever.
    """

    knots: Singles
    slopes: Singles

    @classmethod
    def of(cls, distances: npt.NDArray[np.floating]) -> Surprise:
        """From held-out distances of any shape."""
        values = np.sort(distances, axis=None).astype(np.float64)
        shares = _SHARES[_SHARES * len(values) >= _FEWEST_ABOVE]
        if len(shares) < 2:
            shares = np.array([1.0, 0.5])
        knots = np.quantile(values, 1 - shares)
        knots[0] = min(knots[0], values[0])
        levels = -np.log10(shares)
        # Where many distances are equal, so are knots: of those the last tells how rare what lies above is.
        # So steep a line, too, would leave nothing of a sum of lines in float32.
        last = np.append(np.diff(knots) > 1e-3 * max(knots[-1], 1e-12), True)
        knots, levels = knots[last], levels[last]
        if len(knots) == 1:
            # All the same: nothing is known of their spread but that it is small against their size.
            return cls(knots.astype(np.float32), np.array([1 / max(abs(knots[0]), 1.0)], np.float32))
        slopes = np.diff(levels) / np.diff(knots)
        # The strangest tenth of the pixels is the tail, which goes on as it did up to the last knot.
        body = int(np.searchsorted(levels, 1.0))
        body = min(body, len(knots) - 2)
        beyond = (levels[-1] - levels[body]) / (knots[-1] - knots[body])
        return cls(knots.astype(np.float32), np.append(slopes, beyond).astype(np.float32))

    def __call__(self, distances: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The surprise of distances of any shape; 0 below the first knot."""
        d, knots = np.asarray(distances, np.float64), self.knots.astype(np.float64)
        levels = np.concatenate([[0.0], np.cumsum(np.diff(knots) * self.slopes[:-1])])
        at = np.maximum(np.searchsorted(knots, d, side="right") - 1, 0)
        return np.where(d < knots[0], 0.0, levels[at] + (d - knots[at]) * self.slopes[at])

    def turns(self) -> Singles:
        """The same as a sum: ``sum_i turns_i max(0, d - knots_i)``, float32 ``(k,)``."""
        return np.diff(self.slopes.astype(np.float64), prepend=0.0).astype(np.float32)


@dataclass(frozen=True)
class Ensemble(Detector):
    """The mean of the members' surprise.

    Attributes:
        members: the detectors.
        scales: of each.
        channels: of each, int64: which of the d channels it sees.
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
            own = _seeing(member.piece(len(self.channels[index])), self.channels[index], features)
            made = {name for node in own.nodes for name in node.output}
            used_names = {value.name for value in (*own.constants, *own.inputs)}
            # What a piece neither makes nor brings, the network gives.
            given = {name for node in own.nodes for name in node.input} - made - used_names
            own = renamed(own, prefix, given)
            k = len(scale.knots)
            nodes += [
                *own.nodes,
                op("Unsqueeze", [f"{prefix}unchecked", "last"], [f"{prefix}column"]),
                op("Sub", [f"{prefix}column", f"{prefix}knots"], [f"{prefix}beyond_each"]),
                op("Max", [f"{prefix}beyond_each", "none"], [f"{prefix}beyond"]),
                # No matrix product: its sums depend on how many images there are, by a bit.
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
        seats = _seats(config, seen)
        for index, (name, _, channels) in enumerate(seats):
            own = _Prefixed(saved, f"member{index}_")
            place = positions, len(channels)
            members.append(lookup.detector(name).load(own, of_member(config, name), place))
            knots, slopes = (own.array(f"{part}.npy", np.float32, 1) for part in ("knots", "slopes"))
            if not 0 < len(knots) == len(slopes) or (np.diff(knots) <= 0).any():
                raise ValueError(MISFIT)
            scales.append(Surprise(knots, slopes))
        return cls(tuple(members), tuple(scales), tuple(channels for _, _, channels in seats))

    def distances(self, x: Singles) -> npt.NDArray[np.float64]:
        """As :meth:`padim.network.detector.EmbeddingDetector.distances`, of members that are such.

        Raises:
            ValueError: a member judges the images themselves.
        """
        each = []
        for member, channels in zip(self.members, self.channels, strict=True):
            if not isinstance(member, EmbeddingDetector):
                raise ValueError(f"{member.method} judges images, not embeddings")
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
    """One member's files among those of all."""

    def __init__(self, saved: Saved, prefix: str) -> None:
        self._saved, self._prefix = saved, prefix

    def bytes(self, name: str) -> bytes:
        return self._saved.bytes(self._prefix + name)

    def array(self, name: str, dtypes: type | tuple[type, ...], ndim: int) -> Array:
        return self._saved.array(self._prefix + name, dtypes, ndim)

    def arrays(self, kinds: Mapping[str, tuple[tuple[type, ...], int]]) -> dict[str, Array]:
        there = self._saved.arrays({self._prefix + name: kind for name, kind in kinds.items()})
        return {name.removeprefix(self._prefix): array for name, array in there.items()}


def of_member(config: PadimConfig, name: catalogue.MethodName) -> PadimConfig:
    """The settings that a member learns by."""
    return config.model_copy(update={"method": name})


def fit_detector(task: Task) -> FitResult:
    """Every member by itself, and then their scales.

    Raises:
        PadimError: too few parts for held-out distances, without which there is no common scale.
    """
    if not task.calibrated:
        raise PadimError(
            "an ensemble takes at least 3 good parts in the fit: the scales of its members come from their "
            "held-out scores"
        )
    seats = _seats(task.config, task.channels if task.drawn is None else task.drawn)
    members, losses = [], []
    for index, (name, title, channels) in enumerate(seats):
        own = replace(
            task,
            channels=task.channels[channels],
            config=of_member(task.config, name),
            watch=_share(task.watch, index, len(seats), title),
            folder=None if task.folder is None else task.folder / f"member{index}",
        )
        result = lookup.fitter(name)(own)
        members.append(result)
        losses += [replace(one, name=f"{title}: {one.name}") for one in result.losses]
    # What is out of the fit stays unseen: it has no share in the scales either.
    scales = tuple(Surprise.of(member.held_out[task.fit_rows]) for member in members)
    ensemble = Ensemble(
        tuple(member.detector for member in members), scales, tuple(channels for _, _, channels in seats)
    )
    held_out = ensemble._mean([member.held_out for member in members])
    return FitResult(ensemble, held_out.astype(np.float32), tuple(losses))


Seat = tuple[catalogue.MethodName, str, npt.NDArray[np.int64]]


def _seats(config: PadimConfig, drawn: npt.NDArray[np.int64]) -> list[Seat]:
    """Method, title and channels of every member: each method on each of the backbones.

    Args:
        config: names both.
        drawn: int64 ``(d,)``, the channels kept, counted among those of all layers.

    Raises:
        PadimError: of a backbone no channel is left.
    """
    backbone = registry.get(config.backbone)
    if not backbone.joins:
        everything = np.arange(len(drawn))
        return [(name, catalogue.get(name).title, everything) for name in config.members]
    layers = backbone.select(config.layers)
    part_of = np.repeat(
        [layer.name.partition(registry.OF)[0] for layer in layers], [layer.channels for layer in layers]
    )[drawn]
    seats = []
    for part in backbone.joins:
        channels = np.flatnonzero(part_of == part)
        if not len(channels):
            raise PadimError(f"no channel of {part} is in use; choose layers of each backbone")
        title = registry.get(part).title
        seats += [(name, f"{catalogue.get(name).title} on {title}", channels) for name in config.members]
    return seats


def _seeing(piece: Piece, channels: npt.NDArray[np.int64], features: int) -> Piece:
    """The same piece, seeing only some channels of the embedding."""
    if len(channels) == features:
        return piece
    own = renamed(piece, "", ())
    for node in own.nodes:
        node.input[:] = ["own_embedding" if name == "embedding" else name for name in node.input]
    used_names = op("Gather", ["embedding", "own_channels"], ["own_embedding"], axis=1)
    return Piece([used_names, *own.nodes], [*own.constants, *constants(own_channels=channels)], own.inputs)


def _share(watch: Watch, index: int, count: int, title: str) -> Watch:
    """A watch whose progress is a member's share of the whole."""
    if watch.progress is None:
        return watch
    report_progress: Progress = watch.progress

    def progress(done: int, total: int | None, stage: str) -> None:
        if total:
            done, total = index * total + done, count * total
        report_progress(done, total, f"{title}: {stage[:1].lower()}{stage[1:]}")

    return replace(watch, progress=progress)


DETECTOR = Ensemble
