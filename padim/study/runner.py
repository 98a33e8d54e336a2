"""A study: several configurations on several categories, each fitted and judged once, whatever stops it.

Every run (one configuration on one category) ends in a file of its own, named after all that it depends on:
the configuration, the network's weights and the content of every image. A study begun again does only
what has no such file. Configurations of the same network and input size share its features
(:mod:`padim.study.features`), which are on disk while the category's runs need them; a study that was
stopped keeps them until it has gone on.
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
from padim.analysis.evaluation import evaluate_dataset as evaluate_images
from padim.config import PadimConfig
from padim.data.loading import Cancel, Progress, Watch
from padim.errors import Cancelled, ImageError, PadimError
from padim.model import Padim
from padim.network import backbone
from padim.storage import leftovers
from padim.storage.atomic import write_atomic
from padim.study.data import Category, digest
from padim.study.features import Features, shared_by, union
from padim.study.figures import Draws, counted, milliseconds, painted_recall
from padim.study.plan import Variant
from padim.study.result import Result, read, write
from padim.study.scoring import StudyModel
from padim.study.scoring import evaluate as evaluate_features

__all__ = ["Run", "Study", "load", "run"]

# Of what results are named after: another number makes all of them anew.
_FORMAT = 2
_ABOUT = "study.json"
_PREPARING = "Preparing the network"
# Good parts that defects are painted on where there are no real ones.
PAINTED_IMAGES = 8


@dataclass(frozen=True)
class Run:
    """One configuration on one category.

    Attributes:
        category: its name.
        variant: the configuration's name.
        result: None where it is not done.
        draws: of its figures (:func:`padim.study.result.write`); None where it is not done.
        why: why it could not be done; empty where it was, or was not tried.
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
        folder: where its results are.
        variants: the configurations.
        categories: names, and what each consists of.
        runs: by category and configuration, in that order.
        again: how many of them were there from before.
    """

    folder: Path
    variants: tuple[Variant, ...]
    categories: tuple[tuple[str, str], ...]
    runs: tuple[Run, ...]
    again: int = 0

    def run(self, category: str, variant: str) -> Run:
        """The run of a configuration on a category."""
        return next(one for one in self.runs if (one.category, one.variant) == (category, variant))

    @property
    def done(self) -> int:
        """How many runs have a result."""
        return sum(one.result is not None for one in self.runs)

    @property
    def painted(self) -> tuple[str, ...]:
        """Categories without a real defect, where defects were painted."""
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
    """Fit and judge every configuration on every category, but for what has been done before.

    A run that fails is told and the others go on; it is tried again the next time.

    Args:
        folder: the study's own; made if it is not there.
        variants: the configurations.
        categories: what they are tried on.
        progress: called as (done, total or None, stage); the stage says which run it is.
        cancel: asked between batches; True stops.
        on_run: told of every run as it ends, or is found, and how many of how many that makes.
        probe_images: where there are no defects, on how many good parts they are painted.

    Raises:
        Cancelled: ``cancel`` said so; what is done is kept.
        PadimError: nothing to compare, names twice, the folder is something else or in use.
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
            # Of earlier runs that were killed; this folder is the study's own.
            leftovers.sweep(leftovers.below(folder))
            work = _Work(folder, tuple(variants), tuple(categories), painted_images_per_run, on_run)
            return work.all(Watch(progress, cancel))
    except Timeout:
        raise PadimError(f"{folder}: another study is at work here; wait for it, or choose another") from None


def load(folder: str | Path) -> Study:
    """A study as far as it has come.

    Raises:
        PadimError: there is none, or it cannot be read.
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
    there = read(folder / "results", key) if key.isalnum() else None
    if there is None:
        return Run(category, variant, why=why)
    result, draws = there
    return Run(category, variant, result.model_copy(update={"category": category}), draws)


def _own(folder: Path) -> None:
    """Make the folder, or see that it is a study's.

    Raises:
        PadimError: it holds something else.
    """
    if folder.is_file() or (
        folder.is_dir()
        and not (folder / _ABOUT).exists()
        and any(f.name != ".lock" and not leftovers.is_temporary_name(f.name) for f in folder.iterdir())
    ):
        raise PadimError(f"{folder}: is there already and holds no study; give another folder")
    folder.mkdir(parents=True, exist_ok=True)


class _Work:
    """A study being worked on."""

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
        """Every run there is to do."""
        again = 0
        self._save()
        try:
            for category in self._categories:
                content = digest(category, watch, f"{category.name}: Looking at the images")
                todo: list[Variant] = []
                for variant in self._variants:
                    key = self._key(category, variant, content)
                    there = _found(self._folder, category.name, variant.name, key, "")
                    self._keys[category.name, variant.name] = key
                    if there.result is None:
                        todo.append(variant)
                    else:
                        again += 1
                        self._end(there)
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
        """Of all that the result depends on; empty where the weights are not to be had."""
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
        """The same ear, told which run it is."""
        if watch.progress is None:
            return watch
        report_progress, place = watch.progress, f"Run {min(self._ended + 1, self._total)} of {self._total}"
        return replace(
            watch,
            progress=lambda done, total, stage: report_progress(done, total, f"{place} · {words}: {stage}"),
        )

    def _features(self, category: Category, content: str, variants: list[Variant], watch: Watch) -> Features:
        # Of the layers of those that are done, too: what a stopped study has left is then of the same kind.
        shared = shared_by(variants[0].config)
        config = union([one.config for one in self._variants if shared_by(one.config) == shared])
        document = f"{content}/{shared_by(config)}/{config.layers}"
        name = hashlib.sha256(document.encode()).hexdigest()[:32]
        watch = self._stage(watch, f"{category.name} · {config.backbone}")
        # The first time with these layers it is exported, which takes a while and reports nothing.
        watch.step(0, None, _PREPARING)
        features = Features(self._folder / "work" / name, config)
        features.take(category, watch)
        return features

    def _one(
        self, category: Category, content: str, variant: Variant, features: Features | None, watch: Watch
    ) -> Run:
        watch = self._stage(watch, f"{category.name} · {variant.name}")
        # The weights may have been fetched meanwhile.
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
            _ = model.network.extractor  # opens the network first, whose time is that of the features
            begun = time.perf_counter()
            model.fit_features(features, watch, place / "training")
            before = features.record.seconds
            method_seconds = time.perf_counter() - begun
            evaluation = evaluate_features(model, features, category.tests.layout, watch)
        watch.step(0, None, "Counting")
        result, draws = counted(category, variant.config, model, evaluation)
        result = result.model_copy(
            update={
                "failed": (*((error.name, error.reason) for error in failed), *result.failed),
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
