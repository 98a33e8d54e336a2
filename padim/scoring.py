"""The scoring state: one immutable state of a model that computes maps, scores, thresholds and rates.

A fit or an exclusion creates a new state. Code that uses the old one, such as a run over a thousand images,
continues with the same detector, scale and region of interest until it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.data.bit_depth import range_note
from padim.data.loading import Prepared
from padim.data.preprocess import Box, Preprocess
from padim.data.shapes import Expected
from padim.decision.anomaly_map import HIGHEST_THRESHOLD, MAX_LEVEL, both, inside, level_map
from padim.decision.calibration import (
    FEWEST_PARTS,
    Choice,
    FalseRejectRate,
    Threshold,
    false_reject_rate,
    pixel_threshold,
)
from padim.decision.guard_band import Guard, VerdictLimits
from padim.decision.joint import JointScale
from padim.decision.part_scores import PartScores, joint_scale, part_scores, without_limits
from padim.decision.prediction import Prediction
from padim.decision.regions import region_score
from padim.decision.scorer import Scorer
from padim.decision.verdicts import VerdictRates, verdict_rates
from padim.errors import BeyondScaleError, CalibrationError, PadimError
from padim.fitting import FittedState
from padim.locating.cut import placement_of
from padim.locating.placement import Placement
from padim.locating.pose import Pose
from padim.locating.settings import Displacement
from padim.locating.warp import covered, warp
from padim.methods import catalogue
from padim.methods.padim import PatchGaussians
from padim.network.extractor import FeatureExtractor
from padim.scoring_identity import scoring_identity
from padim.storage.bundle import sha256_stored
from padim.storage.normals import Normal
from padim.text import count


class ScoringState:
    """Immutable scoring state: fitted arrays, smoothing and region of interest, with cached results."""

    def __init__(
        self,
        fitted: FittedState,
        config: PadimConfig,
        roi: npt.NDArray[np.bool_] | None,
        extractor: FeatureExtractor,
        channels: npt.NDArray[np.int64],
    ) -> None:
        self.fitted = fitted
        self.roi = roi
        self.channels = channels
        self.grid_shape = config.grid_shape
        self._shape = config.input_shape
        self._sigma = config.smoothing_sigma
        self.preprocess = Preprocess.of(config, fitted.locator)
        self._extractor = extractor
        self._config = config
        self._check: Callable[[Scorer], None] | None = None
        self._network_sha256 = extractor.backbone_sha256
        self._levels: dict[int, npt.NDArray[np.int64]] = {}
        self._known: npt.NDArray[np.uint16] | None = None
        self._histogram: npt.NDArray[np.int64] | None = None
        self._computing = threading.Lock()

    @cached_property
    def scorer(self) -> Scorer:
        """The scoring graph with this state's parameters, created at the first access.

        Raises:
            SelfTestError: the model was opened, and scores its reference inputs differently here.
        """
        scorer = Scorer(
            self._extractor,
            self.fitted.detector,
            self.channels,
            sigma=self._sigma,
            quantizer=self.fitted.quantizer,
            roi=self.scored,
        )
        if self._check is not None:
            self._check(scorer)
            self._check = None
        return scorer

    def check_with(self, check: Callable[[Scorer], None] | None) -> None:
        """Call a function once, before the first image is scored; what it raises, scoring raises."""
        self._check = check

    def run_check(self) -> None:
        """Run the self-test if it has yet to run; errors as :attr:`scorer`."""
        if self.unchecked:
            _ = self.scorer

    @property
    def unchecked(self) -> bool:
        """Whether the self-test of an opened model has yet to run, at the first use of :attr:`scorer`."""
        return self._check is not None

    @property
    def provider(self) -> str:
        """Short name of the execution provider that runs the network."""
        return self._extractor.provider

    @property
    def scored(self) -> npt.NDArray[np.bool_] | None:
        """Where images are scored: the region of interest without places that few images show; None: all."""
        return both(self.roi, self.fitted.covered)

    @cached_property
    def identity(self) -> str:
        """Identity of this state (see :mod:`padim.scoring_identity`), computed at the first access."""
        files = {
            **self.fitted.detector.file_hashes,
            "channels.npy": sha256_stored(self.channels),
            "backbone.onnx": self._network_sha256,
        }
        if self.roi is not None:
            files["roi.npy"] = sha256_stored(self.roi.view(np.uint8))
        if self.fitted.reference is not None and self.fitted.covered is not None:
            files["reference.json"] = sha256(self.fitted.reference.record()).hexdigest()
            files["reference.png"] = sha256(self.fitted.reference.png).hexdigest()
            files["covered.npy"] = sha256_stored(self.fitted.covered.view(np.uint8))
        return scoring_identity(self._config, self.fitted.quantizer, files)

    @cached_property
    def expected(self) -> Expected:
        """Sizes and color kinds of the good parts in the fit, that scored images are held against."""
        fit = [normal for normal in self.fitted.normals if normal.status == "fit"]
        return Expected.of([normal.original_size for normal in fit], [normal.color_kind for normal in fit])

    @property
    def gaussians(self) -> PatchGaussians:
        """The Gaussians of every position.

        Raises:
            PadimError: the method has no Gaussians.
        """
        detector = self.fitted.detector
        if not isinstance(detector, PatchGaussians):
            title = catalogue.get(self._config.method).title
            raise PadimError(f"only PaDiM has a Gaussian at every position; this model was fitted by {title}")
        return detector

    def content_box(self, original_size: tuple[int, int]) -> Box | None:
        """Return the part of the map that an image of this size fills; None if it fills the map.

        Models that locate the part have none: see :meth:`shown`.
        """
        padded = self.preprocess.fit == "pad" and self.fitted.locator is None
        return self.preprocess.content_box(original_size) if padded else None

    def placement(self, pose: Pose | None, original_size: tuple[int, int]) -> Placement | None:
        """Return the place of the map on an image; None for models that do not locate parts."""
        locator = self.fitted.locator
        if locator is None or pose is None:
            return None
        return placement_of(pose, locator, self._shape, original_size)

    def input_of(self, normal: Normal, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the model input of a normal's thumbnail, cut out at the pose found at the fit.

        Args:
            normal: the record of the image.
            rgb: uint8 ``(h, w, 3)``, the image at any size.
        """
        size = rgb.shape[0], rgb.shape[1]
        placement = self.placement(normal.pose, size)
        return self.preprocess(rgb) if placement is None else warp(rgb, placement.matrix, self._shape)

    def shown(
        self, placement: Placement | None, original_size: tuple[int, int]
    ) -> npt.NDArray[np.bool_] | None:
        """Return the map pixels that an image shows, bool ``(h, w)``; None without a placement: all of them.

        Args:
            placement: place of the map on the image.
            original_size: (height, width) of the image.
        """
        if placement is None:
            return None
        return covered(placement.matrix, self._shape, original_size)

    def map(
        self,
        grid: npt.NDArray[np.float32],
        original_size: tuple[int, int],
        placement: Placement | None = None,
    ) -> npt.NDArray[np.uint16]:
        """Compute the level map of a distance grid: uint16 ``(h, w)``."""
        return level_map(
            grid,
            shape=self._shape,
            sigma=self._sigma,
            quantizer=self.fitted.quantizer,
            roi=both(self.scored, self.shown(placement, original_size)),
            content_box=self.content_box(original_size),
        )

    def predict(
        self, batch: list[Prepared], min_area: int, threshold: int | None, guard: Guard | None
    ) -> list[Prediction]:
        """Score prepared images in one run of the network.

        Args:
            batch: images at input size.
            min_area: smallest region that counts, in map pixels.
            threshold: threshold as a level; None if there is no threshold.
            guard: the guard band around the threshold; None for no band.
        """
        boxes = [self.content_box(item.original_size) for item in batch]
        places = [self.shown(item.placement, item.original_size) for item in batch]
        grids, maps = self.scorer(np.stack([item.rgb for item in batch]), boxes, places)
        lost = [bool(item.lost) for item in batch]
        if any(lost):  # these inputs show the whole image, not the part
            grids, maps = grids.copy(), maps.copy()
            grids[lost], maps[lost] = 0, 0
        return [
            Prediction(
                name=item.name,
                sha256=item.sha256,
                original_size=item.original_size,
                content_box=box,
                levels=levels,
                score_level=region_score(levels, min_area),
                threshold_level=threshold,
                min_area=min_area,
                quantizer=self.fitted.quantizer,
                guard=guard,
                scored_by=self.identity,
                grid=grid,
                thumbnail=item.thumbnail,
                notes=(
                    *self.expected.notes(item.original_size, item.color_kind),
                    *range_note(item.samples, self._config.bit_depth),
                ),
                input_sha256=item.input_sha256,
                displacement=self.displacement(item.pose),
                joint=self.joint,
                pose=item.pose,
                placement=item.placement,
                lost=item.lost,
            )
            for item, box, grid, levels in zip(batch, boxes, grids, maps, strict=True)
        ]

    def score_arrays(
        self, rgb: npt.NDArray[np.uint8], min_area: int
    ) -> tuple[npt.NDArray[np.uint16], list[int]]:
        """Compute level maps and scores of images at input size, without files.

        Args:
            rgb: uint8 ``(n, h, w, 3)``.
            min_area: smallest region that counts, in map pixels.

        Returns:
            uint16 ``(n, h, w)`` and n levels.
        """
        _, maps = self.scorer(rgb)
        return maps, [region_score(levels, min_area) for levels in maps]

    # --- the normals' held-out scores ----------------------------------------------------------------

    def held_out_map(self, index: int) -> npt.NDArray[np.uint16]:
        """Return the held-out level map of a normal, from the fit without its part: uint16 ``(h, w)``.

        Args:
            index: index of the normal in ``fitted.normals``.

        Raises:
            CalibrationError: the normal has no held-out distances.
        """
        fitted = self.fitted
        if fitted.calibration == "none" or index >= len(fitted.held_out):
            raise CalibrationError(f"{fitted.normals[index].name}: has no held-out map")
        normal = fitted.normals[index]
        placement = self.placement(normal.pose, normal.original_size)
        return self.map(fitted.held_out[index], normal.original_size, placement)

    def know_levels(self, levels: npt.NDArray[np.uint16]) -> None:
        """Store the held-out scores of all normals, computed elsewhere, to avoid computing them again.

        Args:
            levels: uint16 ``(n, areas)``, column ``a - 1`` for a smallest region of ``a`` pixels
                (``padim.decision.regions.region_scores`` of every held-out map).

        Raises:
            ValueError: the number of normals differs.
        """
        if len(levels) != len(self.fitted.held_out):
            raise ValueError(f"scores of {len(levels)} normals, expected {len(self.fitted.held_out)}")
        with self._computing:
            self._known = levels

    def image_levels(self, min_area: int) -> npt.NDArray[np.int64]:
        """Return the held-out score of every normal image, in or out of the fit: int64 ``(n,)`` levels.

        Args:
            min_area: the smallest region that counts, in map pixels.

        Raises:
            CalibrationError: fewer than three parts are in the fit.
        """
        if self.fitted.calibration == "none":
            raise CalibrationError(
                f"held-out scores need at least {FEWEST_PARTS} parts in the fit; add images of good parts"
            )
        with self._computing:
            if self._known is not None and 1 <= min_area <= self._known.shape[1]:
                return self._known[:, min_area - 1].astype(np.int64)
            if min_area not in self._levels:
                count = len(self.fitted.held_out)
                # A map of an image without the part says nothing.
                scores = (
                    0 if self.fitted.normals[index].lost else region_score(self.held_out_map(index), min_area)
                    for index in range(count)
                )
                self._levels[min_area] = np.fromiter(scores, np.int64, count)
            return self._levels[min_area]

    @cached_property
    def joint(self) -> JointScale | None:
        """The scales by which displacements are judged; None if the model does not locate parts."""
        align, locator = self._config.align, self.fitted.locator
        if align is None or locator is None:
            return None
        if self.fitted.calibration == "none":
            return without_limits(align)
        return joint_scale(align, locator.frame, self._shape, self.fitted.normals, self.image_levels(1))

    def displacement(self, pose: Pose | None) -> dict[Displacement, int]:
        """Return the sizes of the displacements of a part in steps; empty without a pose."""
        locator = self.fitted.locator
        return {} if pose is None or locator is None else pose.levels(locator.frame, self._shape)

    def displaced(self, pose: Pose | None, lost: str) -> int:
        """Return the displacement of a part as a level of the map, see :meth:`JointScale.displaced`."""
        return 0 if self.joint is None else self.joint.displaced(self.displacement(pose), bool(lost))

    def parts(self, min_area: int, *, include_kept_out: bool = True) -> PartScores:
        """Return the held-out scores and displacements of every good *part*, its images' maximum.

        Args:
            min_area: the smallest region that counts, in map pixels.
            include_kept_out: whether to include good parts that were excluded from the fit.

        Raises:
            CalibrationError: fewer than three parts are in the fit.
        """
        return part_scores(
            self.fitted.normals,
            self.image_levels(min_area),
            lambda normal: self.displaced(normal.pose, normal.lost),
            review_lost=self.joint is not None and self.joint.on_lost == "review",
            include_kept_out=include_kept_out,
        )

    def part_scores(self, min_area: int, *, include_kept_out: bool = True) -> npt.NDArray[np.int64]:
        """Return the held-out score of the map of every good *part*: int64 ``(parts,)`` levels.

        Arguments and errors as for :meth:`parts`.
        """
        return self.parts(min_area, include_kept_out=include_kept_out).scores

    def joint_scores(self, min_area: int, *, include_kept_out: bool = True) -> npt.NDArray[np.int64]:
        """Return the joint held-out score of every good *part*, by which the threshold is chosen.

        It is the score of the map, unless a displacement is judged and weighs more: int64 ``(parts,)``
        levels. Arguments and errors as for :meth:`parts`.
        """
        return self.parts(min_area, include_kept_out=include_kept_out).joint

    def pixel_histogram(self) -> npt.NDArray[np.int64]:
        """Return the scored pixels per level over the held-out maps of all good parts: int64 ``(65536,)``."""
        with self._computing:
            if self._histogram is None:
                histogram = np.zeros(MAX_LEVEL + 1, np.int64)
                for index, normal in enumerate(self.fitted.normals[: len(self.fitted.held_out)]):
                    if normal.in_calibration and not normal.lost:
                        scored = self.scored_area(normal.original_size, normal.pose)
                        histogram += np.bincount(self.held_out_map(index)[scored], minlength=MAX_LEVEL + 1)
                self._histogram = histogram
            return self._histogram

    def scored_area(self, original_size: tuple[int, int], pose: Pose | None = None) -> npt.NDArray[np.bool_]:
        """Return the scored pixels of an image's map: bool ``(h, w)``.

        They are inside the region of interest and show the image, not its padding or what is beside it.

        Args:
            original_size: (height, width) of the image.
            pose: pose of the part in it, for models that locate parts.
        """
        size = self._shape
        roi = both(self.scored, self.shown(self.placement(pose, original_size), original_size))
        return np.broadcast_to(inside(size, roi, self.content_box(original_size)) > 0, size)

    # --- thresholds ----------------------------------------------------------------------------------

    def threshold(self, choice: Choice, min_area: int) -> Threshold:
        """Compute the threshold of a choice of percentile or value.

        Args:
            choice: how the threshold is chosen.
            min_area: the smallest region that counts, in map pixels.

        Raises:
            CalibrationError: the choice is a percentile, and there are no held-out scores.
            BeyondScaleError: the threshold is beyond the scale of the levels: nothing would be rejected.
        """
        found = self._threshold(choice, min_area)
        if found.level > HIGHEST_THRESHOLD:
            # There is no level above the last one: every image would be accepted.
            ends = f"this model's scale, which ends at {self.fitted.quantizer.highest_threshold:.4g}"
            if found.basis == "manual":
                raise BeyondScaleError(
                    f"the threshold set by hand, {choice.value:.6g}, is beyond {ends}: set another one"
                )
            lost = [n.name for n in self.fitted.normals if n.in_calibration and n.lost]
            if lost and self.joint is not None and self.joint.on_lost == "reject":
                raise BeyondScaleError(
                    f"the percentile is beyond every threshold: in {count(len(lost), 'good image')} the part "
                    f"was not found (first {lost[0]}); widen the limits of locating, take out as not good "
                    "what shows no part, or set the threshold by hand"
                )
            raise BeyondScaleError(
                f"the percentile is the score of a good part beyond {ends}: take that part out as not good, "
                "or set the threshold by hand"
            )
        return found

    def _threshold(self, choice: Choice, min_area: int) -> Threshold:
        if choice.basis == "manual":
            assert choice.value is not None  # guaranteed by Choice
            return Threshold(self.fitted.quantizer.to_level(choice.value), "manual")
        if choice.basis == "image":
            return self.parts(min_area).threshold(choice.permille)
        if self.fitted.calibration == "none":
            self.image_levels(min_area)  # raises the error that says what is missing
        histogram = self.pixel_histogram()
        if not histogram.any():
            raise CalibrationError("no pixel of the good parts is inside the region of interest; redraw it")
        return pixel_threshold(histogram, choice.permille)

    def verdict_rates(
        self, limits: VerdictLimits, min_area: int, *, include_kept_out: bool = True
    ) -> VerdictRates:
        """Estimate the shares of good parts that are rejected, and that are rejected or in review.

        Args:
            limits: the limits of the verdicts, from the threshold and guard band.
            min_area, include_kept_out: as for :meth:`false_rejects`.

        Raises:
            CalibrationError: fewer than three parts are in the fit.
        """
        parts = self.parts(min_area, include_kept_out=include_kept_out)
        return verdict_rates(parts, limits, self.fitted.quantizer)

    def false_rejects(self, level: int, min_area: int, *, include_kept_out: bool = True) -> FalseRejectRate:
        """Estimate the share of good parts whose joint score is above a level, with its upper bound.

        Args:
            level: the threshold as a level.
            min_area: the smallest region that counts, in map pixels.
            include_kept_out: whether to include good parts that were excluded from the fit.

        Raises:
            CalibrationError: fewer than three parts are in the fit.
        """
        return false_reject_rate(self.joint_scores(min_area, include_kept_out=include_kept_out), level)
