"""Measure how fast and how exactly parts are located, on made images with known poses, on one core.

    python benchmarks/locating.py [--method outline ...] [--poses N] [--check] [--json]

Every method finds all parts of :mod:`benchmarks.locating_scenes` at random poses within its range, under
noise, a gradient of the light and vignetting. The shift is measured in pixels of a map whose longer side has
256. Times are processor times of the thread: the load of other processes does not count.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

# One core, also for the few products of small matrices; set before numpy is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report
from benchmarks.locating_scenes import DETAILED, PARTS, Scene, errors, render
from padim.locating.locator import Locator, PartNotFound, freeze
from padim.locating.settings import Align


@dataclass(frozen=True)
class Method:
    """A locating method, the poses in which it is tried, and what is required of it.

    Attributes:
        align: settings for a reference scene of a part.
        parts: names of the parts.
        shift: largest shift to each side and downwards, in pixels of 256.
        turn: largest turn to either side, in degrees.
        scales: range of the sizes relative to the reference.
        milliseconds: bound of the median time at 256 x 256.
    """

    align: Callable[[Scene], Align]
    parts: tuple[str, ...]
    shift: float
    turn: float
    scales: tuple[float, float]
    milliseconds: float


METHODS = {
    "outline": Method(lambda scene: Align(method="outline"), tuple(PARTS), 30, 180, (0.85, 1.2), 10.0),
    # With the marks that are proposed.
    "template": Method(
        lambda scene: Align(method="template"), ("bracket", "board"), 20, 14.5, (0.87, 1.15), 25.0
    ),
    "features": Method(lambda scene: Align(method="features"), ("board",), 20, 180, (0.87, 1.15), 100.0),
    "features-orb": Method(
        lambda scene: Align(method="features", detector="orb"), ("board",), 20, 180, (0.87, 1.15), 50.0
    ),
}
# Bounds for every method and part: the median and the largest error.
SHIFT_MEDIAN, SHIFT_MOST = 0.3, 1.0  # map pixels
TURN_MOST = 0.5  # degrees
# Two marks near to each other tell the turn less exactly than a whole outline or many details.
TURN_MEDIAN = {"template": 0.2}
TURN_MEDIAN_OTHERS = 0.1
# A tenth of the part's length is broken off: largest shift in map pixels, and relative error of the size.
BROKEN_SHIFT, BROKEN_SCALE = 1.5, 0.01
LARGE = (3000, 4000)  # 12 megapixels


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--method", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--poses", type=int, default=60, help="images of every part")
    args = parser.parse_args(arguments)
    results = report.Report("locating")
    for name in args.method:
        results.target(f"{name}.milliseconds", "<=", METHODS[name].milliseconds)
        results.target(f"{name}.found", ">=", 1.0)
        results.target(f"{name}.shift_median", "<=", SHIFT_MEDIAN)
        results.target(f"{name}.shift_most", "<=", SHIFT_MOST)
        results.target(f"{name}.turn_median", "<=", TURN_MEDIAN.get(name, TURN_MEDIAN_OTHERS))
        results.target(f"{name}.turn_most", "<=", TURN_MOST)
    if "outline" in args.method:
        results.target("outline.broken_shift", "<=", BROKEN_SHIFT)
        results.target("outline.broken_scale", "<=", BROKEN_SCALE)
    report.run(parser, results, args)
    cv2.setNumThreads(1)
    for name in args.method:
        _measure(name, METHODS[name], args.poses, results)
    if "outline" in args.method:
        _measure_broken(args.poses, results)
    return results.finish(args)


def _measure(name: str, method: Method, poses: int, results: report.Report) -> None:
    """Find every part of a method at random poses, and record the errors and times."""
    rows, medians, largest, times, found = [], [], [], [], []
    for part in method.parts:
        reference = Scene({**PARTS, **DETAILED}[part], 130.3, 121.7, turn=8, scale=0.7)
        locator = freeze(method.align(reference), render(reference))
        measured, spent, lost = _poses(method, reference, locator, poses)
        worst, middle = measured.max(axis=0), np.median(measured, axis=0)
        medians.append(middle)
        largest.append(worst)
        times.append(np.median(spent))
        found.append(len(measured) / poses)
        large = reference.moved(x=510.0, y=380.0)
        seconds = _large_image(method.align(reference), large)
        shift, turn, scale = (f"{a:.3f} / {b:.3f}" for a, b in zip(middle, worst, strict=True))
        milliseconds = f"{1000 * float(np.median(spent)):.1f}"
        rows.append(
            (part, f"{poses - lost}/{poses}", shift, turn, scale, milliseconds, f"{1000 * seconds:.0f}")
        )
    headers = ["part", "found", "shift (map px)", "turn (°)", "scale", "ms", "ms at 12 MP"]
    results.show(f"{name}: median / largest error", headers, rows)
    results.values[f"{name}.milliseconds"] = 1000 * float(max(times))
    results.values[f"{name}.found"] = float(min(found))
    for index, statistic in enumerate(("shift", "turn")):
        results.values[f"{name}.{statistic}_median"] = float(max(row[index] for row in medians))
        results.values[f"{name}.{statistic}_most"] = float(max(row[index] for row in largest))


def _poses(
    method: Method, reference: Scene, locator: Locator, poses: int
) -> tuple[np.ndarray, list[float], int]:
    """Return the errors ``(n, 3)`` of the parts found, the seconds of each search, and how many are lost."""
    random = np.random.default_rng(0)
    measured, spent, lost = [], [], 0
    for seed in range(poses):
        scene = reference.moved(
            x=reference.x + random.uniform(-1, 1) * method.shift,
            y=reference.y + random.uniform(-1, 1) * method.shift,
            turn=reference.turn + random.uniform(-1, 1) * method.turn,
            scale=reference.scale * random.uniform(*method.scales),
            noise=random.uniform(0, 6),
            gradient=random.uniform(-25, 25),
            vignetting=random.uniform(0, 0.25),
        )
        image = render(scene, seed=seed + 1)
        begin = time.thread_time()
        try:
            pose = locator.locate(image)
        except PartNotFound as reason:
            print(f"lost at {scene.x:.0f}, {scene.y:.0f}, {scene.turn:.0f}°: {reason}")
            lost += 1
            continue
        spent.append(time.thread_time() - begin)
        measured.append(errors(pose, locator.frame, reference, scene))
    return np.array(measured), spent, lost


def _measure_broken(poses: int, results: report.Report) -> None:
    """Find parts whose end is broken off by their outline, and record the errors and the match."""
    rows = []
    for share in (0.05, 0.1, 0.2, 0.3):
        measured, matches, lost = [], [], 0
        for seed in range(poses):
            name = list(PARTS)[seed % len(PARTS)]
            whole = Scene(PARTS[name], 130.3, 121.7, turn=8, scale=0.7)
            outline = whole.part.polygons[0][0][:, 0]
            end = float(outline.max() - share * np.ptp(outline))
            gone = [(end, -1.0), (end + 1, -1.0), (end + 1, 1.0), (end, 1.0)]
            turn = float(np.random.default_rng(seed).uniform(-180, 180))
            broken = replace(whole, part=whole.part.with_polygon(gone, whole.background), turn=turn)
            locator = freeze(Align(method="outline"), render(whole))
            try:
                pose = locator.locate(render(broken, seed=seed + 1))
            except PartNotFound:
                lost += 1
                continue
            measured.append(errors(pose, locator.frame, whole, broken))
            matches.append(pose.match)
        middle, worst = np.median(measured, axis=0), np.max(measured, axis=0)
        shift, turned, scale = (f"{a:.3f} / {b:.3f}" for a, b in zip(middle, worst, strict=True))
        rows.append((f"{share:.0%}", f"{poses - lost}/{poses}", shift, turned, scale, f"{min(matches):.2f}"))
        if share == 0.1:
            results.values["outline.broken_shift"] = float(worst[0])
            results.values["outline.broken_scale"] = float(worst[2])
    headers = ["broken off", "found", "shift (map px)", "turn (°)", "scale", "weakest match"]
    results.show("outline, the end broken off: median / largest error", headers, rows)


def _large_image(align: Align, scene: Scene) -> float:
    """Return the seconds for one search in an image of 12 megapixels."""
    # Drawn at a quarter and enlarged, which does not matter to the time.
    image = cv2.resize(render(scene, (LARGE[0] // 4, LARGE[1] // 4)), LARGE[::-1])
    locator = freeze(align, image)
    begin = time.thread_time()
    locator.locate(image)
    return time.thread_time() - begin


if __name__ == "__main__":
    sys.exit(main())
