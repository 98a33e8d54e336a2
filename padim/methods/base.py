"""Task: what a method learns from. Learnt: what comes of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.data.loading import Watch
from padim.decision.calibration import FEWEST_PARTS
from padim.errors import BundleError, PadimError
from padim.network.detector import Detector
from padim.storage.feature_store import FeatureStore
from padim.storage.image_store import ImageStore
from padim.storage.normals import Normal, Status

# Fixed, so that statistics have the same batch boundaries however the images arrived.
WINDOW = 64

Calibration = Literal["exact", "stale", "none"]


@dataclass(frozen=True)
class Task:
    """The normals' embeddings, on disk, and how they are to be used.

    Attributes:
        spool: the embeddings, all channels, a record a normal.
        normals: all of them, in or out of the fit, in the order of the spool.
        channels: int64 ``(d,)``, the channels kept.
        config: the method's settings.
        watch: for progress and cancelling.
        folder: keeps what long training has done, to go on after a stop; None keeps nothing.
        drawn: int64 ``(d,)``, the same channels counted among those of all the config's layers, where the
            spool has others; None where ``channels`` are just that.
        images: the normals themselves, for the methods that learn from them.
        network: the backbone that gave the embeddings, as ONNX, for the methods that run it themselves; None
            is the registry's.
    """

    feature_store: FeatureStore
    normals: Sequence[Normal]
    channels: npt.NDArray[np.int64]
    config: PadimConfig
    watch: Watch = field(default_factory=Watch)
    folder: Path | None = None
    images: ImageStore | None = None
    network: bytes | None = None
    drawn: npt.NDArray[np.int64] | None = None

    @property
    def positions(self) -> int:
        """Grid positions, p."""
        return self.feature_store.positions

    @property
    def features(self) -> int:
        """Channels kept, d."""
        return len(self.channels)

    @cached_property
    def parts(self) -> Mapping[str, list[int]]:
        """Rows of the images in the fit, by part."""
        parts: dict[str, list[int]] = defaultdict(list)
        for row, normal in enumerate(self.normals):
            if normal.status == "fit":
                parts[normal.group].append(row)
        return dict(parts)

    @property
    def calibrated(self) -> bool:
        """Whether the parts are enough for held-out distances."""
        return len(self.parts) >= FEWEST_PARTS

    @cached_property
    def fit_rows(self) -> list[int]:
        """Rows of the images in the fit."""
        return [row for row, normal in enumerate(self.normals) if normal.status == "fit"]

    @cached_property
    def out_rows(self) -> list[int]:
        """Rows of the images that are not in the fit: unseen as they stand."""
        return [row for row, normal in enumerate(self.normals) if normal.status != "fit"]

    def read(self, rows: Sequence[int], positions: slice = slice(None)) -> npt.NDArray[np.float32]:
        """Embeddings of some normals at some positions: float32 ``(n, positions, d)``."""
        return self.feature_store.read(rows, self.channels, positions)


@dataclass(frozen=True)
class Losses:
    """How one training went.

    Attributes:
        name: what was trained, in the words of the interface ("all parts", "without fold 2").
        train: mean loss of every epoch on what it learnt from.
        held_out: the same on parts it did not learn from, which say when to stop.
        best: the epoch that was kept, counted from 0.
    """

    name: str
    train: tuple[float, ...]
    held_out: tuple[float, ...]
    best: int

    @classmethod
    def from_json(cls, data: Any) -> Losses:
        """
        Raises:
            BundleError: not what :func:`dataclasses.asdict` gives.
        """
        try:
            train, held_out = (tuple(map(float, data[key])) for key in ("train", "held_out"))
            return cls(str(data["name"]), train, held_out, int(data["best"]))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError(f"the record of a training is not readable ({error})") from error


@dataclass(frozen=True)
class FitResult:
    """What a method makes of a task.

    Attributes:
        detector: of all normals in the fit.
        held_out: float32 ``(n, p)``: each normal's distances by what has not learnt from its part; zeros for
            those in the fit where the task is not ``calibrated``.
        losses: of the trainings, if there were any.
    """

    detector: Detector
    held_out: npt.NDArray[np.float32]
    losses: tuple[Losses, ...] = ()


def windows(normals: Sequence[Normal], status: Status = "fit") -> Iterator[list[int]]:
    """Indices of the normals with that status, a window's worth at a time."""
    return in_windows([row for row, normal in enumerate(normals) if normal.status == status])


def in_windows(rows: Sequence[int], size: int = WINDOW) -> Iterator[list[int]]:
    """The rows, a window's worth at a time."""
    return (list(rows[start : start + size]) for start in range(0, len(rows), size))


def check_fit(task: Task) -> None:
    """
    Raises:
        PadimError: no normal is in the fit.
    """
    if not task.fit_rows:
        raise PadimError("no image would be left in the fit; keep at least one")
