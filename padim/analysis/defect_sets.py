"""Sets of defects as embeddings on disk, to evaluate many fits of one network on the same images.

The network runs once for every image; each fit to evaluate reads the embeddings of the channels it uses.
:class:`LabeledDefects` are real defects. :class:`PaintedDefects` are painted on good parts
(:mod:`padim.analysis.sensitivity`) and are only an indication: the ranking of methods by them has a
correlation of .3 with the ranking by real defects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.analysis.embedding_scores import level_maps
from padim.analysis.fit_overlap import KnownImages
from padim.analysis.sensitivity import default_sizes, painted_images, place_at
from padim.analysis.synthetic_defects import KINDS
from padim.data.decode import decode
from padim.data.loading import Image, Watch, batches
from padim.data.preprocess import Box
from padim.decision.regions import map_mask, region_score
from padim.decision.scorer import NO_NUMBERS
from padim.errors import ImageError, PadimError
from padim.locating.placement import Placement
from padim.storage.feature_store import FeatureStore

if TYPE_CHECKING:
    from padim.data.loading import RGB
    from padim.model import Padim
    from padim.scoring import ScoringState

__all__ = ["CARRIERS", "LabeledDefects", "PaintedDefects"]

# The maximum number of good parts that are painted on.
CARRIERS = 8
# The middle ones of the sizes and contrasts of a sensitivity measurement: the others are nearly always, or
# nearly never, caught.
_SIZES, _CONTRASTS = slice(1, 4), (0.1, 0.2)
# The side of the grid of places that the painted defects are spread over.
_CELLS = 8

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Embedded:
    """Images as embeddings of the channels that a model uses.

    Attributes:
        model: the model whose network, channels and region of interest are used.
        feature_store: the embeddings, one record for each image.
        original_sizes: (height, width) of each image in pixels.
        placements: the place of the map on each image; None for models that do not locate parts.
    """

    model: Padim
    feature_store: FeatureStore
    original_sizes: tuple[tuple[int, int], ...]
    placements: tuple[Placement | None, ...]

    def maps(self, state: ScoringState, watch: Watch) -> Iterable[npt.NDArray[np.uint16]]:
        """Yield the level map of every image, computed by a scoring state."""
        extractor = self.model.network.extractor
        size = extractor.batch_size(state.fitted.detector.scoring_bytes())
        quiet = Watch(None, watch.cancel)
        return level_maps(
            state,
            self.feature_store,
            np.arange(self.feature_store.channels),
            self.original_sizes,
            self.model.config.input_shape,
            size,
            quiet,
            "",
            self.placements,
        )


def _start_feature_store(model: Padim, folder: Path) -> FeatureStore:
    extractor = model.network.extractor
    return FeatureStore(folder, extractor.identity, len(model.state.channels), extractor.positions).start()


def _append(model: Padim, feature_store: FeatureStore, rgb: Sequence[RGB], keys: Sequence[str]) -> None:
    """Run the network on images and append their embeddings to a feature store.

    Raises:
        PadimError: the network's output is not finite.
    """
    embeddings = model.network.extractor(np.stack(rgb))
    if not np.isfinite(embeddings).all():
        raise PadimError(f"an image: {NO_NUMBERS}")
    feature_store.append(np.ascontiguousarray(embeddings[:, model.state.channels]), keys)


@dataclass(frozen=True)
class LabeledDefects(_Embedded):
    """Images of defective parts.

    Attributes:
        names: the names of the images.
        passed_over: the number of images left out because the model has them, by content, as good parts.
    """

    names: tuple[str, ...]
    passed_over: int

    @classmethod
    def read(cls, model: Padim, images: Iterable[Image], folder: Path, watch: Watch) -> LabeledDefects:
        """Run the network once on images of defective parts.

        Args:
            model: provides the network.
            images: (name, file bytes or uint8 RGB array) pairs.
            folder: where the embeddings are stored.
            watch: reports progress and images that cannot be used, and asks whether to cancel.

        Raises:
            PadimError: none of the images can be used.
        """
        own = KnownImages.of(model)
        feature_store = _start_feature_store(model, folder)
        names: list[str] = []
        sizes: list[tuple[int, int]] = []
        placements: list[Placement | None] = []
        passed_over = 0
        size = model.network.extractor.batch_size()
        for batch in batches(images, model.state.preprocess, size, watch, "Reading images of defects"):
            # An image marked as not good may well be a defect, and the model has not seen it.
            fresh = [item for item in batch if own.status(item) in (None, "not_good")]
            passed_over += len(batch) - len(fresh)
            for item in fresh:
                if item.lost:
                    watch.bad(ImageError(item.name, f"part not found: {item.lost}"))
            fresh = [item for item in fresh if not item.lost]
            if fresh:
                _append(model, feature_store, [item.rgb for item in fresh], [item.sha256 for item in fresh])
            names += [item.name for item in fresh]
            sizes += [item.original_size for item in fresh]
            placements += [item.placement for item in fresh]
        if not names:
            raise PadimError(
                "none of the images of defects could be used; give images of defective parts that are "
                "not among the model's good ones"
            )
        return cls(model, feature_store, tuple(sizes), tuple(placements), tuple(names), passed_over)

    def shares_caught(self, state: ScoringState, levels: Sequence[int], watch: Watch) -> Shares:
        """Return which defects are rejected at each threshold.

        Args:
            state: scores the images.
            levels: the thresholds.
            watch: asks whether to cancel.

        Returns:
            float64 ``(len(levels), images)``: 1 where the image is rejected, else 0.
        """
        area = self.model.config.min_area
        scores = np.array([region_score(q, area) for q in self.maps(state, watch)], np.int64)
        return (scores[None] > np.array(levels)[:, None]).astype(np.float64)


@dataclass(frozen=True)
class PaintedDefects(_Embedded):
    """Defects painted on good parts that are excluded from all fits to evaluate.

    Image 0 of each carrier is unpainted; the defects follow.

    Attributes:
        carriers: the images painted on, as indices into ``model.normals_``.
        areas: uint8 ``(carriers, defects, pixels / 8)``, packed bits: the painted area of each defect.
    """

    carriers: tuple[int, ...]
    areas: npt.NDArray[np.uint8]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the carriers."""
        return tuple(self.model.normals_[index].name for index in self.carriers)

    @property
    def painted(self) -> int:
        """Return the total number of painted defects."""
        return int(self.areas.shape[0] * self.areas.shape[1])

    @classmethod
    def paint(
        cls, model: Padim, carriers: Sequence[int], folder: Path, watch: Watch, seed: int
    ) -> PaintedDefects:
        """Paint defects on the thumbnails of good parts in the model, and run the network once on each.

        Args:
            model: provides the network.
            carriers: the images to paint on, as indices into ``model.normals_``.
            folder: where the embeddings are stored.
            watch: reports progress and asks whether to cancel.
            seed: the seed of the places and shapes of the defects.

        Raises:
            PadimError: no pixel of the carriers is inside the region of interest.
        """
        shape, stage = model.config.input_shape, "Painting defects"
        feature_store = _start_feature_store(model, folder)
        size = model.network.extractor.batch_size()
        used: list[int] = []
        areas: list[npt.NDArray[np.uint8]] = []
        sizes: list[tuple[int, int]] = []
        placements: list[Placement | None] = []
        for done, index in enumerate(carriers):
            watch.step(done, len(carriers), stage)
            normal = model.normals_[index]
            box = model.state.content_box(normal.original_size)
            scored = model.state.scored_area(normal.original_size, normal.pose)
            if normal.lost or not scored.any():
                continue
            rgb = model.state.input_of(normal, decode(model.working_set.thumbnail(index), normal.name))
            place = place_at(scored, _CELLS, seed, len(used))
            found = list(
                painted_images(
                    rgb, [place], KINDS, default_sizes(shape)[_SIZES], _CONTRASTS, box or Box(0, 0, *shape)
                )
            )
            images = [rgb, *(image for image, _ in found)]
            for start in range(0, len(images), size):
                some = images[start : start + size]
                watch.step(done, len(carriers), stage)
                _append(
                    model, feature_store, some, [f"{normal.sha256}-{start + i}" for i in range(len(some))]
                )
            areas.append(np.packbits(np.stack([area.ravel() for _, area in found]), axis=1))
            sizes += [normal.original_size] * len(images)
            placements += [model.state.placement(normal.pose, normal.original_size)] * len(images)
            used.append(index)
        if not used:
            raise PadimError("no pixel of the good parts lies inside the region of interest; redraw it")
        return cls(model, feature_store, tuple(sizes), tuple(placements), tuple(used), np.stack(areas))

    def shares_caught(self, state: ScoringState, levels: Sequence[int], watch: Watch) -> Shares:
        """Return the share of each carrier's defects that overlap a detected region, at each threshold.

        A defect is not counted where the unpainted image already has a region at that place.

        Args:
            state: scores the images.
            levels: the thresholds.
            watch: asks whether to cancel.

        Returns:
            float64 ``(len(levels), carriers)``; NaN for a carrier without defects that count.
        """
        count, each, _ = self.areas.shape
        shape, min_area = self.model.config.input_shape, self.model.config.min_area
        caught, void = (np.zeros((len(levels), count, each), np.bool_) for _ in range(2))
        bare: list[npt.NDArray[np.bool_]] = []
        for row, q in enumerate(self.maps(state, watch)):
            carrier, image = divmod(row, each + 1)
            masks = [map_mask(q, level, min_area) for level in levels]
            if image == 0:
                bare = masks
                continue
            area = np.unpackbits(self.areas[carrier, image - 1], count=math.prod(shape))
            painted = area.reshape(shape) > 0
            for at, mask in enumerate(masks):
                void[at, carrier, image - 1] = (bare[at] & painted).any()
                caught[at, carrier, image - 1] = (mask & painted).any()
        tried = (~void).sum(axis=2)
        return np.divide(
            (caught & ~void).sum(axis=2), tried, out=np.full(tried.shape, np.nan), where=tried > 0
        )
