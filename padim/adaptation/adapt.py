"""An adapted backbone, and whether it is any better: the network is taught with good parts, then examined.

The parts are dealt into three, identical files and shots of one part together:

- a few *teach* the network (:mod:`padim.adaptation.finetune`). They are never in the fit: to a network that
  has learnt from them they are not what parts to come will be, and their held-out scores would promise too
  much;
- others *examine*: neither network nor fit has seen them when defects are painted on them
  (:mod:`padim.analysis.sensitivity`). With labelled images at hand those examine instead, and no part is
  set aside for it;
- all others are fitted on.

The rival is what one would have otherwise: the published network, fitted on all parts but the examining ones,
those that teach included. So an adapted network has to win back, first of all, the parts that it took.

It is kept only if it does better beyond chance: on the same painted images, in draws of the images anew
(the same draws for both); on labelled ones by image AUROC and DeLong's test; at the level of
:data:`padim.analysis.significance.SIGNIFICANCE`. And it must keep its word: if it rejects more unseen good
parts than the published network, and more than chance makes of the promised rate, it is not kept, whatever
it catches.

Whichever is kept is then fitted on the examining parts, too.
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
from padim.analysis.significance import SIGNIFICANCE, Difference, against, delong, resampled
from padim.config import PadimConfig
from padim.data.datasets import Dataset
from padim.data.loading import Cancel, Image, OnError, Progress, Watch, batches, content_hash
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
# Of the parts: share, fewest, most. A network learns what belongs on a part from few of them, and a probe of
# more images takes longer than the fit.
_TRAINING = (1 / 8, 4, 16)
_EVALUATION = (1 / 5, 4, 24)
# Images; of a part with several shots, not all may be needed.
_MOST_PAINTED = 24
_DRAWS = 2000
_WINDOW = 8


@dataclass(frozen=True)
class NetworkResult:
    """What one network achieved.

    Attributes:
        value: share of painted defects caught, or image AUROC.
        rejected, good: good parts it has not seen that it rejects, and out of how many.
        promised: the rate of false rejects that its threshold promises.
    """

    value: float
    rejected: int
    good: int
    promised: float

    @property
    def keeps_its_promise(self) -> bool:
        """Whether chance makes so many false rejects of the promised rate."""
        return bool(binom.sf(self.rejected - 1, self.good, self.promised) >= SIGNIFICANCE)


@dataclass(frozen=True)
class AdaptationResult:
    """Whether the adapted network was kept, and why.

    Attributes:
        kept: the model returned has the adapted network.
        compared_by: ``painted_defects`` or ``labeled_defects``.
        published, adapted: the figures of both.
        difference: adapted minus published.
        taught: images that the network learnt from; their parts are not in the adapted model's fit.
        examined: images that the figures are from, painted on or labelled.
        passed_over: good images that are among the labelled ones, too, and were used for nothing.
        losses: of the teaching.
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
        """The outcome in a sentence or two."""
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
            return f"Nobody can tell whether that is chance, {self.difference.why}"
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
    labelled: Dataset | None = None,
    groups: Groups = None,
    epochs: int = EPOCHS,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_error: OnError | None = None,
) -> tuple[Padim, AdaptationResult]:
    """Teach a copy of the network with good parts, and give the better model of the two.

    Args:
        config: of both models; its seed is also that of the dealing, the teaching and the probe.
        images: (name, file bytes or uint8 RGB array) pairs of good parts, read several times over: no
            generator.
        labelled: images to examine with, good ones and defects; without them a probe does.
        groups: name to part, as for :meth:`padim.Padim.fit`.
        epochs: of teaching, at most.
        progress: called as (done, total or None, stage).
        cancel: asked between batches; True stops.
        on_error: takes images that cannot be used; without it the first one raises. Told of an image
            once, however often it is read.

    Returns:
        The model fitted on the network that was kept, and the figures of both.

    Raises:
        Cancelled: ``cancel`` asked to stop; nothing is left behind.
        ImageError: an image cannot be used and ``on_error`` is not given.
        BackboneError: the weights cannot be had.
        PadimError: too few parts, or labelled images of one class only.
        MissingExtraError: PyTorch is not installed.
    """
    require_torch("adapting the network")
    check_can_fit(config)
    if isinstance(images, Iterator):
        raise ValueError("images are read several times over: give a list or a source, no generator")
    watch = Watch(progress, cancel, None if on_error is None else _Once(on_error))
    barred = frozenset[str]() if labelled is None else _hashes(labelled, watch)
    roles = _deal(images, groups, barred, config.seed, examine=labelled is None, watch=watch)
    network, described, losses = _train(config, images, roles, epochs, watch)

    callbacks = [_callbacks(watch, name) for name in ("Published", "Adapted")]
    published = Padim(config).fit(_Some(images, roles.training | roles.fitted), groups=groups, **callbacks[0])
    adapted = Padim(config)
    adapted.network = ModelNetwork(config, network, described)
    adapted.fit(_Some(images, roles.fitted), groups=groups, **callbacks[1])
    results: tuple[NetworkResult, NetworkResult]
    if labelled is None:
        results, difference, evaluated = _by_painted_defects(
            (published, adapted), _Some(images, roles.evaluation), callbacks
        )
    else:
        results, difference, evaluated = _by_labeled_defects((published, adapted), labelled, callbacks)

    gained = difference.real and (difference.value or 0) > 0
    trusted = results[1].keeps_its_promise or results[1].rejected <= results[0].rejected
    kept = gained and trusted
    model = adapted if kept else published
    if roles.evaluation:
        model.partial_fit(_Some(images, roles.evaluation), groups=groups, **callbacks[kept])
    outcome = AdaptationResult(
        kept,
        "painted_defects" if labelled is None else "labeled_defects",
        *results,
        difference,
        len(described["adapted_with"].split()),
        evaluated,
        roles.passed_over,
        losses,
    )
    return model, outcome


