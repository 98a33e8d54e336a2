"""What one network gives for all images of a category, on disk: extracted once, shared by configurations.

Configurations of the same network, weights, input size, shape and grid read the same features, each the
channels of its own layers. Of the images to judge, what counting needs beside the features is kept too, so
that no image is decoded twice.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from padim.config import PadimConfig
from padim.data.datasets import Dataset, at_map_resolution
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
_SHARED = ("backbone", "weights", "input_size", "fit", "grid_stride", "feature_norm")


def shared_by(config: PadimConfig) -> tuple[object, ...]:
    """What must be equal for two configurations to read the same features."""
    return tuple(getattr(config, name) for name in _SHARED)


def union(configs: Sequence[PadimConfig]) -> PadimConfig:
    """The configuration with all of their layers, all channels.

    Raises:
        ValueError: they share no features.
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
    """An image whose features are there.

    Attributes:
        name: in its data set.
        kind: ``good``, or what is wrong with it.
        sha256: of its file.
        original_size: (height, width) in pixels.
        mask: its place among the masks; None where it has none.
    """

    name: str
    kind: str
    sha256: str
    original_size: tuple[int, int]
    mask: int | None = None


@dataclass(frozen=True)
class _Record:
    """What is known of a category whose features are there.

    Attributes:
        normals, tests: in the order of their spools.
        seconds: that reading the normals and running the network on them took.
        failed: (name, why) of files that could not be used.
    """

    normals: tuple[ImageRecord, ...]
    tests: tuple[ImageRecord, ...]
    seconds: float
    failed: tuple[tuple[str, str], ...]


class Features:
    """The features of one category by one network, in a folder of their own."""

    def __init__(self, folder: Path, config: PadimConfig) -> None:
        """
        Args:
            folder: for these alone.
            config: its layers are extracted (:func:`union`).

        Raises:
            BackboneError: no weights.
        """
        self.folder = folder
        self.config = config
        self.extractor: FeatureExtractor = open_extractor(config)
        self.preprocess = Preprocess(size=config.input_size, fit=config.fit)
        self.normals, self.tests = self._feature_store("normals"), self._feature_store("tests")
        self._record: _Record | None = None
        self._masks = np.zeros((0, 0), np.uint8)

    def _feature_store(self, name: str) -> FeatureStore:
        extractor = self.extractor
        return FeatureStore(self.folder / name, extractor.identity, extractor.channels, extractor.grid**2)

    @property
    def record(self) -> _Record:
        """Which images they are; :meth:`take` first."""
        assert self._record is not None
        return self._record

    def take(self, category: Category, watch: Watch) -> None:
        """Run the network over the category, unless that is done already.

        Raises:
            Cancelled: ``watch`` asked to stop.
            PadimError: none of the normals, or none of the others, can be used.
        """
        if self._read() and self._whole():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        failed: list[ImageError] = []
        watch = Watch(watch.progress, watch.cancel, failed.append)
        masks: list[npt.NDArray[np.bool_]] = []
        begun = time.perf_counter()
        normals = tuple(self._run(category.normals, self.normals, watch, "Reading good parts"))
        seconds = time.perf_counter() - begun
        tests = tuple(self._run(category.tests, self.tests, watch, "Reading images to judge", masks))
        failed += [*category.normals.skipped, *category.tests.skipped]
        for found, dataset in ((normals, category.normals), (tests, category.tests)):
            if not found:
                raise PadimError(f"{category.name}: none of the {len(dataset)} images could be used")
        side = self.config.input_size
        stacked = np.array(masks, np.bool_).reshape(len(masks), side * side)
        content = io.BytesIO()
        np.save(content, np.packbits(stacked, axis=1), allow_pickle=False)
        write_atomic(self.folder / _MASKS, content.getvalue())
        skipped = tuple((error.name, error.reason) for error in failed)
        # Last of all: with it, the rest is complete.
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
        """Features to the spool, and whose they are."""
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
                yield ImageRecord(item.name, sample.kind, item.sha256, item.original_size, place)

    def _whole(self) -> bool:
        """Whether all features are as they were written: what is damaged is extracted again."""
        return all(
            feature_store.count_intact() == len(feature_store) for feature_store in (self.normals, self.tests)
        )

    def _read(self) -> bool:
        """Whether all of it is there."""
        try:
            data = json.loads((self.folder / _RECORD).read_bytes())
            content = (self.folder / _MASKS).read_bytes()
            # Damaged, or of an earlier version without checksums.
            if data != sealed(data) or data["masks"] != xxhash.xxh3_128_hexdigest(content):
                return False
            masks = np.load(io.BytesIO(content), allow_pickle=False)
            record = _Record(
                _seen(data["normals"]),
                _seen(data["tests"]),
                float(data["seconds"]),
                tuple((str(name), str(why)) for name, why in data["failed"]),
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        whole = len(self.normals) == len(record.normals) and len(self.tests) == len(record.tests)
        drawn = sum(seen.mask is not None for seen in record.tests)
        if not whole or masks.dtype != np.uint8 or masks.ndim != 2 or len(masks) != drawn:
            return False
        self._record, self._masks = record, masks
        return True

    def mask(self, seen: ImageRecord) -> npt.NDArray[np.bool_] | None:
        """Where its defect is, bool ``(S, S)`` at map resolution; None where nobody has drawn it."""
        if seen.mask is None:
            return None
        side = self.config.input_size
        bits = np.unpackbits(self._masks[seen.mask], count=side * side)
        return bits.astype(np.bool_).reshape(side, side)

    def channels(self, layers: Sequence[str], kept: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """A configuration's channels among those of all layers here.

        Args:
            layers: its layers.
            kept: int64 ``(d,)``, counted among the channels of these layers.
        """
        place, own = 0, []
        for layer in self.extractor.layers:
            if layer.name in layers:
                own.append(np.arange(place, place + layer.channels))
            place += layer.channels
        return np.concatenate(own)[kept].astype(np.int64)

    def delete(self) -> None:
        """Free the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _seen(entries: Any) -> tuple[ImageRecord, ...]:
    found = []
    for entry in entries:
        height, width = map(int, entry["original_size"])
        found.append(ImageRecord(**{**entry, "original_size": (height, width)}))
    return tuple(found)
