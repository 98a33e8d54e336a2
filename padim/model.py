"""Padim: fit on good parts, score test pictures, decide.

The fitted model is a pure function of the normals' embeddings (the spool), of which normals are in the
fit, of how they group into parts, and of the config. Excluding a picture, undoing that, continuing a fit or
regrouping therefore all end in the same recomputation (:meth:`Padim._refit`), with the same batch
boundaries, and give the same bits as having fitted so from the start.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from padim import bundle
from padim.calibration import (
    FEWEST_PARTS,
    Basis,
    FalseRejectRate,
    Threshold,
    false_reject_rate,
    image_threshold,
    pixel_threshold,
    to_permille,
)
from padim.config import PadimConfig, explain
from padim.errors import BundleError, CalibrationError, NotFittedError, PadimError
from padim.features import FeatureExtractor, draw_channels, open_extractor
from padim.gaussian import LeaveOut, Regularization, squared_distances, whitening
from padim.images import Box, Preprocess
from padim.maps import Decision, Quantizer, decide, judged_map, region_score, upsample_and_smooth
from padim.normals import Groups, Normal, Status, Thumbnails, group_of, join_duplicates
from padim.pipeline import RGB, Cancel, Image, OnError, Prepared, Progress, Watch, batches
from padim.scorer import Scorer
from padim.spool import Spool
from padim.statistics import PatchStatistics

Calibration = Literal["exact", "stale", "none"]

# Fixed, so that statistics have the same batch boundaries however the pictures arrived.
WINDOW = 16
# Head room of the judged map above the normals' largest held-out value (DESIGN 4.4).
HEAD_ROOM = 16.0
MAX_LEVEL = 65535


@dataclass(frozen=True)
class ScoredImage:
    """All that verdicts need of one picture; no threshold is in it.

    Attributes:
        name: file name as given.
        sha256: of the file's bytes (of the pixels, if given as an array).
        original_size: (height, width) in pixels.
        content_box: where the picture lies in the map, None when it fills it.
        grid: float32 ``(grid, grid)``, Mahalanobis distances.
        map: uint16 ``(input_size, input_size)``, the judged map.
        score: level that the strongest region of at least ``min_area`` reaches.
    """

    name: str
    sha256: str
    original_size: tuple[int, int]
    content_box: Box | None
    grid: npt.NDArray[np.float32]
    map: npt.NDArray[np.uint16]
    score: int


@dataclass(frozen=True)
class Choice:
    """How the threshold is chosen: a percentile of a basis, or a value by hand (in map units)."""

    basis: Basis = "image"
    permille: int = 950
    value: float | None = None

    def __post_init__(self) -> None:
        if self.basis not in get_args(Basis):
            raise ValueError(f"basis must be one of {', '.join(get_args(Basis))}, got '{self.basis}'")
        if isinstance(self.permille, bool) or not isinstance(self.permille, int):
            raise ValueError(f"permille must be a whole number, got {self.permille!r}")
        if not 0 < self.permille < 1000:
            raise ValueError(f"permille must be between 1 and 999, got {self.permille}")
        if self.value is None:
            if self.basis == "manual":
                raise ValueError("basis 'manual' needs a value")
        elif not (np.isfinite(self.value) and self.value >= 0):
            raise ValueError(f"the threshold must be a number of at least 0, got {self.value}")


@dataclass(frozen=True)
class _Fitted:
    normals: tuple[Normal, ...]
    mean: npt.NDArray[np.float32]
    whitener: npt.NDArray[np.float32]
    held_out: npt.NDArray[np.float32]
    quantizer: Quantizer
    calibration: Calibration


class Padim:
    """Patch Distribution Modeling (Defard et al., 2020, arXiv 2011.08785).

    Attributes:
        config: every choice, including ``min_area``; immutable, replaced by :meth:`set_decision`.
        choice: how the threshold is chosen.
        normals_: the normal pictures, in the order they came.
        calibration_: ``exact``; ``stale`` after a continued fit without the normals' embeddings; ``none``
            with fewer than three parts.
        work_dir: where the spool and the thumbnails are while the model is worked on.
    """

    def __init__(self, config: PadimConfig | None = None, *, work_dir: str | Path | None = None) -> None:
        """
        Args:
            config: defaults to ``PadimConfig()``.
            work_dir: a folder for the normals' embeddings; without it a temporary one, gone with the model.

        Raises:
            BackboneError: unknown backbone or layer.
        """
        self.config = config or PadimConfig()
        self.choice = Choice()
        self._temporary = None if work_dir else tempfile.TemporaryDirectory(prefix="padim-")
        self.work_dir = Path(work_dir or self._temporary.name)  # type: ignore[union-attr]
        self._backbone_onnx: bytes | None = None
        self._extractor: FeatureExtractor | None = None
        self._fitted: _Fitted | None = None
        self._scorer: Scorer | None = None
        self._roi: npt.NDArray[np.bool_] | None = None
        self._levels: dict[int, npt.NDArray[np.int64]] = {}
        self._histogram: npt.NDArray[np.int64] | None = None
        self._spool_folder = self.work_dir / "spool"
        self._thumbnails = Thumbnails(self.work_dir / "thumbnails.bin")
        self._lock = threading.RLock()

    # --- what the model is made of -----------------------------------------------------------------

    @property
    def extractor(self) -> FeatureExtractor:
        """The shared session that gives the embeddings."""
        if self._extractor is None:
            self._extractor = open_extractor(self.config, self._backbone_onnx)
        return self._extractor

    @property
    def channels(self) -> npt.NDArray[np.int64]:
        """int64 ``(d,)``: the channels kept."""
        return draw_channels(self.extractor.channels, self.config.n_features, self.config.seed)

    @property
    def preprocess(self) -> Preprocess:
        """From a decoded picture to the network's input."""
        return Preprocess(size=self.config.input_size, fit=self.config.fit)

    @property
    def _regularization(self) -> Regularization:
        return Regularization(self.config.eps, self.config.shrinkage)

    def _state(self) -> _Fitted:
        if self._fitted is None:
            raise NotFittedError("the model has not been fitted; call fit() with pictures of good parts")
        return self._fitted

    @property
    def fitted(self) -> bool:
        """Whether there is a model at all."""
        return self._fitted is not None

    @property
    def normals_(self) -> tuple[Normal, ...]:
        return self._state().normals

    @property
    def calibration_(self) -> Calibration:
        return self._state().calibration

    @property
    def mean_(self) -> npt.NDArray[np.float32]:
        """float32 ``(p, d)``: mean embedding at every position."""
        return self._state().mean

    @property
    def whitener_(self) -> npt.NDArray[np.float32]:
        """float32 ``(p, d, d)``: ``L^-T`` of every position's covariance."""
        return self._state().whitener

    @property
    def held_out_(self) -> npt.NDArray[np.float32]:
        """float32 ``(n, grid, grid)``: every normal's distances to the Gaussians without its part."""
        return self._state().held_out

    @property
    def quantizer(self) -> Quantizer:
        """From map units to the levels of the judged map."""
        return self._state().quantizer

    # --- fitting -----------------------------------------------------------------------------------

    def fit(
        self,
        images: Iterable[Image],
        *,
        groups: Groups = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Self:
        """Fit on pictures of good parts, and calibrate on their held-out scores.

        Args:
            images: (name, file bytes or uint8 RGB array) pairs; read once, never held in memory.
            groups: name to part, for parts photographed more than once; identical files are always
                one part.
            progress: called as (done, total or None, stage).
            cancel: asked between batches; True stops.
            on_error: takes pictures that cannot be used; without it the first one raises.

        Raises:
            Cancelled: the model is as it was before.
            ImageError: a picture cannot be used and ``on_error`` is not given.
            PadimError: no picture could be used.
        """
        return self._extend(images, (), groups, Watch(progress, cancel, on_error))

    def partial_fit(
        self,
        images: Iterable[Image],
        *,
        groups: Groups = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Self:
        """Continue the fit with more normals; arguments and errors as :meth:`fit`.

        With the spool at hand the result is, bit for bit, that of one fit on all of them. Without it the
        statistics are continued from the checkpoint and the calibration is marked ``stale``.
        """
        watch = Watch(progress, cancel, on_error)
        former = self._fitted.normals if self._fitted else ()
        if former and not self.has_spool:
            return self._continue_from_checkpoint(images, groups, watch)
        return self._extend(images, former, groups, watch)

    def _extend(
        self,
        images: Iterable[Image],
        former: tuple[Normal, ...],
        groups: Groups,
        watch: Watch,
    ) -> Self:
        with self._lock:
            fresh = not former
            kept = (self._spool_folder, self._thumbnails)
            if fresh:
                # A new fit is made beside the former one, which goes only once the new one has succeeded.
                shutil.rmtree(self.work_dir / "new", ignore_errors=True)
                self._spool_folder = self.work_dir / "new" / "spool"
                self._thumbnails = Thumbnails(self.work_dir / "new" / "thumbnails.bin")
            spool = self._open_spool()
            records, pictures = len(former), self._thumbnails.nbytes
            spool.truncate(records)
            try:
                added = self._spool_images(spool, images, groups, records, watch)
                if not added and fresh:
                    raise PadimError("none of the pictures could be used; the model needs at least one")
                self._refit(join_duplicates([*former, *added]), watch)
            except BaseException:
                spool.truncate(records)
                self._thumbnails.truncate(pictures)
                if fresh:
                    shutil.rmtree(self.work_dir / "new", ignore_errors=True)
                    self._spool_folder, self._thumbnails = kept
                raise
            if fresh:
                shutil.rmtree(self.work_dir / "spool", ignore_errors=True)
                self._checkpoint.unlink(missing_ok=True)
                for name in ("spool", "thumbnails.bin"):
                    (self.work_dir / "new" / name).replace(self.work_dir / name)
                (self.work_dir / "new").rmdir()
                self._spool_folder = self.work_dir / "spool"
                self._thumbnails = Thumbnails(self.work_dir / "thumbnails.bin")
        return self

    def _spool_images(
        self,
        spool: Spool,
        images: Iterable[Image],
        groups: Groups,
        first_index: int,
        watch: Watch,
    ) -> list[Normal]:
        normals: list[Normal] = []
        for batch in self._batches(images, watch, "Reading pictures", with_thumbnail=True):
            spool.append(self.extractor(np.stack([item.rgb for item in batch])))
            normals += self._records(batch, groups, first_index + len(normals))
        return normals

    def _records(self, batch: Sequence[Prepared], groups: Groups, first_index: int) -> list[Normal]:
        """Entries for new normals; a group name given by the user cannot collide with a number of ours."""
        normals = []
        for index, item in enumerate(batch, start=first_index):
            named = group_of(groups, item.name)
            group = f"#{index}" if named is None else f"part {named}"
            place = self._thumbnails.append(item.thumbnail or b"")
            normals.append(Normal(item.name, item.sha256, group, "fit", item.original_size, place))
        return normals

    def _batches(
        self,
        images: Iterable[Image],
        watch: Watch,
        stage: str,
        *,
        with_thumbnail: bool = False,
        batch_size: int | None = None,
    ) -> Iterator[list[Prepared]]:
        size = batch_size or self.extractor.batch_size()
        return batches(images, self.preprocess, size, watch, stage, with_thumbnail=with_thumbnail)

    def _rows(self, normals: Sequence[Normal], status: Status = "fit") -> list[list[int]]:
        """Indices with that status, in windows whose borders do not depend on who is in them."""
        windows = (
            range(start, min(start + WINDOW, len(normals))) for start in range(0, len(normals), WINDOW)
        )
        chosen = ([row for row in window if normals[row].status == status] for window in windows)
        return [rows for rows in chosen if rows]

    def statistics(
        self, normals: Sequence[Normal] | None = None, tick: Callable[[int], None] = lambda count: None
    ) -> PatchStatistics:
        """Count, mean and scatter of the normals in the fit: from the spool, or from the checkpoint.

        Raises:
            PadimError: neither is at hand.
        """
        if not self.has_spool and normals is None:
            return PatchStatistics.load(self._checkpoint)
        spool = self._open_spool()
        statistics = PatchStatistics(self.config.grid**2, len(self.channels))
        for rows in self._rows(self.normals_ if normals is None else normals):
            statistics.update(spool.read(rows, self.channels))
            tick(len(rows))
        return statistics

    def _refit(self, normals: tuple[Normal, ...], watch: Watch) -> None:
        """Everything that follows from the spool and from which normals are in the fit."""
        total = 2 * len(normals)
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            watch.step(min(done, total), total, "Learning what is normal")

        statistics = self.statistics(normals, tick)
        if statistics.count == 0:
            raise PadimError("no picture would be left in the fit; keep at least one")
        whitener = whitening(statistics, self._regularization, statistics.count - 1)
        held_out, calibration = self._held_out(normals, statistics, whitener, tick)
        quantizer = self._fix_quantizer(normals, held_out, statistics.mean)
        if done < total:
            tick(total - done)  # pictures out of the fit, or too few to calibrate, skip a pass
        self._replace(
            _Fitted(
                normals,
                statistics.mean.astype(np.float32),
                whitener.astype(np.float32),
                held_out,
                quantizer,
                calibration,
            )
        )

    def _replace(self, fitted: _Fitted) -> None:
        self._fitted = fitted
        self._scorer = None
        self._levels = {}
        self._histogram = None

    def _held_out(
        self,
        normals: Sequence[Normal],
        statistics: PatchStatistics,
        whitener: npt.NDArray[np.float64],
        tick: Callable[[int], None],
    ) -> tuple[npt.NDArray[np.float32], Calibration]:
        """Distance grids of every normal to Gaussians that its part is not in."""
        spool, grid = self._open_spool(), self.config.grid
        result = np.zeros((len(normals), grid, grid), np.float32)

        def keep(rows: Sequence[int], squared: npt.NDArray[np.float64]) -> None:
            result[list(rows)] = np.sqrt(squared).reshape(-1, grid, grid)
            tick(len(rows))

        members: dict[str, list[int]] = defaultdict(list)
        for row, normal in enumerate(normals):
            if normal.status == "fit":
                members[normal.group].append(row)
        for status in ("kept_out", "not_good"):
            for rows in self._rows(normals, status):
                x = spool.read(rows, self.channels)
                keep(rows, squared_distances(x, statistics.mean, whitener))
        if len(members) < FEWEST_PARTS:
            return result, "none"
        for size in sorted({len(rows) for rows in members.values()}):
            leave_out = LeaveOut(statistics, self._regularization, size)
            groups = [rows for rows in members.values() if len(rows) == size]
            # Pictures that are parts of their own go through in batches, larger groups one by one.
            batches = (
                [list(itertools.chain(*groups[i : i + WINDOW])) for i in range(0, len(groups), WINDOW)]
                if size == 1
                else groups
            )
            for rows in batches:
                keep(rows, leave_out.squared_distances(spool.read(rows, self.channels)))
        return result, "exact"

    def _fix_quantizer(
        self, normals: Sequence[Normal], held_out: npt.NDArray[np.float32], mean: npt.NDArray[np.floating]
    ) -> Quantizer:
        peak = 0.0
        for rows in self._rows(normals[: len(held_out)]):
            smooth = upsample_and_smooth(held_out[rows], self.config.input_size, self.config.smoothing_sigma)
            peak = max(peak, float(smooth.max()))
        # One or two parts, or perfectly equal ones, have no spread of their own to scale by: the distance
        # of an all-zero embedding from the mean then stands for "quite different".
        strange = float(np.linalg.norm(mean, axis=1).max()) / np.sqrt(self._regularization.floor)
        full_scale = HEAD_ROOM * peak if peak > 0 else max(4 * strange, 1.0)
        return Quantizer(offset=0.0, step=full_scale / MAX_LEVEL)

    # --- who is in the fit -------------------------------------------------------------------------

    def exclude(
        self,
        index: int,
        reason: Literal["not_good", "kept_out"],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Self:
        """Take a part out of the fit, exactly: as if it had never been in.

        All pictures of the part leave together, else the remaining ones would vouch for it.

        Args:
            index: of any of its pictures in ``normals_``.
            reason: ``not_good`` (not a normal part at all: it leaves the calibration too) or ``kept_out``
                (good, but odd: it stays in the calibration as an unseen picture).

        Raises:
            PadimError: no embeddings at hand, or nothing would be left.
        """
        if reason not in ("not_good", "kept_out"):
            raise ValueError(f"reason must be 'not_good' or 'kept_out', got '{reason}'")
        return self._set_status(index, reason, Watch(progress, cancel))

    def include(self, index: int, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Self:
        """Put a part back: after :meth:`exclude`, the former model bit for bit."""
        return self._set_status(index, "fit", Watch(progress, cancel))

    def _set_status(self, index: int, status: Status, watch: Watch) -> Self:
        with self._lock:
            group = self.normals_[index].group
            return self._recompute(
                tuple(
                    replace(normal, status=status) if normal.group == group else normal
                    for normal in self.normals_
                ),
                watch,
            )

    def regroup(
        self, groups: Groups, *, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Self:
        """State anew which pictures show the same part; only the held-out scores change."""
        with self._lock:
            normals = []
            for index, normal in enumerate(self.normals_):
                named = group_of(groups, normal.name)
                normals.append(replace(normal, group=f"#{index}" if named is None else f"part {named}"))
            return self._recompute(join_duplicates(normals), Watch(progress, cancel))

    def _recompute(self, normals: tuple[Normal, ...], watch: Watch) -> Self:
        if not self.has_spool:
            raise PadimError(
                "the normals' features were deleted; give the same pictures again with rebuild_spool()"
            )
        self._refit(normals, watch)
        return self

    # --- spool and checkpoint ----------------------------------------------------------------------

    def _open_spool(self) -> Spool:
        extractor = self.extractor
        return Spool(self._spool_folder, extractor.identity, extractor.channels, extractor.grid**2)

    @property
    def _checkpoint(self) -> Path:
        return self.work_dir / "checkpoint.npz"

    @property
    def has_spool(self) -> bool:
        """Whether the normals' embeddings are at hand, complete."""
        if not self._spool_folder.is_dir():
            return False
        return self._fitted is None or len(self._open_spool()) >= len(self._fitted.normals)

    @property
    def spool_bytes(self) -> int:
        """Size of the embeddings on disk."""
        return sum(file.stat().st_size for file in self._spool_folder.glob("*"))

    def save_checkpoint(self) -> Path:
        """Write the float64 statistics beside the spool, to continue the fit without it."""
        self.statistics().save(self._checkpoint)
        return self._checkpoint

    def delete_spool(self) -> None:
        """Free the disk; a checkpoint is kept, so that the fit can still be continued."""
        with self._lock:
            if self._fitted is not None and self.has_spool:
                self.save_checkpoint()
            self._open_spool().delete()

    def rebuild_spool(
        self,
        images: Iterable[Image],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Self:
        """Read the same pictures again, after :meth:`delete_spool`; they are known by their content.

        Raises:
            PadimError: pictures are missing; names the first of them. No spool is left then.
        """
        with self._lock:
            watch = Watch(progress, cancel, on_error)
            wanted = {normal.sha256: normal.name for normal in self.normals_}
            again = Spool(
                self.work_dir / "new" / "spool",
                self.extractor.identity,
                self.extractor.channels,
                self.config.grid**2,
            )
            again.truncate(0)
            found: dict[str, int] = {}
            try:
                for batch in self._batches(images, watch, "Reading pictures"):
                    items = {item.sha256: item for item in batch if item.sha256 in wanted}
                    fresh = [item for sha, item in items.items() if sha not in found]
                    if fresh:
                        again.append(self.extractor(np.stack([item.rgb for item in fresh])))
                        for item in fresh:
                            found[item.sha256] = len(found)
                missing = [name for sha, name in wanted.items() if sha not in found]
                if missing:
                    raise PadimError(
                        f"{len(missing)} of the {len(wanted)} pictures are missing, first {missing[0]}; "
                        "give the very files that the model was fitted on"
                    )
                spool = self._open_spool()
                spool.truncate(0)
                everything = np.arange(again.channels)
                for normal in self.normals_:
                    record = again.read([found[normal.sha256]], everything)
                    spool.append(np.ascontiguousarray(record.transpose(0, 2, 1)))
            finally:
                shutil.rmtree(self.work_dir / "new", ignore_errors=True)
            # The same bits as before, unless the fit was continued meanwhile: then no longer stale.
            self._refit(self.normals_, watch)
        return self

    def _continue_from_checkpoint(
        self,
        images: Iterable[Image],
        groups: Groups,
        watch: Watch,
    ) -> Self:
        with self._lock:
            state = self._state()
            if not self._checkpoint.exists():
                raise PadimError(
                    "neither the normals' features nor a checkpoint are here; "
                    "give all pictures to fit() again"
                )
            statistics = PatchStatistics.load(self._checkpoint)
            if statistics.count != sum(normal.status == "fit" for normal in state.normals):
                # A session that ended between the two saves; counting its pictures again would be silent.
                raise PadimError(
                    f"the checkpoint holds {statistics.count} pictures and the model another number; "
                    "give the model's pictures again with rebuild_spool()"
                )
            pictures = self._thumbnails.nbytes
            added: list[Normal] = []
            try:
                for batch in self._batches(images, watch, "Reading pictures", with_thumbnail=True):
                    embedding = self.extractor(np.stack([item.rgb for item in batch]))
                    chosen = embedding.reshape(len(batch), embedding.shape[1], -1)[:, self.channels]
                    statistics.update(chosen.transpose(0, 2, 1))
                    added += self._records(batch, groups, len(state.normals) + len(added))
                if not added:
                    return self
                whitener = whitening(statistics, self._regularization, statistics.count - 1)
                statistics.save(self._checkpoint)
            except BaseException:
                self._thumbnails.truncate(pictures)
                raise
            self._replace(
                replace(
                    state,
                    normals=join_duplicates([*state.normals, *added]),
                    mean=statistics.mean.astype(np.float32),
                    whitener=whitener.astype(np.float32),
                    calibration="none" if state.calibration == "none" else "stale",
                )
            )
        return self

    # --- scoring -----------------------------------------------------------------------------------

    @property
    def scorer(self) -> Scorer:
        """The distance session with this model's Gaussians."""
        with self._lock:
            if self._scorer is None:
                self._scorer = Scorer(self.extractor, self.mean_, self.whitener_, self.channels)
            return self._scorer

    def score(
        self,
        images: Iterable[Image],
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Iterator[ScoredImage]:
        """Score pictures one batch after another; memory does not grow with their number.

        Arguments and errors as :meth:`fit`; ``batch_size`` defaults to what suits the input size.
        """
        self._state()
        watch = Watch(progress, cancel, on_error)
        for batch in self._batches(images, watch, "Scoring pictures", batch_size=batch_size):
            grids = self.scorer.grids(np.stack([item.rgb for item in batch]))
            for item, grid in zip(batch, grids, strict=True):
                q = self._judge(grid, item.original_size)
                yield ScoredImage(
                    item.name,
                    item.sha256,
                    item.original_size,
                    self._content_box(item.original_size),
                    grid,
                    q,
                    region_score(q, self.config.min_area),
                )

    def _content_box(self, original_size: tuple[int, int]) -> Box | None:
        return self.preprocess.content_box(original_size) if self.config.fit == "pad" else None

    def _judge(self, grid: npt.NDArray[np.float32], original_size: tuple[int, int]) -> npt.NDArray[np.uint16]:
        return judged_map(
            grid,
            size=self.config.input_size,
            sigma=self.config.smoothing_sigma,
            quantizer=self.quantizer,
            roi=self._roi,
            content_box=self._content_box(original_size),
        )

    def _judged_area(self, original_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        area = np.ones((self.config.input_size,) * 2, bool) if self._roi is None else self._roi.copy()
        box = self._content_box(original_size)
        if box is not None:
            inside = np.zeros_like(area)
            inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
            area &= inside
        return area

    def judge_arrays(self, rgb: RGB) -> tuple[npt.NDArray[np.uint16], list[int]]:
        """The scoring path without files: pictures at input size to judged maps and scores.

        Args:
            rgb: uint8 ``(n, input_size, input_size, 3)``.

        Returns:
            uint16 ``(n, input_size, input_size)`` and n scores.
        """
        size = (self.config.input_size, self.config.input_size)
        maps = np.stack([self._judge(grid, size) for grid in self.scorer.grids(rgb)])
        return maps, [region_score(q, self.config.min_area) for q in maps]

    def decide(
        self, scored: ScoredImage, threshold: int | None = None, min_area: int | None = None
    ) -> Decision:
        """Mask, regions and verdict at the model's threshold, or at another.

        Raises:
            CalibrationError: the model has no threshold and none is given.
        """
        if threshold is None:
            threshold = self.threshold_level
        return decide(
            scored.map,
            threshold,
            self.config.min_area if min_area is None else min_area,
            original_size=scored.original_size,
            content_box=scored.content_box,
        )

    # --- calibration -------------------------------------------------------------------------------

    def held_out_map(self, index: int) -> npt.NDArray[np.uint16]:
        """Judged map of a normal that the model judging it did not contain.

        Raises:
            CalibrationError: that normal has no held-out distances.
        """
        if self.calibration_ == "none" or index >= len(self.held_out_):
            raise CalibrationError(f"{self.normals_[index].name}: has no held-out map")
        return self._judge(self.held_out_[index], self.normals_[index].original_size)

    def image_levels(self, min_area: int | None = None) -> npt.NDArray[np.int64]:
        """Held-out score of every normal picture, in or out of the fit: int64 ``(n,)`` levels."""
        if self.calibration_ == "none":
            raise CalibrationError(
                f"held-out scores need at least {FEWEST_PARTS} parts in the fit; add pictures of good parts"
            )
        area = self.config.min_area if min_area is None else min_area
        with self._lock:
            if area not in self._levels:
                scores = (
                    region_score(self.held_out_map(index), area) for index in range(len(self.held_out_))
                )
                self._levels[area] = np.fromiter(scores, np.int64, len(self.held_out_))
            return self._levels[area]

    def held_out_scores(
        self, min_area: int | None = None, *, include_kept_out: bool = True
    ) -> npt.NDArray[np.int64]:
        """Held-out score of every good *part*, the maximum over its pictures: int64 ``(parts,)`` levels."""
        levels = self.image_levels(min_area)
        best: dict[str, int] = {}
        for normal, level in zip(self.normals_, levels, strict=False):
            if normal.status == "fit" or (include_kept_out and normal.status == "kept_out"):
                best[normal.group] = max(best.get(normal.group, 0), int(level))
        return np.fromiter(best.values(), np.int64, len(best))

    def pixel_histogram(self) -> npt.NDArray[np.int64]:
        """Pixels per level over the held-out maps of all good parts: int64 ``(65536,)``."""
        with self._lock:
            if self._histogram is None:
                histogram = np.zeros(MAX_LEVEL + 1, np.int64)
                for index, normal in enumerate(self.normals_[: len(self.held_out_)]):
                    if normal.status == "not_good":
                        continue
                    # Pixels outside the region of interest or in the padding are nobody's pixels.
                    judged = self._judged_area(normal.original_size)
                    histogram += np.bincount(self.held_out_map(index)[judged], minlength=MAX_LEVEL + 1)
                self._histogram = histogram
            return self._histogram

    def threshold_for(self, choice: Choice, min_area: int | None = None) -> Threshold:
        """What a choice of percentile or value comes to.

        Raises:
            CalibrationError: a percentile, and there are no held-out scores.
        """
        if choice.basis == "manual":
            if choice.value is None:
                raise ValueError("a threshold by hand needs a value")
            return Threshold(self.quantizer.to_level(choice.value), "manual")
        if choice.basis == "pixel":
            if self.calibration_ == "none":
                self.image_levels()
            return pixel_threshold(self.pixel_histogram(), choice.permille)
        return image_threshold(self.held_out_scores(min_area), choice.permille)

    @property
    def threshold_(self) -> Threshold | None:
        """The threshold in use; None for a percentile of fewer than three parts."""
        if self.calibration_ == "none" and self.choice.basis != "manual":
            return None
        return self.threshold_for(self.choice)

    @property
    def threshold_level(self) -> int:
        """The level in use.

        Raises:
            CalibrationError: there is none.
        """
        threshold = self.threshold_
        if threshold is None:
            raise CalibrationError(
                f"there is no threshold yet: it takes at least {FEWEST_PARTS} good parts, or a value by hand"
            )
        return threshold.level

    def false_rejects(
        self, level: int | None = None, min_area: int | None = None, *, include_kept_out: bool = True
    ) -> FalseRejectRate:
        """Share of good parts to expect above a level (default: the one in use), with its bound."""
        scores = self.held_out_scores(min_area, include_kept_out=include_kept_out)
        return false_reject_rate(scores, self.threshold_level if level is None else level)

    def set_decision(
        self,
        *,
        basis: Basis | None = None,
        percentile: float | None = None,
        value: float | None = None,
        min_area: int | None = None,
        smoothing_sigma: float | None = None,
    ) -> Self:
        """Choose threshold, smallest region and smoothing; what is not given stays.

        Pictures scored before a change of smoothing were judged on other maps: score them again.

        Args:
            basis: ``image``, ``pixel`` or ``manual``; a ``value`` alone implies ``manual``.
            percentile: 0.1 to 99.9, in steps of 0.1.
            value: threshold by hand, in map units.
            min_area: map pixels.
            smoothing_sigma: map pixels.

        Raises:
            ValueError: a value out of range; nothing is changed then.
        """
        choice = self.choice
        if value is not None:
            choice = replace(choice, basis="manual", value=float(value))
        if basis is not None:
            choice = replace(choice, basis=basis)
        if percentile is not None:
            choice = replace(choice, permille=to_permille(percentile))
        given = {"min_area": min_area, "smoothing_sigma": smoothing_sigma}
        changes = {name: setting for name, setting in given.items() if setting is not None}
        config = PadimConfig.model_validate({**self.config.model_dump(), **changes})
        with self._lock:
            smoother = config.smoothing_sigma != self.config.smoothing_sigma
            self.choice, self.config = choice, config
            if smoother and self._fitted is not None:
                self._rejudge()
        return self

    @property
    def roi(self) -> npt.NDArray[np.bool_] | None:
        """bool ``(input_size, input_size)``: where defects count; None is everywhere."""
        return self._roi

    def set_roi(self, roi: npt.NDArray[np.bool_] | None) -> Self:
        """Judge only inside a region of interest, in map pixels; the normals' scores follow at once.

        Raises:
            ValueError: another shape or type, or nothing would be judged.
        """
        size = self.config.input_size
        if roi is not None:
            if roi.dtype != np.bool_ or roi.shape != (size, size):
                raise ValueError(f"roi must be bool ({size}, {size}), got {roi.dtype} {roi.shape}")
            if not roi.any():
                raise ValueError("the region of interest is empty: nothing would ever be judged")
            roi = roi.copy()
        with self._lock:
            self._roi = roi
            if self._fitted is not None:
                self._rejudge()
        return self

    def _rejudge(self) -> None:
        """Forget what was derived from the held-out grids, and fix the scale of the maps anew."""
        state = self._state()
        quantizer = self._fix_quantizer(state.normals, state.held_out, state.mean)
        self._replace(replace(state, quantizer=quantizer))

    def thumbnail(self, index: int) -> bytes:
        """JPEG of a normal, at most 512 px."""
        return self._thumbnails.read(self.normals_[index].thumbnail)

    # --- saving ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Save the bundle: all that scoring and calibration need, whole or not at all.

        Args:
            path: a folder, or a file ending in ``.zip``.
        """
        with self._lock:
            state, path = self._state(), Path(path)
            threshold = self.threshold_
            statuses = Counter(normal.status for normal in state.normals)
            manifest = {
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "method": "padim",
                "config": self.config.model_dump(mode="json"),
                "choice": asdict(self.choice),
                "threshold": asdict(threshold) if threshold else None,
                "calibration": state.calibration,
                "quantizer": asdict(state.quantizer),
                "counts": {
                    "images": len(state.normals),
                    "parts": len({n.group for n in state.normals if n.status == "fit"}),
                    "kept_out": statuses["kept_out"],
                    "not_good": statuses["not_good"],
                },
            }
            normals = json.dumps([normal.to_json() for normal in state.normals], ensure_ascii=False)
            bundle.write(
                path,
                manifest,
                {
                    "mean.npy": state.mean,
                    "whitener.npy": state.whitener,
                    "channels.npy": self.channels,
                    "held_out.npy": state.held_out,
                    "normals.json": normals.encode(),
                    "thumbnails.bin": self._thumbnails.path if self._thumbnails.nbytes else b"",
                    "backbone.onnx": self.extractor.backbone_onnx,
                    **({} if self._roi is None else {"roi.npy": self._roi.view(np.uint8)}),
                },
            )
        return path

    @classmethod
    def load(cls, path: str | Path, *, work_dir: str | Path | None = None) -> Padim:
        """Open a saved bundle; torch is not needed.

        Args:
            path: folder or ``.zip``.
            work_dir: where the spool and checkpoint of this model are, if kept.

        Raises:
            BundleError: missing, truncated, altered or of another version; names the file.
        """
        saved = bundle.Bundle(path)
        try:
            config = PadimConfig.model_validate(saved.manifest["config"])
            choice = Choice(**saved.manifest["choice"])
            quantizer = Quantizer(**saved.manifest["quantizer"])
            calibration: Calibration = saved.manifest["calibration"]
            if calibration not in get_args(Calibration):
                raise ValueError(f"calibration '{calibration}'")
            normals = tuple(Normal.from_json(entry) for entry in json.loads(saved.bytes("normals.json")))
        except ValidationError as error:
            raise BundleError(f"{path}: {bundle.MANIFEST}: {explain(error)}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{path}: {bundle.MANIFEST} is incomplete ({error})") from error
        model = cls(config, work_dir=work_dir)
        model.choice = choice
        model._backbone_onnx = saved.bytes("backbone.onnx")
        mean = saved.array("mean.npy", np.float32, 2)
        whitener = saved.array("whitener.npy", np.float32, 3)
        held_out = saved.array("held_out.npy", np.float32, 3)
        channels = saved.array("channels.npy", np.int64, 1)
        p, d = config.grid**2, len(channels)
        if (
            mean.shape != (p, d)
            or whitener.shape != (p, d, d)
            or held_out.shape[1:] != (config.grid, config.grid)
            or len(held_out) > len(normals)
            or not np.array_equal(channels, model.channels)
        ):
            raise BundleError(f"{path}: the arrays do not fit the configuration")
        if "roi.npy" in saved.manifest["files"]:
            roi = saved.array("roi.npy", np.uint8, 2)
            if roi.shape != (config.input_size,) * 2:
                raise BundleError(f"{path}: roi.npy does not fit the configuration")
            model._roi = roi != 0
        if not model._has_thumbnails_of(saved):
            saved.copy("thumbnails.bin", model._thumbnails.path)
        model._replace(_Fitted(normals, mean, whitener, held_out, quantizer, calibration))
        return model

    def _has_thumbnails_of(self, saved: bundle.Bundle) -> bool:
        """Whether the working copy is already there (a former session's), at its full length."""
        return self._thumbnails.nbytes == saved.manifest["files"].get("thumbnails.bin", {}).get("bytes", -1)
