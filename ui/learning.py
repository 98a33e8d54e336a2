"""What the Checks page works out about the number of good parts: the learning curve, as a background job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ui import calibrate, checks
from ui.app import state, workspace
from ui.jobs.runs import Runs
from ui.widgets import labels
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    from padim.analysis.learning_figures import LearningCurve, Spread
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job
    from ui.scoring import ScoredUpload

Source = Literal["labelled", "painted", "none"]


@dataclass(frozen=True)
class CurveRun:
    """A finished learning curve.

    Attributes:
        identity: what the scores depended on (``workspace.scoring_identity``).
        curve: the figures.
        failed: images of defects that could not be used.
    """

    identity: str
    curve: LearningCurve
    failed: tuple[ImageError, ...]

    def outdated(self, entry: Entry, model: Padim) -> str:
        """What has changed since: ``model``, ``threshold`` or nothing, an empty word."""
        if self.identity != workspace.scoring_identity(entry):
            return "model"
        return "" if model.decision.choice.permille == self.curve.permille else "threshold"


class _Curves(Runs):
    """This session's learning curves."""

    sort = "learning"


def runs() -> Runs:
    """This session's learning curves."""
    return state.of(_Curves)


def defects(entry: Entry) -> list[ScoredUpload]:
    """The images on the Calibrate page's list that are known to show defects."""
    given = labels.labels(entry)
    items = calibrate.tests(entry).pile.items
    return [item for item in items if (given.get(item.sha256) or item.origin) == "defect"]


def start(entry: Entry, model: Padim, source: Source, draws: int) -> None:
    """Fit on subsets in the background, in place of what was drawn before."""
    identity = workspace.scoring_identity(entry)
    # The pile's files lie on disk as long as the images are held, whatever becomes of the list meanwhile.
    pile = calibrate.tests(entry).pile
    images = checks.Picked(pile, defects(entry)) if source == "labelled" else None
    painted = source == "painted"
    runs().start(
        entry,
        "Fitting on subsets of the good parts",
        lambda job: _measure(model, images, painted, draws, identity, job),
    )


def _measure(
    model: Padim,
    images: checks.Picked | None,
    painted: bool,
    draws: int,
    identity: str,
    job: Job[CurveRun],
) -> CurveRun:
    from padim.analysis.learning_curve import learning_curve

    failed: list[ImageError] = []
    curve = learning_curve(
        model,
        cast("Any", images),
        painted=painted,
        draws=draws,
        progress=job.progress,
        cancel=job.cancelled,
        on_error=failed.append,
    )
    return CurveRun(identity, curve, tuple(failed))


# -- words -----------------------------------------------------------------------------------------------


def percent(found: Spread | None, *, strong: bool = False) -> Cell:
    """A share with its range over the subsets below it."""
    if found is None:
        return Cell("–")
    note = "" if found.low == found.high else f"{found.low * 100:.0f} to {found.high * 100:.0f} %"
    return Cell(f"{found.mean * 100:.1f} %", note, strong)


def rows(curve: LearningCurve) -> tuple[list[str], list[list[Cell]]]:
    """Head and rows of the table: a row a number of parts."""
    head = ["Good parts", "Subsets", "Threshold", "Promised false rejects", "Left-out parts rejected"]
    if curve.defects is not None:
        head.insert(2, "Defects caught" if curve.defects == "labelled" else "Painted defects caught")
    lines = []
    for size in curve.sizes:
        spread = size.threshold
        varies = spread.low < spread.high
        line = [
            Cell(f"{size.parts:,}", "all" if size.parts == curve.parts else "", strong=True),
            Cell(f"{len(size.trials)}", "the model itself" if size.parts == curve.parts else ""),
            Cell(f"{spread.mean:.2f}", f"{spread.low:.2f} to {spread.high:.2f}" if varies else ""),
            Cell(f"{size.promised.mean * 100:.1f} %", f"at most {size.promised_at_most.mean * 100:.1f} %"),
            percent(size.left_out),
        ]
        if curve.defects is not None:
            line.insert(2, percent(size.recall, strong=True))
        lines.append(line)
    return head, lines


# -- files -----------------------------------------------------------------------------------------------


def figures_csv(found: CurveRun, entry: Entry) -> bytes:
    """Every fit on a line."""
    from padim.output.learning_curve_files import learning_curve_csv

    return learning_curve_csv(found.curve, model=entry.name)


def document(found: CurveRun, entry: Entry) -> bytes:
    """All of it as JSON."""
    from padim.output.learning_curve_files import learning_curve_json

    return learning_curve_json(found.curve, found.failed, model={"id": entry.id, "name": entry.name})
