"""Folders in MVTec AD's layout, and an extractor that embeds each image once.

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

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before ONNX Runtime is loaded: nothing leaves the machine
import onnxruntime as ort


@dataclass(frozen=True)
class LabeledImage:
    """One file of a category.

    Attributes:
        name: its path in the category's folder.
        sha256: of its bytes.
        rgb: uint8 ``(h, w, 3)``; where the config stretches images, already at input size.
        train: from ``train/good``.
        kind: ``good``, or the folder of its defect.
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
    """A category, read.

    Attributes:
        name: the folder's.
        images: good ones first, those of ``train/good`` before those of ``test/good``.
        fingerprints: float32 ``(n, k)``, for the likeness of images.
    """

    name: str
    images: tuple[LabeledImage, ...]
    fingerprints: npt.NDArray[np.float32]

    def rows(self, *, good: bool, train: bool | None = None) -> list[int]:
        """Indices of good images or of defects, of train, of test or (None) of both."""
        return [
            row
            for row, image in enumerate(self.images)
            if image.good == good and train in (None, image.train)
        ]

    def named_arrays(self, rows: Sequence[int]) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        """As ``Padim.fit`` and ``Padim.score`` take them."""
        return [(self.images[row].name, self.images[row].rgb) for row in rows]


class Remembering(FeatureExtractor):
    """An extractor that runs the network once for every image and then knows the embedding.

    It is what makes a hundred fits on one set of images affordable. ``runs`` counts as ever.
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
                behind_embedding_graph(detector.piece(len(kept)), kept, self.input_size)
            )
        feed = {"all_channels": ort.OrtValue.ortvalue_from_numpy(self(rgb)), **inputs}
        values = self._behind[key].run_with_ort_values(list(outputs), feed)
        return [value.numpy() for value in values]


class RememberingNetwork(ModelNetwork):
    """An extractor that remembers and is shared between models, in place of a model's own."""

    def __init__(self, config: PadimConfig, extractor: Remembering) -> None:
        super().__init__(config)
        self._remembering = extractor

    @property
    def extractor(self) -> FeatureExtractor:
        return self._remembering


class RememberingPadim(Padim):
    """The engine on such a network."""

    def __init__(self, config: PadimConfig, extractor: Remembering, work_dir: Path) -> None:
        super().__init__(config, work_dir=work_dir)
        self.network = RememberingNetwork(config, extractor)


def find(data: Path, names: Sequence[str]) -> list[Path]:
    """The categories in ``data``, which may be one itself.

    Raises:
        ValueError: there is none, or not one of the names asked for.
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
    """The categories in several folders, as :func:`find`.

    Raises:
        ValueError: a folder holds none, none has one of the names asked for, or two have the same name.
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
    """Read every image of a category.

    Args:
        folder: of the category.
        config: says how images are brought to input size.

    Raises:
        ValueError: an image cannot be read, or one of several masks is missing.
    """
    preprocess = Preprocess(size=config.input_size, fit=config.fit)
    images: list[LabeledImage] = []
    prints: list[npt.NDArray[np.float32]] = []
    for name, data in _files(folder):
        split, kind, file = name.split("/", 2)
        rgb = decode(data, name)
        mask = None
        if kind != "good":
            mask = _mask(folder / "ground_truth" / kind, file, preprocess, rgb.shape[:2])
        prints.append(fingerprint(rgb))
        # Resizing to the size that an image has changes nothing; padding depends on the size it had.
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
