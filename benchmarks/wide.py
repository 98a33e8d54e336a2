"""Check the memory and accuracy of a very wide model: Wide-ResNet-50, 550 channels, stride 4, 200 good parts.

    python benchmarks/wide.py [--check] [--json] [--quick]

Weights are random, which needs the same memory. Fitting and scoring run in separate processes, whose memory
is measured from outside. Distances are compared with the direct formula in float64, on the same features.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import images, memory, report
from padim.analysis.cost import estimate
from padim.config import PadimConfig
from padim.model import Padim
from padim.network.allocation import keep_freed_memory

CONFIG = PadimConfig(backbone="wide_resnet50_2", weights="random", grid_stride=4, input_size=256)
QUICK = PadimConfig(backbone="resnet18", weights="random", grid_stride=8, input_size=64)
NORMALS = 200
# Number of positions whose distances are compared with the direct formula.
CHECKED_POSITIONS = 24


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="a small model, for tests: not the real check")
    parser.add_argument("--step", choices=("fit", "score"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    keep_freed_memory()  # as the application and the command line do
    config, normals = (QUICK, 12) if args.quick else (CONFIG, NORMALS)
    if args.step:
        step = fit if args.step == "fit" else score
        print(json.dumps(step(config, normals, args.folder)))
        return 0

    result = report.Report("wide")
    result.target("fit_peak_gb", "<", 6.0)
    result.target("score_peak_gb", "<", 6.0)
    result.target("bundle_gb", "<", 1.5)
    result.target("largest_relative_error", "<", 1e-3)
    report.run(parser, result, args)
    if args.quick:
        result.note("--quick: a small model, for tests. This is not the real check.")
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("fit", "score"):
            command = [sys.executable, str(Path(__file__).resolve()), "--step", name, "--folder", folder]
            start = time.perf_counter()
            peak, output = memory.watch([*command, *(["--quick"] if args.quick else [])])
            seconds = time.perf_counter() - start
            result.values |= json.loads(output.splitlines()[-1])
            result.values[f"{name}_peak_gb"] = peak.anonymous / 1e9
            result.values[f"{name}_resident_gb"] = peak.resident / 1e9
            rows.append((name, f"{peak.anonymous / 1e9:.2f}", f"{peak.resident / 1e9:.2f}", f"{seconds:.0f}"))
    result.show("Peak memory of the process, GB", ("step", "anonymous", "resident", "seconds"), rows)
    estimated = estimate(config, normals)
    result.details["estimate"] = asdict(estimated)
    result.show(
        "Estimated and measured sizes, GB",
        ("", "estimated", "measured"),
        [
            ("model", f"{estimated.bundle / 1e9:.3f}", f"{result.values['bundle_gb']:.3f}"),
            (
                "features on disk",
                f"{estimated.features_per_image * normals / 1e9:.2f}",
                f"{result.values['features_gb']:.2f}",
            ),
            ("checkpoint", f"{estimated.checkpoint / 1e9:.2f}", f"{result.values['checkpoint_gb']:.2f}"),
        ],
    )
    return result.finish(args)


def fit(config: PadimConfig, normals: int, folder: Path) -> dict[str, float]:
    """Fit and save the model, and return sizes on disk."""
    model = Padim(config, work_dir=folder / "work").fit(images.Generated(normals))
    saved = model.save(folder / "model")
    names = ("mean-*", "basis-*", "scale-*", "step-*", "left-*", "right-*", "backbone-*", "channels-*")
    feature_store = model.working_set.nbytes
    model.working_set.save_checkpoint()
    return {
        "bundle_gb": sum(path.stat().st_size for name in names for path in saved.glob(name)) / 1e9,
        "features_gb": feature_store / 1e9,
        "checkpoint_gb": model.working_set.checkpoint_bytes / 1e9,
    }


def score(config: PadimConfig, normals: int, folder: Path) -> dict[str, float]:
    """Load the model and score images; return the largest relative error of a distance, and the time."""
    model = Padim.load(folder / "model", work_dir=folder / "work")
    files = [*images.Generated(2), ("defect.jpg", images.jpeg(images.image(7, defect=True)))]
    start = time.perf_counter()
    scored = list(model.predict(files, batch_size=1))
    seconds = (time.perf_counter() - start) / len(files)
    rgb = np.stack([model.state.preprocess(images.image(7, defect=True))])
    embedding = model.network.extractor(rgb)[0].reshape(model.network.extractor.channels, -1)
    grid = model.state.scorer(rgb)[0].reshape(-1)
    places = np.linspace(0, len(grid) - 1, CHECKED_POSITIONS).astype(int)
    errors = []
    for place in places:
        x = model.working_set.feature_store.read(
            range(normals), model.state.channels, slice(place, place + 1)
        )[:, 0]
        x = x.astype(np.float64)
        covariance = np.cov(x.T) + config.eps * np.eye(x.shape[1])
        delta = embedding[model.state.channels, place].astype(np.float64) - x.mean(axis=0)
        direct = float(np.sqrt(delta @ np.linalg.solve(covariance, delta)))
        errors.append(abs(grid[place] / direct - 1))
    assert len(scored) == len(files)
    return {"largest_relative_error": float(max(errors)), "score_seconds_per_image": seconds}


if __name__ == "__main__":
    sys.exit(main())
