"""Compare the metrics of ``padim evaluate`` with torchmetrics' and anomalib's, on the same scores and maps.

    python benchmarks/metrics_peers.py [--data CATEGORY] [--venv DIR] [--check] [--json]

The peers are installed in the environment of benchmarks/peers.py. Without ``--data`` the maps are synthetic:
noise with regions of higher values, and many equal levels, so that ties matter.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import mvtec, report
from benchmarks.peers import cache_folder, make_venv
from padim.analysis import metrics
from padim.config import PadimConfig
from padim.data.datasets import GOOD
from padim.model import Padim

WORKER = Path(__file__).with_name("metrics_worker.py")
# Tolerance: the peers compute some sums in single precision.
CLOSE = 1e-4
NAMES = ("image_auroc", "image_ap", "image_f1", "pixel_auroc", "pixel_ap", "pixel_f1", "aupro")


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--data", type=Path, help="a category in MVTec AD's layout instead of synthetic maps")
    parser.add_argument("--venv", type=Path, help="the peers' environment; created if missing")
    args = parser.parse_args(arguments)
    result = report.Report("metrics_peers")
    for name in NAMES:
        result.target(f"{name}_difference", "<=", CLOSE)
    report.run(parser, result, args)

    maps, masks, scores = scored_category(args.data) if args.data else synthetic()
    ours = padim_metrics(maps, masks, scores)
    python = make_venv(args.venv or cache_folder() / "peers-venv")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scored.npz"
        np.savez(
            file,
            scores=scores.astype(np.float32),
            labels=masks.any(axis=(1, 2)),
            maps=maps.astype(np.float32),
            masks=masks,
        )
        done = subprocess.run(
            [str(python), str(WORKER), str(file)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"the peers failed:\n{done.stderr}")
    theirs = json.loads(done.stdout.splitlines()[-1])
    for name in NAMES:
        result.values[f"{name}_difference"] = abs(ours[name] - theirs[name])
    result.show(
        f"{len(maps)} maps of {maps.shape[1]} x {maps.shape[2]}",
        ("figure", "padim", "torchmetrics, anomalib", "difference"),
        [
            (name, f"{ours[name]:.6f}", f"{theirs[name]:.6f}", f"{ours[name] - theirs[name]:+.1e}")
            for name in NAMES
        ],
    )
    return result.finish(args)


def padim_metrics(
    maps: npt.NDArray[np.uint16], masks: npt.NDArray[np.bool_], scores: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Compute the metrics with this project's code."""
    pixels = metrics.Pixels()
    kinds = ["defect" if mask.any() else GOOD for mask in masks]
    for q, mask, kind in zip(maps, masks, kinds, strict=True):
        pixels.add(q, None if kind == GOOD else mask, None, kind)
    evaluated = metrics.evaluate(list(map(int, scores)), kinds, None, pixels, GOOD)
    figures = {name: getattr(evaluated, name).value for name in NAMES}
    assert all(value is not None for value in figures.values())
    return figures


def synthetic() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Generate maps, masks and scores of 40 images, half of them with one or two defects."""
    rng = np.random.default_rng(0)
    size = 128
    y, x = np.mgrid[:size, :size]
    maps, masks = [], []
    for number in range(40):
        q = rng.gamma(2.0, 400.0, (size, size))
        mask = np.zeros((size, size), np.bool_)
        for _ in range(rng.integers(1, 3) if number % 2 else 0):
            row, column = (int(place) for place in rng.integers(16, size - 16, 2))
            radius = int(rng.integers(3, 12))
            spot = (x - column) ** 2 + (y - row) ** 2 <= radius**2
            mask |= spot
            q[spot] += rng.gamma(3.0, 300.0)
        # Rounding gives equal levels, as in maps of few levels.
        maps.append((q // 16 * 16).astype(np.uint16))
        masks.append(mask)
    stack = np.stack(maps)
    return stack, np.stack(masks), stack.max(axis=(1, 2)).astype(np.int64)


def scored_category(
    folder: Path,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return maps, masks and scores of a category's test images, by a model fitted on its good parts."""
    config = PadimConfig()
    category = mvtec.read(folder, config)
    model = Padim(config).fit(category.named_arrays(category.rows(good=True, train=True)))
    rows = [*category.rows(good=True, train=False), *category.rows(good=False)]
    scored = list(model.predict(category.named_arrays(rows)))
    size = config.input_shape
    masks = [category.images[row].mask for row in rows]
    return (
        np.stack([one.levels for one in scored]),
        np.stack([np.zeros(size, np.bool_) if mask is None else mask for mask in masks]),
        np.array([one.score_level for one in scored], np.int64),
    )


if __name__ == "__main__":
    sys.exit(main())
