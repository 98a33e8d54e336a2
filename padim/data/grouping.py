"""Find good images that show the same part: proposals that the user confirms (docs/design.md, section 4.3).

Calibration leaves out the *part*, not the image, so repeat shots, bursts and copies must be known. Four
rules look for them; only byte-identical files are certain (`GroupProposal.automatic`), the others need the
user's confirmation. Similarity is computed on residuals: what all images of the set share (the product) and
the part's pose (shift, rotation, scale) are removed first, so that two good parts of one product are as
dissimilar as chance makes them, while two shots of one part still agree. Limits: a texture fainter than the
noise does not distinguish parts (no proposal), and a set that mixes several products, each with hardly any
texture of its own, shows products as groups (a reason to ask). Only small differences of pose can be removed:
where the parts lie anywhere, two parts that lie the same way look like shots of one, so that likeness is no
more than a hint there (`GroupProposal.tentative`).
"""

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from padim.data.common_position import share_position

Rule = Literal["identical", "near_identical", "name_prefix", "sub_folder"]

K = TypeVar("K", bound=Hashable)

SIDE = 32  # fingerprint image, SIDE x SIDE
MAX_SHOTS = 20  # largest number of shots of one part that a rule looks for; larger sets are batches
MIN_AGREEMENT = 0.8  # absolute guard: cosine of two residuals, 1 = the same image, 0 = two unrelated parts
MIN_GAP = 1.3  # relative guard: the next part is at least this many times further away than the repeat shot
NOISE_FLOOR = 0.15  # residual distance below which "nearer" is noise and compression, not similarity
MIN_TABLE_FILL = 1 / 3  # part x shot table of a naming scheme: the share of its cells that must exist

_UNITS = ("image", "part", "folder")  # nouns with which a proposal's reason counts its groups
_LIKENESS = (
    "{total} images look like repeat shots of {parts}: they agree far better than different parts of this set"
    " agree with each other."
)
_LIKENESS_IN_ANY_POSITION = (
    "{total} images may be repeat shots of {parts}: they look alike, but the parts of this set do not share a"
    " position, and different parts that lie the same way look alike too; confirm only what was photographed"
    " repeatedly."
)
_BLUR = 2.0  # pixels of the fingerprint image
_CONTRAST_FLOOR = 0.02  # of the mean brightness; fainter contrast is noise and compression: not amplified
_MIN_RESIDUAL = 1e-3  # of a fingerprint's norm 1; a smaller residual is rounding error


@dataclass(frozen=True)
class GroupProposal:
    """Groups of images that one rule found to be shots of the same part.

    Attributes:
        rule: the rule that found them.
        groups: disjoint ascending tuples of two or more image indices, in order of their first index.
        reason: one sentence for the person who confirms.
        tentative: whether the rule is unreliable in this set: likeness, where the parts share no position.
    """

    rule: Rule
    groups: tuple[tuple[int, ...], ...]
    reason: str
    tentative: bool = False

    @property
    def automatic(self) -> bool:
        """Whether the groups are certain and need no confirmation: identical bytes are the same image."""
        return self.rule == "identical"

    @property
    def accepted(self) -> bool:
        """Whether the groups are right unless the user objects: copies, and likeness where it is reliable.

        A repeat shot that counts as a part of its own makes the false-reject rate look far too good, hence
        likeness is not left to the user to notice.
        """
        return self.automatic or (self.rule == "near_identical" and not self.tentative)

    @property
    def n_groups(self) -> int:
        return len(self.groups)

    @property
    def n_images(self) -> int:
        return sum(map(len, self.groups))


