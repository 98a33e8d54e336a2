"""Comparison of configurations over several data sets, on the same draws: ``accuracy.py --variant``.

For n = 20 and 50 (``--sizes``) good parts are drawn at random ten times (``--draws``); all configurations are
fitted on the same parts and score the same other parts and defects. With all of ``train/good`` there is one
fit. The following are reported by data set, and as a mean over data sets with the paired difference to the
baseline configuration and its standard error over data sets:

- the image AUROC;
- recall at 5 % realized: the share of the defects above the threshold that at most 5 % of the draw's unseen
  good parts exceed. It separates better ranking from a better threshold, and no user can set it;
- recall at the model's own threshold, from the held-out scores of its good parts;
- the false rejects promised by that threshold and realized on the unseen good parts;
- the pixel AUROC, for data sets with masks.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import mvtec, report, variants
from benchmarks.draws import Experiment, Options, PixelHistograms, Rows, evaluate_draw, fitted, parts_of
from benchmarks.kept_figures import KeptFigures
from benchmarks.paired_differences import Mean, difference, mean, over_sets
from padim.config import PadimConfig
from padim.input_size import InputSize

FALSE_REJECT_SHARE = 0.05
# A variant is accepted if it is better with few good parts and not noticeably worse with many.
LEAST_GAIN = {"all": -0.005}
TITLES = {
    "image_auroc": "image AUROC",
    "recall_at_5": "recall at 5 %",
    "recall": "recall at threshold",
    "realized": "realized",
    "promised": "promised",
    "pixel_auroc": "pixel AUROC",
}
# Settings applied after the embedding: configurations that differ only in these share embeddings.
_AFTER_EMBEDDING = frozenset(
    {
        "method",
        "inactive_layers",
        "n_features",
        "seed",
        "eps",
        "shrinkage",
        "position_tolerance",
        "coreset_percent",
        "neighborhood",
        "folds",
        "max_epochs",
        "patience",
        "svdd_objective",
        "svdd_nu",
        "flow_couplings",
        "members",
        "smoothing_sigma",
        "min_area",
    }
)


@dataclass(frozen=True)
class Figures:
    """The metrics of one fit; shares from 0 to 1.

    Attributes:
        image_auroc: AUROC of the images' scores.
        recall_at_5: share of defects caught at 5 % realized false rejects.
        recall: share of defects caught at the model's threshold.
        realized: share of unseen good parts rejected at the model's threshold.
        promised: false-reject rate that the model promises.
        pixel_auroc: AUROC of the pixels; None without masks.
    """

    image_auroc: float
    recall_at_5: float
    recall: float
    realized: float
    promised: float
    pixel_auroc: float | None


METRICS = tuple(one.name for one in fields(Figures))
# The metrics of every draw, by category, configuration and size.
Measured = dict[str, dict[str, dict[str, list[Figures]]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a comparison to a parser."""
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--variant",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "KEY=VALUE"),
        help="a configuration to compare with the given one: its name, and its changes or a YAML file",
    )
    group.add_argument("--no-all", action="store_true", help="omit the fit on all of train/good")
    group.add_argument(
        "--most-unseen", type=int, default=200, help="maximum number of unseen good parts scored per draw"
    )
    group.add_argument(
        "--most-defects", type=int, default=200, help="maximum number of defects scored per draw"
    )
    group.add_argument(
        "--keep",
        type=Path,
        help="a JSON file that stores the metrics of every draw: these are not measured again, so that a "
        "stopped run resumes, and a further variant costs only its own time. Delete it when the code changes",
    )


def main(
    parser: argparse.ArgumentParser, args: argparse.Namespace, folders: Sequence[Path], options: Options
) -> int:
    """Compare the configurations and return the exit code.

    Args:
        parser: reports invalid arguments.
        args: the parsed arguments.
        folders: the data sets.
        options: the baseline configuration and the draws.

    Raises:
        PadimError: a variant is no valid configuration.
        ValueError: an argument is invalid.
    """
    if args.write_baseline or args.threshold_override:
        raise ValueError("--variant cannot be used with --write-baseline or --threshold-override")
    if min(args.most_unseen, args.most_defects) < 1 or options.draws < 1:
        raise ValueError("--draws, --most-unseen and --most-defects must be at least 1")
    configs = variants.named(options.config, args.variant)
    wanted = tuple(f"n{size}" for size in options.sizes) + (() if args.no_all else ("all",))
    if not wanted:
        raise ValueError("--no-all without --sizes leaves nothing to fit")
    result = report.Report("accuracy comparison")
    for name in list(configs)[1:]:
        for size in wanted:
            result.target(f"{name}.{size}.image_auroc", ">=", LEAST_GAIN.get(size, 0.0))
    report.run(parser, result, args)
    kept = KeptFigures(args.keep)
    comparison = Comparison(options, configs, wanted, args.most_unseen, args.most_defects, kept)
    result.note(
        f"A draw scores at most {args.most_unseen} unseen good parts and {args.most_defects} defects, chosen "
        "with a fixed seed, the same for all configurations; fits on all good parts score all test images."
    )
    measured: Measured = {}
    for folder in folders:
        start = time.perf_counter()
        name = folder.resolve().name
        measured[name] = comparison.measure(folder)
        result.details.setdefault("seconds", {})[name] = time.perf_counter() - start
    show(result, measured)
    result.details["configs"] = {name: config.model_dump(mode="json") for name, config in configs.items()}
    result.details["draws"] = {
        category: {
            name: {size: [asdict(draw) for draw in draws] for size, draws in by_size.items()}
            for name, by_size in by_config.items()
        }
        for category, by_config in measured.items()
    }
    return result.finish(args)


