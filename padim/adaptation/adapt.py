"""Adaptation of a backbone to good parts, and a test whether the adapted network detects defects better.

The parts are divided into three sets; identical files and shots of one part stay together:

- the *training* parts fine-tune the network (:mod:`padim.adaptation.finetune`). They are never in the fit,
because
  the network treats them differently from future parts, so that their held-out scores would be too low;
- the *evaluation* parts are unseen by network and fit when defects are painted on them
  (:mod:`padim.analysis.sensitivity`). If labelled images are given, those are used for evaluation, and no
  parts are set aside for it;
- all other parts are fitted on.

The alternative is the published network, fitted on all parts except the evaluation parts, including the
training parts. So an adapted network must first compensate for the parts missing in its fit.

The adapted network is kept only if it is significantly better: with painted defects by bootstrap draws of the
images (the same draws for both), with labelled images by DeLong's test of the image AUROC, at the level
:data:`padim.analysis.significance.SIGNIFICANCE`. In addition its false-reject rate must hold: if it rejects
more unseen good parts than the published network, and significantly more than the promised rate, it is not
kept, regardless of the defects it catches.

The model that is kept is then fitted on the evaluation parts as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from padim.adaptation.finetune import EPOCHS, fine_tune
from padim.analysis import sensitivity
from padim.analysis.fit_overlap import KnownImages
from padim.analysis.significance import SIGNIFICANCE, Difference, against, delong, resampled
from padim.config import PadimConfig
from padim.data.datasets import Dataset
from padim.data.depth_survey import bit_depth_of
from padim.data.first_size import first_size
from padim.data.input_shape import is_open, with_input_shape
from padim.data.loading import Cancel, Image, OnError, Progress, Watch, batches, content_hash
from padim.data.sources import Source
from padim.data.sub_folder import check_source
from padim.errors import PadimError
from padim.extras import require_torch
from padim.methods.base import Losses
from padim.methods.cross_fitting import stop_parts
from padim.methods.requirements import check_can_fit
from padim.methods.training import Turn
from padim.model import Padim
from padim.network.model_network import ModelNetwork
from padim.network.weights import provenance
from padim.storage.image_store import ImageStore
from padim.storage.leftovers import ScratchFolder
from padim.storage.normals import Groups, Normal, group_of, join_duplicates
from padim.text import count

__all__ = ["FEWEST_PARTS", "AdaptationResult", "NetworkResult", "adapt"]

FEWEST_PARTS = 16
# The share, minimum and maximum of parts. A few parts are enough to adapt the network, and a sensitivity
# measurement with more images takes longer than the fit.
_TRAINING = (1 / 8, 4, 16)
_EVALUATION = (1 / 5, 4, 24)
# The maximum number of images painted on; for parts with several shots, not all are needed.
_MOST_PAINTED = 24
_DRAWS = 2000
_WINDOW = 8


@dataclass(frozen=True)
class NetworkResult:
    """The evaluation of one network.

    Attributes:
        value: the share of painted defects caught, or the image AUROC.
        rejected, good: the number of unseen good parts rejected, and of all unseen good parts.
        promised: the false-reject rate promised by its threshold.
    """

    value: float
    rejected: int
    good: int
    promised: float

    @property
    def keeps_its_promise(self) -> bool:
        """Whether the number of false rejects is consistent with the promised rate."""
        return bool(binom.sf(self.rejected - 1, self.good, self.promised) >= SIGNIFICANCE)


@dataclass(frozen=True)
class AdaptationResult:
    """The outcome of an adaptation: whether the adapted network was kept, and why.

    Attributes:
        kept: whether the returned model has the adapted network.
        compared_by: ``painted_defects`` or ``labeled_defects``.
        published, adapted: the results of both networks.
        difference: the value of the adapted network minus that of the published one.
        trained: the number of images in the training set; their parts are not in the
            fit of the adapted model.
        evaluated: the number of images in the evaluation, painted on or labelled.
        passed_over: the number of good images not used because they, or their parts, are
            also in the labelled set.
        losses: the loss curves of the fine-tuning.
    """

    kept: bool
    compared_by: Literal["painted_defects", "labeled_defects"]
    published: NetworkResult
    adapted: NetworkResult
    difference: Difference
    trained: int
    evaluated: int
    passed_over: int
    losses: Losses

    @property
    def words(self) -> str:
        """Return the outcome as text, in one or two sentences."""
        if self.compared_by == "painted_defects":
            figure = "{:.1%} of the painted defects are caught with the {} network, {:.1%} with the {} one"
        else:
            figure = "labelled defects: image AUROC {:.3f} with the {} network, {:.3f} with the {} one"
        sentence = figure.format(self.adapted.value, "adapted", self.published.value, "published")
        sentence = sentence[0].upper() + sentence[1:]
        gap = self.difference
        if gap.low is not None and gap.high is not None:
            sentence += (
                f" (a difference of {gap.value:+.3f}, 95 % interval {gap.low:+.3f} to {gap.high:+.3f})"
            )
        if self.kept:
            return f"{sentence}. Chance hardly explains that: the adapted network is kept."
        return f"{sentence}. {self._why_not}: the published network is kept."

    @property
    def _why_not(self) -> str:
        if self.difference.p is None:
            return f"Whether that is chance cannot be determined, {self.difference.why}"
        if not (self.difference.value or 0) > 0:
            return "That is no gain"
        if not self.difference.real:
            return "Chance explains that as well"
        return (
            f"But {self.adapted.rejected} of {count(self.adapted.good, 'unseen good image')} are rejected, "
            f"more than the promised {self.adapted.promised:.1%}"
        )


def adapt(
    config: PadimConfig,
    images: Iterable[Image],
    *,
    labeled: Dataset | None = None,
    groups: Groups = None,
    epochs: int = EPOCHS,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_error: OnError | None = None,
) -> tuple[Padim, AdaptationResult]:
    """Fine-tune a copy of the network on good parts, and return the better of two models.

    Args:
        config: the settings of both models; its seed is also that of the division of parts, the training and
            the sensitivity measurement.
        images: (name, file bytes or uint8 RGB array) pairs of good parts; iterated several times, so not a
            generator.
        labelled: good and defective images for evaluation; without them defects are painted.
        groups: the part of each name, as for :meth:`padim.Padim.fit`.
        epochs: the maximum number of training epochs.
        progress: called as (done, total or None, stage).
        cancel: called between batches; returning True cancels.
        on_error: called with images that cannot be used, once for each image; without
            it the first one raises.

    Returns:
        The model with the network that was kept, and the outcome.

    Raises:
        Cancelled: ``cancel`` returned True; no files are left behind.
        ImageError: an image cannot be used and ``on_error`` is not given.
        LabeledInputError: the good parts are a source of labelled data.
        BackboneError: the weights are not available.
        PadimError: there are too few parts, or labelled images of one class only.
        MissingExtraError: PyTorch is not installed.
    """
    require_torch("adapting the network")
    check_can_fit(config)
    if isinstance(images, Iterator):
        raise ValueError("images are iterated several times: give a list or a source, not a generator")
    if isinstance(images, Source):
        check_source(images, "the images")
    watch = Watch(progress, cancel, None if on_error is None else _ReportOnce(on_error))
    if config.bit_depth is None:
        depth = bit_depth_of(images, progress=progress, cancel=cancel)
        config = config.model_copy(update={"bit_depth": depth})
    if is_open(config) and config.align is None:
        first, _ = first_size(images, cancel)
        config = with_input_shape(config, () if first is None else [first])
    excluded = frozenset[str]() if labeled is None else _hashes(labeled, watch)
    roles = _divide(images, groups, excluded, config.seed, paint=labeled is None, watch=watch)
    network, described, losses = _train(config, images, roles, epochs, watch)

    callbacks = [_callbacks(watch, name) for name in ("Published", "Adapted")]
    published = Padim(config).fit(
        _Selected(images, roles.training | roles.fitted), groups=groups, **callbacks[0]
    )
    adapted = Padim(config)
    adapted.network = ModelNetwork(config, network, described)
    adapted.fit(_Selected(images, roles.fitted), groups=groups, **callbacks[1])
    results: tuple[NetworkResult, NetworkResult]
    if labeled is None:
        results, difference, evaluated = _by_painted_defects(
            (published, adapted), _Selected(images, roles.evaluation), callbacks
        )
    else:
        results, difference, evaluated = _by_labeled_defects((published, adapted), labeled, callbacks)

    gained = difference.real and (difference.value or 0) > 0
    trusted = results[1].keeps_its_promise or results[1].rejected <= results[0].rejected
    kept = gained and trusted
    model = adapted if kept else published
    if roles.evaluation:
        model.partial_fit(_Selected(images, roles.evaluation), groups=groups, **callbacks[kept])
    outcome = AdaptationResult(
        kept,
        "painted_defects" if labeled is None else "labeled_defects",
        *results,
        difference,
        len(described["adapted_with"].split()),
        evaluated,
        roles.passed_over,
        losses,
    )
    return model, outcome


# --- division of the parts ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Roles:
    """The division of the images into sets, given by their SHA-256; a part is in one set only.

    Attributes:
        training: the images to train on.
        evaluation: the images for evaluation with painted defects.
        fitted: the images to fit on.
        parts: the training images by part, in the order of the division.
        passed_over: the number of images not used.
    """

    training: frozenset[str]
    evaluation: frozenset[str]
    fitted: frozenset[str]
    parts: tuple[frozenset[str], ...]
    passed_over: int


def _divide(
    images: Iterable[Image], groups: Groups, excluded: frozenset[str], seed: int, *, paint: bool, watch: Watch
) -> _Roles:
    """Divide the parts by the content of their images and the seed, not by their order.

    Raises:
        PadimError: there are too few parts.
    """
    normals: list[Normal] = []
    total = len(images) if isinstance(images, Sized) else None
    for index, (name, content) in enumerate(images):
        watch.step(index, total, "Looking at the files")
        named = group_of(groups, name)
        part = f"#{index}" if named is None else f"part {named}"
        normals.append(Normal(name, content_hash(content), part, "fit", (1, 1), (0, 0)))
    keys_of: dict[str, set[str]] = {}
    for normal in join_duplicates(normals):
        keys_of.setdefault(normal.group, set()).add(normal.sha256)
    # If one image of a part is in the labelled set, none of its images is used.
    usable = [frozenset(keys) for keys in keys_of.values() if not keys & excluded]
    if len(usable) < FEWEST_PARTS:
        raise PadimError(
            f"adapting the network takes at least {FEWEST_PARTS} good parts, and there are {len(usable)}; "
            "fit with the published network, or add more parts"
        )

    def order_key(keys: frozenset[str]) -> str:
        return hashlib.sha256(json.dumps([seed, "adapt", sorted(keys)]).encode()).hexdigest()

    order = sorted(usable, key=order_key)
    training = order[: _part_count(_TRAINING, len(order))]
    evaluation = order[len(training) :][: _part_count(_EVALUATION, len(order)) if paint else 0]
    fitted = order[len(training) + len(evaluation) :]
    used = _union(usable)
    return _Roles(
        _union(training),
        _union(evaluation),
        _union(fitted),
        tuple(training),
        sum(normal.sha256 not in used for normal in normals),
    )


def _union(parts: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset(key for part in parts for key in part)


def _part_count(bounds: tuple[float, int, int], parts: int) -> int:
    share, fewest, most = bounds
    return int(np.clip(round(share * parts), fewest, most))


def _hashes(labeled: Dataset, watch: Watch) -> frozenset[str]:
    found = set()
    for index, (_, content) in enumerate(labeled):
        watch.step(index, len(labeled), "Looking at the labelled files")
        found.add(content_hash(content))
    return frozenset(found)


class _Selected:
    """The images with chosen hashes, without duplicates."""

    def __init__(self, images: Iterable[Image], chosen: frozenset[str]) -> None:
        self._images, self._chosen = images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Image]:
        seen = set()
        for name, content in self._images:
            key = content_hash(content)
            # A second copy adds no information, and would exceed the announced number of images.
            if key in self._chosen and key not in seen:
                seen.add(key)
                yield name, content


def _callbacks(watch: Watch, name: str) -> dict[str, Any]:
    """Return the caller's callbacks, with the name of the network in progress reports."""

    def progress(done: int, total: int | None, stage: str) -> None:
        if watch.progress is not None:
            watch.progress(done, total, f"{name} network: {stage[0].lower()}{stage[1:]}")

    return {"progress": progress, "cancel": watch.cancel, "on_error": watch.on_error}


