"""Categories in the layout of MVTec AD, and an extractor that caches each image's embedding.

``train/good``, ``test/good``, ``test/<defect>``, ``ground_truth/<defect>/<stem>_mask.png``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from padim.config import PadimConfig
from padim.data.datasets import at_map_resolution
from padim.data.decode import decode, sha256
from padim.data.grouping import fingerprint
from padim.data.preprocess import Preprocess
from padim.data.sources import FolderSource
from padim.model import Padim
from padim.network.detector import Detector
from padim.network.extractor import FeatureExtractor, open_extractor
from padim.network.graph import behind_embedding_graph
from padim.network.model_network import ModelNetwork
from padim.network.runtime import open_session

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing
import onnxruntime as ort


@dataclass(frozen=True)
class LabeledImage:
    """One image of a category.

    Attributes:
        name: the file's path in the category's folder.
        sha256: hash of the file.
        rgb: uint8 ``(h, w, 3)``; already at input size if the configuration stretches images.
        train: whether it is from ``train/good``.
        kind: ``good``, or the name of its defect's folder.
        mask: bool ``(S, S)``, the ground truth at map resolution; None without one, and for good images.
    """

    name: str
    sha256: str
    rgb: npt.NDArray[np.uint8]
    train: bool
    kind: str
    mask: npt.NDArray[np.bool_] | None

    @property
    def good(self) -> bool:
        return self.kind == "good"


@dataclass(frozen=True)
class Category:
    """A category with all of its images.

    Attributes:
        name: name of the folder.
        images: good ones first, those of ``train/good`` before those of ``test/good``.
        fingerprints: float32 ``(n, k)``, for detecting repeat shots.
    """

    name: str
    images: tuple[LabeledImage, ...]
    fingerprints: npt.NDArray[np.float32]

    def rows(self, *, good: bool, train: bool | None = None) -> list[int]:
        """Return the indices of good images or of defects, from train, from test or (None) from both."""
        return [
            row
            for row, image in enumerate(self.images)
            if image.good == good and train in (None, image.train)
        ]

    def named_arrays(self, rows: Sequence[int]) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        """Return names and pixels of these images, as ``Padim.fit`` and ``Padim.predict`` accept them."""
        return [(self.images[row].name, self.images[row].rgb) for row in rows]


class CachingExtractor(FeatureExtractor):
    """An extractor that runs the network once for every image and caches the embedding.

    This makes a hundred fits on one set of images affordable. ``runs`` counts runs of the network as usual.
    """

    def __init__(self, config: PadimConfig) -> None:
        super().__init__(open_extractor(config).backbone_onnx, config)
        self._known: dict[bytes, npt.NDArray[np.float32]] = {}
        self._behind: dict[tuple[str, bytes], ort.InferenceSession] = {}

    def __call__(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in rgb]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            for i, embedding in zip(new, super().__call__(rgb[new]), strict=True):
                self._known[keys[i]] = embedding.copy()
        return np.stack([self._known[key] for key in keys])

    def score(
        self,
        rgb: npt.NDArray[np.uint8],
        detector: Detector,
        kept: npt.NDArray[np.int64],
        inputs: dict[str, ort.OrtValue],
        outputs: Sequence[str],
    ) -> list[npt.NDArray[Any]]:
        if detector.needs_image:
            return super().score(rgb, detector, kept, inputs, outputs)
        key = (detector.form, kept.tobytes())
        if key not in self._behind:
            self._behind[key] = open_session(
                behind_embedding_graph(detector.piece(len(kept)), kept, self.input_shape)
            )
        feed = {"all_channels": ort.OrtValue.ortvalue_from_numpy(self(rgb)), **inputs}
        values = self._behind[key].run_with_ort_values(list(outputs), feed)
        return [value.numpy() for value in values]


class CachingNetwork(ModelNetwork):
    """A model's network with a caching extractor that several models share."""

    def __init__(self, config: PadimConfig, extractor: CachingExtractor) -> None:
        super().__init__(config)
        self._caching_extractor = extractor

    @property
    def extractor(self) -> FeatureExtractor:
        return self._caching_extractor


class CachingPadim(Padim):
    """A model that uses a shared caching extractor."""

    def __init__(self, config: PadimConfig, extractor: CachingExtractor, work_dir: Path) -> None:
        super().__init__(config, work_dir=work_dir)
        self.network = CachingNetwork(config, extractor)


def find(data: Path, names: Sequence[str]) -> list[Path]:
    """Return the folders of the categories in ``data``, which may be a category itself.

    Args:
        data: the folder.
        names: the categories to return; empty for all.

    Raises:
        ValueError: there are no categories, or none of one of the names.
    """
    if (data / "train" / "good").is_dir():
        folders = [data]
    else:
        folders = sorted(path.parent.parent for path in data.glob("*/train/good"))
    if names:
        known = {folder.resolve().name: folder for folder in folders}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(
                f"{data} has no category {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            )
        folders = [known[name] for name in names]
    if not folders:
        raise ValueError(f"{data} holds no category: there is no train/good in it or one level below")
    return folders


def find_all(folders: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Return the folders of the categories in several folders, as :func:`find` for one.

    Raises:
        ValueError: a folder has no category, no category has one of the names, or two have the same name.
    """
    known: dict[str, Path] = {}
    for data in folders:
        for folder in find(data, []):
            name = folder.resolve().name
            if known.setdefault(name, folder).resolve() != folder.resolve():
                raise ValueError(f"{folder} and {known[name]} are both called {name}; rename one")
    for name in names:
        if name not in known:
            raise ValueError(f"there is no category {name}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def read(folder: Path, config: PadimConfig) -> Category:
    """Read all images of a category.

    Args:
        folder: the category's folder.
        config: determines how images are resized.

    Raises:
        ValueError: an image cannot be read, or a mask is missing although the defect's kind has masks.
    """
    preprocess = Preprocess(config.input_shape, config.fit)
    images: list[LabeledImage] = []
    prints: list[npt.NDArray[np.float32]] = []
    for name, data in _files(folder):
        split, kind, file = name.split("/", 2)
        rgb = decode(data, name)
        mask = None
        if kind != "good":
            mask = _mask(folder / "ground_truth" / kind, file, preprocess, rgb.shape[:2])
        prints.append(fingerprint(rgb))
        # A stretched image is not changed by resizing it again; padding depends on the original size.
        kept = preprocess(rgb) if config.fit == "stretch" else rgb
        images.append(LabeledImage(name, sha256(data), kept, split == "train", kind, mask))
    return Category(folder.resolve().name, tuple(images), np.array(prints, np.float32))


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    defects = sorted(
        path.name for path in (folder / "test").iterdir() if path.is_dir() and path.name != "good"
    )
    for part in ("train/good", "test/good", *(f"test/{kind}" for kind in defects)):
        source = FolderSource(folder / part)
        for name, data in source:
            yield f"{part}/{name}", data
        if source.skipped:
            raise ValueError(f"{folder / part}: {source.skipped[0]}")


def _mask(
    folder: Path, file: str, preprocess: Preprocess, size: tuple[int, int]
) -> npt.NDArray[np.bool_] | None:
    if not folder.is_dir():
        return None
    path = folder / f"{PurePosixPath(file).with_suffix('')}_mask.png"
    try:
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L")) > 0
    except OSError as error:
        raise ValueError(f"{path}: the mask cannot be read ({error})") from error
    if mask.shape != size:
        raise ValueError(f"{path}: the mask is {mask.shape}, its image {size}")
    return at_map_resolution(mask, preprocess)
