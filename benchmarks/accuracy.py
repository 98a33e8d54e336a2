"""Measure how well defects are found, and whether false rejects are as frequent as promised.

    python benchmarks/accuracy.py --data FOLDER ... [--category bottle ...] [--method NAME] [--check] [--json]
    python benchmarks/accuracy.py --data FOLDER ... --variant NAME KEY=VALUE ... [--variant ...] [--check]
    python benchmarks/accuracy.py --joint [--data FOLDER ...] [--draws 5] [--check] [--json]

FOLDER is a category in the layout of MVTec AD, or contains several. The network runs once for every image;
all fits, thresholds and verdicts are those of the engine, computed from the cached embeddings.

Without ``--variant`` every category is reported separately and checked against targets. With it, other
configurations are compared with the given one on the same draws of all categories
(:mod:`benchmarks.compare`). With ``--joint`` displacements are judged beside the map,
and the promise of both together is measured (:mod:`benchmarks.joint_promise`): of synthetic features, in
seconds, and of the categories where folders are given.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import compare, joint_promise, mvtec, report, variants
from benchmarks.draws import Draw, Experiment, Options, PixelHistograms, evaluate_draw, fitted, parts_of
from benchmarks.recall_baseline import BASELINE, MEAN_RECALL_TOLERANCE, Baseline
from padim.decision.anomaly_map import MAX_LEVEL
from padim.errors import PadimError
from padim.methods import catalogue

AUROC_TARGETS = {
    "bottle": {"image_auroc": 0.990, "pixel_auroc": 0.975},
    "magnetic_tile": {"image_auroc": 0.90},
}
# Image AUROC of other methods. The pooled Gaussian (``shared``) ignores positions and has no target.
METHOD_TARGETS = {
    "bottle": {"patchcore": 0.990, "svdd": 0.970, "flow": 0.970, "stfpm": 0.970, "ensemble": 0.970}
}
MOST_OFF_POINTS = 2.5
MOST_ABOVE_BOUND = 0.15


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    data = os.environ.get("PADIM_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        action="extend",
        help="folders, each a category or a folder of categories; default: environment variable PADIM_DATA",
    )
    parser.add_argument("--category", nargs="+", default=[], help="use only these categories")
    parser.add_argument("--config", type=Path, help="a YAML configuration instead of the default one")
    parser.add_argument("--method", choices=list(catalogue.METHODS), help="override the configuration's")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="changes to the configuration",
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[20, 50], help="parts in the random fits")
    parser.add_argument(
        "--draws", type=int, help="random fits for each size; default 30, for a comparison 10"
    )
    parser.add_argument("--percentile", type=float, default=95.0)
    parser.add_argument(
        "--parts",
        choices=["image", "likeness"],
        default="image",
        help="a part is one image, or all images that padim.data.grouping considers shots of one part",
    )
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="file of the recall to compare with")
    parser.add_argument("--write-baseline", action="store_true", help="record the recall of this run")
    parser.add_argument(
        "--threshold-override",
        choices=["inf", "0"],
        help="decide at the highest or the lowest threshold, to prove that --check fails then",
    )
    parser.add_argument(
        "--joint", action="store_true", help="measure the promise of map and displacements together"
    )
    compare.add_arguments(parser)
    args = parser.parse_args(arguments)
    folders = args.data or ([Path(data)] if data else [])
    if not folders and not args.joint:
        parser.error("--data: give the folders (or set the environment variable PADIM_DATA)")
    if args.write_baseline and args.threshold_override:
        parser.error(
            "--write-baseline records the model's recall: it cannot be used with --threshold-override"
        )
    try:
        categories = mvtec.find_all(folders, args.category) if folders else []
        config = variants.configuration(args.config, args.method, args.set)
        options = Options(
            config=config,
            permille=round(10 * args.percentile),
            sizes=tuple(args.sizes),
            draws=args.draws or (10 if args.variant else 30),
            grouping=args.parts,
            override={"inf": MAX_LEVEL, "0": 0, None: None}[args.threshold_override],
        )
        if args.joint:
            return joint_report(parser, args, categories, options)
        if args.variant:
            return compare.main(parser, args, categories, options)
    except (PadimError, ValueError) as error:
        parser.error(str(error))
    return report_on(parser, args, categories, options)


def report_on(
    parser: argparse.ArgumentParser, args: argparse.Namespace, folders: Sequence[Path], options: Options
) -> int:
    """Measure and report every category separately; return the exit code."""
    result = report.Report("accuracy")
    baseline = Baseline(args.baseline, options)
    plain = ["config", "method", "set", "draws", "percentile", "parts"]
    for folder in folders:
        name = folder.resolve().name
        if name in baseline.known and not baseline.applies(name) and not args.write_baseline:
            # A change of defaults must not disable the comparison unnoticed.
            if all(getattr(args, option) == parser.get_default(option) for option in plain):
                parser.error(f"{args.baseline} was written with other defaults; use --write-baseline")
            result.note(f"{name}: the baseline has other settings; recall is not checked.")
        declare(result, name, options, baseline)
    report.run(parser, result, args)
    result.details["config"] = options.config.model_dump(mode="json")
    result.details["percentile"] = options.permille / 10
    if options.override is not None:
        result.note(
            f"--threshold-override: decisions are at level {options.override}, not at the model's threshold."
        )
    for folder in folders:
        start = time.perf_counter()
        measure(folder, options, result, baseline)
        result.details.setdefault("seconds", {})[folder.resolve().name] = time.perf_counter() - start
    if args.write_baseline:
        baseline.write()
    return result.finish(args)


def joint_report(
    parser: argparse.ArgumentParser, args: argparse.Namespace, folders: Sequence[Path], options: Options
) -> int:
    """Measure the promise of map and displacements together; return the exit code."""
    result = report.Report("joint")
    sizes, draws, permille = options.sizes, options.draws, options.permille
    joint_promise.declare(result, ["synthetic", *(folder.resolve().name for folder in folders)], sizes)
    report.run(parser, result, args)
    joint_promise.measure_synthetic(result, sizes, draws, permille)
    for folder in folders:
        category = mvtec.read(folder, options.config)
        extractor = mvtec.CachingExtractor(options.config)
        experiment = Experiment(category, options, extractor, parts_of(category, options.grouping), [])
        draw = partial(joint_promise.of_category, experiment)
        joint_promise.measure(result, folder.resolve().name, draw, sizes, draws, permille)
    return result.finish(args)


def declare(result: report.Report, category: str, options: Options, baseline: Baseline) -> None:
    """Declare the targets of a category."""
    method = options.config.method
    if method == "padim":
        for name, bound in AUROC_TARGETS.get(category, {}).items():
            result.target(f"{category}.{name}", ">=", bound)
    elif method in METHOD_TARGETS.get(category, {}):
        result.target(f"{category}.image_auroc", ">=", METHOD_TARGETS[category][method])
    # Approximate held-out scores may be off, but only towards fewer false rejects than promised.
    exact = catalogue.held_out(method, neighborhood=options.config.neighborhood) == "exact"
    for size in options.sizes:
        name = "off_points" if exact else "above_promise_points"
        result.target(f"{category}.n{size}.{name}", "<=", MOST_OFF_POINTS)
        result.target(f"{category}.n{size}.share_above_bound", "<=", MOST_ABOVE_BOUND)
    if not exact:
        return
    # The interval depends on the data set, so the value is the number of parts outside of it.
    result.target(f"{category}.all.rejected_outside_interval", "<=", 0)
    for size_name in (*(f"n{size}" for size in options.sizes), "all"):
        known = baseline.of(category, size_name)
        if known is not None:
            result.target(f"{category}.{size_name}.recall", ">=", known["mean"] - known["tolerance_mean"])
            if size_name != "all":
                result.target(
                    f"{category}.{size_name}.recall_low", ">=", known["low"] - known["tolerance_low"]
                )


def measure(folder: Path, options: Options, result: report.Report, baseline: Baseline) -> None:
    """Measure one category: AUROC with all good parts, calibration with few and with all."""
    category = mvtec.read(folder, options.config)
    name = category.name
    defects, parts = category.rows(good=False), parts_of(category, options.grouping)
    experiment = Experiment(category, options, mvtec.CachingExtractor(options.config), parts, defects)
    counts = [len(category.rows(good=True, train=t)) for t in (True, False)]
    if not counts[1] or not defects:
        raise SystemExit(f"{name} needs images in test/good and in test/<defect>")
    if len(parts) <= max(options.sizes, default=0):
        raise SystemExit(
            f"{name} has {len(parts)} good parts: fits on {max(options.sizes)} leave none to score"
        )
    print(f"{name}: {counts[0]} + {counts[1]} good images, {len(defects)} with a defect\n", flush=True)
    alike = [len(rows) for rows in parts_of(category, "likeness") if len(rows) > 1]
    if alike and options.grouping == "image":
        result.note(
            f"{name}: {sum(alike)} good images look like repeat shots of {len(alike)} parts. Splits are "
            "drawn by image: a held-out image and an unseen one have siblings in the fit equally often, so "
            "that promised and realized rates are comparable. --parts likeness does everything by part."
        )
    elif alike:
        result.note(f"{name}: by likeness, {sum(alike)} images are repeat shots of {len(alike)} parts.")

    everything = all_normals(experiment, result)
    draws = {f"n{n}": random_draws(experiment, n) for n in options.sizes}
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
        f"{name}: false rejects promised and realized (percentile {options.permille / 10:g}), defects caught",
        ("normals", "draws", "promised", "realized", "5-95 %", "above bound", "recall", "5-95 %", "baseline"),
        rows,
    )
    low, high = rejected_interval(everything)
    result.show(
        f"{name}: all normals, one draw",
        ("good parts scored", "rejected", "95 % interval", "recall by defect"),
        [
            (
                everything.unseen,
                everything.rejected,
                f"{low} to {high}",
                ", ".join(f"{kind} {share:.0%}" for kind, share in everything.recall_by_kind.items()),
            )
        ],
    )


def all_normals(experiment: Experiment, result: report.Report) -> Draw:
    """Fit on all of ``train/good`` and record the AUROC; return the outcome as a draw."""
    category, name = experiment.category, experiment.category.name
    train, test = (set(category.rows(good=True, train=t)) for t in (True, False))
    inside = [[row for row in part if row in train] for part in experiment.parts]
    # Parts with an image in the fit are not unseen, even if they have others in the test set.
    unseen = [part for part in experiment.parts if not train.intersection(part)]
    rows = [*sorted(test), *experiment.defects]
    pixels, scores = PixelHistograms(), {}
    with fitted(experiment, [part for part in inside if part]) as model:
        for row, scored in zip(rows, model.predict(category.named_arrays(rows)), strict=True):
            scores[row] = scored.score_level
            image = category.images[row]
            if image.good or image.mask is not None:
                pixels.add(scored.levels, image.mask)
        draw = evaluate_draw(experiment, model, unseen, scores)
    kinds = [category.images[row].kind for row in rows]
    faulty = np.array([kind != "good" for kind in kinds])
    levels = np.array([scores[row] for row in rows])
    image_auroc, pixel_auroc = float(roc_auc_score(faulty, levels)), pixels.auroc()
    result.values[f"{name}.image_auroc"] = image_auroc
    result.values[f"{name}.pixel_auroc"] = None if math.isnan(pixel_auroc) else pixel_auroc
    by_kind = {}
    for kind in sorted(set(kinds) - {"good"}):
        chosen = np.array([other in ("good", kind) for other in kinds])
        by_kind[kind] = float(roc_auc_score(faulty[chosen], levels[chosen]))
    result.details.setdefault("image_auroc_by_kind", {})[name] = by_kind
    result.show(
        f"{name}: ranking, with all {len(train)} normals (pixels and masks at map resolution)",
        ("image AUROC", "pixel AUROC", *by_kind),
        [(f"{image_auroc:.4f}", f"{pixel_auroc:.4f}", *(f"{value:.3f}" for value in by_kind.values()))],
    )
    return draw


def random_draws(experiment: Experiment, n: int) -> list[Draw]:
    """Fit on n good parts in seeded random splits; score the other good parts and the defects."""
    parts, draws = experiment.parts, []
    for number in range(experiment.options.draws):
        order = np.random.default_rng([n, number]).permutation(len(parts))
        inside, unseen = ([parts[i] for i in sorted(some)] for some in (order[:n], order[n:]))
        rows = [*chain.from_iterable(unseen), *experiment.defects]
        with fitted(experiment, inside) as model:
            scored = model.predict(experiment.category.named_arrays(rows))
            scores = {row: one.score_level for row, one in zip(rows, scored, strict=True)}
            draws.append(evaluate_draw(experiment, model, unseen, scores))
    return draws


def rejected_interval(draw: Draw) -> tuple[int, int]:
    """Return the two-sided 95 % interval of the number of rejected good parts, if the promised rate holds.

    A new score exceeds the r-th smallest of n i.i.d. scores with a probability that is distributed as
    Beta(n + 1 - r, r); so the number among m new scores is beta-binomial.
    """
    above = round(draw.promised * (draw.fitted + 1))
    law = betabinom(draw.unseen, above, draw.fitted + 1 - above)
    return int(law.ppf(0.025)), int(law.ppf(0.975))


def summarise(name: str, draws: Sequence[Draw], result: report.Report) -> tuple[object, ...]:
    """Record the values of one size of fit, and return its row of the table."""
    realized = np.array([draw.realized for draw in draws])
    recall = np.array([draw.recall for draw in draws])
    promised = float(np.mean([draw.promised for draw in draws]))
    above = float(np.mean([draw.realized > draw.upper for draw in draws])) if len(draws) > 1 else None
    result.values[f"{name}.promised"] = promised
    result.values[f"{name}.realized"] = float(realized.mean())
    result.values[f"{name}.off_points"] = 100 * abs(float(realized.mean()) - promised)
    result.values[f"{name}.above_promise_points"] = 100 * max(float(realized.mean()) - promised, 0.0)
    # A single draw is checked by the beta-binomial interval: the bound is on the rate, not on a share of 20.
    result.values[f"{name}.share_above_bound"] = above
    result.values[f"{name}.recall"] = float(recall.mean())
    result.values[f"{name}.recall_low"], result.values[f"{name}.recall_high"] = (
        float(v) for v in np.percentile(recall, [5, 95])
    )
    if len(draws) == 1:
        low, high = rejected_interval(draws[0])
        outside = max(low - draws[0].rejected, draws[0].rejected - high, 0)
        result.values[f"{name}.rejected_outside_interval"] = float(outside)
    result.details.setdefault("draws", {})[name] = [
        {
            "realized": draw.realized,
            "upper": draw.upper,
            "recall": draw.recall,
            "by_kind": draw.recall_by_kind,
        }
        for draw in draws
    ]
    ranges = ["{:.1%} to {:.1%}".format(*np.percentile(values, [5, 95])) for values in (realized, recall)]
    return (
        draws[0].fitted,
        len(draws),
        f"{promised:.1%}",
        f"{realized.mean():.1%}",
        ranges[0],
        "" if above is None else f"{above:.0%}",
        f"{recall.mean():.1%}",
        ranges[1],
    )


if __name__ == "__main__":
    sys.exit(main())
