"""Survey a source of images before fitting: sizes, copies, repeat shots and unreadable files.

Each image is decoded once and discarded; its thumbnail, hash and fingerprint are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padim.data.account import FileAccount, PassedOver
from padim.data.bit_depth import AS_PROPOSED, BitDepthQuestion, Samples, proposed, settle
from padim.data.decode import decoded, sha256
from padim.data.grouping import GroupProposal, Rule, fingerprint, propose_groups, resolve
from padim.data.preprocess import thumbnail
from padim.data.shapes import mixed_shapes
from padim.errors import Cancelled, ImageError, InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.data.sources import Source

__all__ = ["Group", "Survey", "SurveyedImage", "alike", "sizes", "survey"]

# Positions of images that show the same part.
Group = tuple[int, ...]

_QUALITY = 82


@dataclass(frozen=True)
class SurveyedImage:
    """One readable image of the surveyed source.

    Attributes:
        name: name in the source.
        original_size: (height, width) in pixels.
        sha256: hex SHA-256 of the file's bytes.
        thumbnail: a small JPEG; None if none was requested.
        samples: the file's samples, if they are integers of 9 to 16 bits; None for all other images.
    """

    name: str
    original_size: tuple[int, int]
    sha256: str
    thumbnail: bytes | None
    samples: Samples | None = None


@dataclass(frozen=True)
class Survey:
    """Result of surveying a source of images.

    Attributes:
        seen: the readable images in natural order, names unique.
        failed: one error with the reason for each file that cannot be used.
        passed_over: files that were not read because they are no images of the user's.
        proposals: images that may show the same part, by rule.
    """

    seen: tuple[SurveyedImage, ...]
    failed: tuple[ImageError, ...]
    passed_over: tuple[PassedOver, ...]
    proposals: tuple[GroupProposal, ...]

    @property
    def account(self) -> FileAccount:
        """What became of every file of the source."""
        return FileAccount(len(self.seen), self.failed, self.passed_over)

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """Number of images of each (height, width)."""
        return Counter(item.original_size for item in self.seen)

    @property
    def bit_depth(self) -> int | BitDepthQuestion | None:
        """The bit depth that the files declare, or the question where only their values propose one.

        None if no image is deeper than 8 bits.

        Raises:
            InputError: the images declare different depths; the message names some of each.
        """
        return settle((item.name, item.samples) for item in self.seen)

    @property
    def mixed_shapes(self) -> bool:
        """Whether the images' aspect ratios differ, see :func:`padim.data.shapes.mixed_shapes`."""
        return mixed_shapes(self.sizes)

    def parts(self, confirmed: Iterable[Group]) -> dict[str, str]:
        """Return the part of each image, by image name: images of one part have the same label.

        Args:
            confirmed: groups of positions in ``seen`` that show one part each, as the user confirmed; the
                groups of automatic proposals are always included. They may overlap.
        """
        certain = (group for proposal in self.proposals if proposal.automatic for group in proposal.groups)
        part_of = resolve(len(self.seen), [*certain, *confirmed])
        first: dict[int, str] = {}
        for item, part in zip(self.seen, part_of, strict=True):
            first.setdefault(part, item.name)
        return {item.name: first[part] for item, part in zip(self.seen, part_of, strict=True)}

    def shots(self, *rules: Rule) -> dict[str, str]:
        """Return the images of parts photographed more than once, each with its part's first image name.

        Args:
            rules: the rules whose proposals are accepted, except tentative ones, which only the user can
                confirm.
        """
        accepted = (
            group
            for found in self.proposals
            if found.rule in rules and not found.tentative
            for group in found.groups
        )
        part_of = resolve(len(self.seen), accepted)
        first: dict[int, str] = {}
        for item, part in zip(self.seen, part_of, strict=True):
            first.setdefault(part, item.name)
        counts = Counter(part_of)
        return {
            item.name: first[part] for item, part in zip(self.seen, part_of, strict=True) if counts[part] > 1
        }