def fingerprint(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute a descriptor of a decoded image from a small thumbnail, for comparing images only.

    Grey, area-averaged to SIDE x SIDE (which averages sensor noise away and makes a pixel's shift small),
    divided by the mean (gain), band-passed and contrast-normalised locally, so that fine structure counts as
    much as outlines.

    Args:
        rgb: uint8 (h, w, 3) of any size.

    Returns:
        float32 (SIDE * SIDE,) of mean 0 and norm 1; all 0 for an image without structure.
    """
    small = _shrink(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    tone = small / (float(small.mean()) + 1.0)
    detail = tone - cv2.GaussianBlur(tone, (0, 0), _BLUR)
    detail /= np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _BLUR)) + _CONTRAST_FLOOR
    detail -= detail.mean()
    norm = float(np.linalg.norm(detail))
    flat: NDArray[np.float32] = (detail / norm if norm > _MIN_RESIDUAL else np.zeros_like(detail)).ravel()
    return flat.astype(np.float32, copy=False)


def _shrink(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average a uint8 (h, w) image over areas to float32 (SIDE, SIDE).

    Rows first, in bands: faster than cv2.resize's INTER_AREA at a ratio that is not an integer, and
    unrounded, so that a texture of less than one grey level survives.
    """
    if len(gray) < SIDE:
        gray = cv2.resize(gray, (gray.shape[1], SIDE))
    edges = np.linspace(0, len(gray), SIDE + 1).round().astype(int)
    bands = [cv2.reduce(gray[a:b], 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F) for a, b in pairwise(edges)]
    strip = np.concatenate(bands)
    small: NDArray[np.float32] = cv2.resize(strip, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small


def propose_groups(
    names: Sequence[str],
    hashes: Sequence[str],
    fingerprints: NDArray[np.float32] | Sequence[NDArray[np.float32]],
) -> tuple[GroupProposal, ...]:
    """Propose which images show the same part, with one proposal per rule that finds any.

    Args:
        names: n names, with their folders ("train/part01/a.png") where there are any.
        hashes: n content hashes of the files' bytes.
        fingerprints: float32 (n, SIDE * SIDE), from `fingerprint`.

    Raises:
        ValueError: if the three differ in number, or a fingerprint in length.
    """
    n = len(names)
    if len(hashes) != n or len(fingerprints) != n:
        raise ValueError(f"{n} names, {len(hashes)} hashes and {len(fingerprints)} fingerprints")
    prints = np.asarray(fingerprints, np.float32)
    if n and prints.shape != (n, SIDE * SIDE):
        raise ValueError(f"fingerprints have shape {prints.shape}, expected {(n, SIDE * SIDE)}")
    paths = [name.replace("\\", "/") for name in names]

    copies = _gather(hashes)
    # Copies enter the search once: at distance 0 they would make every other shot of the part look far away.
    first = [members[0] for members in copies.values()]
    alike = near_identical(prints[first]) if n else []
    near = [sorted(chain.from_iterable(copies[hashes[first[i]]] for i in members)) for members in alike]
    tentative = bool(alike) and not share_position(prints[first], alike)
    found: list[tuple[Rule, Iterable[Sequence[int]], str]] = [
        (
            "identical",
            copies.values(),
            "{total} files are byte-for-byte copies: {images}, saved repeatedly.",
        ),
        (
            "near_identical",
            near,
            _LIKENESS_IN_ANY_POSITION if tentative else _LIKENESS,
        ),
        (
            "name_prefix",
            _by_prefix(paths),
            "{total} file names read as a part and a shot ({example}), which makes {parts}"
            " photographed repeatedly; confirm unless the first half is a batch, a day or a camera.",
        ),
        (
            "sub_folder",
            _by_folder(paths),
            "{total} images lie in {folders} of a few images each ({example}), as if there were"
            " one folder a part; confirm unless a folder is a batch, a day or a camera.",
        ),
    ]
    proposals = []
    for rule, members, text in found:
        groups = tuple(sorted(tuple(group) for group in members if len(group) > 1))
        if groups:
            example = ", ".join(names[i] for i in groups[0][:2])
            reason = text.format(
                total=sum(map(len, groups)),
                example=example,
                **{f"{unit}s": f"{len(groups)} {unit}{'s' * (len(groups) > 1)}" for unit in _UNITS},
            )
            proposals.append(
                GroupProposal(rule, groups, reason, tentative=tentative and rule == "near_identical")
            )
    return tuple(proposals)


def resolve(n: int, accepted: Iterable[Sequence[int]]) -> list[int]:
    """Return the part number of each image, after uniting groups that share an image.

    Args:
        n: number of images.
        accepted: groups of image indices, in any order, overlapping as they may.

    Returns:
        n part numbers from 0, in order of the parts' first images; an image in no group is its own part.

    Raises:
        ValueError: if a group names an image outside 0..n-1.
    """
    groups = [list(group) for group in accepted]
    if wrong := [i for i in chain.from_iterable(groups) if not 0 <= i < n]:
        raise ValueError(f"accepted groups name image {wrong[0]}, expected 0 to {n - 1}")
    pairs = [(a, b) for group in groups for a, b in pairwise(group)]
    return _components(n, [a for a, _ in pairs], [b for _, b in pairs]).tolist()


def near_identical(prints: NDArray[np.float32]) -> list[tuple[int, ...]]:
    """Find groups of fingerprints that are repeat shots of one part.

    An image's neighbours, nearest first, are its repeat shots up to the outermost *gap*: a neighbour that
    agrees (cosine >= MIN_AGREEMENT) followed by one MIN_GAP times further away, which is the next part. That
    is relative, so it holds where the whole set was shot twice, and needs no number of shots. Two images
    are joined when each comes before the other's gap and is nearer, by the same factor, than the set's
    typical next part.

    Args:
        prints: float32 (n, SIDE * SIDE), from `fingerprint`, without exact copies.

    Returns:
        Ascending index tuples of 2 to MAX_SHOTS images; none for n < 3, where there is no third image that
        shows what "far" means.
    """
    n = len(prints)
    if n < 3:
        return []
    near, distance = _neighbors(_residuals(prints), min(MAX_SHOTS, n - 1))
    distance = np.maximum(distance, NOISE_FLOOR)
    farthest = np.sqrt(2 - 2 * MIN_AGREEMENT)
    is_gap = (distance[:, 1:] >= MIN_GAP * distance[:, :-1]) & (distance[:, :-1] <= farthest)
    order = np.arange(distance.shape[1])
    shots = np.where(is_gap, order[1:], 0).max(axis=1)  # neighbours before the outermost gap
    typical = float(np.median(distance[np.arange(n), shots]))  # to the next part: the neighbour right after
    row, column = np.nonzero((order < shots[:, None]) & (distance * MIN_GAP <= typical))
    seen = coo_matrix((np.ones(len(row), bool), (row, near[row, column])), shape=(n, n)).tocsr()
    mutual = seen.multiply(seen.T).tocoo()
    parts = _gather(_components(n, mutual.row, mutual.col).tolist())
    return [tuple(group) for group in parts.values() if 2 <= len(group) <= MAX_SHOTS]


def _residuals(prints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove the set's mean and the part's pose from fingerprints; return (n, k) rows of norm 1 (or 0).

    A part placed a little further right differs from the mean by the mean's derivative along x, to first
    order; likewise y, rotation and scale (tangent vectors). That difference is not a property of the part: it
    makes shots of one part dissimilar and parts in the same pose similar, so it is projected out.
    """
    mean = prints.mean(axis=0, dtype=np.float64)
    image = mean.reshape(SIDE, SIDE)
    dy, dx = np.gradient(image)
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
    tangents = np.stack([t.ravel() for t in (image, dx, dy, x * dy - y * dx, x * dx, y * dy)])
    _, strength, directions = np.linalg.svd(tangents, full_matrices=False)
    pose = directions[strength > max(1e-3 * strength[0], 1e-6)].astype(np.float32)
    rest = prints - (prints @ pose.T) @ pose
    norm = np.linalg.norm(rest, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.where(norm > _MIN_RESIDUAL, rest / np.maximum(norm, _MIN_RESIDUAL), 0)
    return scaled


def _neighbors(rows: NDArray[np.float32], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return indices and distances, (n, k) each, of every row's k nearest others; in blocks of a few MB."""
    n = len(rows)
    near = np.empty((n, k), np.intp)
    distance = np.empty((n, k), np.float32)
    step = max(1, 1_000_000 // n)
    for start in range(0, n, step):
        cosine = rows[start : start + step] @ rows.T
        own = np.arange(len(cosine))
        cosine[own, start + own] = -np.inf
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        agreement = np.take_along_axis(cosine, nearest, axis=1)
        order = np.argsort(-agreement, axis=1, kind="stable")
        near[start : start + step] = np.take_along_axis(nearest, order, axis=1)
        agreement = np.take_along_axis(agreement, order, axis=1)
        distance[start : start + step] = np.sqrt(np.maximum(2 - 2 * agreement, 0))
    return near, distance


_READINGS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<part>.*\S)\s*\((?P<shot>\d+)\)",  # A-001 (1)
        r"(?P<part>.*[^-_ .])[-_ .]+(?P<shot>[^\W_]+)",  # part017_a, IMG_12-1
        r"(?P<part>.*\d)(?P<shot>[A-Za-z])",  # part017a
    )
)
_DATE = re.compile(r"(19|20)\d\d([-_. ]?\d\d){2}$")


def _read(stem: str) -> tuple[str, str]:
    """Split a name without suffix into (part with its folders, shot); return two "" if it has no shot."""
    folder, slash, last = stem.rpartition("/")
    match = next((match for reading in _READINGS if (match := reading.fullmatch(last))), None)
    return (folder + slash + match["part"], match["shot"]) if match else ("", "")


def _by_prefix(paths: Sequence[str]) -> list[list[int]]:
    """Return groups of names "<part><shot>" if together they form a table of parts by shots, no counter."""
    stems = [path[: -len(suffix)] if (suffix := PurePosixPath(path).suffix) else path for path in paths]
    read = [_read(stem) for stem in stems]
    parts = {part for part, _ in read}
    # "part017" next to "part017_2" is that part's first shot.
    read = [(stem, "") if stem in parts else pair for stem, pair in zip(stems, read, strict=True)]
    groups = {
        part: group for part, group in _gather(part for part, _ in read).items() if part and len(group) > 1
    }
    above = set()  # in IMG_12-1, IMG_12-2, IMG_13, IMG_14 "IMG" names the counter, not a part
    for part in groups:
        while part := _read(part)[0]:
            above.add(part)
    shots = {part: {read[i][1] for i in group} for part, group in groups.items() if part not in above}
    groups = {part: group for part, group in groups.items() if part in shots}
    if not groups or not all(_is_part(part, shots[part], len(groups)) for part in groups):
        return []
    sizes = [len(group) for group in groups.values()]
    cells = len(groups) * len(set().union(*shots.values()))
    one_series = len(groups) == 1 and 2 * sizes[0] > len(paths)
    if one_series or np.median(sizes) > MAX_SHOTS or sum(sizes) < MIN_TABLE_FILL * cells:
        return []
    return list(groups.values())


def _is_part(prefix: str, shots: set[str], n_groups: int) -> bool:
    """Return whether a prefix names a part (part017_1, lid_left), not a series (good_000, 2024-05-01_003)."""
    numbers = [shot for shot in shots if shot.isdigit()]
    if not numbers:
        return True
    name = prefix.rpartition("/")[2]
    if _DATE.search(name):
        return False
    return bool(re.search(r"\d", name)) or (n_groups >= 3 and max(map(len, numbers)) < 3)


def _by_folder(paths: Sequence[str]) -> list[list[int]]:
    """Return groups that share a folder, at the deepest level that has several folders of a few images."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    for up in range(max(map(len, folders), default=0)):
        groups = _gather(folder[: max(0, len(folder) - up)] for folder in folders)
        groups.pop((), None)
        if len(groups) >= 3 and 2 <= np.median([len(group) for group in groups.values()]) <= MAX_SHOTS:
            return list(groups.values())
    return []


def _gather(keys: Iterable[K]) -> dict[K, list[int]]:
    """Return the positions of each key, with the keys in order of first appearance."""
    gathered: dict[K, list[int]] = {}
    for i, key in enumerate(keys):
        gathered.setdefault(key, []).append(i)
    return gathered


def _components(n: int, a: Any, b: Any) -> NDArray[np.intp]:
    """Return the component of each node, (n,), in the graph of edges a-b, numbered in order of first node."""
    if not n:
        return np.zeros(0, np.intp)
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    return np.asarray(label, np.intp)