# --- who is used for what ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Roles:
    """SHA-256 of the images, no two parts of which are in two of these.

    Attributes:
        parts: of those that teach, by part, in the order dealt.
    """

    training: frozenset[str]
    evaluation: frozenset[str]
    fitted: frozenset[str]
    parts: tuple[frozenset[str], ...]
    passed_over: int


def _deal(
    images: Iterable[Image], groups: Groups, barred: frozenset[str], seed: int, *, examine: bool, watch: Watch
) -> _Roles:
    """By what the images show and the seed, not by their order.

    Raises:
        PadimError: too few parts.
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
    # With one image of it among the labelled ones, the whole part is known there.
    usable = [frozenset(keys) for keys in keys_of.values() if not keys & barred]
    if len(usable) < FEWEST_PARTS:
        raise PadimError(
            f"adapting the network takes at least {FEWEST_PARTS} good parts, and there are {len(usable)}; "
            "fit with the published one, or bring more"
        )

    def place(keys: frozenset[str]) -> str:
        return hashlib.sha256(json.dumps([seed, "adapt", sorted(keys)]).encode()).hexdigest()

    order = sorted(usable, key=place)
    training = order[: _some(_TRAINING, len(order))]
    evaluation = order[len(training) :][: _some(_EVALUATION, len(order)) if examine else 0]
    fitted = order[len(training) + len(evaluation) :]
    used = _together(usable)
    return _Roles(
        _together(training),
        _together(evaluation),
        _together(fitted),
        tuple(training),
        sum(normal.sha256 not in used for normal in normals),
    )


def _together(parts: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset(key for part in parts for key in part)


def _some(bounds: tuple[float, int, int], parts: int) -> int:
    share, fewest, most = bounds
    return int(np.clip(round(share * parts), fewest, most))


def _hashes(labelled: Dataset, watch: Watch) -> frozenset[str]:
    found = set()
    for index, (_, content) in enumerate(labelled):
        watch.step(index, len(labelled), "Looking at the labelled files")
        found.add(content_hash(content))
    return frozenset(found)


class _Some:
    """Those of the images that are among the chosen."""

    def __init__(self, images: Iterable[Image], chosen: frozenset[str]) -> None:
        self._images, self._chosen = images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Image]:
        seen = set()
        for name, content in self._images:
            key = content_hash(content)
            # A second copy tells nothing new, and would make more than were announced.
            if key in self._chosen and key not in seen:
                seen.add(key)
                yield name, content


def _callbacks(watch: Watch, name: str) -> dict[str, Any]:
    """The caller's, told which of the networks it is about."""

    def progress(done: int, total: int | None, stage: str) -> None:
        if watch.progress is not None:
            watch.progress(done, total, f"{name} network: {stage[0].lower()}{stage[1:]}")

    return {"progress": progress, "cancel": watch.cancel, "on_error": watch.on_error}


class _Once:
    """Hands each bad image on once."""

    def __init__(self, to: OnError) -> None:
        self._to, self._reported = to, set[str]()

    def __call__(self, error: Any) -> None:
        if error.name not in self._reported:
            self._reported.add(error.name)
            self._to(error)


