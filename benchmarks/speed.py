"""How fast and in how much memory: the scoring path against the bare backbone, fitting, peaks.

    python benchmarks/speed.py [--check] [--json] [--quick]

Ratios are taken between neighbours in time: backbone and scoring path run in turn on the same images, each
pair gives a ratio, and the median of those is reported, so that whatever else the machine does hits both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before ONNX Runtime is loaded: nothing leaves the machine
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import images, memory, report
from padim.config import PadimConfig
from padim.data.decode import decode
from padim.decision.prediction import decide
from padim.decision.regions import map_mask, region_score
from padim.model import Padim
from padim.network import backbone as backbones
from padim.network.allocation import keep_freed_memory
from padim.network.runtime import session_options

RATIO_TARGETS = {1: 1.5, 16: 1.25}
GROWTH_TARGET_MB = 50.0


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    normals: int
    pairs: dict[int, int]
    probe_sizes: tuple[int, int]


FULL = Effort(normals=200, pairs={1: 160, 16: 30}, probe_sizes=(200, 2000))
QUICK = Effort(normals=24, pairs={1: 9, 16: 3}, probe_sizes=(16, 48))


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="few images, for tests: not the real check")
    parser.add_argument("--skip-memory", action="store_true", help="leave out the two memory probes")
    parser.add_argument("--config", type=Path, help="a YAML configuration instead of the default one")
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    keep_freed_memory()  # as the application and the command line do
    config = PadimConfig.load(args.config) if args.config else PadimConfig()
    if args.probe:
        probe(config, args.probe)
        return 0
    effort = QUICK if args.quick else FULL

    result = report.Report("speed")
    for batch, bound in RATIO_TARGETS.items():
        result.target(f"ratio_batch_{batch}", "<=", bound)
    result.target("fit_memory_growth_mb", "<", GROWTH_TARGET_MB)
    report.run(parser, result, args)
    result.details["config"] = config.model_dump(mode="json")
    result.details["quick"] = args.quick
    if args.quick:
        result.note("--quick: a handful of images, for tests. This is not the real check.")

    with tempfile.TemporaryDirectory() as folder:
        model = fit(config, effort, result, Path(folder))
        score(model, effort, result)
        read(model, effort, result)
    if not args.skip_memory:
        fit_memory(args, effort, result)
    return result.finish(args)


def fit(config: PadimConfig, effort: Effort, result: report.Report, folder: Path) -> Padim:
    """Images per second, from JPEG bytes in memory to a calibrated model."""
    files = list(images.Generated(effort.normals))
    model = Padim(config, work_dir=folder)
    model.network.extractor(
        np.zeros((1, config.input_size, config.input_size, 3), np.uint8)
    )  # opens the session
    start = time.perf_counter()
    model.fit(files)
    _ = model.threshold_level  # calibration is part of a fit
    seconds = time.perf_counter() - start
    result.values["fit_images_per_second"] = effort.normals / seconds
    result.show(
        "Fitting: JPEG bytes to calibrated model",
        ("images", "seconds", "images a second"),
        [(effort.normals, f"{seconds:.2f}", f"{effort.normals / seconds:.1f}")],
    )
    return model


def score(model: Padim, effort: Effort, result: report.Report) -> None:
    """The whole scoring path against the backbone alone."""
    threshold, min_area = model.threshold_level, model.config.min_area
    rows = []
    for batch, pairs in effort.pairs.items():
        backbone = bare_backbone(model, batch)
        # Every second image has a defect: a mask, and a score that has to search among hot pixels.
        parts = [
            model.network.preprocess(images.image(i, defect=i % 2 == 1, seed=1))
            for i in range(max(batch, 16))
        ]
        rgb = np.stack(parts)
        # Rejecting runs more code than accepting, so the images are dealt out in turn.
        turns = [rgb[i : i + batch] for i in range(0, len(rgb), batch)]
        maps, scores = model.state.score_arrays(rgb, model.config.min_area)
        result.details["rejected_share"] = float(np.mean(np.array(scores) > threshold))

        def path(arrays: npt.NDArray[np.uint8]) -> None:
            for q in model.state.score_arrays(arrays, model.config.min_area)[0]:
                map_mask(q, threshold, min_area)

        ratios, alone, whole = paired(backbone, path, turns, pairs)
        result.values[f"ratio_batch_{batch}"] = statistics.median(ratios)
        result.values[f"backbone_ms_batch_{batch}"] = 1e3 * statistics.median(alone) / batch
        result.values[f"scoring_ms_batch_{batch}"] = 1e3 * statistics.median(whole) / batch
        low, high = np.percentile(ratios, [25, 75])
        rows.append(
            (
                batch,
                f"{1e3 * statistics.median(alone) / batch:.2f}",
                f"{1e3 * statistics.median(whole) / batch:.2f}",
                f"{statistics.median(ratios):.3f}",
                f"{low:.2f} to {high:.2f}",
                pairs,
            )
        )
        result.details[f"stages_ms_batch_{batch}"] = stages(model, turns, pairs, maps)
    share = result.details["rejected_share"]
    result.show(
        f"Scoring: RGB at input size to judged map, score and mask ({share:.0%} of the images rejected)",
        ("batch", "backbone ms", "scoring ms", "median ratio", "middle half", "pairs"),
        rows,
    )
    tables = {batch: result.details[f"stages_ms_batch_{batch}"] for batch in effort.pairs}
    names = next(iter(tables.values()))
    result.show(
        "Where the time goes (each on its own, ms an image)",
        ("stage", *(f"batch {batch}" for batch in tables)),
        [(name, *(f"{stage[name]:.3f}" for stage in tables.values())) for name in names],
    )


def bare_backbone(model: Padim, batch: int) -> Callable[[npt.NDArray[np.uint8]], object]:
    """The exported network by itself, in a session like the engine's, on input that is ready for it."""
    layers = tuple(layer.name for layer in model.network.extractor.layers)
    session = ort.InferenceSession(
        backbones.onnx_bytes(model.config.backbone, layers),
        session_options(),
        providers=["CPUExecutionProvider"],
    )
    registered = backbones.get(model.config.backbone)
    rgb = np.stack([model.network.preprocess(images.image(i, seed=2)) for i in range(batch)])
    scale, offset = (np.array(v, np.float32) for v in (registered.scale, registered.offset))
    image = np.ascontiguousarray((rgb * scale + offset).transpose(0, 3, 1, 2), dtype=np.float32)
    feed = {"image": ort.OrtValue.ortvalue_from_numpy(image)}
    names = [output.name for output in session.get_outputs()]

    def once(_images: npt.NDArray[np.uint8]) -> object:
        # OrtValues in and out: the backbone is not charged for a single copy.
        return session.run_with_ort_values(names, feed)

    return once


