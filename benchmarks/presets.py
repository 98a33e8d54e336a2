"""Measure the cost of the presets: time to score an image, relative to the standard preset, and memory.

    python benchmarks/presets.py [--check] [--json] [--quick]

Times are ratios of consecutive runs, as in ``benchmarks/speed.py``. ``--check`` compares the ratio for single
images with the one that ``padim/presets.py`` states to users. The presets' gain in recall is measured by
``benchmarks/accuracy.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import images, report, speed
from padim.analysis.cost import estimate
from padim.config import PadimConfig
from padim.decision.regions import map_mask
from padim.model import Padim
from padim.presets import MEASURED, PRESETS, check, settings

# Largest factor by which the measured ratio may exceed the one stated to users.
TOLERATED = 1.25


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="few images, for tests: not the real check")
    args = parser.parse_args(arguments)
    effort = speed.QUICK if args.quick else speed.FULL
    result = report.Report("presets")
    for name, measured in MEASURED.items():
        result.target(f"{name}.scoring_time", "<=", TOLERATED * measured.scoring_time)
    report.run(parser, result, args)
    if args.quick:
        result.note("--quick: only a few images, for tests. This is not the real check.")
    files = list(images.Generated(effort.normals))
    with tempfile.TemporaryDirectory() as folder:
        models = {
            name: Padim(PadimConfig.of(settings(check(name))), work_dir=Path(folder) / name).fit(files)
            for name in PRESETS
        }
        rows = []
        for name, model in models.items():
            cost = estimate(model.config, effort.normals)
            few = estimate(model.config, 20)
            ratios = {}
            for batch, pairs in effort.pairs.items():
                ratios[batch] = 1.0 if name == "standard" else _ratio(models["standard"], model, batch, pairs)
                result.values[f"{name}.scoring_time_batch_{batch}"] = ratios[batch]
            result.values[f"{name}.scoring_time"] = ratios[1]
            result.values[f"{name}.score_memory_mb"] = cost.score_memory / 1e6
            result.values[f"{name}.fit_memory_mb"] = cost.fit_memory / 1e6
            rows.append(
                (
                    name,
                    *(f"{ratio:.2f}" for ratio in ratios.values()),
                    f"{cost.fit_memory / 1e6:.0f}",
                    f"{cost.score_memory / 1e6:.0f}",
                    f"{cost.bundle / 1e6:.0f}",
                    f"{few.score_memory / 1e6:.0f}",
                )
            )
    result.show(
        f"Presets, {effort.normals} good parts (and 20)",
        (
            "preset",
            *(f"time, batch {batch}" for batch in effort.pairs),
            *("fit MB", "score MB", "model MB", "score MB (20)"),
        ),
        rows,
    )
    return result.finish(args)


def _ratio(standard: Padim, other: Padim, batch: int, pairs: int) -> float:
    """Return the median ratio of the times to score batches of ``batch`` images."""
    parts = [standard.state.preprocess(images.image(i, defect=i % 2 == 1, seed=1)) for i in range(16)]
    rgb = np.stack(parts)
    turns = [rgb[i : i + batch] for i in range(0, len(rgb), batch)]
    ratios, _, _ = speed.paired(_path(standard), _path(other), turns, pairs)
    return statistics.median(ratios)


def _path(model: Padim) -> Callable[[npt.NDArray[np.uint8]], object]:
    threshold, min_area = model.threshold_level, model.config.min_area

    def path(images: npt.NDArray[np.uint8]) -> None:
        for q in model.state.score_arrays(images, model.config.min_area)[0]:
            map_mask(q, threshold, min_area)

    return path


if __name__ == "__main__":
    sys.exit(main())
