"""A first look at the pictures someone brought: thumbnails, sizes, copies, repeat shots, what cannot be read.

Each picture is decoded once and dropped; a thumbnail, its hash and a fingerprint stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padim.errors import Cancelled, ImageError
from ui.app.text import count, size
from ui.files.media import Picture

if TYPE_CHECKING:
    from padim.data.grouping import GroupProposal
    from padim.data.sources import Source
    from ui.jobs.jobs import Job

THUMB_SIDE = 192

# Positions of pictures that show the same part.
Group = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """One readable picture: its name, ``(h, w)``, SHA-256 of its bytes and a small JPEG."""

    name: str
    original_size: tuple[int, int]
    sha256: str
    thumb: Picture


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        seen: the readable pictures in natural order, names unique.
        failed: the files that cannot be used, each with its reason.
        ignored: files passed over because they are no pictures at all.
        proposals: pictures that may show the same part, by rule.
    """

    seen: tuple[Seen, ...]
    failed: tuple[ImageError, ...]
    ignored: int
    proposals: tuple[GroupProposal, ...]

    def size_note(self) -> str:
        """The pictures' sizes in one line; says so when they are mixed."""
        sizes = Counter(item.original_size for item in self.seen)
        if not sizes:
            return "–"
        common, of_them = sizes.most_common(1)[0]
        if len(sizes) == 1:
            return size(common)
        return f"{size(common)} ({of_them:,}) and {count(len(sizes) - 1, 'other size')}"

    @property
    def mixed_shapes(self) -> bool:
        """Whether the pictures differ in aspect ratio by over a hundredth: stretching is then unfair."""
        ratios = [w / h for h, w in (item.original_size for item in self.seen)]
        return bool(ratios) and max(ratios) > 1.01 * min(ratios)

    def parts(self, confirmed: Iterable[Group]) -> dict[str, str]:
        """Each picture's part, by picture name: pictures of one part carry the same label.

        Args:
            confirmed: groups of positions in ``seen`` that show one part each, by the user's word; the groups
                of automatic proposals always count. They may overlap.
        """
        from padim.data.grouping import resolve

        certain = (group for proposal in self.proposals if proposal.automatic for group in proposal.groups)
        part_of = resolve(len(self.seen), [*certain, *confirmed])
        first: dict[int, str] = {}
        for item, part in zip(self.seen, part_of, strict=True):
            first.setdefault(part, item.name)
        return {item.name: first[part] for item, part in zip(self.seen, part_of, strict=True)}


def survey(source: Source, job: Job[Any]) -> Survey:
    """Look at every picture of a source once. Runs as a background job."""
    from padim.data.decode import decoded, sha256
    from padim.data.grouping import fingerprint, propose_groups
    from padim.data.preprocess import thumbnail

    total = len(source) if isinstance(source, Sized) else None
    seen: list[Seen] = []
    failed: list[ImageError] = []
    prints = []
    for done, (name, data) in enumerate(source):
        if job.cancelled():
            raise Cancelled("The pictures were not read to the end.")
        job.progress(done, total, "Looking at the pictures")
        try:
            with decoded(data, name, cancel=job.cancelled) as rgb:
                thumb = Picture(thumbnail(rgb, THUMB_SIDE, 82))
                seen.append(Seen(name, (rgb.shape[0], rgb.shape[1]), sha256(data), thumb))
                prints.append(fingerprint(rgb))
        except ImageError as error:
            failed.append(error)
    job.progress(len(seen), len(seen), "Looking for repeat shots")
    proposals = propose_groups([s.name for s in seen], [s.sha256 for s in seen], prints) if seen else ()
    return Survey(tuple(seen), (*source.skipped, *failed), source.ignored, tuple(proposals))