class _ReportOnce:
    """An error callback that reports each image only once."""

    def __init__(self, to: OnError) -> None:
        self._to, self._reported = to, set[str]()

    def __call__(self, error: Any) -> None:
        if error.name not in self._reported:
            self._reported.add(error.name)
            self._to(error)


# --- training ---------------------------------------------------------------------------------------


def _train(
    config: PadimConfig, images: Iterable[Image], roles: _Roles, epochs: int, watch: Watch
) -> tuple[bytes, dict[str, str], Losses]:
    """Return the adapted network, its provenance, and the loss curves of the training.

    Only training images are written to the store that the training reads.
    """
    with ScratchFolder() as folder:
        image_store = ImageStore(Path(folder), config.input_shape).start()
        preprocess = Padim(config).network.preprocess
        chosen = _Selected(images, roles.training)
        for batch in batches(chosen, preprocess, _WINDOW, watch, "Reading the training images"):
            image_store.append(np.stack([item.rgb for item in batch]), [item.sha256 for item in batch])
        row = {key: index for index, key in enumerate(image_store.keys())}
        parts = [rows for part in roles.parts if (rows := sorted(row[key] for key in part if key in row))]
        if len(parts) < 2:
            raise PadimError("too few of the images chosen to train the network could be used")
        stop = stop_parts(len(parts))
        training_rows, stopping_rows = (
            list(chain.from_iterable(some)) for some in (parts[stop:], parts[:stop])
        )
        name = count(len(row), "image")
        turn = Turn(name, training_rows, stopping_rows, config.seed, watch=watch)
        network, losses = fine_tune(config, image_store, turn, epochs)
        origin = provenance(config.backbone, config.weights)
        described = {
            **origin,
            "weights": "adapted",
            "source": f"{origin['source']}, adapted with {name}, seed {config.seed}, "
            f"{count(losses.best + 1, 'epoch')}",
            "adapted_from": origin["source"],
            "seed": str(config.seed),
            "epochs": str(losses.best + 1),
            "adapted_with": " ".join(image_store.keys()),
        }
        return network, described, losses