def recall_at(scores_good: Sequence[float], scores_defects: Sequence[float], share: float) -> float:
    """Return the recall at the lowest threshold that at most ``share`` of the good parts exceed.

    Args:
        scores_good: scores of unseen good parts, at least one.
        scores_defects: scores of defects, at least one.
        share: from 0 to below 1.

    Returns:
        The share of the defects above that threshold, 0..1.
    """
    # A share such as 0.05 is not exact in binary, but 5 % of 60 parts must be 3.
    allowed = math.floor(share * len(scores_good) + 1e-9)
    threshold = sorted(scores_good, reverse=True)[allowed]
    return float(np.mean(np.asarray(scores_defects) > threshold))


class Comparison:
    """The comparison of configurations, which measures one category at a time."""

    def __init__(
        self,
        options: Options,
        configs: dict[str, PadimConfig],
        sizes: tuple[str, ...],
        most_unseen: int,
        most_defects: int,
        kept: KeptFigures,
    ) -> None:
        self.options = options
        self.configs = configs
        self.sizes = sizes
        self.most_unseen = most_unseen
        self.most_defects = most_defects
        self.kept = kept

    def measure(self, folder: Path) -> dict[str, dict[str, list[Figures]]]:
        """Measure all configurations on one category; return the metrics by configuration and size.

        Configurations that share embeddings are measured one after the other, so that the network runs once
        for them and one set of embeddings is in memory at a time.

        Raises:
            SystemExit: the category lacks test images or good parts.
        """
        groups: dict[str, list[str]] = {}
        for name, config in self.configs.items():
            key = config.model_dump_json(exclude=set(_AFTER_EMBEDDING))
            groups.setdefault(key, []).append(name)
        found: dict[str, dict[str, list[Figures]]] = {}
        read: dict[tuple[InputSize, str], tuple[mvtec.Category, list[list[int]]]] = {}
        for names in groups.values():
            config = self.configs[names[0]]
            if (config.input_size, config.fit) not in read:
                category = mvtec.read(folder, config)
                read[config.input_size, config.fit] = category, parts_of(category, self.options.grouping)
            category, parts = read[config.input_size, config.fit]
            defects = category.rows(good=False)
            if not defects or not category.rows(good=True, train=False):
                raise SystemExit(f"{category.name} needs images in test/good and in test/<defect>")
            if len(parts) <= max(self.options.sizes, default=0):
                raise SystemExit(
                    f"{category.name} has {len(parts)} good parts: too few to leave any for testing"
                )
            extractor = mvtec.CachingExtractor(config)
            for name in names:
                options = self.options.of(self.configs[name])
                experiment = Experiment(category, options, extractor, parts, defects)
                start = time.perf_counter()
                found[name] = {size: list(self._of_size(experiment, size)) for size in self.sizes}
                print(f"{category.name}: {name}, {time.perf_counter() - start:.0f} s", flush=True)
        return {name: found[name] for name in self.configs}

    def _of_size(self, experiment: Experiment, size: str) -> Iterator[Figures]:
        draws = 1 if size == "all" else self.options.draws
        limits = (self.most_unseen, self.most_defects) if size != "all" else None
        images = [image.sha256 for image in experiment.category.images]
        options = experiment.options
        key = [experiment.category.name, images, options.config.model_dump(mode="json")]
        with self.kept.of([*key, options.permille, options.grouping, size, limits]) as kept:
            for number in range(draws):
                if str(number) not in kept:
                    kept[str(number)] = asdict(self._draw(experiment, size, number))
                yield Figures(**kept[str(number)])

    def _draw(self, experiment: Experiment, size: str, number: int) -> Figures:
        parts, defects = experiment.parts, experiment.defects
        if size == "all":
            train = set(experiment.category.rows(good=True, train=True))
            inside = [rows for part in parts if (rows := [row for row in part if row in train])]
            # Parts with an image in the fit are not unseen, even if they have others in the test set.
            unseen = [part for part in parts if not train.intersection(part)]
        else:
            n = int(size[1:])
            order = np.random.default_rng([n, number]).permutation(len(parts))
            inside = [parts[i] for i in sorted(order[:n])]
            unseen = [parts[i] for i in sorted(order[n : n + self.most_unseen])]
            chosen = np.random.default_rng(0).permutation(len(defects))[: self.most_defects]
            defects = [defects[i] for i in sorted(chosen)]
        return figures(experiment.only(defects), inside, unseen)


