"""Fits on some of a category's good parts, and what became of the images that they had not seen.

What the accuracy report and the comparison of configurations share.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks import mvtec
from padim.config import PadimConfig
from padim.data.grouping import propose_groups, resolve
from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.calibration import rank
from padim.model import Padim

Grouping = Literal["image", "likeness"]
Rows = Sequence[int]


@dataclass(frozen=True)
class Options:
    """What is measured, apart from the targets."""

    config: PadimConfig
    permille: int
    sizes: tuple[int, ...]
    draws: int
    grouping: Grouping
    override: int | None

    def of(self, config: PadimConfig) -> Options:
        """The same with another configuration."""
        return replace(self, config=config)


@dataclass(frozen=True)
class Draw:
    """One fit and what became of the images it had not seen.

    Attributes:
        fitted: parts in the fit, n.
        promised: (n + 1 - r) / (n + 1).
        upper: the model's own 95 % bound on its false-reject rate.
        unseen: good parts judged.
        rejected: those of them rejected.
        recall: share of the defect images rejected.
        recall_by_kind: the same by defect.
    """

    fitted: int
    promised: float
    upper: float
    unseen: int
    rejected: int
    recall: float
    recall_by_kind: dict[str, float]

    @property
    def realised(self) -> float:
        """Share of unseen good parts rejected."""
        return self.rejected / self.unseen


@dataclass
class PixelHistograms:
    """Judged pixels by level, those of defects and the others: enough for an exact AUROC.

    Attributes:
        sound, faulty: int64 ``(65536,)``.
    """

    sound: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_LEVEL + 1, np.int64))
    faulty: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_LEVEL + 1, np.int64))

    def add(self, q: npt.NDArray[np.uint16], mask: npt.NDArray[np.bool_] | None) -> None:
        """Count a map, uint16 ``(S, S)``; no mask means no faulty pixel."""
        everything = np.bincount(q.ravel(), minlength=MAX_LEVEL + 1)
        inside = np.bincount(q[mask], minlength=MAX_LEVEL + 1) if mask is not None else 0
        self.faulty += inside
        self.sound += everything - inside

    def auroc(self) -> float:
        """Probability that a faulty pixel is above a sound one, ties counting half; NaN without either.

        In integers throughout, so that it is the value that all pixels in one sorted list would give.
        """
        pairs = int(self.sound.sum()) * int(self.faulty.sum())
        if not pairs:
            return float("nan")
        below = np.cumsum(self.sound) - self.sound
        # Python's integers: 2 * pairs of a large set can pass 2^63.
        twice = sum(
            int(f) * (2 * int(b) + int(s))
            for f, b, s in zip(self.faulty, below, self.sound, strict=True)
            if f
        )
        return twice / (2 * pairs)


@dataclass(frozen=True)
class Lab:
    """A category and what is done with it.

    Attributes:
        parts: indices of the good images, by part.
        defects: indices of the images with a defect.
    """

    category: mvtec.Category
    options: Options
    extractor: mvtec.Remembering
    parts: list[list[int]]
    defects: list[int]

    def only(self, defects: list[int]) -> Lab:
        """The same with some of the defects."""
        return replace(self, defects=defects)


def parts_of(category: mvtec.Category, grouping: Grouping) -> list[list[int]]:
    """The good images by part. Identical files are one part in any case."""
    good = category.rows(good=True)
    images = [category.images[row] for row in good]
    proposals = propose_groups(
        [p.name for p in images], [p.sha256 for p in images], category.fingerprints[good]
    )
    wanted = ("identical", "near_identical") if grouping == "likeness" else ("identical",)
    accepted = [group for proposal in proposals if proposal.rule in wanted for group in proposal.groups]
    parts: dict[int, list[int]] = {}
    for part, row in zip(resolve(len(good), accepted), good, strict=True):
        parts.setdefault(part, []).append(row)
    return list(parts.values())


@contextmanager
def fitted(lab: Lab, parts: Sequence[Rows]) -> Iterator[Padim]:
    """A model of these parts, for as long as the block lasts."""
    names = {lab.category.images[row].name: str(part) for part, rows in enumerate(parts) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        model = mvtec.RememberingPadim(lab.options.config, lab.extractor, Path(folder))
        model.fit(lab.category.named_arrays([row for rows in parts for row in rows]), groups=names)
        yield model.set_decision(percentile=lab.options.permille / 10)


def evaluate_draw(lab: Lab, model: Padim, unseen: Sequence[Rows], scores: Mapping[int, int]) -> Draw:
    """Promise and outcome of one fit; ``scores`` by row, of all unseen good images and all defects."""
    held_out = model.state.part_scores(model.config.min_area)
    n, permille, override = len(held_out), lab.options.permille, lab.options.override
    threshold = model.threshold_level if override is None else override
    caught: dict[str, list[bool]] = {}
    for row in lab.defects:
        caught.setdefault(lab.category.images[row].kind, []).append(scores[row] > threshold)
    return Draw(
        fitted=n,
        promised=(n + 1 - min(rank(permille, n), n)) / (n + 1),
        upper=model.state.false_rejects(threshold, model.config.min_area).upper,
        unseen=len(unseen),
        rejected=sum(max(scores[row] for row in part) > threshold for part in unseen),
        recall=float(np.mean(list(chain.from_iterable(caught.values())))),
        recall_by_kind={kind: float(np.mean(hits)) for kind, hits in caught.items()},
    )
