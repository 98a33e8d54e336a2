"""The working set of a model: its normals' features on disk, and the checkpoints that outlive them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from padim.data.loading import Cancel, Named, OnError, Progress, Watch
from padim.errors import DamagedError
from padim.fit_run import FitRun
from padim.fitting import FittedState
from padim.methods.moments import PatchStatistics
from padim.storage.feature_store import FeatureStore
from padim.storage.working_set import checkpoint_bytes, feature_bytes, forget_features

__all__ = ["WorkingSet"]


class WorkingSet:
    """What is on disk of a model's normals while it is worked on, always of the model as it is now."""

    def __init__(
        self,
        folder: Path,
        now: Callable[[], FitRun],
        writing: AbstractContextManager[object],
        install: Callable[[FittedState], None],
    ) -> None:
        """
        Args:
            folder: where the files are.
            now: gives the model as it is.
            writing: held by whatever changes the model, and may be held again within.
            install: makes what was fitted the model's state.
        """
        self.folder = folder
        self._now = now
        self._writing = writing
        self._install = install

    @contextmanager
    def held(self) -> Iterator[None]:
        """As long as this lasts, fits, exclusions and settings in other threads wait."""
        with self._writing:
            yield

    # --- the features ------------------------------------------------------------------------------

    @property
    def feature_store(self) -> FeatureStore:
        """The normals' embeddings, all channels, a record a normal; :meth:`require` says whether they can be
        used."""
        return self._now().files.working_files().feature_store

    @property
    def has_features(self) -> bool:
        """Whether what the method learns from is at hand, of just the model's normals."""
        return self._now().has_features

    @property
    def problem(self) -> DamagedError | None:
        """Why the features on disk cannot be used, as far as can be told without reading them.

        None where they can, or where there are none.
        """
        now = self._now()
        return None if now.former is None or now.has_features else now.files.working_files().problem()

    def require(self) -> None:
        """Make sure that the features can be used.

        Raises:
            DamagedError: what the method learns from is damaged, or of an earlier version of this program.
            PadimError: it was deleted.
        """
        self._now().require_features()

    @property
    def nbytes(self) -> int:
        """Size of the features on disk, and of the images where the method needs them."""
        return feature_bytes(self.folder)

    def thumbnail(self, index: int) -> bytes:
        """JPEG of a normal, at most 512 px; also of an opened model, out of its bundle.

        Raises:
            BundleError, DamagedError: it is not what was written.
        """
        now = self._now()
        return now.thumbnails.read(now.normals[index].thumbnail)

    def rebuild(
        self,
        images: Iterable[Named],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        on_error: OnError | None = None,
    ) -> None:
        """Read the same images again, after :meth:`delete`; they are known by their content.

        The calibration is exact again afterwards, also if it was stale. Arguments as :meth:`padim.Padim.fit`.

        Raises:
            Cancelled: the model is as it was before.
            PadimError: images are missing; names the first of them.
        """
        with self._writing:
            self._install(self._now().rebuild(images, Watch(progress, cancel, on_error)))

    def delete(self) -> None:
        """Free the disk; a checkpoint is kept, so that the fit can still be continued."""
        with self._writing:
            now = self._now()
            # Without the images it learns from, a method cannot go on, and needs nothing to go on with.
            if now.has_features and not now.config.needs_images:
                with suppress(DamagedError):  # nothing can be kept of what is damaged
                    self.save_checkpoint()
            forget_features(self.folder)

    # --- the checkpoint ----------------------------------------------------------------------------

    @property
    def continues_exactly(self) -> bool:
        """Whether a continued fit is calibrated anew: the normals' features, or those of the channels kept,
        are here."""
        now = self._now()
        return now.has_features or now.files.kept_features(now.normals) is not None

    @property
    def checkpoint_bytes(self) -> int:
        """Size of the checkpoints on disk."""
        return checkpoint_bytes(self.folder)

    def statistics(self) -> PatchStatistics:
        """Count, mean and scatter of the normals in the fit: from the features, or from the checkpoint.

        Raises:
            PadimError: neither is at hand.
        """
        return self._now().statistics()

    def save_checkpoint(self) -> Path:
        """Write beside the features what it takes to continue the fit without them, whichever is smaller.

        While the normals are no more than the channels kept: the features of those channels, in a folder; the
        calibration stays exact when the fit goes on. Beyond that: the float64 statistics, in a file. Methods
        that statistics are not enough for keep the features, however many.
        """
        now = self._now()
        normals, files = now.normals, now.files
        if now.statistics_suffice(len(normals), len(now.channels)):
            path = files.statistics_of(normals)
            now.statistics().save(path)
            return path
        path = files.checkpoint_of(normals)
        if files.kept_features(normals) is None:
            files.write_features(files.working_files().feature_store, now.channels, normals, path)
        return path
