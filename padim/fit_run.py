"""Run fits: fit on new images, fit again from stored features, and read the former images again.

A run does not change the model: it returns a fitted state, which the model installs as a whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig, is_as_before
from padim.data.bit_depth import BitDepthQuestion, Samples, settle
from padim.data.first_size import first_size
from padim.data.input_shape import is_open, with_input_shape
from padim.data.loading import Named, Prepared, Watch, batches
from padim.data.preprocess import Preprocess
from padim.data.reference_image import find_reference
from padim.decision.scorer import NO_NUMBERS
from padim.errors import ImageError, NotFittedError, PadimError
from padim.fitting import FittedState, fit_detector, with_room_for
from padim.locating.frozen import FrozenReference
from padim.methods.base import Task
from padim.methods.moments import PatchStatistics
from padim.methods.padim import gather
from padim.network.model_network import ModelNetwork
from padim.storage.normals import Groups, Normal, Status, join_duplicates, part_of
from padim.storage.resume import Done, Unfinished
from padim.storage.thumbnails import Readable, Thumbnails
from padim.storage.working_set import Layout, WorkingFiles, WorkingFolder, naming_damage

__all__ = ["NOT_FITTED", "THUMBNAIL_SIDE", "FitRun"]

NOT_FITTED = "the model has not been fitted; call fit() with images of good parts"
# Longest side in pixels of the normals' thumbnails in a bundle.
THUMBNAIL_SIDE = 512


@dataclass(frozen=True)
class FitRun:
    """Start of a fit: the present state of a model.

    Attributes:
        config: the settings to fit with.
        network: the network that computes the features.
        folder: the model's working folder.
        threshold_by_hand: in map units; the scale of the maps is widened to include it. None if the threshold
            is not set by hand.
        former: the former fitted state; None if there is none.
        thumbnails: thumbnails of the former normals.
        reference: the reference part that images are located by; None before the first fit, and for models
            that do not locate parts.
    """

    config: PadimConfig
    network: ModelNetwork
    folder: Path
    threshold_by_hand: float | None
    former: FittedState | None
    thumbnails: Readable
    reference: FrozenReference | None = None

    @property
    def normals(self) -> tuple[Normal, ...]:
        """The normals of the former fit.

        Raises:
            NotFittedError: there is no former fit.
        """
        if self.former is None:
            raise NotFittedError(NOT_FITTED)
        return self.former.normals

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing from a decoded image to the network's input."""
        return Preprocess.of(self.config, None if self.reference is None else self.reference.locator)

    @cached_property
    def channels(self) -> npt.NDArray[np.int64]:
        """The channels used: int64 ``(d,)``, indices into the channels of all layers."""
        return self.network.channels(self.config)

    @cached_property
    def files(self) -> WorkingFolder:
        """The working folder with the layout of this model."""
        config, extractor = self.config, self.network.extractor
        selection = f"{config.n_features}/{config.seed}"
        if config.inactive_layers:
            selection += f"/{','.join(config.inactive_layers)}"
        shape = config.input_shape if config.needs_images else None
        layout = Layout(
            extractor.identity, extractor.channels, extractor.positions, self.channels, selection, shape
        )
        return WorkingFolder(self.folder, layout)

    @property
    def has_features(self) -> bool:
        """Whether the data that the method is fitted to exists for exactly these normals."""
        if self.former is None:
            return False
        return self.files.working_files().holds([normal.sha256 for normal in self.normals])

    def require_features(self) -> None:
        """Raise an error if the features cannot be used.

        Raises:
            DamagedError: the data is damaged or of an earlier version of this program.
            PadimError: the data was deleted.
        """
        if not self.has_features:
            raise self.files.unusable(
                self.normals,
                "the normals' features were deleted; give the same images again with working_set.rebuild()",
            )

    def statistics_suffice(self, normals: int, channels: int) -> bool:
        """Return whether statistics suffice as a checkpoint for the method and are smaller than features."""
        return self.config.method == "padim" and normals > channels

    def statistics(self) -> PatchStatistics:
        """Return count, mean and scatter of the normals in the fit, from the features or the checkpoint.

        Raises:
            PadimError: neither features nor checkpoint exist.
        """
        files, channels = self.files, self.channels
        features = files.kept_features(self.normals)
        if self.has_features:
            features = files.working_files().feature_store
        elif features is not None:
            channels = np.arange(features.channels)
        if features is not None:
            with naming_damage(self.normals):
                return gather(features, self.normals, channels)
        path = files.statistics_of(self.normals)
        if not path.exists():
            raise files.unusable(
                self.normals,
                "neither the normals' features nor a checkpoint of this model are here; "
                "give its images again with working_set.rebuild()",
            )
        return PatchStatistics.load(path)

    # --- fitting -----------------------------------------------------------------------------------

    def fit_features(
        self, working_files: WorkingFiles, normals: Sequence[Normal], watch: Watch
    ) -> FittedState:
        """Fit to the stored data; an interrupted training's progress is stored there until it is complete.

        Raises:
            Cancelled: the ``cancel`` callback of ``watch`` returned True.
            DamagedError: a record does not match its checksum; the error names the image.
            PadimError: there are too few normals for the method.
        """
        progress = working_files.folder / "training"
        task = Task(
            working_files.feature_store,
            tuple(normals),
            self.channels,
            self.config,
            watch,
            progress,
            working_files.images,
            self.network.extractor.backbone_onnx,
        )
        with naming_damage(normals):
            fitted = fit_detector(task)
        shutil.rmtree(progress, ignore_errors=True)
        return self.complete(fitted)

    def refit(self, normals: tuple[Normal, ...], watch: Watch) -> FittedState:
        """Fit again from the stored features; errors as :meth:`fit_features` and :meth:`require_features`."""
        self.require_features()
        return self.fit_features(self.files.working_files(), normals, watch)

    def complete(self, fitted: FittedState) -> FittedState:
        """Return the fitted state with its reference part, and its scale widened for a threshold by hand."""
        quantizer = with_room_for(fitted.quantizer, self.threshold_by_hand)
        return replace(fitted, quantizer=quantizer).located_by(self.reference, self.config.input_shape)

    def fit(
        self, images: Iterable[Named], groups: Groups, watch: Watch, unfinished: str | Path | None
    ) -> tuple[FittedState, int | None, FitRun]:
        """Fit on these images only, located by a reference part among them if the settings say so.

        Where no input size is given, the first usable image decides it, or the frame of the reference part.

        Arguments and errors as :meth:`padim.Padim.fit`.

        Returns:
            The fitted state; the bit depth of the images: that of the settings, or else the one that the
            files declare; None if no image is deeper than 8 bits; and the run with the input size, the
            network for it and the reference.

        The new files are written beside the former model's, which are deleted only after the fit has
        succeeded.
        """
        if self.config.align is None:
            first = None
            if is_open(self.config):
                first, images = first_size(images, watch.cancel)
            run = replace(self, reference=None)._resized(first)
            return *run._fit(images, groups, watch, unfinished), run
        align, depth = self.config.align, self.config.bit_depth
        found, images = find_reference(images, align.reference, depth, watch.cancel)
        reference = None if found is None else FrozenReference.of(align, *found)
        frame = None if reference is None else reference.locator.frame
        size = None if frame is None else (frame.height, frame.width)
        run = replace(self, reference=reference)._resized(size)
        return *run._fit(images, groups, watch, unfinished), run

    def _resized(self, size: tuple[float, float] | None) -> FitRun:
        """Return the run with the input size for images of this (height, width), unless one is given."""
        config = with_input_shape(self.config, () if size is None else [size])
        return replace(self, config=config, network=self.network.resized(config))

    def _fit(
        self, images: Iterable[Named], groups: Groups, watch: Watch, unfinished: str | Path | None
    ) -> tuple[FittedState, int | None]:
        new = Path(unfinished) if unfinished else self.folder / "new"
        if not unfinished:
            shutil.rmtree(new, ignore_errors=True)
        try:
            record = Unfinished(new, self.network.extractor.identity, _embedding_settings(self.config))
            working_files = self.files.working_files(new).start()
            found: list[tuple[str, Samples | None]] = []
            normals = self.take_in(working_files, images, groups, 0, watch, record, found)
            if not normals:
                raise PadimError("none of the images could be used; the model needs at least one")
            depth = self.bit_depth(found)
            fitted = self.fit_features(working_files, join_duplicates(normals), watch)
            if new != self.folder:
                self.files.adopt(new)
                record.close()
            return fitted, depth
        finally:
            if not unfinished:
                shutil.rmtree(new, ignore_errors=True)

    def rebuild(self, images: Iterable[Named], watch: Watch) -> FittedState:
        """Read the same images again; see :meth:`padim.working_state.WorkingSet.rebuild`."""
        files, normals = self.files, self.normals
        wanted = {normal.sha256: normal.name for normal in normals}
        new = self.folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        try:
            found = files.working_files(new / "found").start()
            for batch in self.batches(images, watch, "Reading images"):
                known = set(found.feature_store.keys())
                fresh = {item.sha256: item for item in batch if item.sha256 in wanted.keys() - known}
                if fresh:
                    found.append(list(fresh.values()), self.embed(list(fresh.values())))
            row = {key: index for index, key in enumerate(found.feature_store.keys())}
            missing = [name for key, name in wanted.items() if key not in row]
            if missing:
                raise PadimError(
                    f"{len(missing)} of the {len(wanted)} images are missing, first {missing[0]}; "
                    "give the very files that the model was fitted on"
                )
            working_files = files.working_files(new).start()
            working_files.copy(found, [row[n.sha256] for n in normals], [n.sha256 for n in normals])
            fitted = self.fit_features(working_files, normals, watch)
            files.adopt(new)
            return fitted
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def bit_depth(self, found: Iterable[tuple[str, Samples | None]]) -> int | None:
        """Return the bit depth of the settings, or else the one that images declare.

        Args:
            found: name and samples of the images, decoded as their files declare.

        Raises:
            InputError: only the values propose a bit depth, or the files declare different ones.
        """
        if self.config.bit_depth is not None:
            return self.config.bit_depth
        settled = settle(found)
        if isinstance(settled, BitDepthQuestion):
            raise settled.error()
        return settled

    # --- reading images ------------------------------------------------------------------------------

    def batches(
        self,
        images: Iterable[Named],
        watch: Watch,
        stage: str,
        *,
        thumbnail_side: int | None = None,
        batch_size: int | None = None,
    ) -> Iterator[list[Prepared]]:
        """Yield batches of decoded images at input size: ``batch_size``, or as many as memory allows."""
        beside = 0 if self.former is None else self.former.detector.scoring_bytes()
        size = batch_size or self.network.extractor.batch_size(beside)
        return batches(images, self.preprocess, size, watch, stage, thumbnail_side=thumbnail_side)

    def take_in(
        self,
        working_files: WorkingFiles,
        images: Iterable[Named],
        groups: Groups,
        first_index: int,
        watch: Watch,
        record: Unfinished | None = None,
        found: list[tuple[str, Samples | None]] | None = None,
    ) -> list[Normal]:
        """Run the network on new normals; write embeddings to the feature store and entries to the record.

        Names and samples are appended to ``found``.

        Returns:
            The normals, in order, those already in the record included.
        """
        normals: list[Normal] = []
        if record is not None and (done := record.resume(working_files)):
            names, images, watch = record.pass_over(done, images, self.preprocess, watch)
            if found is not None:
                found += [(name, item.samples) for name, item in zip(names, done, strict=True)]
            for index, (name, item) in enumerate(zip(names, done, strict=True)):
                part = part_of(groups, name, index)
                normals.append(
                    Normal(
                        name,
                        item.sha256,
                        part,
                        self.status(item),
                        item.original_size,
                        item.thumbnail,
                        item.color_kind,
                        item.input_sha256,
                        item.pose,
                        item.lost,
                    )
                )
        for batch in self.fresh(images, watch):
            working_files.append(batch, self.embed(batch))
            added = self.records_of(batch, working_files.thumbnails, groups, first_index + len(normals))
            if record is not None:
                record.add(
                    Done(
                        item.sha256,
                        item.original_size,
                        item.thumbnail,
                        read.samples,
                        item.color_kind,
                        item.input_sha256,
                        item.pose,
                        item.lost,
                    )
                    for item, read in zip(added, batch, strict=True)
                )
            if found is not None:
                found += [(item.name, item.samples) for item in batch]
            normals += added
        return normals

    def fresh(self, images: Iterable[Named], watch: Watch) -> Iterator[list[Prepared]]:
        """Yield batches of images to fit on, without those that the network itself was trained with.

        Such images are refused because, even held out, they are not new to the network.
        """
        trained = self.network.adapted_with
        for batch in self.batches(images, watch, "Reading images", thumbnail_side=THUMBNAIL_SIDE):
            for item in batch:
                if item.sha256 in trained:
                    watch.bad(ImageError(item.name, "the network was taught with it; give other good parts"))
            if fresh := [item for item in batch if item.sha256 not in trained]:
                yield fresh

    def embed(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]:
        """Compute the embeddings of a batch: float32 ``(n, channels, H, W)``, all finite.

        Raises:
            PadimError: the network returns values that are not finite for an image.
        """
        embeddings = self.network.extractor(np.stack([item.rgb for item in batch]))
        for item, embedding in zip(batch, embeddings, strict=True):
            if not np.isfinite(embedding).all():
                raise PadimError(f"{item.name}: {NO_NUMBERS}")
        return embeddings

    def status(self, image: Prepared | Done) -> Status:
        """Return the status of a new normal: the reference, kept out if the part is not found, or fit.

        The reference part matches itself better than any other part does, so that its score says nothing.
        """
        if self.reference is not None and image.sha256 == self.reference.sha256:
            return "reference"
        return "kept_out" if image.lost else "fit"

    def records_of(
        self, batch: Sequence[Prepared], thumbnails: Thumbnails, groups: Groups, first_index: int
    ) -> list[Normal]:
        """Create the records of a batch's normals and write their thumbnails.

        Args:
            batch: images with their thumbnails.
            thumbnails: file that the thumbnails are appended to.
            groups: the images' parts, as given by the caller.
            first_index: index of the batch's first image among all normals.
        """
        places = thumbnails.append([item.thumbnail or b"" for item in batch])
        return [
            Normal(
                item.name,
                item.sha256,
                part_of(groups, item.name, index),
                self.status(item),
                item.original_size,
                place,
                item.color_kind,
                item.input_sha256,
                item.pose,
                item.lost,
            )
            for index, (item, place) in enumerate(zip(batch, places, strict=True), start=first_index)
        ]


def _embedding_settings(config: PadimConfig) -> dict[str, object]:
    """Return the settings that embeddings depend on, as plain JSON."""
    settings = config.model_dump(mode="json")
    names = (
        "backbone",
        "weights",
        "layers",
        "input_size",
        "fit",
        "bit_depth",
        "grid_stride",
        "feature_norm",
        "align",
    )
    # Settings with their value from before they were introduced are left out, so that fits stopped then can
    # be resumed.
    return {name: settings[name] for name in names if not is_as_before(name, settings[name])}
