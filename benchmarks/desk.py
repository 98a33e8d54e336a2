"""The review desk on real images: fit, inspect, review by script, and count every figure again by hand.

    python benchmarks/desk.py FOLDER [--check] [--json] [--backbone NAME] [--audit SHARE]

FOLDER is a category in the layout of MVTec AD. The model is fitted on its good parts, every test image is
inspected and recorded, and a script reviews what awaits a person, by the labels of the data set; a second
reviewer contradicts at every seventh. The figures of the database are then compared with those counted from
the labels and the scores alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report
from padim.analysis.fit_overlap import KnownImages
from padim.config import PadimConfig
from padim.data.datasets import Dataset, open_dataset
from padim.model import Padim
from padim.records.figures.agreement import agreement_of
from padim.records.figures.counts import count_inspections
from padim.records.figures.escapes import estimate_escapes
from padim.records.figures.recorded import RecordedFigures
from padim.records.inspection import InspectionContext, ReviewDecision
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.recording import new_inspection
from padim.records.reviews import ReviewRecords
from padim.records.workspace_settings import AuditSettings, WorkspaceSettings
from padim.workspace import Workspace

FIRST, SECOND = "Anna (script)", "Ben (script)"
# The second reviewer says the opposite of every image of this number.
CONTRADICTS = 7


@dataclass(frozen=True)
class Known:
    """What is known of an inspection without the database: the label, the score and the verdict."""

    kind: str
    score: float
    verdict: str


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a category in the layout of MVTec AD")
    parser.add_argument("--backbone", default=None, help="default: that of the product")
    parser.add_argument("--audit", type=float, default=0.5, help="share of the accepted that is audited")
    report.add_arguments(parser)
    args = parser.parse_args(arguments)
    result = report.Report("desk")
    result.target("figures_that_differ", "<=", 0)
    result.target("recording_over_scoring", "<", 1.0)
    report.run(parser, result, args)
    with tempfile.TemporaryDirectory() as root:
        config = PadimConfig() if args.backbone is None else PadimConfig(backbone=args.backbone)
        measure(result, args.folder, Path(root), config, args.audit)
    return result.finish(args)


def measure(result: report.Report, folder: Path, root: Path, config: PadimConfig, audit: float) -> None:
    """Fit, inspect and review in a workspace, and add the comparison to the report."""
    workspace, data = Workspace(root), open_dataset(folder)
    entry = workspace.create(folder.name)
    model = Padim(config, work_dir=workspace.work_dir(entry.id)).fit(data.to_fit())
    workspace.save(entry.id, model)
    WorkspaceSettings(root).set(AuditSettings(share=audit), FIRST)
    known = inspect(result, data, model, entry.id, InspectionRecords(root))
    opposed = review(root, known)
    compare(result, root, known, opposed, fitted=len(data.training))


def inspect(
    result: report.Report, data: Dataset, model: Padim, model_id: str, records: InspectionRecords
) -> dict[int, Known]:
    """Score and record every test image; return what is known of each, by its row."""
    content = dict(data)
    begin = time.perf_counter()
    predictions = list(model.predict(content.items(), thumbnail_side=384))
    scoring = time.perf_counter() - begin
    known, images = {}, KnownImages.of(model)
    begin = time.perf_counter()
    for start in range(0, len(predictions), 32):
        some = predictions[start : start + 32]
        rows = records.add(
            [
                new_inspection(
                    model,
                    one,
                    InspectionContext(FIRST, "python", lot=data.samples[one.name].kind),
                    model_id=model_id,
                    known=images,
                    original=content[one.name],
                )
                for one in some
            ]
        )
        for row, one in zip(rows, some, strict=True):
            known[row] = Known(data.samples[one.name].kind, one.score, one.verdict)
    recording = time.perf_counter() - begin
    result.values["recording_over_scoring"] = recording / scoring
    result.details |= {"scoring_s": scoring, "recording_s": recording}
    return known


def review(root: Path, known: dict[int, Known]) -> set[int]:
    """Review the queue, and give second opinions; return the rows that the second reviewer contradicts."""
    records, reviews = InspectionRecords(root), ReviewRecords(root)
    for one in list(records.iterate(InspectionQuery(waits=True))):
        kind = known[one.id].kind
        if kind == "good":
            reviews.decide(one.id, FIRST, "accept")
        else:
            reviews.decide(one.id, FIRST, "reject", kind)
    opposed = set()
    for number, one in enumerate(list(records.iterate(InspectionQuery(second_for=SECOND)))):
        assert one.decision is not None
        said: ReviewDecision = one.decision
        if number % CONTRADICTS == 0:
            said = "reject" if said == "accept" else "accept"
            opposed.add(one.id)
        reviews.decide(one.id, SECOND, said, second=True)
    return opposed


def compare(
    result: report.Report, root: Path, known: dict[int, Known], opposed: set[int], fitted: int
) -> None:
    """Compare the figures of the database with those counted from labels and verdicts."""
    records = InspectionRecords(root)
    count = records.count
    audited = {one.id for one in records.iterate(InspectionQuery(audited=True))}
    looked_at = {row for row, one in known.items() if one.verdict != "accept"} | audited
    rejected = [one for one in known.values() if one.verdict == "reject"]
    types = Counter(known[row].kind for row in looked_at if known[row].kind != "good")
    figures: list[tuple[str, object, object]] = [
        ("inspected", count(), len(known)),
        ("rejected", count(InspectionQuery(verdicts=["reject"])), len(rejected)),
        ("await a person", count(InspectionQuery(waits=True)), 0),
        (
            "decided",
            sum(records.counts_by("decision").values()) - count(InspectionQuery(decision="")),
            len(looked_at),
        ),
        (
            "confirmed rejects",
            count(InspectionQuery(verdicts=["reject"], decision="reject")),
            sum(one.kind != "good" for one in rejected),
        ),
        (
            "false rejects (overkill)",
            count(InspectionQuery(verdicts=["reject"], decision="accept")),
            sum(one.kind == "good" for one in rejected),
        ),
        (
            "missed defects found by the audit",
            count(InspectionQuery(audited=True, decision="reject")),
            sum(known[row].kind != "good" for row in audited),
        ),
        ("disagreements", count(InspectionQuery(disagrees=True)), len(opposed)),
        ("types", records.counts_by("defect_type", InspectionQuery(decision="reject")), dict(types)),
        (
            "worst first",
            [one.id for one in records.iterate(order="worst")],
            sorted(known, key=lambda row: (-known[row].score, -row)),
        ),
    ]
    figures += shown_figures(root, known, looked_at, audited, opposed)
    result.values["figures_that_differ"] = sum(found != wanted for _, found, wanted in figures)
    result.details |= {"fitted": fitted, "audited": len(audited)}
    rows = [
        (name, *(("as counted", "") if isinstance(found, list) and found == wanted else (found, wanted)))
        for name, found, wanted in figures
    ]
    result.show(f"{fitted} fitted, {len(known)} inspected", ("", "database", "by hand"), rows)


def shown_figures(
    root: Path, known: dict[int, Known], looked_at: set[int], audited: set[int], opposed: set[int]
) -> list[tuple[str, object, object]]:
    """Return the figures of the tab Figures, each with what it must be by labels and verdicts."""
    columns = RecordedFigures(root).columns()
    counts = count_inspections(columns)
    rejected = [one.kind for one in known.values() if one.verdict == "reject"]
    accepted = columns.where(columns.verdict == "accept")
    escapes = estimate_escapes(
        accepted.audit_probability,
        accepted.audited,
        accepted.decision != "",
        accepted.decision == "reject",
    )
    missed = sum(known[row].kind != "good" for row in audited)
    both = columns.second_decision != ""
    agreement = agreement_of(columns.decision[both].tolist(), columns.second_decision[both].tolist())
    return [
        (
            "figures: rejected, confirmed, overkill, open",
            (counts.rejected, counts.confirmed, counts.overkill, counts.open),
            (len(rejected), len(rejected) - rejected.count("good"), rejected.count("good"), 0),
        ),
        (
            "figures: share of missed defects",
            None if escapes.share is None else round(escapes.share, 12),
            round(missed / len(audited), 12) if audited else None,
        ),
        (
            "figures: kappa",
            None if agreement.kappa is None else round(agreement.kappa, 9),
            round(kappa(known, looked_at, opposed), 9),
        ),
    ]


def kappa(known: dict[int, Known], looked_at: set[int], opposed: set[int]) -> float:
    """Return Cohen's kappa from the four counts: what the first said, and whether the second did too."""
    defect = Counter((known[row].kind != "good", row in opposed) for row in looked_at)
    total = len(looked_at)
    first = (defect[True, False] + defect[True, True]) / total
    second = (defect[True, False] + defect[False, True]) / total
    chance = first * second + (1 - first) * (1 - second)
    return ((total - len(opposed)) / total - chance) / (1 - chance)


if __name__ == "__main__":
    sys.exit(main())