# --- evaluation --------------------------------------------------------------------------------------


def _by_painted_defects(
    models: tuple[Padim, Padim], images: Iterable[Image], callbacks: Sequence[dict[str, Any]]
) -> tuple[tuple[NetworkResult, NetworkResult], Difference, int]:
    """Compare two models by defects painted at the same places for both."""
    found = [
        sensitivity.measure(model, images, places=1, seed=model.config.seed, most_images=_MOST_PAINTED, **own)
        for model, own in zip(models, callbacks, strict=True)
    ]
    one, other = (
        NetworkResult(each.share, each.bare_rejected, len(each.images), model.false_reject_rate_.expected)
        for each, model in zip(found, models, strict=True)
    )
    counts = [_by_image(each) for each in found]
    return (one, other), _shares_apart(counts, models[0].config.seed), len(found[0].images)


def _by_image(found: sensitivity.Sensitivity) -> npt.NDArray[np.int64]:
    """Return the number of defects caught and tried on each image, int64 ``(2, images)``."""
    result = np.zeros((2, len(found.images)), np.int64)
    for row, trials in zip(result, (found.caught, ~found.void), strict=True):
        np.add.at(row, found.image_of, trials.sum(axis=(1, 2, 3)))
    return result


def _shares_apart(counts: Sequence[npt.NDArray[np.int64]], seed: int) -> Difference:
    """Return the second share caught minus the first, with draws of whole images.

    Images are drawn because the places and settings of one image are correlated.
    """
    images = counts[0].shape[1]
    draws = np.random.default_rng([seed, 11]).integers(0, images, (_DRAWS, images))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = [float(caught.sum() / tried.sum()) for caught, tried in counts]
        drawn = [caught[draws].sum(axis=1) / tried[draws].sum(axis=1) for caught, tried in counts]
    if images < 2 or not np.isfinite(values).all():
        return Difference(None, why="there is too little to compare")
    return _second_minus_first(*resampled(values, drawn))


