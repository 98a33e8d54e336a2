"""How well defects are found, and whether the promised false-reject rate is the one that comes.

    python benchmarks/accuracy.py --data FOLDER [--category bottle ...] [--method NAME] [--check] [--json]

FOLDER is a category in MVTec AD's layout, or holds several. The network runs once over every picture; all
fits, thresholds and verdicts after that are the engine's own, on those embeddings.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import mvtec, report
from padim.calibration import rank
from padim.config import PadimConfig
from padim.groups import propose_groups, resolve
from padim.maps import MAX_LEVEL
from padim.methods import METHODS
from padim.model import Padim

BASELINE = Path(__file__).resolve().parent / "baseline.json"
AUROC_TARGETS = {
    "bottle": {"image_auroc": 0.990, "pixel_auroc": 0.975},
    "magnetic_tile": {"image_auroc": 0.90},
}
# Of methods other than the default one; a shared Gaussian does not know where it looks, and has none.
METHOD_TARGETS = {
    "bottle": {"patchcore": 0.990, "svdd": 0.970, "flow": 0.970, "stfpm": 0.970, "ensemble": 0.970}
}
MOST_OFF_POINTS = 2.5
MOST_ABOVE_BOUND = 0.15
# Sums in another order (other threads, another processor) move a distance by about 1e-6 of itself, which can
# carry single pictures across a threshold: half a point of a mean over draws, one picture of a single figure.
MEAN_RECALL_TOLERANCE = 0.005

Grouping = Literal["picture", "likeness"]
Rows = Sequence[int]


@dataclass(frozen=True)
class Options:
    """What is measured, apart from the targets."""

    config: PadimConfig
    permille: int
    sizes: tuple[int, ...]
    draws: int
    grouping: Grouping
    override: int | None


@dataclass(frozen=True)
class Draw:
    """One fit and what became of the pictures it had not seen.

    Attributes:
        fitted: parts in the fit, n.
        promised: (n + 1 - r) / (n + 1).
        upper: the model's own 95 % bound on its false-reject rate.
        unseen: good parts judged.
        rejected: those of them rejected.
        recall: share of the defect pictures rejected.
        recall_by_kind: the same by defect.
    """

    fitted: int
    promised: float
    upper: float
    unseen: int
    rejected: int
    recall: float
    recall_by_kind: dict[str, float]

    @property
    def realised(self) -> float:
        """Share of unseen good parts rejected."""
        return self.rejected / self.unseen


@dataclass
class PixelHistograms:
    """Judged pixels by level, those of defects and the others: enough for an exact AUROC.

    Attributes:
        sound, faulty: int64 ``(65536,)``.
    """

    sound: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_LEVEL + 1, np.int64))
    faulty: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_LEVEL + 1, np.int64))

    def add(self, q: npt.NDArray[np.uint16], mask: npt.NDArray[np.bool_] | None) -> None:
        """Count a map, uint16 ``(S, S)``; no mask means no faulty pixel."""
        everything = np.bincount(q.ravel(), minlength=MAX_LEVEL + 1)
        inside = np.bincount(q[mask], minlength=MAX_LEVEL + 1) if mask is not None else 0
        self.faulty += inside
        self.sound += everything - inside

    def auroc(self) -> float:
        """Probability that a faulty pixel is above a sound one, ties counting half; NaN without either.

        In integers throughout, so that it is the value that all pixels in one sorted list would give.
        """
        pairs = int(self.sound.sum()) * int(self.faulty.sum())
        if not pairs:
            return float("nan")
        below = np.cumsum(self.sound) - self.sound
        # Python's integers: 2 * pairs of a large set can pass 2^63.
        twice = sum(
            int(f) * (2 * int(b) + int(s))
            for f, b, s in zip(self.faulty, below, self.sound, strict=True)
            if f
        )
        return twice / (2 * pairs)


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    report.add_data_argument(parser)
    parser.add_argument("--category", nargs="+", default=[], help="only these")
    parser.add_argument("--config", type=Path, help="a YAML configuration instead of the default one")
    parser.add_argument("--method", choices=list(METHODS), help="instead of the configuration's")
    parser.add_argument("--sizes", type=int, nargs="*", default=[20, 50], help="normals in the random fits")
    parser.add_argument("--draws", type=int, default=30, help="random fits for each size")
    parser.add_argument("--percentile", type=float, default=95.0)
    parser.add_argument(
        "--parts",
        choices=["picture", "likeness"],
        default="picture",
        help="what a part is: every picture, or all pictures that padim.groups takes for shots of one part",
    )
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="recall to hold against")
    parser.add_argument("--write-baseline", action="store_true", help="record the recall of this run")
    parser.add_argument(
        "--threshold-override",
        choices=["inf", "0"],
        help="judge at the highest or the lowest threshold, to prove that --check notices",
    )
    args = parser.parse_args(arguments)
    if args.write_baseline and args.threshold_override:
        parser.error(
            "--write-baseline records what the model does, not what --threshold-override makes of it"
        )
    options = Options(
        config=configuration(args.config, args.method),
        permille=round(10 * args.percentile),
        sizes=tuple(args.sizes),
        draws=args.draws,
        grouping=args.parts,
        override={"inf": MAX_LEVEL, "0": 0, None: None}[args.threshold_override],
    )
    try:
        folders = mvtec.find(args.data, args.category)
    except ValueError as error:
        parser.error(str(error))

    result = report.Report("accuracy")
    baseline = Baseline(args.baseline, options)
    plain = ["config", "method", "draws", "percentile", "parts"]
    for folder in folders:
        name = folder.resolve().name
        if name in baseline.known and not baseline.applies(name) and not args.write_baseline:
            # Changed defaults must not switch the comparison off without anybody noticing.
            if all(getattr(args, option) == parser.get_default(option) for option in plain):
                parser.error(f"{args.baseline} was written with other defaults; see --write-baseline")
            result.note(f"{name}: the baseline is of another setting; recall is not checked.")
        declare(result, name, options, baseline)
    report.run(parser, result, args)
    result.details["config"] = options.config.model_dump(mode="json")
    result.details["percentile"] = options.permille / 10
    if options.override is not None:
        result.note(
            f"--threshold-override: every verdict is taken at level {options.override}, not the model's."
        )
    for folder in folders:
        start = time.perf_counter()
        measure(folder, options, result, baseline)
        result.details.setdefault("seconds", {})[folder.resolve().name] = time.perf_counter() - start
    if args.write_baseline:
        baseline.write()
    return result.finish(args)


def configuration(path: Path | None, method: str | None) -> PadimConfig:
    """Of the file, or the default one; by another method if one is named."""
    config = PadimConfig.load(path) if path else PadimConfig()
    if method is None:
        return config
    # Only what the file says counts for the method: it may have defaults of its own.
    given = config.model_dump(exclude_unset=True) if path else {}
    return PadimConfig.of({**given, "method": method})


class Baseline:
    """The recall that is not to be lost, by category, config and number of normals."""

    def __init__(self, path: Path, options: Options) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.new: dict[str, Any] = {}
        # Recall under another configuration, percentile or set of draws is another quantity.
        self.setting = {
            **options.config.model_dump(mode="json"),
            "permille": options.permille,
            "parts": options.grouping,
            "draws": options.draws,
        }

    def applies(self, category: str) -> bool:
        """Whether what is recorded of a category was measured in this setting.

        A configuration key that did not exist then is no difference: its default changes nothing.
        """
        recorded = self.known.get(category, {}).get("setting", {})
        return bool(recorded) and all(self.setting.get(key) == value for key, value in recorded.items())

    def of(self, category: str, size: str) -> dict[str, float] | None:
        """``mean``, ``low`` and ``high``, if they were recorded for this very setting."""
        if not self.applies(category):
            return None
        recall: dict[str, dict[str, float]] = self.known[category]["recall"]
        return recall.get(size)

    def record(self, category: str, size: str, recall: dict[str, float]) -> None:
        """Keep for :meth:`write`."""
        entry = self.new.setdefault(category, {"setting": self.setting, "recall": {}})
        entry["recall"][size] = recall

    def write(self) -> None:
        """Replace the categories measured; the others stay."""
        text = json.dumps({**self.known, **self.new}, indent=2, sort_keys=True)
        self.path.write_text(text + "\n", encoding="utf-8")


def declare(result: report.Report, category: str, options: Options, baseline: Baseline) -> None:
    """The targets of a category."""
    method = options.config.method
    if method == "padim":
        for name, bound in AUROC_TARGETS.get(category, {}).items():
            result.target(f"{category}.{name}", ">=", bound)
    elif method in METHOD_TARGETS.get(category, {}):
        result.target(f"{category}.image_auroc", ">=", METHOD_TARGETS[category][method])
    # Held-out scores that are not exact may err, but only towards rejecting fewer good parts than promised.
    exact = METHODS[method].held_out == "exact"
    for size in options.sizes:
        name = "off_points" if exact else "above_promise_points"
        result.target(f"{category}.n{size}.{name}", "<=", MOST_OFF_POINTS)
        result.target(f"{category}.n{size}.share_above_bound", "<=", MOST_ABOVE_BOUND)
    if not exact:
        return
    # The interval's ends are the set's, not a constant: the value is how many parts lie outside it.
    result.target(f"{category}.all.rejected_outside_interval", "<=", 0)
    for size_name in (*(f"n{size}" for size in options.sizes), "all"):
        known = baseline.of(category, size_name)
        if known is not None:
            result.target(f"{category}.{size_name}.recall", ">=", known["mean"] - known["tolerance_mean"])
            if size_name != "all":
                result.target(
                    f"{category}.{size_name}.recall_low", ">=", known["low"] - known["tolerance_low"]
                )


@dataclass(frozen=True)
class Lab:
    """A category and what is done with it.

    Attributes:
        parts: indices of the good pictures, by part.
        defects: indices of the pictures with a defect.
    """

    category: mvtec.Category
    options: Options
    extractor: mvtec.Remembering
    parts: list[list[int]]
    defects: list[int]


def measure(folder: Path, options: Options, result: report.Report, baseline: Baseline) -> None:
    """One category: AUROC with all normals, calibration with few and with all."""
    category = mvtec.read(folder, options.config)
    name = category.name
    defects, parts = category.rows(good=False), parts_of(category, options.grouping)
    lab = Lab(category, options, mvtec.Remembering(options.config), parts, defects)
    counts = [len(category.rows(good=True, train=t)) for t in (True, False)]
    if not counts[1] or not defects:
        raise SystemExit(f"{name} needs pictures in test/good and in test/<defect>")
    if len(parts) <= max(options.sizes, default=0):
        raise SystemExit(
            f"{name} has {len(parts)} good parts: fits on {max(options.sizes)} leave none to judge"
        )
    print(f"{name}: {counts[0]} + {counts[1]} good pictures, {len(defects)} with a defect\n", flush=True)
    alike = [len(rows) for rows in parts_of(category, "likeness") if len(rows) > 1]
    if alike and options.grouping == "picture":
        result.note(
            f"{name}: {sum(alike)} good pictures look like repeat shots of {len(alike)} parts. Splits are "
            "drawn by picture: a picture left out and an unseen one have siblings in the fit equally often, "
            "so promise and outcome compare. --parts likeness draws, leaves out and judges by part instead."
        )
    elif alike:
        result.note(f"{name}: by likeness, {sum(alike)} pictures are repeat shots of {len(alike)} parts.")

    everything = all_normals(lab, result)
    draws = {f"n{n}": random_draws(lab, n) for n in options.sizes}
    rows = []
    for size, size_draws in (*draws.items(), ("all", [everything])):
        rows.append(summarise(f"{name}.{size}", size_draws, result))
        recall = [draw.recall for draw in size_draws]
        low, high = np.percentile(recall, [5, 95])
        record = {
            "mean": float(np.mean(recall)),
            "low": float(low),
            "high": float(high),
            "tolerance_mean": MEAN_RECALL_TOLERANCE if len(recall) > 1 else 1 / len(defects),
            "tolerance_low": 1 / len(defects),
        }
        baseline.record(name, size, record)
        known = baseline.of(name, size)
        rows[-1] += ("none" if known is None else f"{known['mean']:.1%}",)
    result.show(
        f"{name}: false rejects promised and realised (percentile {options.permille / 10:g}), defects caught",
        ("normals", "draws", "promised", "realised", "5-95 %", "above bound", "recall", "5-95 %", "baseline"),
        rows,
    )
    low, high = accepted(everything)
    result.show(
        f"{name}: all normals, one draw",
        ("good parts judged", "rejected", "95 % interval", "recall by defect"),
        [
            (
                everything.unseen,
                everything.rejected,
                f"{low} to {high}",
                ", ".join(f"{kind} {share:.0%}" for kind, share in everything.recall_by_kind.items()),
            )
        ],
    )


def parts_of(category: mvtec.Category, grouping: Grouping) -> list[list[int]]:
    """The good pictures by part. Identical files are one part in any case."""
    good = category.rows(good=True)
    pictures = [category.pictures[row] for row in good]
    proposals = propose_groups(
        [p.name for p in pictures], [p.sha256 for p in pictures], category.fingerprints[good]
    )
    wanted = ("identical", "near_identical") if grouping == "likeness" else ("identical",)
    accepted = [group for proposal in proposals if proposal.rule in wanted for group in proposal.groups]
    parts: dict[int, list[int]] = {}
    for part, row in zip(resolve(len(good), accepted), good, strict=True):
        parts.setdefault(part, []).append(row)
    return list(parts.values())


@contextmanager
def fitted(lab: Lab, parts: Sequence[Rows]) -> Iterator[Padim]:
    """A model of these parts, for as long as the block lasts."""
    names = {lab.category.pictures[row].name: str(part) for part, rows in enumerate(parts) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        model = mvtec.RememberingPadim(lab.options.config, lab.extractor, Path(folder))
        model.fit(lab.category.images([row for rows in parts for row in rows]), groups=names)
        yield model.set_decision(percentile=lab.options.permille / 10)


def judge(lab: Lab, model: Padim, unseen: Sequence[Rows], scores: Mapping[int, int]) -> Draw:
    """Promise and outcome of one fit; ``scores`` by row, of all unseen good pictures and all defects."""
    held_out = model.held_out_scores()
    n, permille, override = len(held_out), lab.options.permille, lab.options.override
    threshold = model.threshold_level if override is None else override
    caught: dict[str, list[bool]] = {}
    for row in lab.defects:
        caught.setdefault(lab.category.pictures[row].kind, []).append(scores[row] > threshold)
    return Draw(
        fitted=n,
        promised=(n + 1 - min(rank(permille, n), n)) / (n + 1),
        upper=model.false_rejects(threshold).upper,
        unseen=len(unseen),
        rejected=sum(max(scores[row] for row in part) > threshold for part in unseen),
        recall=float(np.mean(list(chain.from_iterable(caught.values())))),
        recall_by_kind={kind: float(np.mean(hits)) for kind, hits in caught.items()},
    )


def all_normals(lab: Lab, result: report.Report) -> Draw:
    """Fit on all of ``train/good``; AUROC, and the one draw that this is."""
    category, name = lab.category, lab.category.name
    train, test = (set(category.rows(good=True, train=t)) for t in (True, False))
    inside = [[row for row in part if row in train] for part in lab.parts]
    # A test picture of a part that is in the fit is no unseen part.
    unseen = [part for part in lab.parts if not train.intersection(part)]
    rows = [*sorted(test), *lab.defects]
    pixels, scores = PixelHistograms(), {}
    with fitted(lab, [part for part in inside if part]) as model:
        for row, scored in zip(rows, model.score(category.images(rows)), strict=True):
            scores[row] = scored.score
            picture = category.pictures[row]
            if picture.good or picture.mask is not None:
                pixels.add(scored.map, picture.mask)
        draw = judge(lab, model, unseen, scores)
    kinds = [category.pictures[row].kind for row in rows]
    faulty = np.array([kind != "good" for kind in kinds])
    levels = np.array([scores[row] for row in rows])
    image, pixel = float(roc_auc_score(faulty, levels)), pixels.auroc()
    result.values[f"{name}.image_auroc"] = image
    result.values[f"{name}.pixel_auroc"] = None if math.isnan(pixel) else pixel
    by_kind = {}
    for kind in sorted(set(kinds) - {"good"}):
        chosen = np.array([other in ("good", kind) for other in kinds])
        by_kind[kind] = float(roc_auc_score(faulty[chosen], levels[chosen]))
    result.details.setdefault("image_auroc_by_kind", {})[name] = by_kind
    result.show(
        f"{name}: ranking, with all {len(train)} normals (pixels and masks at map resolution)",
        ("image AUROC", "pixel AUROC", *by_kind),
        [(f"{image:.4f}", f"{pixel:.4f}", *(f"{value:.3f}" for value in by_kind.values()))],
    )
    return draw


def random_draws(lab: Lab, n: int) -> list[Draw]:
    """Seeded random splits of all good parts: fit on n, judge the others and the defects."""
    parts, draws = lab.parts, []
    for number in range(lab.options.draws):
        order = np.random.default_rng([n, number]).permutation(len(parts))
        inside, unseen = ([parts[i] for i in sorted(some)] for some in (order[:n], order[n:]))
        rows = [*chain.from_iterable(unseen), *lab.defects]
        with fitted(lab, inside) as model:
            scored = model.score(lab.category.images(rows))
            scores = {row: one.score for row, one in zip(rows, scored, strict=True)}
            draws.append(judge(lab, model, unseen, scores))
    return draws


def accepted(draw: Draw) -> tuple[int, int]:
    """The two-sided 95 % interval of the number rejected, if the promise holds.

    The r-th smallest of n i.i.d. scores is exceeded by a new one with a probability that is itself
    Beta(n + 1 - r, r) distributed; the number among m new ones is then beta-binomial.
    """
    above = round(draw.promised * (draw.fitted + 1))
    law = betabinom(draw.unseen, above, draw.fitted + 1 - above)
    return int(law.ppf(0.025)), int(law.ppf(0.975))


def summarise(name: str, draws: Sequence[Draw], result: report.Report) -> tuple[object, ...]:
    """Record a size's values; its row of the table."""
    realised = np.array([draw.realised for draw in draws])
    recall = np.array([draw.recall for draw in draws])
    promised = float(np.mean([draw.promised for draw in draws]))
    above = float(np.mean([draw.realised > draw.upper for draw in draws])) if len(draws) > 1 else None
    result.values[f"{name}.promised"] = promised
    result.values[f"{name}.realised"] = float(realised.mean())
    result.values[f"{name}.off_points"] = 100 * abs(float(realised.mean()) - promised)
    result.values[f"{name}.above_promise_points"] = 100 * max(float(realised.mean()) - promised, 0.0)
    # A single draw has the beta-binomial interval; its bound is on the rate, not on 20 pictures' share.
    result.values[f"{name}.share_above_bound"] = above
    result.values[f"{name}.recall"] = float(recall.mean())
    result.values[f"{name}.recall_low"], result.values[f"{name}.recall_high"] = (
        float(v) for v in np.percentile(recall, [5, 95])
    )
    if len(draws) == 1:
        low, high = accepted(draws[0])
        outside = max(low - draws[0].rejected, draws[0].rejected - high, 0)
        result.values[f"{name}.rejected_outside_interval"] = float(outside)
    result.details.setdefault("draws", {})[name] = [
        {
            "realised": draw.realised,
            "upper": draw.upper,
            "recall": draw.recall,
            "by_kind": draw.recall_by_kind,
        }
        for draw in draws
    ]
    ranges = ["{:.1%} to {:.1%}".format(*np.percentile(values, [5, 95])) for values in (realised, recall)]
    return (
        draws[0].fitted,
        len(draws),
        f"{promised:.1%}",
        f"{realised.mean():.1%}",
        ranges[0],
        "" if above is None else f"{above:.0%}",
        f"{recall.mean():.1%}",
        ranges[1],
    )


if __name__ == "__main__":
    sys.exit(main())