def survey(
    source: Source,
    *,
    thumbnail_side: int | None = None,
    bit_depth: int | None = None,
    progress: Callable[[int, int | None, str], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Survey:
    """Decode every image of a source and collect sizes, hashes, bit depths, thumbnails and proposed groups.

    Each image is decoded once; a second time if its own values propose another range than the whole set has.

    Args:
        source: the named files.
        thumbnail_side: longest side of the small JPEGs in pixels; None makes none.
        bit_depth: the range of images deeper than 8 bits (:func:`padim.data.decode.decode`). None as the
            files declare; thumbnails of images that declare none then use the range that the largest value
            of all of them proposes.
        progress: called as (done, total or None, stage).
        cancel: polled between images and while one is decoded; True stops.

    Raises:
        Cancelled: ``cancel`` returned True.
    """
    total = len(source) if isinstance(source, Sized) else None
    seen: list[SurveyedImage] = []
    failed: list[ImageError] = []
    prints = []
    for done, (name, data) in enumerate(source):
        if cancel is not None and cancel():
            raise Cancelled("The images were not read to the end.")
        if progress is not None:
            progress(done, total, "Looking at the images")
        try:
            found: list[Samples] = []
            with decoded(
                data,
                name,
                bit_depth=AS_PROPOSED if bit_depth is None else bit_depth,
                on_samples=found.append,
                cancel=cancel,
            ) as rgb:
                small = None if thumbnail_side is None else thumbnail(rgb, thumbnail_side, _QUALITY)
                size, samples = (rgb.shape[0], rgb.shape[1]), found[0] if found else None
                seen.append(SurveyedImage(name, size, sha256(data), small, samples))
                prints.append(fingerprint(rgb))
        except ImageError as error:
            failed.append(error)
    if bit_depth is None and (common := _common_depth(seen)) is not None:
        return survey(
            source, thumbnail_side=thumbnail_side, bit_depth=common, progress=progress, cancel=cancel
        )
    if progress is not None:
        progress(len(seen), len(seen), "Looking for repeat shots")
    proposals = propose_groups([s.name for s in seen], [s.sha256 for s in seen], prints) if seen else ()
    return Survey(tuple(seen), (*source.skipped, *failed), tuple(source.passed_over), tuple(proposals))


def _common_depth(seen: list[SurveyedImage]) -> int | None:
    """Return the range of all images, if some of them were decoded with what their own values propose."""
    open_ones = [item.samples for item in seen if item.samples and item.samples.declared is None]
    try:
        found = settle((item.name, item.samples) for item in seen)
    except InputError:
        return None  # images of different depths: they are not fitted on
    common = found.proposed if isinstance(found, BitDepthQuestion) else found
    return common if any(proposed(one.largest) != common for one in open_ones) else None


def sizes(
    source: Source,
    *,
    progress: Callable[[int, int | None, str], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Counter[tuple[int, int]]:
    """Decode every image of a source once; return the number of usable images of each (height, width).

    Args:
        source: the named files.
        progress: called as (done, total or None, stage).
        cancel: polled between images and while one is decoded; True stops.

    Raises:
        Cancelled: ``cancel`` returned True.
    """
    total = len(source) if isinstance(source, Sized) else None
    found: Counter[tuple[int, int]] = Counter()
    for done, (name, data) in enumerate(source):
        if cancel is not None and cancel():
            raise Cancelled("The images were not read to the end.")
        if progress is not None:
            progress(done, total, "Looking at the images")
        with suppress(ImageError), decoded(data, name, bit_depth=AS_PROPOSED, cancel=cancel) as rgb:
            found[rgb.shape[0], rgb.shape[1]] += 1
    return found


def alike(names: list[str], hashes: list[str], fingerprints: npt.NDArray[np.float32]) -> list[int]:
    """Return each image's part, uniting only copies and near-identical images, whatever their names are.

    Where the parts do not share a position, near-identical images may be of different parts and stay apart.

    Args:
        names: n names.
        hashes: n content hashes.
        fingerprints: float32 ``(n, 1024)``, from :func:`padim.data.grouping.fingerprint`.

    Returns:
        n part numbers from 0, in order of the parts' first images.
    """
    proposals = propose_groups(names, hashes, fingerprints)
    certain = [group for found in proposals if found.accepted for group in found.groups]
    return resolve(len(names), certain)
