"""The comparison of two fits, with and without locating the part, as a background job of the Fit page."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ui.app import state
from ui.files import labeled
from ui.jobs import watch
from ui.locating import forget_job

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from padim.analysis.alignment_advice import Advice, Comparison
    from padim.analysis.alignment_trial import AlignmentTrial
    from padim.analysis.trial_defects import TrialDefect
    from padim.config import PadimConfig
    from padim.data.labeled_images import LabeledImages
    from padim.data.sources import Source
    from padim.errors import ImageError
    from ui.files.image_input import ImageSet
    from ui.jobs.jobs import Job
    from ui.locating import LocatingState

UPLOADER = "locate-defects"
# Of defects in images without labels.
_UNNAMED = "defect"


@dataclass(frozen=True, eq=False)
class Compared:
    """The outcome of a comparison.

    Attributes:
        config: the settings of the fit on located parts.
        trial: both fits.
        comparison: their differences.
        advice: what they recommend.
        failed: images that could not be used.
    """

    config: PadimConfig
    trial: AlignmentTrial
    comparison: Comparison
    advice: Advice
    failed: tuple[ImageError, ...]


class _Defects:
    """The defects among labelled images, read anew each time they are iterated over."""

    def __init__(self, given: LabeledImages) -> None:
        self._given = given

    def __iter__(self) -> Iterator[TrialDefect]:
        from padim.analysis.trial_defects import TrialDefect
        from padim.data.datasets import GOOD

        for name, content in self._given.images:
            kind = _UNNAMED if self._given.kinds is None else self._given.kind_of(name)
            if kind != GOOD:
                yield TrialDefect(name, kind, content)


def take_defects(now: LocatingState, image_set: ImageSet) -> None:
    """Use these images as the defects of the comparison."""
    now.defects = labeled.of(image_set)


def defects_text(given: LabeledImages) -> str:
    """Describe the images of defects in one line."""
    from ui.app.text import count

    if given.kinds is None:
        return f"{count(given.count, 'image')} without labels: all are taken as defects"
    kinds = {kind for kind in given.kinds.values() if kind != "good"}
    good = f"; {count(given.good, 'good one')} of them left out" if given.good else ""
    return f"{count(given.defects, 'defect')} of {count(len(kinds), 'kind')}{good}"


def has_defects(given: LabeledImages) -> bool:
    """Whether there is a defect among the images."""
    return given.kinds is None or given.defects > 0


def start(
    now: LocatingState,
    source: Source,
    located: PadimConfig,
    plain: PadimConfig,
    parts: Mapping[str, str],
    defects: LabeledImages | None,
) -> Job[Compared]:
    """Start fitting twice in the background, and comparing.

    Args:
        now: this session's state.
        source: the images of good parts.
        located: the settings with locating.
        plain: those without.
        parts: each image's part, by image name.
        defects: images of defects; None paints some.
    """
    if now.comparison:
        forget_job(now.comparison)
    now.comparison = f"locating-trial:{state.session_id()}"
    return watch.start(
        now.comparison,
        "Comparing with and without locating",
        lambda job: _compare(source, located, plain, dict(parts), defects, job),
        tag=located,
    )


def job(now: LocatingState) -> Job[Compared] | None:
    """Return the job that compares, running or ended."""
    return watch.find(now.comparison) if now.comparison else None


def _compare(
    source: Source,
    located: PadimConfig,
    plain: PadimConfig,
    parts: dict[str, str],
    defects: LabeledImages | None,
    job: Job[Any],
) -> Compared:
    from padim.analysis.alignment_advice import advise, compared
    from padim.analysis.alignment_trial import alignment_trial

    failed: list[ImageError] = []
    trial = alignment_trial(
        copy(source),
        located,
        None if defects is None else _Defects(defects),
        plain=plain,
        groups=parts,
        progress=job.progress,
        cancel=job.cancelled,
        on_error=failed.append,
    )
    return Compared(located, trial, compared(trial), advise(trial), tuple(failed))


def rows(found: Compared) -> list[tuple[str, str, str]]:
    """Return the figures of both fits: what it is, without, and with locating."""
    trial, comparison = found.trial, found.comparison
    one, other = trial.without.false_rejects, trial.located.false_rejects
    lines = [("False rejects (overkill)", f"{one.above:,} of {one.n:,}", f"{other.above:,} of {other.n:,}")]
    lines.append(("Expected false rejects, at most", f"{one.upper:.1%}", f"{other.upper:.1%}"))
    if comparison.aurocs is not None:
        lines.append(("AUROC", *(f"{value:.3f}" for value in comparison.aurocs)))  # type: ignore[arg-type]
    for kind in sorted({kind for _, kind in trial.defects}):
        pairs = trial.ways(kind)
        before, after = (sum(outcome.caught for outcome in column) for column in zip(*pairs, strict=True))
        name = f"{kind[:1].upper()}{kind[1:]}, caught" + (" (displaced)" if kind in trial.displaced else "")
        lines.append((name, f"{before:,} of {len(pairs):,}", f"{after:,} of {len(pairs):,}"))
    return lines
