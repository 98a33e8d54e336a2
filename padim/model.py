"""The class Padim: fit a model on good parts, score test images and decide them.

This module has the public methods. Fitting is implemented in ``fit_run.py`` and ``fitting.py``, scoring in
``scoring.py``, the decision settings in ``decider.py``, the working set in ``working_state.py``, saving and
opening in ``persistence.py``.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from padim import persistence
from padim.config import PadimConfig
from padim.data.good_inputs import as_good_parts
from padim.data.inputs import as_images
from padim.data.loading import Cancel, OnError, Progress, Watch
from padim.data.shapes import mixed_shapes, shape_note
from padim.decider import Decider
from padim.decision.calibration import Choice
from padim.decision.prediction import Prediction
from padim.decision.self_test import SelfTestResult
from padim.decision.settings import DecisionSettings
from padim.errors import PadimError
from padim.estimator import with_settings
from padim.fit_continuation import extend
from padim.fit_run import FitRun
from padim.fitting import FittedState
from padim.methods.requirements import check_can_fit
from padim.network.model_network import ModelNetwork
from padim.scoring import ScoringState
from padim.self_testing import SelfTesting
from padim.storage.normals import Groups, Normal, regrouped, with_status
from padim.storage.saved_places import SavedPlaces
from padim.storage.thumbnails import Readable, Thumbnails
from padim.storage.work_folder import WorkFolder
from padim.text import size
from padim.working_state import WorkingSet, check_working_files

__all__ = ["Choice", "Padim", "Prediction"]

_Normals: TypeAlias = tuple[Normal, ...]


class Padim(Decider):
    """Anomaly detection model: Patch Distribution Modeling (PaDiM) and other methods with the same interface.

    PaDiM is by Defard et al., 2020, arXiv 2011.08785; ``config.method`` selects the method.

    Other threads may score and read while one thread fits or excludes: they use the former model until the
    new one is complete.

    Attributes:
        config: all settings, including ``min_area``; immutable, replaced by :meth:`set_decision`.
        decision: how the threshold is chosen, the guard band and the region of interest; immutable, replaced
            by :meth:`set_decision`, :meth:`set_guard` and :meth:`set_roi`.
    """

    def __init__(
        self, config: PadimConfig | None = None, *, work_dir: str | Path | None = None, **settings: Any
    ) -> None:
        """Create a model with settings; nothing is read, written or loaded before the first fit.

        Args:
            config: all settings; default: ``PadimConfig()``.
            work_dir: folder for the images' embeddings while the model is being changed; default: a temporary
                folder, which is removed with the model.
            **settings: single settings, named as in :class:`padim.PadimConfig`; they take precedence over
                ``config``.

        Raises:
            ValueError: a setting does not exist or is out of range.
        """
        self.config = with_settings(config, settings)
        self.decision = DecisionSettings()
        # Number of channels last requested; :meth:`set_layers` uses it again when layers with fewer channels
        # are replaced by layers with more.
        self._features_asked = self.config.n_features
        self._work = WorkFolder(work_dir)
        self._network = ModelNetwork(self.config)
        self._current: ScoringState | None = None
        # An opened model's thumbnails are read from its bundle; a change creates the working files.
        self._kept_thumbnails: Readable | None = None
        self._saved_places = SavedPlaces()
        self._fitted_at = ""
        self._self_testing = SelfTesting()
        # Held by every method that changes the model; readers read ``_current`` once and need no lock.
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
        """The network that computes the features; it can be set before the first fit.

        Raises:
            PadimError: on setting, the model is fitted already.
            BundleError: on setting, the network is not usable.
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
        """The normal images, in their order."""
        return self.state.fitted.normals

    @property
    def working_set(self) -> WorkingSet:
        """The normals' features on disk and the checkpoints, with the operations on them."""
        check = self._check_shared_files
        return WorkingSet(self._work.path, self._run, self._writing, self._install, check)

    def _run(self, config: PadimConfig | None = None) -> FitRun:
        """Return the start of a fit: the present model, optionally with another configuration."""
        former = None if self._current is None else self._current.fitted
        by_hand = self.decision.threshold_by_hand
        return FitRun(
            config or self.config,
            self._network,
            self._work.path,
            by_hand,
            former,
            self._thumbnails,
            None if former is None else former.reference,
        )

    def _check_shared_files(self) -> None:
        """Raise an error if somebody else has saved the model that the working files belong to by now."""
        if self._work.given:
            check_working_files(self._work.path, self._saved_places)

    def _install(self, fitted: FittedState) -> None:
        channels, former = self._network.channels(self.config), self._current
        self._current = ScoringState(
            fitted, self.config, self.decision.roi, self._network.extractor, channels
        )
        if former is not None and former.unchecked and former.fitted.detector is fitted.detector:
            # The same detector with another region or smoothing: the opened state is still to be checked.
            self._current.check_with(lambda _: former.run_check())

    def _install_extended(self, fitted: FittedState) -> None:
        """Install a fitted state after normals were added to the working files."""
        self._kept_thumbnails = Thumbnails(self._work.path / "thumbnails.bin")
        self._install(fitted)

    # --- fitting -----------------------------------------------------------------------------------

    def fit(
        self,
        images: Any,
        *,
        folder: str | None = None,
        groups: Groups = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
        unfinished: str | Path | None = None,
    ) -> Self:
        """Fit the model on images of good parts and calibrate it on their held-out scores; return self.

        Args:
            images: any input of :func:`padim.data.inputs.as_images`: a folder, a zip, files, arrays ...; read
                once, and never all in memory. The first usable one decides an ``input_size`` not set.
            folder: folder with the good parts in a folder or zip, such as ``train/good``; ``.`` says that all
                images are good parts, whatever the names of folders say.
            groups: part by image name, for parts photographed more than once; identical files are always one
                part.
            progress: called as (done, total or None, stage).
            cancel: polled between batches; True stops the fit.
            on_error: called with the error of each image that cannot be used; without it the first one is
                raised.
            unfinished: folder, on the disk of ``work_dir``, that stores the finished work if the fit is
                stopped. A later fit of the same images with this folder resumes from there, with the same
                result, bit for bit, as one fit. It is empty once the fit has succeeded; if it is ``work_dir``
                itself, the fit can be resumed even after saving has failed.

        Raises:
            Cancelled: ``cancel`` returned True; the model is unchanged.
            InputError: ``images`` is not of an accepted kind; or the bit depth of 16-bit images is open: set
                ``bit_depth``.
            LabeledInputError: ``images`` is labelled data: folders in it say test, masks or defects; the
                error says which ``folder`` to choose.
            ImageError: an image cannot be used and ``on_error`` is not given.
            PadimError: no image could be used, or ``unfinished`` was begun with other images or settings.

        Warns:
            UserWarning: the images differ in shape and were stretched, as nothing said how to resize them.
        """
        check_can_fit(self.config)  # before anything is read
        watch, given = Watch(progress, cancel, on_error), as_good_parts(images, folder)
        with self._writing:
            self._check_shared_files()
            fitted, bit_depth, run = self._run().fit(given, groups, watch, unfinished)
            self.config, self._network = run.config, run.network
            if bit_depth != self.config.bit_depth:
                self.config = self.config.model_copy(update={"bit_depth": bit_depth})
                self._network.use_bit_depth(bit_depth)
            self._install_extended(fitted)
            self._fitted_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._warn_of_mixed_shapes()
        return self

    def _warn_of_mixed_shapes(self) -> None:
        """Warn if images of mixed shapes were stretched although the settings do not say so.

        Images are read once, so that their shapes are known only after the fit; the command line and the
        application look first, and pad them.
        """
        sizes = {normal.original_size for normal in self.normals_ if normal.status == "fit"}
        if self.config.fit == "stretch" and "fit" not in self.config.model_fields_set and mixed_shapes(sizes):
            warnings.warn(
                f"{shape_note(sizes)}, and were stretched to {size(self.config.input_shape)}, each "
                "differently; "
                "Padim(fit='pad') keeps their proportions, fit='stretch' fits so without this warning",
                stacklevel=3,
            )

    def partial_fit(
        self,
        images: Any,
        *,
        folder: str | None = None,
        groups: Groups = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> Self:
        """Continue the fit with more normals; arguments, result and errors as :meth:`fit`.

        If the former embeddings exist, the result is, bit for bit, that of one fit on all images. Otherwise
        the statistics are continued from the checkpoint and the calibration is marked ``stale``.
        """
        if self._current is None:
            return self.fit(
                images, folder=folder, groups=groups, progress=progress, cancel=cancel, on_error=on_error
            )
        given = as_good_parts(images, folder)
        with self._writing:
            self._check_shared_files()
            fitted = extend(self._run(), given, groups, Watch(progress, cancel, on_error))
            if fitted is not None:
                self._install_extended(fitted)
        self._warn_of_mixed_shapes()
        return self

    # --- excluding and including parts -------------------------------------------------------------

    def exclude(
        self,
        index: int,
        reason: Literal["not_good", "kept_out"],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Self:
        """Exclude a part from the fit, exactly as if it had never been in it; return self.

        All images of the part are excluded together; a remaining one would lower the others' distances.

        Args:
            index: index of any of its images in ``normals_``.
            reason: ``not_good`` (not a good part: it is excluded from the calibration too) or ``kept_out``
                (good, but unusual: it stays in the calibration as an unseen image).
            progress, cancel: as for :meth:`fit`.

        Raises:
            PadimError: there are no embeddings, or no part would be left.
        """
        if reason not in ("not_good", "kept_out"):
            raise ValueError(f"reason must be 'not_good' or 'kept_out', got '{reason}'")
        return self._refit(lambda normals: with_status(normals, index, reason), Watch(progress, cancel))

    def include(self, index: int, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Self:
        """Include a part in the fit again; after :meth:`exclude` this restores the former model exactly."""
        return self._refit(lambda normals: with_status(normals, index, "fit"), Watch(progress, cancel))

    def regroup(
        self, groups: Groups, *, progress: Progress | None = None, cancel: Cancel | None = None
    ) -> Self:
        """Change which images show the same part; only the held-out scores change; return self."""
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
        """Fit again with some or all of the layers, without running the network; return self.

        The other layers stay on disk, inactive: setting the former layers again restores the former model bit
        for bit.

        Args:
            active: names of layers, from ``config.layers``.
            n_features: number of their channels to use; None for the number last requested, or all if there
                are fewer.
            progress, cancel: as for :meth:`fit`.

        Raises:
            PadimError: no layer is given, one was not fitted on, or the normals' features were deleted.
            Cancelled: ``cancel`` returned True; the model is unchanged.
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
        """Score and decide images batch by batch; memory use does not grow with their number.

        All of them are scored by the model as it is when the first result is requested. Without a threshold
        (fewer than three parts, none set by hand) the results have scores and maps, but no decision.

        Args:
            images: any input of :func:`padim.data.inputs.as_images`: a folder, a zip, files, arrays ...
            batch_size: images per run of the network; default: according to the input size.
            thumbnail_side: longest side in pixels of a JPEG thumbnail of each result; None for no thumbnails.
            progress, cancel, on_error: as for :meth:`fit`.

        Yields:
            A prediction for each usable image, in order.

        Raises:
            InputError: ``images`` is not of an accepted kind.
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
        """Decide a scored image again with the present or given settings, without running the network.

        Args:
            prediction: a result of :meth:`predict` of this model.
            threshold: threshold as a level; default: the model's.
            min_area: smallest region in map pixels; default: the model's.

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

    @property
    def self_test_(self) -> SelfTestResult:
        """What the self-test of an opened model has found on this machine, with this provider and threads.

        It runs once, when the first image is scored: a saved model has a few reference inputs with the level
        maps expected of them. More than one level apart, or another verdict, is refused
        (:class:`padim.errors.SelfTestError`).
        """
        return self._self_testing.result

    # --- saving ------------------------------------------------------------------------------------

    @property
    def revision(self) -> str:
        """Revision that this model was loaded from or last saved as; empty if neither."""
        return self._saved_places.revision

    def save(self, path: str | Path, *, replaces: str | None = None, force: bool = False) -> Path:
        """Save everything that scoring and calibration need as a bundle, atomically; return the path.

        A model that someone else has changed since it was loaded from ``path``, or last saved there, is not
        replaced. At any other path a former model is replaced.

        Args:
            path: a folder, or a file ending in ``.zip``.
            replaces: revision of the only model that may be replaced; empty if nothing may be there.
            force: replace whatever model is there.

        Raises:
            ChangedSinceOpenedError: the model at ``path`` was changed since; nothing is saved.
            BusyError: ``path`` is in a workspace, and somebody else is changing the model there.
        """
        path = Path(path)
        with self._writing:
            opened = self._saved_places.at(path) if replaces is None else {"seal": replaces}
            parts = persistence.ModelParts(
                self.config,
                self._features_asked,
                self._network,
                self.decision,
                self.state.fitted,
                self._thumbnails,
                fitted_at=self._fitted_at,
                self_test=self._self_testing.to_save(self.state, self._thumbnails),
            )
            saved = persistence.save(
                path, parts, self.state.channels, self.current_threshold, None if force else opened
            )
            self._saved_places.remember(path, saved)
        return path

    def export(
        self,
        path: str | Path,
        *,
        force: bool = False,
        output_type: Literal["uint16", "float32"] = "uint16",
    ) -> Path:
        """Write the model for other programs: as an ONNX scorer, the arrays as ``.npz``, or a folder.

        Args:
            path: path that ends in ``.onnx`` or ``.npz``; for a model that locates the part, one that ends in
                ``.npz``, or a folder (:func:`padim.output.aligned_export.export_folder`).
            force: whether to replace what is there.
            output_type: type of the level map that an ONNX scorer returns; ``float32`` has the same values
                and is for runtimes without uint16, such as TensorRT.

        Returns:
            The file or folder written.

        Raises:
            ValueError: the path ends in neither, or ``output_type`` is not one of the two.
            PadimError: it exists already or cannot be written, or a model that locates the part is to be
                written as one ONNX file.
        """
        target = Path(path)
        if self.config.align is not None and target.suffix.lower() not in (".onnx", ".npz"):
            folder = import_module("padim.output.aligned_export")
            return Path(
                folder.export_folder(self, target, name=target.name, force=force, output_type=output_type)
            )
        if target.suffix.lower() not in (".onnx", ".npz"):
            raise ValueError(f"{target}: its name ends in neither .onnx nor .npz")
        # Imported by name, because the module for output is in a higher layer than the model.
        export = import_module("padim.output.export")
        if target.suffix.lower() == ".npz":
            return Path(export.export_npz(self, target, force=force))
        if target.exists() and not force:
            raise PadimError(
                f"{target}: is there already; choose another name, or replace it with force=True"
            )
        return Path(export.export_onnx(self, target, name=target.stem, output_type=output_type))

    @classmethod
    def load(cls, path: str | Path, *, work_dir: str | Path | None = None) -> Padim:
        """Open a saved bundle; torch is not needed.

        Args:
            path: a folder or ``.zip`` file.
            work_dir: folder with the embeddings and the checkpoint of this model, if they are stored.

        Raises:
            BundleError: a file is missing, truncated, altered or of another version; the error names it.
        """
        parts = persistence.load(path)
        model = cls(parts.config, work_dir=work_dir)
        model.decision = parts.decision
        model._features_asked = parts.features_asked
        model._network = parts.network
        model._kept_thumbnails, model._fitted_at = parts.thumbnails, parts.fitted_at
        model._saved_places.remember(Path(path), parts.manifest)
        model._install(parts.fitted)
        check = model._self_testing.opened(
            parts.self_test, Path(path), model.state, parts.config.min_area, parts.decision
        )
        model.state.check_with(check)
        return model
