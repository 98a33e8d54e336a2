"""The public interface to a model's working set: its normals' features on disk and its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from padim.data.loading import Cancel, Named, OnError, Progress, Watch
from padim.errors import DamagedError
from padim.fit_run import FitRun
from padim.fitting import FittedState
from padim.methods.moments import PatchStatistics
from padim.storage import bundle
from padim.storage.feature_store import FeatureStore
from padim.storage.revisions import check_unchanged
from padim.storage.saved_places import SavedPlaces
from padim.storage.working_set import checkpoint_bytes, feature_bytes, forget_features

__all__ = ["WorkingSet", "check_working_files"]


def check_working_files(folder: Path, known: SavedPlaces) -> None:
    """Check that the working files in a saved model's folder still belong to the model that was opened.

    Args:
        folder: the working folder.
        known: the places where the model was opened or saved.

    Raises:
        ChangedSinceOpenedError: somebody else has saved the model since; writing the files would destroy
            what belongs to that save.
    """
    place = folder.resolve().parent
    check_unchanged(place, bundle.manifest_at(place), known.at(place))


class WorkingSet:
    """Data of a model's normals on disk while it is being changed, always for the current model."""

    def __init__(
        self,
        folder: Path,
        now: Callable[[], FitRun],
        writing: AbstractContextManager[object],
        install: Callable[[FittedState], None],
        check: Callable[[], None],
    ) -> None:
        """Connect the working set to its model.

        Args:
            folder: folder of the files.
            now: returns the current model as the start of a fit.
            writing: reentrant lock that every change of the model holds.
            install: called with a fitted state to make it the model's state.
            check: raises an error if the files belong to a model that somebody else has saved.
        """
        self.folder = folder
        self._now = now
        self._writing = writing
        self._install = install
        self._check = check

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the model's lock, so that fits, exclusions and settings in other threads wait."""
        with self._writing:
            yield

    # --- the features ------------------------------------------------------------------------------

    @property
    def feature_store(self) -> FeatureStore:
        """The normals' embeddings, all channels, one record per normal.

        Use :meth:`require` to check whether they can be used.
        """
        return self._now().files.working_files().feature_store

    @property
    def has_features(self) -> bool:
        """Whether the data that the method is fitted to exists for exactly the model's normals."""
        return self._now().has_features

    @property
    def problem(self) -> DamagedError | None:
        """Error that says why the features on disk cannot be used, as far as is known without reading them.

        None if they can be used, or if there are none.
        """
        now = self._now()
        return None if now.former is None or now.has_features else now.files.working_files().problem()

    def require(self) -> None:
        """Raise an error if the features cannot be used.

        Raises:
            DamagedError: the data is damaged or of an earlier version of this program.
            PadimError: the data was deleted.
        """
        self._now().require_features()

    @property
    def nbytes(self) -> int:
        """Bytes of the features on disk, and of the images if the method needs them."""
        return feature_bytes(self.folder)

    def thumbnail(self, index: int) -> bytes:
        """Return the thumbnail of a normal: a JPEG of at most 512 px, of an opened model from its bundle.

        Args:
            index: index of the normal in ``normals_``.

        Raises:
            BundleError, DamagedError: the thumbnail is missing or damaged.
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
        """Read the same images again, after :meth:`delete`; they are recognized by their content.

        The calibration is exact afterwards, even if it was stale. Arguments as :meth:`padim.Padim.fit`.

        Raises:
            Cancelled: ``cancel`` returned True; the model is unchanged.
            PadimError: images are missing; the message names the first of them.
        """
        with self._writing:
            self._check()
            self._install(self._now().rebuild(images, Watch(progress, cancel, on_error)))

    def delete(self) -> None:
        """Delete the features to free disk space; a checkpoint is kept so that the fit can be continued."""
        with self._writing:
            self._check()
            now = self._now()
            # A method that is fitted to images cannot continue without them, so it needs no checkpoint.
            if now.has_features and not now.config.needs_images:
                with suppress(DamagedError):  # no checkpoint can be made of damaged features
                    self.save_checkpoint()
            forget_features(self.folder)

    # --- the checkpoint ----------------------------------------------------------------------------

    @property
    def continues_exactly(self) -> bool:
        """Whether a continued fit has an exact calibration.

        This needs the normals' features, or at least those of the channels used.
        """
        now = self._now()
        return now.has_features or now.files.kept_features(now.normals) is not None

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of the checkpoints on disk."""
        return checkpoint_bytes(self.folder)

    def statistics(self) -> PatchStatistics:
        """Return count, mean and scatter of the normals in the fit, from the features or the checkpoint.

        Raises:
            PadimError: neither features nor checkpoint exist.
        """
        return self._now().statistics()

    def save_checkpoint(self) -> Path:
        """Write a checkpoint, with which the fit can be continued without the features; return its path.

        The smaller form is chosen. If the normals are no more than the channels used, it is the features of
        those channels, in a folder; the calibration of a continued fit stays exact. Otherwise it is the
        float64 statistics, in a file. Methods for which statistics do not suffice always use the features.
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