def _by_labeled_defects(
    models: tuple[Padim, Padim], labeled: Dataset, callbacks: Sequence[dict[str, Any]]
) -> tuple[tuple[NetworkResult, NetworkResult], Difference, int]:
    """Compare two models by the image AUROC of the same labelled images."""
    # Images that one of the models was fitted on, or its network adapted with, are no evidence.
    known = [KnownImages.of(model) for model in models]
    scores = [
        {
            scored.name: scored.joint_level
            for scored in model.predict(labeled, **own)
            if not any(each.in_fit(scored) for each in known)
        }
        for model, own in zip(models, callbacks, strict=True)
    ]
    names = [name for name in labeled.samples if name in scores[0]]
    good, bad = (
        [[each[name] for name in names if labeled.samples[name].good is kind] for each in scores]
        for kind in (True, False)
    )
    if min(len(good[0]), len(bad[0])) < 2:
        raise PadimError(
            "an evaluation with labelled images takes at least two good ones and two defects; there are "
            f"{len(good[0])} and {len(bad[0])}; without labelled images, defects are painted"
        )
    compared = delong(good, bad)
    one, other = (
        NetworkResult(
            float(compared.auroc[index]),
            sum(model.verdict(score) == "reject" for score in good[index]),
            len(good[index]),
            model.false_reject_rate_.expected,
        )
        for index, model in enumerate(models)
    )
    return (one, other), _second_minus_first(*against(compared.auroc, compared.covariance)), len(names)


def _second_minus_first(best: int, found: Sequence[Difference]) -> Difference:
    """Return the second figure minus the first, from the differences to the better of the two."""
    if best == 0:
        return found[1]
    gap = found[0]
    value, low, high = (None if number is None else -number for number in (gap.value, gap.high, gap.low))
    return replace(gap, value=value, low=low, high=high)
