"""Fits on some of a category's good parts, and their results on the images that were left out.

Shared by the accuracy report and the comparison of configurations.
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
    """The settings of a measurement.

    Attributes:
        config: the model's configuration.
        permille: percentile of the threshold, in tenths.
        sizes: numbers of good parts in the random fits.
        draws: number of random fits of each size.
        grouping: how images are grouped into parts.
        override: a level that replaces the model's threshold, or None.
    """

    config: PadimConfig
    permille: int
    sizes: tuple[int, ...]
    draws: int
    grouping: Grouping
    override: int | None

    def of(self, config: PadimConfig) -> Options:
        """Return a copy with another configuration."""
        return replace(self, config=config)


@dataclass(frozen=True)
class Draw:
    """The results of one fit on the images that were left out.

    Attributes:
        fitted: number of parts in the fit, n.
        promised: promised false-reject rate, (n + 1 - r) / (n + 1), with r the rank of the threshold.
        upper: the model's 95 % upper bound on its false-reject rate.
        unseen: number of good parts scored.
        rejected: number of these that were rejected.
        recall: share of the defect images rejected.
        recall_by_kind: the same by kind of defect.
    """

    fitted: int
    promised: float
    upper: float
    unseen: int
    rejected: int
    recall: float
    recall_by_kind: dict[str, float]

    @property
    def realized(self) -> float:
        """The share of unseen good parts that were rejected."""
        return self.rejected / self.unseen


@dataclass
class PixelHistograms:
    """Histograms of pixel levels, of defects and of other pixels, from which the exact AUROC follows.

    Attributes:
        sound, faulty: number of pixels by level, int64 ``(65536,)``.
    """

    sound: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_LEVEL + 1, np.int64))
    faulty: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_LEVEL + 1, np.int64))

    def add(self, q: npt.NDArray[np.uint16], mask: npt.NDArray[np.bool_] | None) -> None:
        """Add the pixels of a level map, uint16 ``(S, S)``; without a mask all pixels are sound."""
        everything = np.bincount(q.ravel(), minlength=MAX_LEVEL + 1)
        inside = np.bincount(q[mask], minlength=MAX_LEVEL + 1) if mask is not None else 0
        self.faulty += inside
        self.sound += everything - inside

    def auroc(self) -> float:
        """Return the probability that a faulty pixel is above a sound one, ties counting half.

        It is NaN if either kind is missing. Integer arithmetic makes it exactly the value that a sorted list
        of all pixels would give.
        """
        pairs = int(self.sound.sum()) * int(self.faulty.sum())
        if not pairs:
            return float("nan")
        below = np.cumsum(self.sound) - self.sound
        # Python integers, as 2 * pairs can exceed 2^63 for a large data set.
        twice = sum(
            int(f) * (2 * int(b) + int(s))
            for f, b, s in zip(self.faulty, below, self.sound, strict=True)
            if f
        )
        return twice / (2 * pairs)


@dataclass(frozen=True)
class Experiment:
    """A category with everything needed to fit models on it and to evaluate them.

    Attributes:
        category: the category's images.
        options: the settings of the measurement.
        extractor: computes and caches the embeddings.
        parts: indices of the good images, by part.
        defects: indices of the images with a defect.
    """

    category: mvtec.Category
    options: Options
    extractor: mvtec.CachingExtractor
    parts: list[list[int]]
    defects: list[int]

    def only(self, defects: list[int]) -> Experiment:
        """Return a copy with only these defects."""
        return replace(self, defects=defects)


def parts_of(category: mvtec.Category, grouping: Grouping) -> list[list[int]]:
    """Return the indices of the good images by part; identical files are always one part."""
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
def fitted(experiment: Experiment, parts: Sequence[Rows]) -> Iterator[Padim]:
    """Fit a model on these parts, which exists while the block runs."""
    names = {
        experiment.category.images[row].name: str(part) for part, rows in enumerate(parts) for row in rows
    }
    with tempfile.TemporaryDirectory() as folder:
        model = mvtec.CachingPadim(experiment.options.config, experiment.extractor, Path(folder))
        arrays = experiment.category.named_arrays([row for rows in parts for row in rows])
        # All of them are good parts; the names have the folders of the data set, among them "test".
        model.fit(arrays, groups=names, folder=".")
        yield model.set_decision(percentile=experiment.options.permille / 10)


def evaluate_draw(
    experiment: Experiment, model: Padim, unseen: Sequence[Rows], scores: Mapping[int, int]
) -> Draw:
    """Compare a fit's promised rates with its results.

    Args:
        experiment: the category and the settings.
        model: the fitted model.
        unseen: indices of the good images that were left out, by part.
        scores: scores, as levels, of these images and of all defects, by index.
    """
    held_out = model.state.part_scores(model.config.min_area)
    n, permille, override = len(held_out), experiment.options.permille, experiment.options.override
    threshold = model.threshold_level if override is None else override
    caught: dict[str, list[bool]] = {}
    for row in experiment.defects:
        caught.setdefault(experiment.category.images[row].kind, []).append(scores[row] > threshold)
    return Draw(
        fitted=n,
        promised=(n + 1 - min(rank(permille, n), n)) / (n + 1),
        upper=model.state.false_rejects(threshold, model.config.min_area).upper,
        unseen=len(unseen),
        rejected=sum(max(scores[row] for row in part) > threshold for part in unseen),
        recall=float(np.mean(list(chain.from_iterable(caught.values())))),
        recall_by_kind={kind: float(np.mean(hits)) for kind, hits in caught.items()},
    )
