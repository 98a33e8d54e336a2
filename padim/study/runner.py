"""Execution of a study: several configurations on several categories, resumable after any interruption.

Every run (one configuration on one category) writes a result file named by a hash of all that it depends on:
the configuration, the weights of the network and the content of every image. A study that is started again
executes only the runs without such a file. Configurations with the same network and input size share features
(:mod:`padim.study.features`), which are on disk as long as runs of the category need them; an interrupted
study keeps them until it is resumed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from padim._version import __version__
from padim.analysis.evaluation import Evaluation, masks_and_tables
from padim.analysis.evaluation import evaluate_dataset as evaluate_images
from padim.analysis.fit_overlap import left_out, two_labels
from padim.config import PadimConfig
from padim.data.account import FileAccount, PassedOver
from padim.data.layouts.reading import TRAINING
from padim.data.loading import Cancel, Progress, Watch
from padim.errors import Cancelled, ImageError, PadimError
from padim.model import Padim
from padim.network import backbone
from padim.storage import leftovers
from padim.storage.atomic import write_atomic
from padim.study.data import Category, digest
from padim.study.features import Features, shared_by, union
from padim.study.figures import Draws, counted, milliseconds, painted_recall
from padim.study.input_shape import settled
from padim.study.plan import Variant
from padim.study.result import Result, read, write
from padim.study.scoring import StudyModel
from padim.study.scoring import evaluate as evaluate_features

__all__ = ["Run", "Study", "load", "run"]

# A part of the result names: a change of the number invalidates all earlier results.
_FORMAT = 4
_ABOUT = "study.json"
_PREPARING = "Preparing the network"
# The number of good parts that defects are painted on where there are no real defects.
PAINTED_IMAGES = 8


@dataclass(frozen=True)
class Run:
    """One configuration on one category.

    Attributes:
        category: the name of the category.
        variant: the name of the configuration.
        result: the result; None if the run is not done.
        draws: the draws of its figures (:func:`padim.study.result.write`); None if the run is not done.
        why: why the run failed; empty if it did not fail or was not tried.
    """

    category: str
    variant: str
    result: Result | None = None
    draws: Draws | None = field(default=None, repr=False, compare=False)
    why: str = ""


@dataclass(frozen=True)
class Study:
    """All runs of a study, done or not.

    Attributes:
        folder: the folder of the study.
        variants: the configurations.
        categories: the names and descriptions of the categories.
        runs: the runs, by category and then by configuration.
        again: the number of runs whose results existed before.
    """

    folder: Path
    variants: tuple[Variant, ...]
    categories: tuple[tuple[str, str], ...]
    runs: tuple[Run, ...]
    again: int = 0

    def run(self, category: str, variant: str) -> Run:
        """Return the run of a configuration on a category."""
        return next(one for one in self.runs if (one.category, one.variant) == (category, variant))

    @property
    def done(self) -> int:
        """Return the number of runs with a result."""
        return sum(one.result is not None for one in self.runs)

    @property
    def overlap_notes(self) -> tuple[str, ...]:
        """Return sentences on images both fitted on and evaluated, and on images under two labels."""
        notes = []
        for category, _ in self.categories:
            results = [one.result for one in self.runs if one.category == category and one.result is not None]
            known = max((one.known for one in results), default=0)
            conflicts = dict.fromkeys(pair for one in results for pair in one.conflicts)
            if known:
                total = known + max(len(one.images) for one in results)
                notes.append(f"{category}: {left_out(known, total)}.")
            if conflicts:
                notes.append(f"{category}: {two_labels(tuple(conflicts))}.")
        return tuple(notes)

    @property
    def account(self) -> FileAccount:
        """Return what became of every file of all categories; names begin with that of their category.

        Of one category alone, names are those in the category.
        """
        total = FileAccount(0)
        for category, _ in self.categories:
            results = [one.result for one in self.runs if one.category == category and one.result is not None]
            begin = f"{category}/" if len(self.categories) > 1 else ""
            refused = dict.fromkeys(failed for one in results for failed in one.failed)
            others = dict.fromkeys(passed for one in results for passed in one.passed_over)
            total += FileAccount(
                max((one.used for one in results), default=0),
                tuple(ImageError(begin + name, why) for name, why in refused),
                tuple(replace(one, name=begin + one.name) for one in others),
            )
        return total

    @property
    def painted(self) -> tuple[str, ...]:
        """Return the categories without real defects, where defects were painted."""
        return tuple(dict.fromkeys(one.category for one in self.runs if one.result and one.result.painted_on))


def run(
    folder: str | Path,
    variants: Sequence[Variant],
    categories: Sequence[Category],
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_run: Callable[[Run, int, int], None] | None = None,
    painted_images_per_run: int = PAINTED_IMAGES,
) -> Study:
    """Fit and evaluate every configuration on every category, except for runs with an earlier result.

    A run that fails is reported and the others continue; it is tried again the next time.

    Args:
        folder: the folder of the study; created if it does not exist.
        variants: the configurations.
        categories: the data sets to compare on.
        progress: called as (done, total or None, stage); the stage includes the number of the run.
        cancel: called between batches; returning True cancels.
        on_run: called as (run, ended, total) for every run that ends or has an earlier result.
        painted_images_per_run: the number of good parts to paint defects on in a category without defects.

    Raises:
        Cancelled: ``cancel`` returned True; finished runs are kept.
        PadimError: there is nothing to compare, a name is not unique, or the folder is not that of a study or
            is in use.
    """
    folder = Path(folder)
    names = [category.name for category in categories]
    if not variants or not categories:
        raise PadimError("a study takes at least one configuration and one category")
    if len(set(names)) < len(names) or len({one.name for one in variants}) < len(variants):
        raise PadimError("every configuration and every category of a study needs a name of its own")
    _own(folder)
    try:
        with FileLock(folder / ".lock", timeout=0):
            # Delete temporary files of interrupted processes; the folder belongs to the study alone.
            leftovers.sweep(leftovers.below(folder))
            shaped = settled(variants, categories, cancel)
            work = _StudyExecution(folder, shaped, tuple(categories), painted_images_per_run, on_run)
            return work.all(Watch(progress, cancel))
    except Timeout:
        raise PadimError(f"{folder}: another study is at work here; wait for it, or choose another") from None


def load(folder: str | Path) -> Study:
    """Load a study with the results so far.

    Raises:
        PadimError: the folder has no study, or it cannot be read.
    """
    folder = Path(folder)
    try:
        data = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        variants = tuple(
            Variant(str(one["name"]), PadimConfig.of_saved(one["config"])) for one in data["variants"]
        )
        categories = tuple((str(name), str(about)) for name, about in data["categories"])
        runs = tuple(
            _found(folder, str(one["category"]), str(one["variant"]), str(one["key"]), str(one["why"]))
            for one in data["runs"]
        )
    except PadimError as error:
        raise PadimError(f"{folder / _ABOUT}: {error}") from error
    except FileNotFoundError:
        raise PadimError(f"{folder}: holds no study") from None
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise PadimError(f"{folder / _ABOUT}: cannot be read ({error})") from error
    return Study(folder, variants, categories, runs, sum(one.result is not None for one in runs))


def _found(folder: Path, category: str, variant: str, key: str, why: str) -> Run:
    stored = read(folder / "results", key) if key.isalnum() else None
    if stored is None:
        return Run(category, variant, why=why)
    result, draws = stored
    return Run(category, variant, result.model_copy(update={"category": category}), draws)


def _own(folder: Path) -> None:
    """Create the folder, or check that it belongs to a study.

    Raises:
        PadimError: the folder holds something else.
    """
    if folder.is_file() or (
        folder.is_dir()
        and not (folder / _ABOUT).exists()
        and any(f.name != ".lock" and not leftovers.is_temporary_name(f.name) for f in folder.iterdir())
    ):
        raise PadimError(f"{folder}: exists already and holds no study; give another folder")
    folder.mkdir(parents=True, exist_ok=True)


class _StudyExecution:
    """A study during its execution."""

    def __init__(
        self,
        folder: Path,
        variants: tuple[Variant, ...],
        categories: tuple[Category, ...],
        painted_images_per_run: int,
        on_run: Callable[[Run, int, int], None] | None,
    ) -> None:
        self._folder = folder
        self._variants = variants
        self._categories = categories
        self._painted_images_per_run = painted_images_per_run
        self._on_run = on_run
        self._runs = {(c.name, v.name): Run(c.name, v.name) for c in categories for v in variants}
        self._keys = dict.fromkeys(self._runs, "")
        self._total, self._ended = len(self._runs), 0

    def all(self, watch: Watch) -> Study:
        """Execute all runs without a result, and return the study."""
        again = 0
        self._save()
        try:
            for category in self._categories:
                content = digest(category, watch, f"{category.name}: Looking at the images")
                todo: list[Variant] = []
                for variant in self._variants:
                    key = self._key(category, variant, content)
                    found = _found(self._folder, category.name, variant.name, key, "")
                    self._keys[category.name, variant.name] = key
                    if found.result is None:
                        todo.append(variant)
                    else:
                        again += 1
                        self._end(found)
                self._save()
                self._category(category, content, todo, watch)
        finally:
            self._save()
        shutil.rmtree(self._folder / "work", ignore_errors=True)
        return replace(self._study(), again=again)

    def _study(self) -> Study:
        about = tuple((category.name, category.about) for category in self._categories)
        return Study(self._folder, self._variants, about, tuple(self._runs.values()))

    def _save(self) -> None:
        study = self._study()
        runs = [
            {"category": one.category, "variant": one.variant, "why": one.why, "key": self._keys[at]}
            for at, one in self._runs.items()
        ]
        document = {
            "format": _FORMAT,
            "variants": [
                {"name": one.name, "config": one.config.model_dump(mode="json")} for one in study.variants
            ],
            "categories": study.categories,
            "runs": runs,
        }
        write_atomic(self._folder / _ABOUT, json.dumps(document, indent=1, ensure_ascii=False).encode())

    def _key(self, category: Category, variant: Variant, content: str) -> str:
        """Return a hash of all that a result depends on; empty if the weights are not available."""
        config = variant.config
        try:
            weights = backbone.provenance(config.backbone, config.weights)
        except PadimError:
            return ""
        document: dict[str, Any] = {
            "format": _FORMAT,
            "version": __version__,
            "config": config.model_dump(mode="json"),
            "weights": weights.get("sha256", ""),
            "images": content,
            "painted_recall": 0 if category.defects else self._painted_images_per_run,
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]

    def _end(self, one: Run) -> None:
        self._runs[one.category, one.variant] = one
        self._ended += 1
        if self._on_run is not None:
            self._on_run(one, self._ended, self._total)

    def _category(self, category: Category, content: str, todo: list[Variant], watch: Watch) -> None:
        groups: dict[object, list[Variant]] = defaultdict(list)
        for variant in todo:
            own = variant.name if variant.config.needs_images else ""
            groups[shared_by(variant.config), own].append(variant)
        for variants in groups.values():
            alone = variants[0].config.needs_images
            features: Features | None = None
            try:
                if not alone:
                    features = self._features(category, content, variants, watch)
            except Cancelled:
                raise
            except PadimError as error:
                for variant in variants:
                    self._end(Run(category.name, variant.name, why=str(error)))
                continue
            for variant in variants:
                try:
                    self._end(self._one(category, content, variant, features, watch))
                except Cancelled:
                    raise
                except PadimError as error:
                    self._end(Run(category.name, variant.name, why=str(error)))
                self._save()
            if features is not None:
                features.delete()

    def _stage(self, watch: Watch, words: str) -> Watch:
        """Return a watch that adds the number of the run to the stage of progress reports."""
        if watch.progress is None:
            return watch
        report_progress, place = watch.progress, f"Run {min(self._ended + 1, self._total)} of {self._total}"
        return replace(
            watch,
            progress=lambda done, total, stage: report_progress(done, total, f"{place} · {words}: {stage}"),
        )

    def _features(self, category: Category, content: str, variants: list[Variant], watch: Watch) -> Features:
        # Including the layers of finished runs, so that features left by an interrupted study can be used.
        shared = shared_by(variants[0].config)
        config = union([one.config for one in self._variants if shared_by(one.config) == shared])
        document = f"{content}/{shared_by(config)}/{config.layers}"
        name = hashlib.sha256(document.encode()).hexdigest()[:32]
        watch = self._stage(watch, f"{category.name} · {config.backbone}")
        # The first use of these layers exports the network, which takes a while without progress.
        watch.step(0, None, _PREPARING)
        features = Features(self._folder / "work" / name, config)
        features.extract(category, watch)
        return features

    def _one(
        self, category: Category, content: str, variant: Variant, features: Features | None, watch: Watch
    ) -> Run:
        watch = self._stage(watch, f"{category.name} · {variant.name}")
        # The weights may have been downloaded in the meantime.
        key = self._keys[category.name, variant.name] or self._key(category, variant, content)
        self._keys[category.name, variant.name] = key
        place = self._folder / "work" / f"run-{key}"
        model: Padim
        failed: list[ImageError] = []
        begun = time.perf_counter()
        if features is None:
            model = Padim(variant.config, work_dir=place)
            model.fit(
                category.normals,
                progress=watch.progress,
                cancel=watch.cancel,
                on_error=failed.append,
                unfinished=place,
            )
            failed += category.normals.skipped
            before = 0.0
            method_seconds = time.perf_counter() - begun
            evaluation = evaluate_images(model, category.tests, progress=watch.progress, cancel=watch.cancel)
        else:
            model = StudyModel(variant.config, work_dir=place)
            watch.step(0, None, _PREPARING)
            _ = model.network.extractor  # opens the network; its time is part of the features'
            begun = time.perf_counter()
            model.fit_features(features, watch, place / "training")
            before = features.record.seconds
            method_seconds = time.perf_counter() - begun
            evaluation = evaluate_features(model, features, category.tests.layout, watch)
        watch.step(0, None, "Counting")
        result, draws = counted(category, variant.config, model, evaluation)
        result = result.model_copy(
            update={
                "failed": tuple(
                    dict.fromkeys((*((error.name, error.reason) for error in failed), *result.failed))
                ),
                "passed_over": _passed_over(category, evaluation),
                "used": _used(model, category, evaluation),
                "fit_seconds": before + method_seconds,
                "method_seconds": method_seconds,
                "shared": features is not None,
                "milliseconds": milliseconds(model, category, watch),
            }
        )
        if not category.defects:
            figure, column, painted_on = painted_recall(model, category, self._painted_images_per_run, watch)
            result = result.model_copy(
                update={"figures": {**result.figures, "painted_recall": figure}, "painted_on": painted_on}
            )
            draws[:, -1] = column
        write(self._folder / "results", key, result, draws)
        shutil.rmtree(place, ignore_errors=True)
        return Run(category.name, variant.name, result, draws)


def _used(model: Padim, category: Category, evaluation: Evaluation) -> int:
    """Return the number of a category's files that were fitted on or evaluated."""
    others = masks_and_tables(category.tests, evaluation.failed)
    return len(model.normals_) + len(evaluation.images) + others


def _passed_over(category: Category, evaluation: Evaluation) -> tuple[PassedOver, ...]:
    """Return the files of a category that are not read or counted; its data sets may share files.

    Its training images are fitted on, although they are passed over by the evaluation.
    """
    found = (*category.normals.passed_over, *category.tests.passed_over, *evaluation.passed_over)
    return tuple(dict.fromkeys(one for one in found if one.reason != TRAINING))
