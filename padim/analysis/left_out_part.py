"""Score images of a part of the fit by the model without that part: nothing else says what it would find.

A model knows the parts that it was fitted on: their random features are normal to it. A defect painted on one
of them is therefore scored as if the part had never been in the fit:

* by PaDiM in closed form, from the Gaussians that the model has: removing a part is a downdate of them
  (:class:`padim.methods.gaussian.LeaveOut`), for which only the part's own embedding is needed;
* by all others from one fit without all of the parts that are painted on, made from the stored features. It
  takes seconds, or as long as the fit itself if the method trains a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from padim.data.loading import Watch
from padim.decision.regions import map_mask
from padim.methods.gaussian import LeaveOut
from padim.methods.moments import PatchStatistics
from padim.methods.neighborhood import neighbors
from padim.methods.padim import PatchGaussians, regularization
from padim.network.threads import one_blas_thread
from padim.scoring import ScoringState

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.normals import Normal

__all__ = ["WithoutPart", "can_refit", "closed_form", "one_refit"]

RGB = npt.NDArray[np.uint8]
Levels = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]


class WithoutPart(Protocol):
    """Scores variants of a part's image by the model without that part."""

    def masks(self, index: int, images: Sequence[RGB], near: Mask) -> list[Mask]:
        """Return the masks of variants of one image at the threshold in use.

        Args:
            index: of the image in ``model.normals_``; its part is in the fit.
            images: inputs of the model, uint8 ``(h, w, 3)``; the first one is the part as it is.
            near: bool ``(h, w)``, where the variants differ from the first one. Elsewhere they may be taken
                to have the scores of the part as it is.

        Returns:
            For each image the pixels in regions above the threshold, bool ``(h, w)``.
        """


def closed_form(model: Padim) -> WithoutPart | None:
    """Return the scorer that needs no fit; None if the method has no closed form.

    Raises:
        CalibrationError: the model has no threshold.
    """
    detector = model.state.fitted.detector
    if not isinstance(detector, PatchGaussians) or model.state.fitted.calibration != "exact":
        return None
    return _ClosedForm(model, detector)


def can_refit(model: Padim, *, retrain: bool) -> bool:
    """Whether a fit without some parts is possible: the features are here.

    Args:
        model: a fitted model.
        retrain: whether it may take as long as the fit itself, because the method trains a network.
    """
    return model.working_set.has_features and (retrain or not model.config.trains)


def one_refit(model: Padim, left_out: Sequence[int], watch: Watch) -> WithoutPart:
    """Fit once without some parts; the model itself is not changed.

    Args:
        model: a model for which :func:`can_refit` holds.
        left_out: indices into ``model.normals_`` of an image of each of the parts.
        watch: reports progress and asks whether to cancel.

    Raises:
        Cancelled: the user stopped it.
        PadimError: the features are damaged, or too few parts would be left.
    """
    return _Refit(model, left_out, watch)


