"""The features of all images of a category on disk: extracted once and shared by configurations.

Configurations with the same network, weights, input size, aspect handling and grid read the same features,
each the channels of its own layers. For the images for evaluation, their masks and labels are stored too, so
that no image is decoded twice.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from padim.config import PadimConfig
from padim.data.datasets import Dataset, at_map_resolution
from padim.data.depth_survey import bit_depth_of
from padim.data.loading import Watch, batches
from padim.data.preprocess import Preprocess
from padim.decision.scorer import NO_NUMBERS
from padim.errors import ImageError, PadimError
from padim.network import registry
from padim.network.extractor import FeatureExtractor, open_extractor
from padim.storage.atomic import write_atomic
from padim.storage.feature_store import FeatureStore
from padim.storage.record_file import sealed
from padim.study.data import Category

__all__ = ["Features", "ImageRecord", "shared_by", "union"]

_RECORD = "images.json"
_MASKS = "masks.npy"
_SHARED = ("backbone", "weights", "input_size", "fit", "bit_depth", "grid_stride", "feature_norm")


def shared_by(config: PadimConfig) -> tuple[object, ...]:
    """Return the settings that two configurations must have in common to share features."""
    return tuple(getattr(config, name) for name in _SHARED)


def union(configs: Sequence[PadimConfig]) -> PadimConfig:
    """Return the configuration with the layers of all given configurations, and all channels.

    Raises:
        ValueError: the configurations cannot share features.
    """
    if len({shared_by(config) for config in configs}) != 1:
        raise ValueError("configurations of one network, input size and grid are needed")
    first = configs[0]
    names = {name for config in configs for name in config.layers}
    layers = [layer.name for layer in registry.get(first.backbone).layers if layer.name in names]
    shared = {name: getattr(first, name) for name in _SHARED}
    return PadimConfig.of({**shared, "layers": layers, "n_features": None})


@dataclass(frozen=True)
class ImageRecord:
    """An image with extracted features.

    Attributes:
        name: its name in the data set.
        kind: ``good`` or the kind of defect.
        sha256: the SHA-256 of its file.
        original_size: (height, width) in pixels.
        mask: the index of its mask; None without a mask.
        input_sha256: the SHA-256 of the pixels that the network saw; empty in records of former versions.
    """

    name: str
    kind: str
    sha256: str
    original_size: tuple[int, int]
    mask: int | None = None
    input_sha256: str = ""


@dataclass(frozen=True)
class _Record:
    """The record of a category with extracted features.

    Attributes:
        normals, tests: the images in the order of their feature stores.
        seconds: the time for reading the normal images and running the network on them.
        failed: (name, reason) of files that could not be used.
    """

    normals: tuple[ImageRecord, ...]
    tests: tuple[ImageRecord, ...]
    seconds: float
    failed: tuple[tuple[str, str], ...]


class Features:
    """The features of one category by one network, in a separate folder."""

    def __init__(self, folder: Path, config: PadimConfig) -> None:
        """Open the features in a folder, extracted or not.

        Args:
            folder: a folder for these features only.
            config: the configuration whose layers are extracted (:func:`union`).

        Raises:
            BackboneError: the weights are not available.
        """
        self.folder = folder
        self.config = config
        self.extractor: FeatureExtractor = open_extractor(config)
        self.preprocess = Preprocess.of(config)
        self.normals, self.tests = self._feature_store("normals"), self._feature_store("tests")
        self._record: _Record | None = None
        self._masks = np.zeros((0, 0), np.uint8)

    def _feature_store(self, name: str) -> FeatureStore:
        extractor = self.extractor
        return FeatureStore(self.folder / name, extractor.identity, extractor.channels, extractor.positions)

    @property
    def record(self) -> _Record:
        """Return the record of the images; :meth:`extract` must have been called."""
        assert self._record is not None
        return self._record

    def extract(self, category: Category, watch: Watch) -> None:
        """Run the network over the images of the category, unless the features are already on disk.

        Raises:
            Cancelled: ``watch`` asked to cancel.
            PadimError: no image to fit on, or no image for evaluation, can be used.
        """
        if self._read() and self._intact():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        failed: list[ImageError] = []
        watch = Watch(watch.progress, watch.cancel, failed.append)
        masks: list[npt.NDArray[np.bool_]] = []
        if self.preprocess.bit_depth is None:
            # One range for all images of the category, as in a model: that of the good parts.
            depth = bit_depth_of(category.normals, progress=watch.progress, cancel=watch.cancel)
            self.preprocess = replace(self.preprocess, bit_depth=depth)
        begun = time.perf_counter()
        normals = tuple(self._run(category.normals, self.normals, watch, "Reading good parts"))
        seconds = time.perf_counter() - begun
        tests = tuple(self._run(category.tests, self.tests, watch, "Reading images to evaluate", masks))
        failed += [*category.normals.skipped, *category.tests.skipped]
        for found, dataset in ((normals, category.normals), (tests, category.tests)):
            if not found:
                raise PadimError(f"{category.name}: none of the {len(dataset)} images could be used")
        stacked = np.array(masks, np.bool_).reshape(len(masks), math.prod(self.config.input_shape))
        content = io.BytesIO()
        np.save(content, np.packbits(stacked, axis=1), allow_pickle=False)
        write_atomic(self.folder / _MASKS, content.getvalue())
        skipped = tuple((error.name, error.reason) for error in failed)
        # Written last: its presence states that the rest is complete.
        record = _Record(normals, tests, seconds, skipped)
        description = {**asdict(record), "masks": xxhash.xxh3_128_hexdigest(content.getvalue())}
        write_atomic(self.folder / _RECORD, json.dumps(sealed(description)).encode())
        self._read()

    def _run(
        self,
        dataset: Dataset,
        feature_store: FeatureStore,
        watch: Watch,
        stage: str,
        masks: list[npt.NDArray[np.bool_]] | None = None,
    ) -> Iterator[ImageRecord]:
        """Extract the features of a data set into a feature store, and yield the records of its images."""
        feature_store.start()
        for batch in batches(dataset, self.preprocess, self.extractor.batch_size(), watch, stage):
            embeddings = self.extractor(np.stack([item.rgb for item in batch]))
            for item, embedding in zip(batch, embeddings, strict=True):
                if not np.isfinite(embedding).all():
                    raise PadimError(f"{item.name}: {NO_NUMBERS}")
            feature_store.append(embeddings, [item.sha256 for item in batch])
            for item in batch:
                sample, place = dataset.samples[item.name], None
                if masks is not None and not sample.good:
                    try:
                        mask = dataset.mask(sample, item.original_size)
                    except ImageError as error:
                        watch.bad(error)
                        mask = None
                    if mask is not None:
                        place = len(masks)
                        masks.append(at_map_resolution(mask, self.preprocess))
                yield ImageRecord(
                    item.name, sample.kind, item.sha256, item.original_size, place, item.input_sha256
                )

    def _intact(self) -> bool:
        """Whether all features match their checksums; damaged ones are extracted again."""
        return all(
            feature_store.count_intact() == len(feature_store) for feature_store in (self.normals, self.tests)
        )

    def _read(self) -> bool:
        """Read the record and the masks; return whether all of the data is present."""
        try:
            data = json.loads((self.folder / _RECORD).read_bytes())
            content = (self.folder / _MASKS).read_bytes()
            # Damaged, or written by an earlier version without checksums.
            if data != sealed(data) or data["masks"] != xxhash.xxh3_128_hexdigest(content):
                return False
            masks = np.load(io.BytesIO(content), allow_pickle=False)
            record = _Record(
                _image_records(data["normals"]),
                _image_records(data["tests"]),
                float(data["seconds"]),
                tuple((str(name), str(why)) for name, why in data["failed"]),
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        complete = len(self.normals) == len(record.normals) and len(self.tests) == len(record.tests)
        drawn = sum(seen.mask is not None for seen in record.tests)
        if not complete or masks.dtype != np.uint8 or masks.ndim != 2 or len(masks) != drawn:
            return False
        self._record, self._masks = record, masks
        return True

    def mask(self, seen: ImageRecord) -> npt.NDArray[np.bool_] | None:
        """Return the mask of an image, bool ``(h, w)`` at map resolution; None without a mask."""
        if seen.mask is None:
            return None
        shape = self.config.input_shape
        bits = np.unpackbits(self._masks[seen.mask], count=math.prod(shape))
        return bits.astype(np.bool_).reshape(shape)

    def channels(self, layers: Sequence[str], kept: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the channels of a configuration as indices into the channels of all extracted layers.

        Args:
            layers: the layers of the configuration.
            kept: int64 ``(d,)``, its channels as indices into the channels of ``layers``.
        """
        place, own = 0, []
        for layer in self.extractor.layers:
            if layer.name in layers:
                own.append(np.arange(place, place + layer.channels))
            place += layer.channels
        return np.concatenate(own)[kept].astype(np.int64)

    def delete(self) -> None:
        """Delete the features from disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _image_records(entries: Any) -> tuple[ImageRecord, ...]:
    found = []
    for entry in entries:
        height, width = map(int, entry["original_size"])
        found.append(ImageRecord(**{**entry, "original_size": (height, width)}))
    return tuple(found)