def paired(
    one: Callable[[npt.NDArray[np.uint8]], object],
    other: Callable[[npt.NDArray[np.uint8]], object],
    turns: list[npt.NDArray[np.uint8]],
    pairs: int,
) -> tuple[list[float], list[float], list[float]]:
    """Ratios other / one of neighbours in time, and the seconds of each; who goes first alternates."""
    for _ in range(3):
        one(turns[0])
        other(turns[0])
    ratios, first, second = [], [], []
    for turn in range(pairs):
        images = turns[turn % len(turns)]
        if turn % 2:
            b, a = seconds_of(other, images), seconds_of(one, images)
        else:
            a, b = seconds_of(one, images), seconds_of(other, images)
        ratios.append(b / a)
        first.append(a)
        second.append(b)
    return ratios, first, second


def seconds_of(work: Callable[[npt.NDArray[np.uint8]], object], images: npt.NDArray[np.uint8]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work(images)
    return time.perf_counter() - start


def stages(
    model: Padim, turns: list[npt.NDArray[np.uint8]], repeats: int, maps: npt.NDArray[np.uint16]
) -> dict[str, float]:
    """Median milliseconds an image of every stage of the path."""
    threshold, min_area = model.threshold_level, model.config.min_area
    batch, count = len(turns[0]), len(maps)
    own = {
        "embedding (normalise, backbone, join)": lambda i: model.network.extractor(turns[i % len(turns)]),
        "whole graph (and distance, map)": lambda i: model.state.scorer(turns[i % len(turns)]),
    }
    each = {
        "score": lambda i: region_score(maps[i % count], min_area),
        "mask": lambda i: map_mask(maps[i % count], threshold, min_area),
        "verdict with regions (not in the path)": lambda i: (
            decide(maps[i % count], threshold, min_area).regions
        ),
    }
    result = {}
    for name, work in {**own, **each}.items():
        times = []
        work(0)
        for i in range(max(repeats, min(count, 32))):
            start = time.perf_counter()
            work(i)
            times.append(time.perf_counter() - start)
        # The mean, not the median: score and mask take longer on the images that have a defect.
        result[name] = 1e3 * statistics.fmean(times) / (batch if name in own else 1)
    return result


def read(model: Padim, effort: Effort, result: report.Report) -> None:
    """Decoding and resizing, which the scoring path above leaves out."""
    rows = []
    for side in (512, 1000, 2000):
        files = [images.jpeg(images.image(i, side=side)) for i in range(4)]
        times: dict[str, list[float]] = {"decode": [], "resize": []}
        for i in range(effort.pairs[16]):
            start = time.perf_counter()
            rgb = decode(files[i % 4], "image.jpg")
            middle = time.perf_counter()
            model.network.preprocess(rgb)
            times["decode"].append(middle - start)
            times["resize"].append(time.perf_counter() - middle)
        decoding, resizing = (1e3 * statistics.median(times[name]) for name in ("decode", "resize"))
        result.values[f"decode_ms_{side}px"] = decoding
        result.values[f"resize_ms_{side}px"] = resizing
        rows.append((f"{side} x {side}", f"{decoding:.2f}", f"{resizing:.2f}", f"{decoding + resizing:.2f}"))
    result.show("Reading a JPEG, one thread", ("image", "decode ms", "resize ms", "together ms"), rows)


def fit_memory(args: argparse.Namespace, effort: Effort, result: report.Report) -> None:
    """Peaks while fitting few and many images, each in a process of its own."""
    rows: list[tuple[object, ...]] = []
    peaks = []
    for count in effort.probe_sizes:
        command = [sys.executable, str(Path(__file__).resolve()), "--probe", str(count)]
        if args.config:
            command += ["--config", str(args.config)]
        peak, _ = memory.watch(command)
        peaks.append(peak)
        result.values[f"fit_{count}_anonymous_mb"] = peak.anonymous / memory.MB
        result.values[f"fit_{count}_resident_mb"] = peak.resident / memory.MB
        rows.append((count, f"{peak.anonymous / memory.MB:.0f}", f"{peak.resident / memory.MB:.0f}"))
    growth = [
        (getattr(peaks[1], kind) - getattr(peaks[0], kind)) / memory.MB for kind in ("anonymous", "resident")
    ]
    rows.append(("growth", *(f"{value:+.1f}" for value in growth)))
    result.values["fit_memory_growth_mb"] = growth[0]
    result.values["fit_resident_growth_mb"] = growth[1]
    result.show("Peak memory while fitting, MB", ("images", "anonymous", "resident"), rows)
    if not peaks[0].exact:
        result.note("no /proc here: 'anonymous' is the memory private to the process (USS), sampled.")


def probe(config: PadimConfig, count: int) -> None:
    """Fit ``count`` images that exist only while they are read; the parent process watches."""
    with tempfile.TemporaryDirectory() as folder:
        model = Padim(config, work_dir=folder).fit(images.Generated(count))
        _ = model.threshold_level


if __name__ == "__main__":
    sys.exit(main())
