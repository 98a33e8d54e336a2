"""Padim: fit on good parts, score test images, decide.

This file holds the verbs. What a fit does is in ``fit_run.py`` and ``fitting.py``, what scores are made of in
``scoring.py``, how images are decided in ``decider.py``, what is kept of the good parts in
``working_state.py``, saving and opening in ``persistence.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from padim import persistence
from padim.config import PadimConfig
from padim.data.inputs import as_images
from padim.data.loading import Cancel, OnError, Progress, Watch
from padim.decider import Decider
from padim.decision.calibration import Choice
from padim.decision.prediction import Prediction
from padim.decision.settings import DecisionSettings
from padim.errors import PadimError
from padim.estimator import with_settings
from padim.fit_continuation import extend
from padim.fit_run import FitRun
from padim.fitting import FittedState
from padim.methods.requirements import check_can_fit
from padim.network.model_network import ModelNetwork
from padim.scoring import ScoringState
from padim.storage.normals import Groups, Normal, regrouped, with_status
from padim.storage.thumbnails import Readable, Thumbnails
from padim.storage.work_folder import WorkFolder
from padim.working_state import WorkingSet

__all__ = ["Choice", "Padim", "Prediction"]

_Normals: TypeAlias = tuple[Normal, ...]


class Padim(Decider):
    """Patch Distribution Modeling (Defard et al., 2020, arXiv 2011.08785), and the other methods behind the
    same verbs: ``config.method`` says which.

    Scoring and reading may go on in other threads while a fit or an exclusion is at work in one: they see
    the former model until the new one is complete.

    Attributes:
        config: every choice, including ``min_area``; immutable, replaced by :meth:`set_decision`.
        decision: how the threshold is chosen, the guard band and the region of interest; immutable, replaced
            by :meth:`set_decision`, :meth:`set_guard` and :meth:`set_roi`.
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
        self.config = with_settings(config, settings)
        self.decision = DecisionSettings()
        # What :meth:`set_layers` returns to where few layers have had fewer channels than that.
        self._features_asked = self.config.n_features
        self._work = WorkFolder(work_dir)
        self._network = ModelNetwork(self.config)
        self._current: ScoringState | None = None
        # An opened model's are read out of its bundle; the working files are made by a change.
        self._kept_thumbnails: Readable | None = None
        # Held by whatever changes the model; readers take ``_current`` once and need no lock.
        self._writing = threading.RLock()

    def __repr__(self) -> str:
        words = [*self._settings_given(), "not fitted"]
        if self._current is not None:
            parts = len({normal.group for normal in self.normals_ if normal.status == "fit"})
            at = "no threshold" if self.current_threshold is None else f"threshold {self.threshold_:.4g}"
            words[-1:] = [f"fitted on {parts} parts", at]
        return f"Padim({', '.join(words)})"

    def _take_settings(self, config: PadimConfig) -> None:
        if self._current is not None:
            raise PadimError(
                "the settings of a fitted model cannot be changed; set_decision changes how it decides, and "
                "Padim(model.config, ...) makes a new one"
            )
        self.config, self._features_asked, self._network = config, config.n_features, ModelNetwork(config)

    @property
    def _thumbnails(self) -> Readable:
        kept = self._kept_thumbnails
        return Thumbnails(self._work.path / "thumbnails.bin") if kept is None else kept

    # --- what the model is made of -----------------------------------------------------------------

    @property
    def network(self) -> ModelNetwork:
        """What the features are from; another can be set before anything is fitted.

        Raises:
            PadimError: one is set, and there is a model already.
            BundleError: one is set, and it is no usable network.
        """
        return self._network

    @network.setter
    def network(self, network: ModelNetwork) -> None:
        if self._current is not None:
            raise PadimError("the model is fitted on another network's features; begin a new one")
        _ = network.extractor
        self._network = network

    @property
    def normals_(self) -> tuple[Normal, ...]:
        """The normal images, in the order they came."""
        return self.state.fitted.normals

    @property
    def working_set(self) -> WorkingSet:
        """The normals' features on disk and the checkpoints, and what can be done with them."""
        return WorkingSet(self._work.path, self._run, self._writing, self._install)

    def _run(self, config: PadimConfig | None = None) -> FitRun:
        """The model as it is, or with another config, to fit from."""
        former = None if self._current is None else self._current.fitted
        by_hand = self.decision.threshold_by_hand
        return FitRun(
            config or self.config, self._network, self._work.path, by_hand, former, self._thumbnails
        )

    def _install(self, fitted: FittedState) -> None:
        channels = self._network.channels(self.config)
        self._current = ScoringState(
            fitted, self.config, self.decision.roi, self._network.extractor, channels
        )

    def _install_extended(self, fitted: FittedState) -> None:
        """The same, once normals were added to the working files."""
        self._kept_thumbnails = Thumbnails(self._work.path / "thumbnails.bin")
        self._install(fitted)

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
        """Fit on images of good parts, and calibrate on their held-out scores.

        Args:
            images: anything :func:`padim.data.inputs.as_images` takes: a folder, a zip, files, arrays ...;
                read once, never held in memory.
            groups: name to part, for parts photographed more than once; identical files are always
                one part.
            progress: called as (done, total or None, stage).
            cancel: asked between batches; True stops.
            on_error: takes images that cannot be used; without it the first one raises.
            unfinished: a folder, on the disk of ``work_dir``, that keeps what is done if the fit is
                stopped. What an earlier fit of the same images left there is not done again, and the
                result is, bit for bit, that of one fit. Empty once the fit has succeeded; but if it is
                ``work_dir`` itself, one can go on from there even when saving fails.

        Raises:
            Cancelled: the model is as it was before.
            InputError: ``images`` is nothing of the kind.
            ImageError: an image cannot be used and ``on_error`` is not given.
            PadimError: no image could be used, or ``unfinished`` was begun with other images or settings.
        """
        check_can_fit(self.config)  # before anything is read
        watch, given = Watch(progress, cancel, on_error), as_images(images)
        with self._writing:
            self._install_extended(self._run().fit(given, groups, watch, unfinished))
        return self

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
        with self._writing:
            fitted = extend(self._run(), as_images(images), groups, Watch(progress, cancel, on_error))
            if fitted is not None:
                self._install_extended(fitted)
        return self

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

        All images of the part leave together, else the remaining ones would vouch for it.

        Args:
            index: of any of its images in ``normals_``.
            reason: ``not_good`` (not a normal part at all: it leaves the calibration too) or ``kept_out``
                (good, but odd: it stays in the calibration as an unseen image).

        Raises:
            PadimError: no embeddings at hand, or nothing would be left.
        """
        if reason not in ("not_good", "kept_out"):
            raise ValueError(f"reason must be 'not_good' or 'kept_out', got '{reason}'")
        return self._refit(lambda normals: with_status(normals, index, reason), Watch(progress, cancel))

    def include(self, index: int, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Self:
        """Put a part back: after :meth:`exclude`, the former model bit for bit."""
        return self._refit(lambda normals: with_status(normals, index, "fit"), Watch(progress, cancel))

    def regroup(
        self, groups: Groups, *, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Self:
        """State anew which images show the same part; only the held-out scores change."""
        return self._refit(lambda normals: regrouped(normals, groups), Watch(progress, cancel))

    def _refit(self, change: Callable[[_Normals], _Normals], watch: Watch) -> Self:
        with self._writing:
            self._install(self._run().refit(change(self.normals_), watch))
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
        with self._writing:
            asked = self._features_asked if n_features is None else n_features
            config = self._network.with_active_layers(self.config, active, asked)
            self.working_set.require()
            fitted = self._run(config).refit(self.normals_, Watch(progress, cancel))
            self.config, self._features_asked = config, asked
            self._install(fitted)
        return self

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
        state, min_area, guard = self.state, self.config.min_area, self.decision.guard
        threshold = self.current_threshold
        level = None if threshold is None else threshold.level
        watch = Watch(progress, cancel, on_error)
        for batch in self._run().batches(
            as_images(images), watch, "Scoring images", thumbnail_side=thumbnail_side, batch_size=batch_size
        ):
            yield from state.predict(batch, min_area, level, guard)

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
        if prediction.scored_by != self.state.identity:
            raise PadimError(
                f"{prediction.name}: was scored before the model changed, or by another model; score it again"
            )
        decided = prediction.at(
            level=self.threshold_level if threshold is None else threshold,
            min_area=self.config.min_area if min_area is None else min_area,
        )
        return replace(decided, guard=self.decision.guard)

    # --- saving ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Save the bundle: all that scoring and calibration need, whole or not at all.

        Args:
            path: a folder, or a file ending in ``.zip``.
        """
        path = Path(path)
        with self._writing:
            parts = persistence.ModelParts(
                self.config,
                self._features_asked,
                self._network,
                self.decision,
                self.state.fitted,
                self._thumbnails,
            )
            persistence.save(path, parts, self.state.channels, self.current_threshold)
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
        parts = persistence.load(path)
        model = cls(parts.config, work_dir=work_dir)
        model.decision = parts.decision
        model._features_asked = parts.features_asked
        model._network = parts.network
        model._kept_thumbnails = parts.thumbnails
        model._install(parts.fitted)
        return model