def figures(experiment: Experiment, inside: Sequence[Rows], unseen: Sequence[Rows]) -> Figures:
    """Fit on some parts, score the unseen ones and the defects, and return the metrics."""
    images = experiment.category.images
    good = [row for part in unseen for row in part]
    rows = [*good, *experiment.defects]
    masked = any(images[row].mask is not None for row in experiment.defects)
    pixels, scores = PixelHistograms(), {}
    with fitted(experiment, inside) as model:
        for row, scored in zip(rows, model.predict(experiment.category.named_arrays(rows)), strict=True):
            scores[row] = scored.score_level
            if masked and (images[row].good or images[row].mask is not None):
                pixels.add(scored.levels, images[row].mask)
        draw = evaluate_draw(experiment, model, unseen, scores)
    parts = [max(scores[row] for row in part) for part in unseen]
    faulty = [not images[row].good for row in rows]
    return Figures(
        image_auroc=float(roc_auc_score(faulty, [scores[row] for row in rows])),
        recall_at_5=recall_at(parts, [scores[row] for row in experiment.defects], FALSE_REJECT_SHARE),
        recall=draw.recall,
        realized=draw.realized,
        promised=draw.promised,
        pixel_auroc=pixels.auroc() if masked else None,
    )


def show(result: report.Report, measured: Measured) -> None:
    """Print the tables, and record the means and the differences to the baseline configuration."""
    some = next(iter(measured.values()))
    names = list(some)
    sizes = list(some[names[0]])
    for size in sizes:
        draws = len(measured[next(iter(measured))][names[0]][size])
        rows = []
        for category in [*measured, None]:
            for name in names:
                of_sets = {one: _means(measured[one][name][size]) for one in measured}
                means = of_sets[category] if category else _over_sets(of_sets)
                label = category or f"mean of {len(measured)}"
                rows.append((label, name, *(_percent(means[metric]) for metric in METRICS)))
                if category is None:
                    for metric, value in means.items():
                        result.values[f"mean.{name}.{size}.{metric}"] = value.value if value else None
        fits = f"{size[1:]} good parts, {draws} draws" if size != "all" else "all of train/good, one fit"
        result.show(f"{fits}: in percent", ("set", "configuration", *TITLES.values()), rows)
    for name in names[1:]:
        rows = []
        for size in sizes:
            by_set = {one: _differences(of[name][size], of[names[0]][size]) for one, of in measured.items()}
            mean_of_sets = _over_sets(by_set)
            for label, differences in (*by_set.items(), (f"mean of {len(measured)}", mean_of_sets)):
                rows.append((size, label, *(_points(differences[metric]) for metric in METRICS)))
            for metric, found in mean_of_sets.items():
                # The difference has the plain name, so that --target can refer to it.
                result.values[f"{name}.{size}.{metric}"] = found.value if found else None
                result.values[f"{name}.{size}.{metric}_error"] = found.error if found else None
        result.show(
            f"{name} minus {names[0]}: points, +- standard error over draws (a set) or over sets (the mean)",
            ("size", "set", *TITLES.values()),
            rows,
        )


Means = dict[str, Mean | None]


def _values(draws: Sequence[Figures], metric: str) -> list[float | None]:
    return [getattr(draw, metric) for draw in draws]


def _means(draws: Sequence[Figures]) -> Means:
    return {m: mean([v for v in _values(draws, m) if v is not None]) for m in METRICS}


def _differences(variant: Sequence[Figures], baseline: Sequence[Figures]) -> Means:
    return {m: difference(_values(variant, m), _values(baseline, m)) for m in METRICS}


def _over_sets(by_set: dict[str, Means]) -> Means:
    return {m: over_sets({name: means[m] for name, means in by_set.items()}) for m in METRICS}


def _percent(found: Mean | None) -> str:
    return "" if found is None else f"{100 * found.value:.1f}"


def _points(found: Mean | None) -> str:
    if found is None:
        return ""
    error = "" if found.error is None else f" +- {100 * found.error:.1f}"
    return f"{100 * found.value:+.1f}{error}"
