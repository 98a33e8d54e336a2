"""Measure every method on one category: ranking metrics, and the time to fit and to score.

    python benchmarks/methods.py --data CATEGORY [--method NAME ...] [--check] [--json]

CATEGORY is a folder in the layout of MVTec AD. Each model is fitted on files, as by a user; scoring is timed
alternately with the default method on the same images, and the median of the ratios is reported.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report
from benchmarks.accuracy import AUROC_TARGETS, METHOD_TARGETS
from benchmarks.speed import paired
from padim.analysis.evaluation import evaluate_dataset
from padim.config import PadimConfig
from padim.data.datasets import open_dataset
from padim.data.loading import prepare
from padim.data.sources import FolderSource
from padim.methods.catalogue import METHODS
from padim.model import Padim
from padim.network.allocation import keep_freed_memory

PAIRS = 40
# Limits on 209 images of 256 px at stride 8, with two cores.
MOST_FIT_SECONDS = {"patchcore": 90.0}
MOST_SCORING_RATIO = {"patchcore": 4.0}
MOST_METRICS_SECONDS = 20.0


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    report.add_data_argument(parser)
    parser.add_argument("--method", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--pairs", type=int, default=PAIRS, help="number of paired scoring runs")
    args = parser.parse_args(arguments)
    keep_freed_memory()  # as the application and the command line do
    if not (args.data / "train" / "good").is_dir():
        parser.error(f"{args.data} is no category: it has no train/good")
    name = args.data.resolve().name
    result = report.Report("methods")
    for method in args.method:
        bound = METHOD_TARGETS.get(name, {}).get(method)
        if method == "padim":
            bound = AUROC_TARGETS.get(name, {}).get("image_auroc")
        if bound is not None:
            result.target(f"{method}.image_auroc", ">=", bound)
        if method in MOST_FIT_SECONDS:
            result.target(f"{method}.fit_seconds", "<", MOST_FIT_SECONDS[method])
        if method in MOST_SCORING_RATIO:
            result.target(f"{method}.scoring_ratio", "<", MOST_SCORING_RATIO[method])
    result.target("metrics_seconds", "<", MOST_METRICS_SECONDS)
    report.run(parser, result, args)

    rows = []
    metrics_seconds = []
    with tempfile.TemporaryDirectory() as folder:
        reference = fitted(PadimConfig(), args.data, Path(folder) / "reference")[0]
        for method in args.method:
            model, seconds = fitted(PadimConfig.of({"method": method}), args.data, Path(folder) / method)
            evaluation = evaluate_dataset(model, open_dataset(args.data))
            begun = time.perf_counter()
            figures = evaluation.report(model, model.threshold_level)
            metrics_seconds.append(time.perf_counter() - begun)
            ratio, alone = scoring_ratio(model, reference, args.data, args.pairs)
            promise = model.false_reject_rate_
            values = {
                "image_auroc": figures.image_auroc.value,
                "pixel_auroc": figures.pixel_auroc.value,
                "aupro": figures.aupro.value,
                "fit_seconds": seconds,
                "scoring_ratio": ratio,
                "scoring_ms": alone,
                "promised": promise.expected,
            }
            result.values |= {f"{method}.{key}": value for key, value in values.items()}
            rows.append(
                (
                    method,
                    *(formatted(values[key], ".4f") for key in ("image_auroc", "pixel_auroc", "aupro")),
                    f"{seconds:.1f}",
                    f"{alone:.1f}",
                    f"{ratio:.2f}",
                )
            )
            print(f"{method}: done", flush=True)
    result.values["metrics_seconds"] = max(metrics_seconds)
    result.show(
        f"{name}: fitted on {len(reference.normals_)} good parts, {len(evaluation.images)} images scored",
        ("method", "image AUROC", "pixel AUROC", "AUPRO", "fit s", "score ms", "times padim"),
        rows,
    )
    return result.finish(args)


def formatted(value: float | None, form: str) -> str:
    """Format a figure; a dash for None."""
    return "–" if value is None else format(value, form)


def fitted(config: PadimConfig, data: Path, folder: Path) -> tuple[Padim, float]:
    """Fit a model on all of ``train/good``; return it and the seconds from files to threshold."""
    model = Padim(config, work_dir=folder)
    model.network.extractor(np.zeros((1, *config.input_shape, 3), np.uint8))  # opens the session
    begun = time.perf_counter()
    model.fit(FolderSource(data / "train" / "good"))
    _ = model.threshold_level
    return model, time.perf_counter() - begun


def scoring_ratio(model: Padim, reference: Padim, data: Path, pairs: int) -> tuple[float, float]:
    """Time scoring of single images, from RGB at input size to level map and score.

    Returns:
        The median ratio of ``model`` to ``reference``, and the median time of ``model`` in milliseconds.
    """
    source = FolderSource(data / "train" / "good")
    images = [
        prepare(image, model.state.preprocess).rgb[None] for image, _ in zip(source, range(16), strict=False)
    ]

    def scoring(of: Padim) -> Callable[[npt.NDArray[np.uint8]], object]:
        return lambda rgb: of.state.score_arrays(rgb, of.config.min_area)

    ratios, _, alone = paired(scoring(reference), scoring(model), images, pairs)
    return statistics.median(ratios), 1e3 * statistics.median(alone)


if __name__ == "__main__":
    sys.exit(main())
