"""The interface of the methods: a :class:`Task` to fit a method on, and the :class:`FitResult` of the fit."""

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

# Images in a batch. Fixed, so that the batch boundaries of statistics do not depend on how images arrive.
WINDOW = 64

Calibration = Literal["exact", "stale", "none"]


@dataclass(frozen=True)
class Task:
    """The input of a fit: the embeddings of the normal images, on disk, and the settings of the method.

    Attributes:
        feature_store: the embeddings with all channels, one record for each normal image.
        normals: all normal images, included in the fit or not, in the order of the feature store.
        channels: int64 ``(d,)``, the channels of the feature store that are used.
        config: the settings of the method.
        watch: reports progress and asks whether to cancel.
        folder: where long trainings save their progress, to resume after an interruption; None saves nothing.
        images: the normal images themselves, for the methods that train on images.
        network: the backbone that computed the embeddings, as ONNX, for the methods that run it themselves;
            None stands for the network of the registry.
        drawn: int64 ``(d,)``, the same channels as indices into the channels of all layers of the
            config, where the feature store holds a different set of layers; None where ``channels`` are
            already these indices.
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
        """Return the number of grid positions, p."""
        return self.feature_store.positions

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Return the rows and columns of the grid of positions."""
        return self.config.grid_shape

    @property
    def features(self) -> int:
        """Return the number of channels used, d."""
        return len(self.channels)

    @cached_property
    def parts(self) -> Mapping[str, list[int]]:
        """Return the rows of the images in the fit, grouped by part."""
        parts: dict[str, list[int]] = defaultdict(list)
        for row, normal in enumerate(self.normals):
            if normal.status == "fit":
                parts[normal.group].append(row)
        return dict(parts)

    @property
    def calibrated(self) -> bool:
        """Whether there are enough parts to compute held-out distances."""
        return len(self.parts) >= FEWEST_PARTS

    @cached_property
    def fit_rows(self) -> list[int]:
        """Return the rows of the images in the fit."""
        return [row for row, normal in enumerate(self.normals) if normal.status == "fit"]

    @cached_property
    def out_rows(self) -> list[int]:
        """Return the rows of the images that are not in the fit, which the model never sees."""
        return [row for row, normal in enumerate(self.normals) if normal.status != "fit"]

    def read(self, rows: Sequence[int], positions: slice = slice(None)) -> npt.NDArray[np.float32]:
        """Return the embeddings of some normal images at some positions.

        Args:
            rows: the images, as indices into ``normals``; n of them.
            positions: the grid positions.

        Returns:
            float32 ``(n, positions, d)``.
        """
        return self.feature_store.read(rows, self.channels, positions)


@dataclass(frozen=True)
class Losses:
    """The loss curves of one training.

    Attributes:
        name: what was trained, as the interface shows it ("all parts", "without fold 2").
        train: the mean loss of each epoch on the training parts.
        held_out: the mean loss of each epoch on the parts that decide when to stop, which are not trained on.
        best: the epoch whose weights were kept, counted from 0.
    """

    name: str
    train: tuple[float, ...]
    held_out: tuple[float, ...]
    best: int

    @classmethod
    def from_json(cls, data: Any) -> Losses:
        """Restore the loss curves from a bundle's JSON.

        Raises:
            BundleError: the data is not what :func:`dataclasses.asdict` returns for an instance.
        """
        try:
            train, held_out = (tuple(map(float, data[key])) for key in ("train", "held_out"))
            return cls(str(data["name"]), train, held_out, int(data["best"]))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError(f"the bundle's loss curves of a training cannot be read ({error})") from error


@dataclass(frozen=True)
class FitResult:
    """The output of a fit: the detector and the held-out distances of the normal images.

    Attributes:
        detector: the detector fitted on all normal images in the fit.
        held_out: float32 ``(n, p)``, the distances of each normal image by a model that was fitted without
            its part; zeros for the images in the fit where the task is not ``calibrated``.
        losses: the loss curves of the trainings; empty for methods that train no network.
    """

    detector: Detector
    held_out: npt.NDArray[np.float32]
    losses: tuple[Losses, ...] = ()


def windows(normals: Sequence[Normal], status: Status = "fit") -> Iterator[list[int]]:
    """Yield the indices of the normal images with a status, in batches of at most :data:`WINDOW`."""
    return in_windows([row for row, normal in enumerate(normals) if normal.status == status])


def in_windows(rows: Sequence[int], size: int = WINDOW) -> Iterator[list[int]]:
    """Yield the rows in batches of at most ``size``."""
    return (list(rows[start : start + size]) for start in range(0, len(rows), size))


def check_fit(task: Task) -> None:
    """Check that at least one normal image is in the fit.

    Raises:
        PadimError: no normal image is in the fit.
    """
    if not task.fit_rows:
        lost = [normal for normal in task.normals if normal.lost]
        if lost:
            raise PadimError(
                f"the part is found in none of the good images to fit on: in {lost[0].name}, {lost[0].lost}; "
                "choose another reference part, another method or wider limits"
            )
        raise PadimError("no image would be left in the fit; keep at least one normal image included")