class _ClosedForm:
    """The model's own Gaussians, each part removed from them when its images are scored."""

    def __init__(self, model: Padim, detector: PatchGaussians) -> None:
        self._model, self._state, self._detector = model, model.state, detector
        self._level, self._area = model.threshold_level, model.config.min_area
        normals = self._state.fitted.normals
        self._shots: dict[str, list[int]] = {}
        for index, normal in enumerate(normals):
            if normal.status == "fit":
                self._shots.setdefault(normal.group, []).append(index)
        self._count = sum(map(len, self._shots.values()))

    def masks(self, index: int, images: Sequence[RGB], near: Mask) -> list[Mask]:
        state = self._state
        normal = state.fitted.normals[index]
        positions = _cells(near, state.grid_shape)
        if self._detector.tolerance:
            # A cell takes the nearest of the Gaussians around it, so these are needed too.
            positions = np.unique(neighbors(state.grid_shape)[positions])
        vectors = self._embeddings(images)
        members = self._members(normal, vectors[0])
        grids = np.repeat(state.fitted.held_out[index].reshape(1, -1), len(images), axis=0)
        with one_blas_thread:
            grids[:, positions] = self._distances(positions, vectors, members)
        placement = state.placement(normal.pose, normal.original_size)
        maps = (state.map(grid.reshape(state.grid_shape), normal.original_size, placement) for grid in grids)
        return [map_mask(q, self._level, self._area) for q in maps]

    def _embeddings(self, images: Sequence[RGB]) -> npt.NDArray[np.float32]:
        """Return the embeddings of inputs of the model: float32 ``(n, p, d)``."""
        extractor = self._model.network.extractor
        size = extractor.batch_size()
        found = [
            extractor(np.stack(images[start : start + size]))[:, self._state.channels]
            for start in range(0, len(images), size)
        ]
        every = np.concatenate(found)
        return every.reshape(*every.shape[:2], -1).transpose(0, 2, 1)

    def _members(self, normal: Normal, own: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the embeddings of all shots of a part in the fit, ``(k, p, d)``: stored, or computed."""
        rows = self._shots[normal.group]
        if self._model.working_set.has_features:
            return self._model.working_set.feature_store.read(rows, self._state.channels)
        assert len(rows) == 1  # of parts with several shots every image would be needed
        return own[None]

    def _distances(
        self,
        positions: npt.NDArray[np.int64],
        vectors: npt.NDArray[np.float32],
        members: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float64]:
        """Return the distances, ``(n, len(positions))``, of vectors to the Gaussians without the members."""
        left_out = self._without(positions, len(members))
        k = len(members)
        if not self._detector.tolerance:
            # The same vectors for each member: the formula answers for all of a group at once.
            y = np.broadcast_to(vectors[None, :, positions], (k, *vectors[:, positions].shape))
            squared = left_out.squared_distances_of(members[:, positions], np.ascontiguousarray(y))
            return np.asarray(np.sqrt(np.maximum(squared[0], 0)))
        around = neighbors(self._state.grid_shape)
        best = np.full((len(vectors), self._state.grid_shape[0] * self._state.grid_shape[1]), np.inf)
        for column in around[positions].T:
            y = np.broadcast_to(vectors[None, :, column], (k, *vectors[:, column].shape))
            squared = left_out.squared_distances_of(members[:, positions], np.ascontiguousarray(y))[0]
            for row, own in zip(best, np.sqrt(np.maximum(squared, 0)), strict=True):
                np.minimum.at(row, column, own)  # at the edge of the grid two positions have one neighbor
        return best[:, positions]

    def _without(self, positions: npt.NDArray[np.int64], size: int) -> LeaveOut:
        """Return the downdate of the Gaussians at some positions, from the factors that the model keeps."""
        detector, reg, n = self._detector, regularization(self._model.config), self._count
        statistics = PatchStatistics(len(positions), detector.shape[1])
        statistics.count, statistics.mean = n, detector.mean[positions].astype(np.float64)
        statistics.scatter = detector.factor.covariance(positions)
        diagonal = np.arange(detector.shape[1])
        statistics.scatter[:, diagonal, diagonal] -= reg.floor
        statistics.scatter *= (n - 1) / reg.weight
        return LeaveOut(statistics, reg, size)


class _Refit:
    """One fit without all of the parts that are painted on, with the threshold that it gives itself."""

    def __init__(self, model: Padim, left_out: Sequence[int], watch: Watch) -> None:
        run = model._run()
        groups = {model.normals_[index].group for index in left_out}
        normals = tuple(
            replace(normal, status="kept_out") if normal.group in groups else normal
            for normal in model.normals_
        )
        fitted = run.refit(normals, watch)
        self._state = ScoringState(
            fitted, model.config, model.decision.roi, model.network.extractor, model.state.channels
        )
        # By the parts left in alone: those painted on are the question.
        choice, area = model.decision.choice, model.config.min_area
        self._level, self._area = self._state.threshold(choice, area).level, area

    def masks(self, index: int, images: Sequence[RGB], near: Mask) -> list[Mask]:
        state = self._state
        normal = state.fitted.normals[index]
        box = state.content_box(normal.original_size)
        shown = state.shown(state.placement(normal.pose, normal.original_size), normal.original_size)
        found: list[Mask] = []
        size = state._extractor.batch_size()
        for start in range(0, len(images), size):
            some = images[start : start + size]
            _, maps = state.scorer(np.stack(some), [box] * len(some), [shown] * len(some))
            found += [map_mask(q, self._level, self._area) for q in maps]
        return found


def _cells(near: Mask, grid: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the grid positions of the cells with a pixel in an area, int64 ``(n,)``."""
    rows, columns = grid
    height, width = near.shape
    cells = near.reshape(rows, height // rows, columns, width // columns).any(axis=(1, 3))
    return np.flatnonzero(cells)
