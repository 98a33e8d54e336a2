"""Labelled pictures: which are good, which show what defect, and where.

A reader knows one layout and gives a :class:`Dataset`; :func:`open_dataset` finds the reader that fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from padim.errors import ImageError, PadimError
from padim.images import Preprocess, decode
from padim.sources import FolderSource, Source

GOOD = "good"
# What people call the folder of good parts.
_GOOD_NAMES = ("good", "ok", "normal", "normals", "pass")
_MASKS = "ground_truth"


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        name: unique in its dataset, with forward slashes.
        kind: ``good``, or what is wrong with it.
        mask: where its defect is, as a picture file; None where nobody has drawn it.
    """

    name: str
    kind: str
    mask: Path | None = None

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.kind == GOOD


class Dataset:
    """Labelled pictures, read one at a time.

    Attributes:
        layout: what the reader calls it.
        samples: by name, good ones first.
    """

    def __init__(self, layout: str, parts: Sequence[tuple[str, Source]], samples: Sequence[Sample]) -> None:
        """
        Args:
            parts: sources, each with what its names are prefixed with.
            samples: of all of them.
        """
        self.layout = layout
        self._parts = parts
        self.samples = {sample.name: sample for sample in samples}

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """(name, bytes), undecoded, as ``Padim.score`` takes them."""
        for prefix, source in self._parts:
            for name, data in source:
                if prefix + name in self.samples:
                    yield prefix + name, data

    @property
    def skipped(self) -> list[ImageError]:
        """The files passed over by the latest iteration so far."""
        return [
            ImageError(prefix + error.name, error.reason)
            for prefix, source in self._parts
            for error in source.skipped
        ]

    @property
    def kinds(self) -> Counter[str]:
        """How many pictures of each kind; ``good`` is one of them."""
        return Counter(sample.kind for sample in self.samples.values())

    @property
    def masks(self) -> int:
        """How many defects come with a mask."""
        return sum(sample.mask is not None for sample in self.samples.values())


def read_mask(path: Path, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """A mask in the pixels of its picture: bool ``(h, w)``, whatever is not black.

    Raises:
        ImageError: it cannot be read or is of another size than its picture.
    """
    try:
        mask = decode(path.read_bytes(), path.name).max(axis=2) > 0
    except OSError as error:
        raise ImageError(path.name, f"the mask cannot be read ({error.strerror})") from error
    if mask.shape != size:
        raise ImageError(
            path.name,
            f"the mask is {mask.shape[1]} × {mask.shape[0]}, its picture {size[1]} × {size[0]}",
        )
    return np.asarray(mask, np.bool_)


def at_map_resolution(mask: npt.NDArray[np.bool_], preprocess: Preprocess) -> npt.NDArray[np.bool_]:
    """A mask laid on the judged map, nearest neighbour with half-pixel centres.

    Args:
        mask: bool ``(h, w)``, in the picture's pixels.
        preprocess: gives the map's size and where the picture lies in it.

    Returns:
        bool ``(S, S)``.
    """
    box = preprocess.content_box(mask.shape)
    rows, columns = (
        (2 * np.arange(inside) + 1) * whole // (2 * inside)
        for inside, whole in ((box.height, mask.shape[0]), (box.width, mask.shape[1]))
    )
    result = np.zeros((preprocess.size,) * 2, np.bool_)
    result[box.top : box.top + box.height, box.left : box.left + box.width] = mask[np.ix_(rows, columns)]
    return result


# --- layouts ----------------------------------------------------------------------------------------


def _mvtec(folder: Path) -> Dataset | None:
    """MVTec AD: ``test/good``, ``test/<defect>``, ``ground_truth/<defect>/<stem>_mask.png``."""
    if not (folder / "test").is_dir():
        return None
    return _folders(folder / "test", folder / _MASKS, "MVTec AD")


def _plain(folder: Path) -> Dataset | None:
    """One folder of good parts and one for each defect; masks as in MVTec AD, in it or beside it."""
    masks = folder / _MASKS if (folder / _MASKS).is_dir() else folder.parent / _MASKS
    return _folders(folder, masks, "one folder a kind")


def _folders(folder: Path, masks: Path, layout: str) -> Dataset | None:
    kinds = sorted(
        place.name
        for place in folder.iterdir()
        if place.is_dir() and not place.name.startswith(".") and place.name != _MASKS
    )
    good = [kind for kind in kinds if kind.lower() in _GOOD_NAMES]
    ordered = [*good, *(kind for kind in kinds if kind not in good)]
    parts: list[tuple[str, Source]] = []
    samples: list[Sample] = []
    for kind in ordered:
        source = FolderSource(folder / kind)
        names = source.names()
        if names:
            parts.append((f"{kind}/", source))
        for name in names:
            mask = None if kind in good else _mask_of(masks / kind, name)
            samples.append(Sample(f"{kind}/{name}", GOOD if kind in good else kind, mask))
    return Dataset(layout, parts, samples) if samples else None


def _mask_of(folder: Path, name: str) -> Path | None:
    stem = PurePosixPath(name).with_suffix("")
    for path in (folder / f"{stem}_mask.png", folder / f"{stem}.png"):
        if path.is_file():
            return path
    return None


_READERS: tuple[Callable[[Path], Dataset | None], ...] = (_mvtec, _plain)


def open_dataset(path: str | Path) -> Dataset:
    """The labelled pictures at a place, by the first reader that knows its layout.

    Raises:
        PadimError: nothing there, or no layout that is known.
    """
    path = Path(path)
    if not path.is_dir():
        raise PadimError(f"{path}: is not a folder; give one with labelled pictures")
    for reader in _READERS:
        found = reader(path)
        if found is not None:
            return found
    raise PadimError(
        f"{path}: holds no labelled pictures; give a folder with test/good and test/<defect>, or with good "
        "and one folder for each kind of defect"
    )
