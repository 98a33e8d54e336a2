"""The learning curve of a model as a background job, and its tables and files for download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ui import calibrate
from ui.app import state, workspace
from ui.jobs.runs import Runs
from ui.scoring import PileSelection
from ui.widgets import labels
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    from padim.analysis.learning_figures import LearningCurve, Spread
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job
    from ui.scoring import ScoredUpload

DefectSource = Literal["labelled", "painted", "none"]


@dataclass(frozen=True)
class CurveRun:
    """The result of a learning-curve job.

    Attributes:
        identity: scoring identity of the model (``workspace.scoring_identity``).
        curve: the figures.
        failed: images of defects that could not be used.
    """

    identity: str
    curve: LearningCurve
    failed: tuple[ImageError, ...]

    def outdated(self, entry: Entry, model: Padim) -> str:
        """Return what has changed since the run: ``model``, ``threshold``, or an empty string for nothing."""
        if self.identity != workspace.scoring_identity(entry):
            return "model"
        return "" if model.decision.choice.permille == self.curve.permille else "threshold"


class _Curves(Runs):
    """The learning curves of one session, by model."""

    sort = "learning"


def runs() -> Runs:
    """Return this session's learning curves."""
    return state.lasting(_Curves)


def defects(entry: Entry) -> list[ScoredUpload]:
    """Return the images in the Calibrate page's list that are labeled as defects."""
    given = labels.labels(entry)
    items = calibrate.tests(entry).pile.items
    return [item for item in items if (given.get(item.sha256) or item.origin) == "defect"]


def start(entry: Entry, model: Padim, source: DefectSource, draws: int) -> None:
    """Start fitting on subsets of the good parts in the background; an earlier curve is dropped."""
    identity = workspace.scoring_identity(entry)
    # The images keep the pile's files on disk, even if the list is cleared meanwhile.
    pile = calibrate.tests(entry).pile
    images = PileSelection(pile, defects(entry)) if source == "labelled" else None
    painted = source == "painted"
    runs().start(
        entry,
        "Fitting on subsets of the good parts",
        lambda job: _measure(model, images, painted, draws, identity, job),
    )


def _measure(
    model: Padim,
    images: PileSelection | None,
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


# -- text ------------------------------------------------------------------------------------------------


def percent(found: Spread | None, *, strong: bool = False) -> Cell:
    """Return a table cell with the mean share and, below it, the range over the subsets."""
    if found is None:
        return Cell("–")
    note = "" if found.low == found.high else f"{found.low * 100:.0f} to {found.high * 100:.0f} %"
    return Cell(f"{found.mean * 100:.1f} %", note, strong)


def rows(curve: LearningCurve) -> tuple[list[str], list[list[Cell]]]:
    """Return the head and the rows of the table, one row for each number of parts."""
    head = ["Good parts", "Subsets", "Threshold", "Expected false rejects", "Left-out parts rejected"]
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
    """Return a CSV file with one line for every fit."""
    from padim.output.learning_curve_files import learning_curve_csv

    return learning_curve_csv(found.curve, model=entry.name)


def document(found: CurveRun, entry: Entry) -> bytes:
    """Return the learning curve with all its fits as a JSON file."""
    from padim.output.learning_curve_files import learning_curve_json

    return learning_curve_json(found.curve, found.failed, model={"id": entry.id, "name": entry.name})
