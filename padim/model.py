"""Padim: fit on good parts, score test pictures, decide.

This file holds the verbs and the files they keep; what fitting computes is in ``fitting.py``, what a
decision is made of in ``scoring.py``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from padim.config import BEFORE_IT_WAS_A_SETTING, PadimConfig, explain
from padim.data.inputs import as_images
from padim.data.loading import RGB, Cancel, Named, OnError, Prepared, Progress, Watch, batches
from padim.data.preprocess import Preprocess
from padim.decision.anomaly_map import Quantizer
from padim.decision.calibration import FEWEST_PARTS, Basis, Choice, FalseRejectRate, Threshold, to_permille
from padim.decision.guard_band import Guard, Verdict, verdict_of
from padim.decision.prediction import Prediction
from padim.decision.regions import region_score
from padim.decision.roi import MAX_SHAPES, Shape
from padim.decision.roi import from_json as shapes_from_json
from padim.decision.roi import to_json as shapes_to_json
from padim.decision.scorer import NO_NUMBERS, Scorer
from padim.errors import (
    BeyondScaleError,
    BundleError,
    CalibrationError,
    DamagedError,
    ImageError,
    NotFittedError,
    PadimError,
)
from padim.fitting import Fitted, learn, scale, with_room_for
from padim.methods import catalogue, lookup
from padim.methods.base import Calibration, Losses, Task
from padim.methods.factor import Factor
from padim.methods.moments import PatchStatistics
from padim.methods.padim import PatchGaussians, gather, of_statistics
from padim.methods.requirements import check_can_fit
from padim.network import backbone
from padim.network.detector import Detector
from padim.network.extractor import FeatureExtractor, draw_channels, open_extractor
from padim.scoring import Judge
from padim.scoring_identity import scoring_files
from padim.storage import bundle
from padim.storage.feature_store import Spool
from padim.storage.image_store import Pictures
from padim.storage.leftovers import ScratchFolder
from padim.storage.normals import Groups, Normal, Status, group_of, join_duplicates
from padim.storage.resume import Done, Unfinished
from padim.storage.thumbnails import SavedThumbnails, Thumbnails
from padim.storage.working_set import WORK, Taken, copy_features, naming_damage
from padim.text import clipped

__all__ = ["Choice", "Padim", "Prediction"]

# Longest side in pixels of what the bundle keeps of each normal.
THUMBNAIL_SIDE = 512

# New normals, and their embeddings of the kept channels: float32 ``(n, p, d)``.
_Embedded: TypeAlias = tuple[list[Normal], npt.NDArray[np.float32]]


class Padim:
    """Patch Distribution Modeling (Defard et al., 2020, arXiv 2011.08785), and the other methods behind the
    same verbs: ``config.method`` says which.

    Scoring and reading may go on in other threads while a fit or an exclusion is at work in one: they see
    the former model until the new one is complete.

    Attributes:
        config: every choice, including ``min_area``; immutable, replaced by :meth:`set_decision`.
        choice: how the threshold is chosen.
        guard: the band around the threshold whose scores call for review; None is none.
    """

    def __init__(
        self, config: PadimConfig | None = None, *, work_dir: str | Path | None = None, **settings: Any
    ) -> None:
        """Choose the settings; nothing is read, written or loaded before the first fit.

        Args:
            config: all settings; default: ``PadimConfig()``.
            work_dir: a folder for the images' embeddings while the model is worked on; without it a temporary
                one, gone with the model.
            **settings: single ones, named as in :class:`padim.PadimConfig`; they count more than ``config``.

        Raises:
            ValueError: a setting that does not exist, or is out of range.
        """
        self.config = _with_settings(config, settings)
        self.choice = Choice()
        self.guard: Guard | None = None
        # What :meth:`set_layers` returns to where few layers have had fewer channels than that.
        self._features_asked = self.config.n_features
        self._temporary: ScratchFolder | None = None
        self._work_dir = None if work_dir is None else Path(work_dir)
        self._backbone_onnx: bytes | None = None
        self._provenance: dict[str, str] | None = None
        self._extractor: FeatureExtractor | None = None
        self._roi: npt.NDArray[np.bool_] | None = None
        self._roi_shapes: tuple[Shape, ...] = ()
        self._current: Judge | None = None
        # An opened model's are read out of its bundle; the working files are made by a change.
        self._kept_thumbnails: Thumbnails | SavedThumbnails | None = None
        # Held by whatever changes the model; readers take ``_current`` once and need no lock.
        self._writing = threading.RLock()

    def __repr__(self) -> str:
        given = [f"{name}={getattr(self.config, name)!r}" for name in sorted(self.config.model_fields_set)]
        if self._current is None:
            return f"Padim({', '.join([*given, 'not fitted'])})"
        parts = len({normal.group for normal in self.normals_ if normal.status == "fit"})
        threshold = self.current_threshold
        at = (
            "no threshold"
            if threshold is None
            else f"threshold {self.quantizer.to_value(threshold.level):.4g}"
        )
        return f"Padim({', '.join([*given, f'fitted on {parts} parts', at])})"

    def __sklearn_clone__(self) -> Padim:
        return Padim(self.config)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All settings by name, as scikit-learn's estimators give them; ``deep`` changes nothing here."""
        return {name: getattr(self.config, name) for name in type(self.config).model_fields}

    def set_params(self, **settings: Any) -> Self:
        """Change settings before a fit.

        Raises:
            ValueError: a setting that does not exist, or is out of range.
            PadimError: the model is fitted; what it was fitted with stays with it.
        """
        config = _with_settings(self.config, settings)
        if self._current is not None:
            raise PadimError(
                "the settings of a fitted model cannot be changed; set_decision changes how it decides, and "
                "Padim(model.config, ...) makes a new one"
            )
        self.config, self._features_asked, self._extractor = config, config.n_features, None
        return self

    @property
    def work_dir(self) -> Path:
        """Where embeddings and thumbnails are while the model is worked on; a temporary folder by default."""
        with self._writing:
            if self._work_dir is None:
                self._temporary = ScratchFolder()
                self._work_dir = Path(self._temporary.name)
            return self._work_dir

    @property
    def _thumbnails(self) -> Thumbnails | SavedThumbnails:
        with self._writing:
            if self._kept_thumbnails is None:
                self._kept_thumbnails = Thumbnails(self.work_dir / "thumbnails.bin")
            return self._kept_thumbnails

    @_thumbnails.setter
    def _thumbnails(self, thumbnails: Thumbnails | SavedThumbnails) -> None:
        self._kept_thumbnails = thumbnails

    # --- what the model is made of -----------------------------------------------------------------

    @property
    def extractor(self) -> FeatureExtractor:
        """The shared session that gives the embeddings.

        Raises:
            BackboneError: unknown backbone or layer, or no weights.
        """
        if self._extractor is None:
            self._extractor = open_extractor(self.config, self._backbone_onnx)
        return self._extractor

    @property
    def channels(self) -> npt.NDArray[np.int64]:
        """int64 ``(d,)``: the channels kept, counted among those of all layers, muted ones too."""
        return self._channels_of(self.config)

    def _channels_of(self, config: PadimConfig) -> npt.NDArray[np.int64]:
        layers = self.extractor.layers
        heard = np.repeat([la.name in config.active_layers for la in layers], [la.channels for la in layers])
        there = np.flatnonzero(heard)
        return there[draw_channels(len(there), config.n_features, config.seed)]

    @property
    def preprocess(self) -> Preprocess:
        """From a decoded picture to the network's input."""
        return Preprocess(size=self.config.input_size, fit=self.config.fit)

    @property
    def judge(self) -> Judge:
        """The current state, which later fits and exclusions do not touch.

        Raises:
            NotFittedError: nothing was fitted yet.
        """
        if self._current is None:
            raise NotFittedError("the model has not been fitted; call fit() with pictures of good parts")
        return self._current

    @property
    def random_weights(self) -> bool:
        """Whether the network has random weights: good for trials, not for judging parts."""
        return self.config.weights == "random"

    @property
    def provenance(self) -> dict[str, str]:
        """Where the network's weights are from: ``weights``, ``source`` and ``sha256``.

        Empty for a model saved before that was recorded.
        """
        if self._provenance is None:
            self._provenance = backbone.provenance(self.config.backbone, self.config.weights)
        return self._provenance

    def use_network(self, content: bytes, provenance: Mapping[str, str]) -> Self:
        """Take the features from this network instead of the registry's; before anything is fitted.

        Args:
            content: as :func:`padim.network.backbone.onnx_bytes` gives it, of the config's backbone and
            layers.
            provenance: as :attr:`provenance`; ``learnt_from``, if it is there, names the SHA-256 of pictures.

        Raises:
            PadimError: there is a model already.
            BundleError: it is no usable network.
        """
        if self._current is not None:
            raise PadimError("the model is fitted on another network's features; begin a new one")
        extractor = open_extractor(self.config, content)
        self._extractor, self._backbone_onnx, self._provenance = extractor, content, dict(provenance)
        return self

    @property
    def taught_with(self) -> frozenset[str]:
        """SHA-256 of the pictures that the network itself has learnt from, beside its published weights: to
        the model they are not new, though none of its normals."""
        return frozenset(self.provenance.get("learnt_from", "").split())

    @property
    def fitted(self) -> bool:
        """Whether there is a model at all."""
        return self._current is not None

    @property
    def scoring_identity(self) -> str:
        """Hex digest of everything that maps and scores depend on, see :mod:`padim.scoring_identity`."""
        return self.judge.identity

    @property
    def normals_(self) -> tuple[Normal, ...]:
        """The normal pictures, in the order they came."""
        return self.judge.fitted.normals

    @property
    def calibration_(self) -> Calibration:
        """``exact``; ``stale`` after a continued fit without the normals' embeddings; ``none`` with fewer
        than three parts."""
        return self.judge.fitted.calibration

    @property
    def detector_(self) -> Detector:
        """What the method has learnt."""
        return self.judge.fitted.detector

    @property
    def losses_(self) -> tuple[Losses, ...]:
        """How the trainings went, for the methods that train."""
        return self.judge.fitted.losses

    @property
    def gaussians_(self) -> PatchGaussians:
        """The Gaussians of every position.

        Raises:
            PadimError: the method has none.
        """
        detector = self.detector_
        if not isinstance(detector, PatchGaussians):
            title = catalogue.get(self.config.method).title
            raise PadimError(f"only PaDiM has a Gaussian at every position; this model was fitted by {title}")
        return detector

    @property
    def mean_(self) -> npt.NDArray[np.float32]:
        """float32 ``(p, d)``: mean embedding at every position; raises PadimError as :attr:`gaussians_`."""
        return self.gaussians_.mean

    @property
    def factor_(self) -> Factor:
        """The Gaussians' covariances, as scoring reads them; raises PadimError as :attr:`gaussians_`."""
        return self.gaussians_.factor

    @property
    def held_out_(self) -> npt.NDArray[np.float32]:
        """float32 ``(n, grid, grid)``: every normal's distances to the Gaussians without its part."""
        return self.judge.fitted.held_out

    @property
    def quantizer(self) -> Quantizer:
        """From map units to the levels of the judged map."""
        return self.judge.fitted.quantizer

    @property
    def scorer(self) -> Scorer:
        """The scoring graph with this model's numbers."""
        return self.judge.scorer

    def thumbnail(self, index: int) -> bytes:
        """JPEG of a normal, at most 512 px."""
        return self._thumbnails.read(self.normals_[index].thumbnail)

    def _install(self, fitted: Fitted) -> None:
        self._current = Judge(fitted, self.config, self._roi, self.extractor, self.channels)

    # --- fitting -----------------------------------------------------------------------------------

    def fit(
        self,
        images: Any,
        *,
        groups: Groups = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
        unfinished: str | Path | None = None,
    ) -> Self:
        """Fit on pictures of good parts, and calibrate on their held-out scores.

        Args:
            images: anything :func:`padim.data.inputs.as_images` takes: a folder, a zip, files, arrays ...;
                read once, never held in memory.
            groups: name to part, for parts photographed more than once; identical files are always
                one part.
            progress: called as (done, total or None, stage).
            cancel: asked between batches; True stops.
            on_error: takes pictures that cannot be used; without it the first one raises.
            unfinished: a folder, on the disk of ``work_dir``, that keeps what is done if the fit is
                stopped. What an earlier fit of the same pictures left there is not done again, and the
                result is, bit for bit, that of one fit. Empty once the fit has succeeded; but if it is
                ``work_dir`` itself, one can go on from there even when saving fails.

        Raises:
            Cancelled: the model is as it was before.
            InputError: ``images`` is nothing of the kind.
            ImageError: a picture cannot be used and ``on_error`` is not given.
            PadimError: no picture could be used, or ``unfinished`` was begun with other pictures or settings.
            MissingExtraError: the method trains a network, and PyTorch is not installed.
        """
        check_can_fit(self.config)  # before anything is read
        watch, given = Watch(progress, cancel, on_error), as_images(images)
        with self._writing:
            # Made beside the former model's files, which go only once all has succeeded.
            new = Path(unfinished) if unfinished else self.work_dir / "new"
            if not unfinished:
                shutil.rmtree(new, ignore_errors=True)
            try:
                record = Unfinished(new, self.extractor.identity, self._embedding_settings())
                taken = self._taken(new).start()
                normals = self._take_in(taken, given, groups, 0, watch, record)
                if not normals:
                    raise PadimError("none of the pictures could be used; the model needs at least one")
                fitted = self._learn(taken, join_duplicates(normals), self.config, watch)
                if new != self.work_dir:
                    self._forget_work()
                    self.work_dir.mkdir(parents=True, exist_ok=True)
                    for name in WORK:
                        if (new / name).exists():
                            (new / name).replace(self.work_dir / name)
                    record.close()
                self._thumbnails = Thumbnails(self.work_dir / "thumbnails.bin")
                self._install(fitted)
            finally:
                if not unfinished:
                    shutil.rmtree(new, ignore_errors=True)
        return self

    def _learn(self, taken: Taken, normals: Sequence[Normal], config: PadimConfig, watch: Watch) -> Fitted:
        """Learn from what is on disk; what training has done is kept there until it is through."""
        progress = taken.folder / "training"
        task = Task(
            taken.spool,
            tuple(normals),
            self._channels_of(config),
            config,
            watch,
            progress,
            taken.pictures,
            self.extractor.backbone_onnx,
        )
        with naming_damage(normals):
            fitted = learn(task)
        shutil.rmtree(progress, ignore_errors=True)
        return self._with_room(fitted)

    def _embedding_settings(self) -> dict[str, object]:
        """The settings that embeddings depend on, as plain JSON."""
        settings = self.config.model_dump(mode="json")
        names = ("backbone", "weights", "layers", "input_size", "fit", "grid_stride", "feature_norm")
        # Where it is as it was before it was a setting, fits stopped then can go on.
        before = BEFORE_IT_WAS_A_SETTING.items()
        return {name: settings[name] for name in names if (name, settings[name]) not in before}

    def partial_fit(
        self,
        images: Any,
        *,
        groups: Groups = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Self:
        """Continue the fit with more normals; arguments and errors as :meth:`fit`.

        With the embeddings at hand the result is, bit for bit, that of one fit on all of them. Without them
        the statistics are continued from the checkpoint and the calibration is marked ``stale``.
        """
        if self._current is None:
            return self.fit(images, groups=groups, progress=progress, cancel=cancel, on_error=on_error)
        watch, given = Watch(progress, cancel, on_error), as_images(images)
        with self._writing:
            if not self.has_spool:
                return self._continue_from_checkpoint(given, groups, watch)
            former = self.normals_
            with self._extending_thumbnails() as thumbnails:
                taken = replace(self._taken().start(), thumbnails=thumbnails)
                taken.truncate(len(former))
                try:
                    added = self._take_in(taken, given, groups, len(former), watch)
                    normals = join_duplicates([*former, *added])
                    fitted = self._learn(taken, normals, self.config, watch)
                except BaseException:
                    taken.truncate(len(former))
                    raise
                self._thumbnails = thumbnails
                self._install(fitted)
        return self

    def _take_in(
        self,
        taken: Taken,
        images: Iterable[Named],
        groups: Groups,
        first_index: int,
        watch: Watch,
        record: Unfinished | None = None,
    ) -> list[Normal]:
        """Run the network over new normals: embeddings to the spool, word of them to the record."""
        normals: list[Normal] = []
        if record is not None and (done := record.take_up(taken)):
            names, images, watch = record.pass_over(done, images, self.preprocess, watch)
            for index, (name, item) in enumerate(zip(names, done, strict=True)):
                part = _part(groups, name, index)
                normals.append(Normal(name, item.sha256, part, "fit", item.original_size, item.thumbnail))
        for batch in self._fresh(images, watch):
            taken.append(batch, self._embed(batch))
            added = _records(batch, taken.thumbnails, groups, first_index + len(normals))
            if record is not None:
                record.add(Done(item.sha256, item.original_size, item.thumbnail) for item in added)
            normals += added
        return normals

    def _fresh(self, images: Iterable[Named], watch: Watch) -> Iterator[list[Prepared]]:
        """Batches of pictures to learn from. Those that the network itself has learnt from are refused: held
        out or not, they are not new to it."""
        taught = self.taught_with
        for batch in self._batches(images, watch, "Reading pictures", thumbnail_side=THUMBNAIL_SIDE):
            for item in batch:
                if item.sha256 in taught:
                    watch.bad(ImageError(item.name, "the network was taught with it; give other good parts"))
            if fresh := [item for item in batch if item.sha256 not in taught]:
                yield fresh

    def _embed(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """Embeddings of a batch, ``(n, channels, grid, grid)``, all finite.

        Raises:
            PadimError: the network gives no numbers for a picture.
        """
        embeddings = self.extractor(np.stack([item.rgb for item in batch]))
        for item, embedding in zip(batch, embeddings, strict=True):
            if not np.isfinite(embedding).all():
                raise PadimError(f"{item.name}: {NO_NUMBERS}")
        return embeddings

    def _batches(
        self,
        images: Iterable[Named],
        watch: Watch,
        stage: str,
        *,
        thumbnail_side: int | None = None,
        batch_size: int | None = None,
    ) -> Iterator[list[Prepared]]:
        beside = 0 if self._current is None else self.detector_.scoring_bytes()
        size = batch_size or self.extractor.batch_size(beside)
        return batches(images, self.preprocess, size, watch, stage, thumbnail_side=thumbnail_side)

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
        with self._writing:
            group = self.normals_[index].group
            changed = (
                replace(normal, status=status) if normal.group == group else normal
                for normal in self.normals_
            )
            return self._relearn(tuple(changed), watch)

    def regroup(
        self, groups: Groups, *, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Self:
        """State anew which pictures show the same part; only the held-out scores change."""
        with self._writing:
            changed = [
                replace(normal, group=_part(groups, normal.name, index))
                for index, normal in enumerate(self.normals_)
            ]
            return self._relearn(join_duplicates(changed), Watch(progress, cancel))

    def _relearn(self, normals: tuple[Normal, ...], watch: Watch) -> Self:
        self.require_features()
        self._install(self._learn(self._taken(), normals, self.config, watch))
        return self

    def set_layers(
        self,
        active: Sequence[str],
        n_features: int | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Self:
        """Learn anew from some of the layers that were fitted on, or from all; the network does not run.

        The others stay on disk, muted: setting the former layers again gives the former model bit for bit.

        Args:
            active: names of layers, of those in ``config.layers``.
            n_features: channels kept of theirs; None is as many as were last asked for, or all there are.

        Raises:
            PadimError: no layer, one that was not fitted on, or the normals' features were deleted.
            Cancelled: the model is as it was.
        """
        config = self.config
        strange = [name for name in active if name not in config.layers]
        if strange or not active:
            raise PadimError(
                f"layers: {', '.join(strange) or 'none'} given; choose of {', '.join(config.layers)}, "
                "which the model was fitted on"
            )
        if n_features is not None and n_features < 1:
            raise PadimError(f"n_features must be at least 1, got {n_features}")
        with self._writing:
            asked = self._features_asked if n_features is None else n_features
            muted = tuple(name for name in config.layers if name not in active)
            heard = sum(la.channels for la in self.extractor.layers if la.name in active)
            config = PadimConfig.model_validate(
                {
                    **self.config.model_dump(),
                    "muted_layers": muted,
                    "n_features": None if asked is None else min(asked, heard),
                }
            )
            self.require_features()
            fitted = self._learn(self._taken(), self.normals_, config, Watch(progress, cancel))
            self.config, self._features_asked = config, asked
            self._install(fitted)
        return self

    # --- the normals' embeddings, and the checkpoint that outlives them ------------------------------

    @property
    def spool(self) -> Spool:
        """The normals' embeddings on disk, all channels, a record a normal; :meth:`require_features` says
        whether they can be used."""
        return self._spool()

    def _spool(self, folder: Path | None = None) -> Spool:
        extractor = self.extractor
        folder = folder or self.work_dir / "spool"
        return Spool(folder, extractor.identity, extractor.channels, extractor.grid**2)

    def _taken(self, folder: Path | None = None) -> Taken:
        """What is kept of the normals in a folder, by default the model's own."""
        folder = folder or self.work_dir
        pictures = None
        if self.config.needs_pictures:
            pictures = Pictures(folder / "pictures", self.config.input_size)
        return Taken(folder, self._spool(folder / "spool"), Thumbnails(folder / "thumbnails.bin"), pictures)

    @property
    def has_spool(self) -> bool:
        """Whether what the method learns from is at hand, of just these normals."""
        if self._current is None:
            return False
        return self._taken().holds([normal.sha256 for normal in self.normals_])

    @property
    def features_problem(self) -> DamagedError | None:
        """Why the features on disk cannot be used, as far as can be told without reading them.

        None where they can, or where there are none.
        """
        return None if self._current is None or self.has_spool else self._taken().problem()

    def require_features(self) -> None:
        """
        Raises:
            DamagedError: what the method learns from is damaged, or of an earlier version of this program.
            PadimError: it was deleted.
        """
        if not self.has_spool:
            raise self._unusable(
                "the normals' features were deleted; give the same pictures again with rebuild_spool()"
            )

    def _unusable(self, otherwise: str) -> PadimError:
        """What is wrong with the features at hand, or else this."""
        kept = self._features_in(self._checkpoint_of(self.normals_))
        return self._taken().problem() or kept.problem() or PadimError(otherwise)

    @contextmanager
    def _extending_thumbnails(self) -> Iterator[Thumbnails]:
        """The thumbnails as working files, to be added to; what a failing block has added is taken away."""
        thumbnails = Thumbnails(self.work_dir / "thumbnails.bin")
        here = thumbnails.path.exists()
        if isinstance(self._thumbnails, SavedThumbnails):
            thumbnails.fill(self._thumbnails, [normal.thumbnail for normal in self.normals_])
        small = thumbnails.nbytes
        try:
            yield thumbnails
        except BaseException:
            thumbnails.truncate(small)
            if not here:
                thumbnails.delete()
            raise

    @property
    def spool_bytes(self) -> int:
        """Size of the embeddings on disk, and of the pictures where the method needs them."""
        folders = (self.work_dir / "spool", self.work_dir / "pictures")
        return sum(file.stat().st_size for folder in folders for file in folder.glob("*"))

    def statistics(self) -> PatchStatistics:
        """Count, mean and scatter of the normals in the fit: from the spool, or from the checkpoint.

        Raises:
            PadimError: neither is at hand.
        """
        features, channels = self._kept_features(self.normals_), self.channels
        if self.has_spool:
            features = self._spool()
        elif features is not None:
            channels = np.arange(features.channels)
        if features is not None:
            with naming_damage(self.normals_):
                return gather(features, self.normals_, channels)
        path = self._checkpoint_of(self.normals_).with_suffix(".npz")
        if not path.exists():
            raise self._unusable(
                "neither the normals' features nor a checkpoint of this model are here; "
                "give its pictures again with rebuild_spool()"
            )
        return PatchStatistics.load(path)

    def _checkpoint_of(self, normals: Sequence[Normal]) -> Path:
        """Named after the pictures it counts: one of another state is never taken for it."""
        counted = "\n".join(normal.sha256 for normal in normals if normal.status == "fit")
        settings = f"{self.extractor.identity}/{self.config.n_features}/{self.config.seed}"
        if self.config.muted_layers:
            settings += f"/{','.join(self.config.muted_layers)}"
        digest = hashlib.sha256(f"{settings}\n{counted}".encode()).hexdigest()[:16]
        return self.work_dir / f"checkpoint-{digest}"

    def _features_in(self, folder: Path) -> Spool:
        """A spool of the kept channels alone."""
        return Spool(folder, self.extractor.identity, len(self.channels), self.extractor.grid**2)

    def _kept_features(self, normals: Sequence[Normal]) -> Spool | None:
        """The checkpoint of these normals, if it is made of features."""
        folder = self._checkpoint_of(normals)
        if not folder.is_dir():
            return None
        spool = self._features_in(folder)
        keys = [normal.sha256 for normal in normals]
        return spool if spool.keys() == keys and spool.holds(keys) else None

    @property
    def continues_exactly(self) -> bool:
        """Whether a continued fit is calibrated anew: the normals' features, or those of the channels kept,
        are here."""
        return self.has_spool or self._kept_features(self.normals_) is not None

    @property
    def checkpoint_bytes(self) -> int:
        """Size of the checkpoints on disk."""
        places = [path for path in self.work_dir.rglob("*") if path.is_file()]
        return sum(
            path.stat().st_size
            for path in places
            if path.relative_to(self.work_dir).parts[0].startswith("checkpoint-")
        )

    def save_checkpoint(self) -> Path:
        """Write beside the spool what it takes to continue the fit without it, whichever is smaller.

        While the normals are no more than the channels kept: the features of those channels, in a folder; the
        calibration stays exact when the fit goes on. Beyond that: the float64 statistics, in a file. Methods
        that statistics are not enough for keep the features, however many.
        """
        normals = self.normals_
        path = self._checkpoint_of(normals)
        if self._statistics_do(len(normals), len(self.channels)):
            path = path.with_suffix(".npz")
            self.statistics().save(path)
        elif self._kept_features(normals) is None:
            self._write_features(self._spool(), self.channels, normals, path)
        return path

    def _statistics_do(self, normals: int, channels: int) -> bool:
        """Whether statistics are the smaller checkpoint, and enough of one."""
        return self.config.method == "padim" and normals > channels

    def _write_features(
        self, source: Spool, channels: npt.NDArray[np.int64], normals: Sequence[Normal], folder: Path
    ) -> None:
        new = self.work_dir / "new"
        shutil.rmtree(new, ignore_errors=True)
        try:
            spool = self._features_in(new).start()
            with naming_damage(normals):
                keys = [normal.sha256 for normal in normals]
                copy_features(source, channels, range(len(normals)), keys, spool)
            shutil.rmtree(folder, ignore_errors=True)
            new.replace(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def delete_spool(self) -> None:
        """Free the disk; a checkpoint is kept, so that the fit can still be continued."""
        with self._writing:
            # Without the pictures it learns from, a method cannot go on, and needs nothing to go on with.
            if self.has_spool and not self.config.needs_pictures:
                with suppress(DamagedError):  # nothing can be kept of what is damaged
                    self.save_checkpoint()
            self._forget_features()

    def _forget_features(self) -> None:
        for name in ("spool", "pictures", "training"):
            shutil.rmtree(self.work_dir / name, ignore_errors=True)

    def _forget_work(self) -> None:
        """Remove what belongs to the former fit."""
        self._forget_features()
        for checkpoint in self.work_dir.glob("checkpoint-*"):
            if checkpoint.is_dir():
                shutil.rmtree(checkpoint, ignore_errors=True)
            else:
                checkpoint.unlink(missing_ok=True)

    def rebuild_spool(
        self,
        images: Iterable[Named],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Self:
        """Read the same pictures again, after :meth:`delete_spool`; they are known by their content.

        The calibration is exact again afterwards, also if it was stale.

        Raises:
            PadimError: pictures are missing; names the first of them.
        """
        watch = Watch(progress, cancel, on_error)
        with self._writing:
            normals = self.normals_
            wanted = {normal.sha256: normal.name for normal in normals}
            new = self.work_dir / "new"
            shutil.rmtree(new, ignore_errors=True)
            try:
                found = self._taken(new / "found").start()
                for batch in self._batches(as_images(images), watch, "Reading pictures"):
                    known = set(found.spool.keys())
                    fresh = {item.sha256: item for item in batch if item.sha256 in wanted.keys() - known}
                    if fresh:
                        found.append(list(fresh.values()), self._embed(list(fresh.values())))
                row = {key: index for index, key in enumerate(found.spool.keys())}
                missing = [name for key, name in wanted.items() if key not in row]
                if missing:
                    raise PadimError(
                        f"{len(missing)} of the {len(wanted)} pictures are missing, first {missing[0]}; "
                        "give the very files that the model was fitted on"
                    )
                taken = self._taken(new).start()
                taken.copy(found, [row[n.sha256] for n in normals], [n.sha256 for n in normals])
                fitted = self._learn(taken, normals, self.config, watch)
                self._forget_work()
                for name in ("spool", "pictures"):
                    if (new / name).exists():
                        (new / name).replace(self.work_dir / name)
                self._install(fitted)
            finally:
                shutil.rmtree(new, ignore_errors=True)
        return self

    def _continue_from_checkpoint(self, images: Iterable[Named], groups: Groups, watch: Watch) -> Self:
        former = self.judge.fitted
        kept = self._kept_features(former.normals)
        if kept is None and self.config.method != "padim":
            raise self._unusable(
                "the normals' features were deleted, and this method cannot go on without them; "
                "give the same pictures again with rebuild_spool()"
            )
        # Before anything is touched: there may be nothing to go on from.
        statistics = self.statistics() if kept is None else None
        with self._extending_thumbnails() as thumbnails:
            embedded = self._embedded(images, groups, len(former.normals), thumbnails, watch)
            if statistics is None:
                fitted = self._continue_features(former, embedded, watch)
            else:
                fitted = self._continue_statistics(former, embedded, statistics)
            # The former checkpoint stays until the next fit: the saved bundle may still be the former model.
            if fitted is not None:
                self._thumbnails = thumbnails
                self._install(fitted)
        return self

    def _embedded(
        self, images: Iterable[Named], groups: Groups, first_index: int, thumbnails: Thumbnails, watch: Watch
    ) -> Iterator[_Embedded]:
        """New normals with their embeddings of the kept channels, ``(n, p, d)``, batch by batch."""
        for batch in self._fresh(images, watch):
            embeddings = self._embed(batch)
            chosen = embeddings.reshape(len(batch), embeddings.shape[1], -1)[:, self.channels]
            yield _records(batch, thumbnails, groups, first_index), chosen.transpose(0, 2, 1)
            first_index += len(batch)

    def _continue_features(
        self, former: Fitted, embedded: Iterable[_Embedded], watch: Watch
    ) -> Fitted | None:
        """With the kept channels of all normals at hand, the fit and its calibration are exact."""
        kept = self._kept_features(former.normals)
        assert kept is not None
        kept.start()
        everything, count = np.arange(kept.channels), len(former.normals)
        added: list[Normal] = []
        try:
            for normals, features in embedded:
                records = np.ascontiguousarray(features.transpose(0, 2, 1))
                kept.append(records, [normal.sha256 for normal in normals])
                added += normals
            if not added:
                return None
            all_normals = join_duplicates([*former.normals, *added])
            training = kept.folder / "training"
            with naming_damage(all_normals):
                fitted = learn(
                    Task(kept, all_normals, everything, self.config, watch, training, drawn=self.channels)
                )
            fitted = self._with_room(fitted)
            shutil.rmtree(training, ignore_errors=True)
            checkpoint = self._checkpoint_of(all_normals)
            if self._statistics_do(len(all_normals), kept.channels):
                gather(kept, all_normals, everything).save(checkpoint.with_suffix(".npz"))
            else:
                self._write_features(kept, everything, all_normals, checkpoint)
            return fitted
        finally:
            kept.truncate(count)

    def _continue_statistics(
        self, former: Fitted, embedded: Iterable[_Embedded], statistics: PatchStatistics
    ) -> Fitted | None:
        """Exact Gaussians; the held-out distances of the former state are marked stale."""
        added: list[Normal] = []
        for normals, features in embedded:
            statistics.update(features)
            added += normals
        if not added:
            return None
        all_normals = join_duplicates([*former.normals, *added])
        statistics.save(self._checkpoint_of(all_normals).with_suffix(".npz"))
        return replace(
            former,
            normals=all_normals,
            detector=of_statistics(statistics, self.config),
            calibration="none" if former.calibration == "none" else "stale",
        )

    # --- scoring -----------------------------------------------------------------------------------

    def predict(
        self,
        images: Any,
        *,
        batch_size: int | None = None,
        thumbnail_side: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Iterator[Prediction]:
        """Score and decide images one batch after another; memory does not grow with their number.

        All of them are scored by the model as it is when the first one is asked for. Without a threshold
        (fewer than three parts, nothing set by hand) they have scores and maps, and cannot be decided.

        Args:
            images: anything :func:`padim.data.inputs.as_images` takes: a folder, a zip, files, arrays ...
            batch_size: images in one run of the network; default: what suits the input size.
            thumbnail_side: give each result a JPEG of at most that side, made while the image is decoded
                anyway.
            progress, cancel, on_error: as for :meth:`fit`.

        Raises:
            InputError: ``images`` is nothing of the kind.
            ImageError: an image cannot be used and ``on_error`` is not given.
        """
        judge, min_area, guard = self.judge, self.config.min_area, self.guard
        threshold = self.current_threshold
        level = None if threshold is None else threshold.level
        watch = Watch(progress, cancel, on_error)
        for batch in self._batches(
            as_images(images), watch, "Scoring pictures", thumbnail_side=thumbnail_side, batch_size=batch_size
        ):
            yield from judge.predict(batch, min_area, level, guard)

    def judge_arrays(self, rgb: RGB) -> tuple[npt.NDArray[np.uint16], list[int]]:
        """The scoring path without files: pictures at input size to judged maps and scores.

        Args:
            rgb: uint8 ``(n, input_size, input_size, 3)``.

        Returns:
            uint16 ``(n, input_size, input_size)`` and n scores.
        """
        _, maps = self.judge.scorer(rgb)
        return maps, [region_score(q, self.config.min_area) for q in maps]

    def decide(
        self, prediction: Prediction, threshold: int | None = None, min_area: int | None = None
    ) -> Prediction:
        """Decide an image again, at the model's settings as they are now or at others, without scoring it.

        Args:
            prediction: from :meth:`predict` of this model.
            threshold: a level; default: the model's.
            min_area: in map pixels; default: the model's.

        Raises:
            CalibrationError: the model has no threshold and none is given.
            PadimError: the image was scored before the model changed, or by another model.
        """
        if prediction.scored_by != self.judge.identity:
            raise PadimError(
                f"{prediction.name}: was scored before the model changed, or by another model; score it again"
            )
        decided = prediction.at(
            level=self.threshold_level if threshold is None else threshold,
            min_area=self.config.min_area if min_area is None else min_area,
        )
        return replace(decided, guard=self.guard)

    def verdict(self, score: int, threshold: int | None = None) -> Verdict:
        """Accept, review or reject a score, at the model's threshold or at another.

        Review is said in addition: the mask has a pixel exactly when the score is above the threshold, within
        the guard band too.

        Raises:
            CalibrationError: the model has no threshold and none is given.
        """
        level = self.threshold_level if threshold is None else threshold
        return verdict_of(score, level, self.guard, self.quantizer)

    # --- calibration -------------------------------------------------------------------------------

    def held_out_map(self, index: int) -> npt.NDArray[np.uint16]:
        """Judged map of a normal that the model judging it did not contain.

        Raises:
            CalibrationError: that normal has no held-out distances.
        """
        return self.judge.held_out_map(index)

    def image_levels(self, min_area: int | None = None) -> npt.NDArray[np.int64]:
        """Held-out score of every normal picture, in or out of the fit: int64 ``(n,)`` levels.

        Raises:
            CalibrationError: fewer than three parts are in the fit.
        """
        return self.judge.image_levels(self._area(min_area))

    def held_out_scores(
        self, min_area: int | None = None, *, include_kept_out: bool = True
    ) -> npt.NDArray[np.int64]:
        """Held-out score of every good *part*, the maximum over its pictures: int64 ``(parts,)`` levels."""
        return self.judge.part_scores(self._area(min_area), include_kept_out=include_kept_out)

    def pixel_histogram(self) -> npt.NDArray[np.int64]:
        """Judged pixels per level over the held-out maps of all good parts: int64 ``(65536,)``."""
        return self.judge.pixel_histogram()

    def threshold_for(self, choice: Choice, min_area: int | None = None) -> Threshold:
        """What a choice of percentile or value comes to.

        Raises:
            CalibrationError: a percentile, and there are no held-out scores.
            BeyondScaleError: it lies beyond the scale of the levels, where nothing would be rejected.
        """
        return self.judge.threshold(choice, self._area(min_area))

    def false_rejects(
        self, level: int | None = None, min_area: int | None = None, *, include_kept_out: bool = True
    ) -> FalseRejectRate:
        """Share of good parts to expect above a level (default: the one in use), with its bound."""
        level = self.threshold_level if level is None else level
        return self.judge.false_rejects(level, self._area(min_area), include_kept_out=include_kept_out)

    def _area(self, min_area: int | None) -> int:
        return self.config.min_area if min_area is None else min_area

    @property
    def current_threshold(self) -> Threshold | None:
        """The threshold in use and where it comes from.

        None for a percentile of fewer than three parts, and where it lies beyond the scale of the levels.
        """
        if self.calibration_ == "none" and self.choice.basis != "manual":
            return None
        try:
            return self.threshold_for(self.choice)
        except BeyondScaleError:
            return None

    @property
    def threshold_(self) -> float:
        """The threshold in use, in map units: an image is rejected when its score is above it.

        Raises:
            NotFittedError: the model is not fitted.
            CalibrationError: there is none.
        """
        return self.quantizer.to_value(self.threshold_level)

    @property
    def false_reject_rate_(self) -> FalseRejectRate:
        """The share of good parts to expect above the threshold in use, with its bound (docs/design.md).

        Raises:
            NotFittedError: the model is not fitted.
            CalibrationError: there is no threshold, or there are no held-out scores.
        """
        return self.false_rejects()

    @property
    def threshold_level(self) -> int:
        """The level in use.

        Raises:
            CalibrationError: there is none.
        """
        if self.calibration_ == "none" and self.choice.basis != "manual":
            raise CalibrationError(
                f"there is no threshold yet: it takes at least {FEWEST_PARTS} good parts, or a value by hand"
            )
        return self.threshold_for(self.choice).level

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

        After a change of smoothing, pictures must be scored again. A threshold set by hand stays through it,
        as through a new fit: where it would lie beyond the new scale of the levels, that becomes wider.

        Args:
            basis: ``image``, ``pixel`` or ``manual``; a ``value`` alone implies ``manual``.
            percentile: 0.1 to 99.9, in steps of 0.1.
            value: threshold by hand, in map units.
            min_area: map pixels.
            smoothing_sigma: map pixels.

        Raises:
            ValueError: a value out of range, or a threshold by hand beyond the scale of the levels, where
                nothing would be rejected; nothing is changed then.
        """
        with self._writing:
            choice = self.choice
            if value is not None:
                choice = replace(choice, basis="manual", value=_number(value))
            if basis is not None:
                choice = replace(choice, basis=basis)
            if percentile is not None:
                choice = replace(choice, permille=to_permille(percentile))
            given = {"min_area": min_area, "smoothing_sigma": smoothing_sigma}
            changes = {name: setting for name, setting in given.items() if setting is not None}
            config = PadimConfig.model_validate({**self.config.model_dump(), **changes})
            rejudge = config.smoothing_sigma != self.config.smoothing_sigma
            if choice.value is not None and choice.basis == "manual" and self._current is not None:
                # One that stays is not refused: it is given room, or the model says that it has none.
                stays = value is None and basis is None
                largest = (self._scale(config) if rejudge else self.quantizer).highest_threshold
                if choice.value > largest and not stays:
                    raise ValueError(
                        f"the threshold can be at most {largest:.4g} on this model's scale, "
                        f"got {choice.value:g}"
                    )
            self.choice, self.config = choice, config
            if rejudge:
                self._rejudge()
        return self

    @contextmanager
    def held(self) -> Iterator[None]:
        """As long as this lasts, fits, exclusions and settings in other threads wait."""
        with self._writing:
            yield

    def set_guard(self, guard: Guard | None) -> Self:
        """Call for review near the threshold, or no longer; threshold, scores and masks stay.

        The band is in map units and stays through fits and changes of smoothing, as a threshold by hand does;
        it was measured before, so measure again after those.
        """
        self.guard = guard
        return self

    @property
    def roi(self) -> npt.NDArray[np.bool_] | None:
        """bool ``(input_size, input_size)``: where defects count; None is everywhere."""
        return self._roi

    @property
    def roi_shapes(self) -> tuple[Shape, ...]:
        """What the region of interest was drawn with, to draw it again; empty for one that was not drawn."""
        return self._roi_shapes

    def set_roi(self, roi: npt.NDArray[np.bool_] | None, shapes: Sequence[Shape] = ()) -> Self:
        """Judge only inside a region of interest, in map pixels; the normals' scores follow at once.

        Args:
            roi: bool ``(input_size, input_size)``; None judges everywhere, and forgets the shapes.
            shapes: what it was drawn with, kept for the next edit; what is judged is ``roi`` alone.

        Raises:
            ValueError: another shape or type, nothing would be judged, or too many shapes to keep.
        """
        if len(shapes) > MAX_SHAPES:
            raise ValueError(f"a region has at most {MAX_SHAPES} shapes, got {len(shapes)}")
        size = self.config.input_size
        if roi is not None:
            if roi.dtype != np.bool_ or roi.shape != (size, size):
                raise ValueError(f"roi must be bool ({size}, {size}), got {roi.dtype} {roi.shape}")
            if not roi.any():
                raise ValueError("the region of interest is empty: nothing would ever be judged")
            roi = roi.copy()
        with self._writing:
            self._roi = roi
            self._roi_shapes = () if roi is None else tuple(shapes)
            self._rejudge()
        return self

    def _rejudge(self) -> None:
        """The same Gaussians, judged anew; the scale of the maps depends on the smoothing."""
        if self._current is not None:
            former = replace(self._current.fitted, quantizer=self._scale(self.config))
            self._install(self._with_room(former))

    def _scale(self, config: PadimConfig) -> Quantizer:
        """The scale of the maps by other settings, before it is widened for a threshold by hand."""
        fitted = self.judge.fitted
        return scale(fitted.normals, fitted.held_out, fitted.detector, config)

    def _with_room(self, fitted: Fitted) -> Fitted:
        """The same, on a scale that a threshold set by hand lies on."""
        value = self.choice.value if self.choice.basis == "manual" else None
        return replace(fitted, quantizer=with_room_for(fitted.quantizer, value))

    # --- saving ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Save the bundle: all that scoring and calibration need, whole or not at all.

        Args:
            path: a folder, or a file ending in ``.zip``.
        """
        path = Path(path)
        with self._writing:
            fitted, threshold = self.judge.fitted, self.current_threshold
            statuses = Counter(normal.status for normal in fitted.normals)
            manifest = {
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "method": self.config.method,
                "form": fitted.detector.form,
                "losses": [asdict(losses) for losses in fitted.losses],
                "backbone": self.provenance,
                "config": self.config.model_dump(mode="json"),
                "n_features_asked": self._features_asked,
                "choice": asdict(self.choice),
                "guard": asdict(self.guard) if self.guard else None,
                "threshold": asdict(threshold) if threshold else None,
                "calibration": fitted.calibration,
                "quantizer": asdict(fitted.quantizer),
                "counts": {
                    "images": len(fitted.normals),
                    "parts": len({n.group for n in fitted.normals if n.status == "fit"}),
                    "kept_out": statuses["kept_out"],
                    "not_good": statuses["not_good"],
                },
            }
            normals = json.dumps([normal.to_json() for normal in fitted.normals], ensure_ascii=False)
            files: dict[str, bundle.Content] = {
                **fitted.detector.files(),
                "channels.npy": self.channels,
                "held_out.npy": fitted.held_out,
                "normals.json": normals.encode(),
                "thumbnails.bin": self._thumbnails.chunks,
                "backbone.onnx": self.extractor.backbone_onnx,
            }
            if self._roi is not None:
                files["roi.npy"] = self._roi.view(np.uint8)
            if self._roi_shapes:
                files["roi_shapes.json"] = json.dumps(shapes_to_json(self._roi_shapes)).encode()
            bundle.write(path, manifest, files)
        return path

    def export(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the model as one file for other programs: by its name an ONNX scorer or a bare ``.npz``.

        Args:
            path: ends in ``.onnx`` or ``.npz``.
            force: replace a file that is there.

        Returns:
            The file written.

        Raises:
            ValueError: another ending.
            PadimError: the file is there already, or cannot be written.
        """
        target = Path(path)
        if target.suffix.lower() not in (".onnx", ".npz"):
            raise ValueError(f"{target}: its name ends in neither .onnx nor .npz")
        # By name: what leaves the program stands above the model, which does without it.
        export = import_module("padim.output.export")
        if target.suffix.lower() == ".npz":
            return Path(export.export_npz(self, target, force=force))
        if target.exists() and not force:
            raise PadimError(
                f"{target}: is there already; choose another name, or replace it with force=True"
            )
        return Path(export.export_onnx(self, target, name=target.stem))

    @classmethod
    def load(cls, path: str | Path, *, work_dir: str | Path | None = None) -> Padim:
        """Open a saved bundle; torch is not needed.

        Args:
            path: folder or ``.zip``.
            work_dir: where the embeddings and the checkpoint of this model are, if kept.

        Raises:
            BundleError: missing, truncated, altered or of another version; names the file.
        """
        saved = bundle.Bundle(path)
        try:
            return cls._opened(saved, work_dir)
        except BundleError:
            # Another session may just have saved, and removed the files of the manifest we read.
            now = bundle.Bundle(path)
            if now.revision == saved.revision:
                raise
            return cls._opened(now, work_dir)

    @classmethod
    def _opened(cls, saved: bundle.Bundle, work_dir: str | Path | None) -> Padim:
        path = saved.path
        try:
            config = PadimConfig.of_saved(saved.manifest["config"])
            choice = Choice(**saved.manifest["choice"])
            # Absent from models saved before layers could be muted.
            asked = saved.manifest.get("n_features_asked", config.n_features)
            if not (asked is None or (type(asked) is int and asked >= 1)):
                raise ValueError(f"n_features_asked '{asked}'")
            provenance = {name: str(value) for name, value in saved.manifest.get("backbone", {}).items()}
            # Absent from models saved before there were guard bands.
            guard = None if saved.manifest.get("guard") is None else Guard(**saved.manifest["guard"])
            quantizer = Quantizer(**saved.manifest["quantizer"])
            calibration: Calibration = saved.manifest["calibration"]
            if calibration not in get_args(Calibration):
                raise ValueError(f"calibration '{calibration}'")
            losses = tuple(Losses.from_json(entry) for entry in saved.manifest.get("losses", []))
            normals = tuple(Normal.from_json(entry) for entry in json.loads(saved.bytes("normals.json")))
        except ValidationError as error:
            raise BundleError(f"{path}: {bundle.MANIFEST}: {explain(error)}") from error
        except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise BundleError(
                f"{path}: {bundle.MANIFEST} is incomplete ({clipped(str(error), 300)})"
            ) from error
        model = cls(config, work_dir=work_dir)
        model.choice = choice
        model.guard = guard
        model._features_asked = asked
        model._backbone_onnx = saved.bytes("backbone.onnx")
        model._provenance = provenance
        try:
            _ = model.extractor
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from error
        held_out = saved.array("held_out.npy", np.float32, 3)
        channels = saved.array("channels.npy", np.int64, 1)
        p, d = config.grid**2, len(channels)
        try:
            detector = lookup.detector(config.method).load(saved, config, (p, d))
        except ValueError as error:
            raise BundleError(f"{path}: {error}") from error
        own = {"backbone.onnx", "channels.npy", "roi.npy"}
        hashes = scoring_files(saved.manifest)
        detector.with_file_hashes({name: sha256 for name, sha256 in hashes.items() if name not in own})
        if (
            held_out.shape[1:] != (config.grid, config.grid)
            or len(held_out) > len(normals)
            or not np.array_equal(channels, model.channels)
        ):
            raise BundleError(f"{path}: the arrays do not fit the configuration")
        if "roi.npy" in saved.manifest["files"]:
            roi = saved.array("roi.npy", np.uint8, 2)
            if roi.shape != (config.input_size,) * 2:
                raise BundleError(f"{path}: roi.npy does not fit the configuration")
            model._roi = roi != 0
            if "roi_shapes.json" in saved.manifest["files"]:
                content = saved.bytes("roi_shapes.json")
                try:
                    model._roi_shapes = shapes_from_json(json.loads(content))
                except (PadimError, ValueError, RecursionError) as error:
                    raise BundleError(f"{path}: roi_shapes.json is not readable ({error})") from error
        model._thumbnails = SavedThumbnails(saved)
        model._install(Fitted(normals, detector, held_out, quantizer, calibration, losses))
        return model


def _with_settings(config: PadimConfig | None, settings: Mapping[str, Any]) -> PadimConfig:
    """The config with single settings changed; what neither gave keeps following the others' defaults."""
    if config is not None and not settings:
        return config
    given = {} if config is None else {name: getattr(config, name) for name in config.model_fields_set}
    unknown = sorted(settings.keys() - PadimConfig.model_fields.keys())
    if unknown:
        raise ValueError(
            f"there is no setting {unknown[0]!r}; there are {', '.join(PadimConfig.model_fields)}"
        )
    try:
        return PadimConfig.model_validate({**given, **settings})
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def _number(value: float) -> float:
    """
    Raises:
        ValueError: beyond what a float holds.
    """
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"the threshold must be a number of at least 0, got {value}") from None


def _part(groups: Groups, name: str, index: int) -> str:
    """The part a picture shows; a name given by the user cannot collide with a number of ours."""
    named = group_of(groups, name)
    return f"#{index}" if named is None else f"part {named}"


def _records(
    batch: Sequence[Prepared], thumbnails: Thumbnails, groups: Groups, first_index: int
) -> list[Normal]:
    places = thumbnails.append([item.thumbnail or b"" for item in batch])
    return [
        Normal(
            item.name,
            item.sha256,
            _part(groups, item.name, index),
            "fit",
            item.original_size,
            place,
        )
        for index, (item, place) in enumerate(zip(batch, places, strict=True), start=first_index)
    ]