# --- teaching ---------------------------------------------------------------------------------------


def _train(
    config: PadimConfig, images: Iterable[Image], roles: _Roles, epochs: int, watch: Watch
) -> tuple[bytes, dict[str, str], Losses]:
    """The adapted network, where it is from, and how the teaching went.

    Only images that teach are ever put where the teaching reads.
    """
    with ScratchFolder() as folder:
        image_store = ImageStore(Path(folder), config.input_size).start()
        preprocess = Padim(config).network.preprocess
        chosen = _Some(images, roles.training)
        for batch in batches(chosen, preprocess, _WINDOW, watch, "Reading the images that teach"):
            image_store.append(np.stack([item.rgb for item in batch]), [item.sha256 for item in batch])
        row = {key: index for index, key in enumerate(image_store.keys())}
        parts = [rows for part in roles.parts if (rows := sorted(row[key] for key in part if key in row))]
        if len(parts) < 2:
            raise PadimError("too few of the images that were to teach the network could be used")
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


# --- examining --------------------------------------------------------------------------------------


def _by_painted_defects(
    models: tuple[Padim, Padim], images: Iterable[Image], callbacks: Sequence[dict[str, Any]]
) -> tuple[tuple[NetworkResult, NetworkResult], Difference, int]:
    """Painted defects, on the same places for both."""
    found = [
        sensitivity.measure(model, images, places=1, seed=model.config.seed, most_images=_MOST_PAINTED, **its)
        for model, its in zip(models, callbacks, strict=True)
    ]
    one, other = (
        NetworkResult(each.share, each.bare_rejected, len(each.images), model.false_reject_rate_.expected)
        for each, model in zip(found, models, strict=True)
    )
    counts = [_by_image(each) for each in found]
    return (one, other), _shares_apart(counts, models[0].config.seed), len(found[0].images)


def _by_image(found: sensitivity.Sensitivity) -> npt.NDArray[np.int64]:
    """Caught and tried on each image: int64 ``(2, images)``."""
    result = np.zeros((2, len(found.images)), np.int64)
    for row, trials in zip(result, (found.caught, ~found.void), strict=True):
        np.add.at(row, found.image_of, trials.sum(axis=(1, 2, 3)))
    return result


def _shares_apart(counts: Sequence[npt.NDArray[np.int64]], seed: int) -> Difference:
    """The second share caught minus the first, by draws of images: places and settings on one are alike."""
    images = counts[0].shape[1]
    draws = np.random.default_rng([seed, 11]).integers(0, images, (_DRAWS, images))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = [float(caught.sum() / tried.sum()) for caught, tried in counts]
        drawn = [caught[draws].sum(axis=1) / tried[draws].sum(axis=1) for caught, tried in counts]
    if images < 2 or not np.isfinite(values).all():
        return Difference(None, why="there is too little to compare")
    return _second_minus_first(*resampled(values, drawn))


def _by_labeled_defects(
    models: tuple[Padim, Padim], labelled: Dataset, callbacks: Sequence[dict[str, Any]]
) -> tuple[tuple[NetworkResult, NetworkResult], Difference, int]:
    """Image AUROC of the same labelled images."""
    scores = [
        {scored.name: scored.score_level for scored in model.predict(labelled, **its)}
        for model, its in zip(models, callbacks, strict=True)
    ]
    names = [name for name in labelled.samples if name in scores[0]]
    good, bad = (
        [[each[name] for name in names if labelled.samples[name].good is kind] for each in scores]
        for kind in (True, False)
    )
    if min(len(good[0]), len(bad[0])) < 2:
        raise PadimError(
            "to examine with labelled images takes two good ones and two defects at least; there are "
            f"{len(good[0])} and {len(bad[0])}; without them a probe does"
        )
    compared = delong(good, bad)
    one, other = (
        NetworkResult(
            float(compared.auroc[index]),
            sum(score > model.threshold_level for score in good[index]),
            len(good[index]),
            model.false_reject_rate_.expected,
        )
        for index, model in enumerate(models)
    )
    return (one, other), _second_minus_first(*against(compared.auroc, compared.covariance)), len(names)


def _second_minus_first(best: int, found: Sequence[Difference]) -> Difference:
    """Of what is told relative to the best of two."""
    if best == 0:
        return found[1]
    gap = found[0]
    value, low, high = (None if number is None else -number for number in (gap.value, gap.high, gap.low))
    return replace(gap, value=value, low=low, high=high)
