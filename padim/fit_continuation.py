"""Continue a fit with more normals, from the former normals' features or from a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from padim.data.bit_depth import Samples
from padim.data.loading import Named, Watch
from padim.fit_run import FitRun
from padim.fitting import FittedState, fit_detector
from padim.methods.base import Task
from padim.methods.moments import PatchStatistics
from padim.methods.padim import gather, of_statistics
from padim.storage.normals import Groups, Normal, join_duplicates
from padim.storage.thumbnails import Thumbnails
from padim.storage.working_set import extending, naming_damage

__all__ = ["extend"]

# New normals, and their embeddings of the kept channels: float32 ``(n, p, d)``.
_Embedded: TypeAlias = tuple[list[Normal], npt.NDArray[np.float32]]


def extend(run: FitRun, images: Iterable[Named], groups: Groups, watch: Watch) -> FittedState | None:
    """Continue a fit with more normals; arguments and errors as :meth:`padim.Padim.partial_fit`.

    Returns:
        The fitted state; None if there were no features and no new image could be used, so that nothing has
        changed.
    """
    if not run.has_features:
        return _continue_from_checkpoint(run, images, groups, watch)
    former = run.normals
    with extending(run.folder, run.thumbnails, former) as thumbnails:
        working_files = replace(run.files.working_files().start(), thumbnails=thumbnails)
        working_files.truncate(len(former))
        try:
            found: list[tuple[str, Samples | None]] = []
            added = run.take_in(working_files, images, groups, len(former), watch, found=found)
            run.bit_depth(found)
            return run.fit_features(working_files, join_duplicates([*former, *added]), watch)
        except BaseException:
            working_files.truncate(len(former))
            raise


def _continue_from_checkpoint(
    run: FitRun, images: Iterable[Named], groups: Groups, watch: Watch
) -> FittedState | None:
    former = run.former
    assert former is not None
    kept = run.files.kept_features(former.normals)
    if kept is None and run.config.method != "padim":
        raise run.files.unusable(
            former.normals,
            "the normals' features were deleted, and this method cannot go on without them; "
            "give the same images again with working_set.rebuild()",
        )
    # Read before anything is changed, because there may be no checkpoint.
    statistics = run.statistics() if kept is None else None
    with extending(run.folder, run.thumbnails, former.normals) as thumbnails:
        embedded = _embedded(run, images, groups, len(former.normals), thumbnails, watch)
        # The former checkpoint stays until the next fit: the saved bundle may still contain the former model.
        if statistics is None:
            return _continue_features(run, former, embedded, watch)
        return _continue_statistics(run, former, embedded, statistics)


def _embedded(
    run: FitRun,
    images: Iterable[Named],
    groups: Groups,
    first_index: int,
    thumbnails: Thumbnails,
    watch: Watch,
) -> Iterator[_Embedded]:
    """Yield new normals with their embeddings of the kept channels, batch by batch."""
    found: list[tuple[str, Samples | None]] = []
    for batch in run.fresh(images, watch):
        found += [(item.name, item.samples) for item in batch]
        embeddings = run.embed(batch)
        chosen = embeddings.reshape(len(batch), embeddings.shape[1], -1)[:, run.channels]
        yield run.records_of(batch, thumbnails, groups, first_index), chosen.transpose(0, 2, 1)
        first_index += len(batch)
    run.bit_depth(found)


def _continue_features(
    run: FitRun, former: FittedState, embedded: Iterable[_Embedded], watch: Watch
) -> FittedState | None:
    """Continue from the stored features of the kept channels; the fit and its calibration are exact."""
    files = run.files
    kept = files.kept_features(former.normals)
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
            fitted = fit_detector(
                Task(kept, all_normals, everything, run.config, watch, training, drawn=run.channels)
            )
        fitted = run.complete(fitted)
        shutil.rmtree(training, ignore_errors=True)
        if run.statistics_suffice(len(all_normals), kept.channels):
            gather(kept, all_normals, everything).save(files.statistics_of(all_normals))
        else:
            files.write_features(kept, everything, all_normals, files.checkpoint_of(all_normals))
        return fitted
    finally:
        kept.truncate(count)


def _continue_statistics(
    run: FitRun, former: FittedState, embedded: Iterable[_Embedded], statistics: PatchStatistics
) -> FittedState | None:
    """Continue from statistics: the Gaussians are exact, the former held-out distances become stale."""
    added: list[Normal] = []
    for normals, features in embedded:
        statistics.update(features)
        added += normals
    if not added:
        return None
    all_normals = join_duplicates([*former.normals, *added])
    statistics.save(run.files.statistics_of(all_normals))
    continued = replace(
        former,
        normals=all_normals,
        detector=of_statistics(statistics, run.config),
        calibration="none" if former.calibration == "none" else "stale",
    )
    return continued.located_by(run.reference, run.config.input_shape)
