"""Measure time and memory: scoring relative to the bare backbone, fitting, and peak memory.

    python benchmarks/speed.py [--check] [--json] [--quick]

Ratios are those of consecutive runs: backbone and scoring run alternately on the same images, each pair gives
a ratio, and the median is reported, so that other load of the machine affects both.
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

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing
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
    """The extent of the measurements.

    Attributes:
        normals: number of images in the timed fit.
        pairs: number of paired runs, by batch size.
        probe_sizes: numbers of images in the two fits whose memory is measured.
    """

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
        result.note("--quick: only a few images, for tests. This is not the real check.")

    with tempfile.TemporaryDirectory() as folder:
        model = fit(config, effort, result, Path(folder))
        score(model, effort, result)
        read(model, effort, result)
    if not args.skip_memory:
        fit_memory(args, effort, result)
    return result.finish(args)


def fit(config: PadimConfig, effort: Effort, result: report.Report, folder: Path) -> Padim:
    """Measure images per second of a fit, from JPEG bytes in memory to a calibrated model."""
    files = list(images.Generated(effort.normals))
    model = Padim(config, work_dir=folder)
    model.network.extractor(np.zeros((1, *config.input_shape, 3), np.uint8))  # opens the session
    start = time.perf_counter()
    model.fit(files)
    _ = model.threshold_level  # calibration is part of a fit
    seconds = time.perf_counter() - start
    result.values["fit_images_per_second"] = effort.normals / seconds
    result.show(
        "Fitting: JPEG bytes to calibrated model",
        ("images", "seconds", "images per second"),
        [(effort.normals, f"{seconds:.2f}", f"{effort.normals / seconds:.1f}")],
    )
    return model


def score(model: Padim, effort: Effort, result: report.Report) -> None:
    """Measure the time of the whole scoring path relative to that of the backbone alone."""
    threshold, min_area = model.threshold_level, model.config.min_area
    rows = []
    for batch, pairs in effort.pairs.items():
        backbone = bare_backbone(model, batch)
        # Every second image has a defect, whose mask and score take more time to compute.
        parts = [
            model.state.preprocess(images.image(i, defect=i % 2 == 1, seed=1)) for i in range(max(batch, 16))
        ]
        rgb = np.stack(parts)
        # A reject takes longer than an accept, so every batch has both.
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
        f"Scoring: RGB at input size to level map, score and mask ({share:.0%} of the images rejected)",
        ("batch", "backbone ms", "scoring ms", "median ratio", "middle half", "pairs"),
        rows,
    )
    tables = {batch: result.details[f"stages_ms_batch_{batch}"] for batch in effort.pairs}
    names = next(iter(tables.values()))
    result.show(
        "Times of the stages (measured separately, ms per image)",
        ("stage", *(f"batch {batch}" for batch in tables)),
        [(name, *(f"{stage[name]:.3f}" for stage in tables.values())) for name in names],
    )


def bare_backbone(model: Padim, batch: int) -> Callable[[npt.NDArray[np.uint8]], object]:
    """Return a function that runs only the exported network, with prepared input and the engine's options."""
    layers = tuple(layer.name for layer in model.network.extractor.layers)
    session = ort.InferenceSession(
        backbones.onnx_bytes(model.config.backbone, layers),
        session_options(),
        providers=["CPUExecutionProvider"],
    )
    registered = backbones.get(model.config.backbone)
    rgb = np.stack([model.state.preprocess(images.image(i, seed=2)) for i in range(batch)])
    scale, offset = (np.array(v, np.float32) for v in (registered.scale, registered.offset))
    image = np.ascontiguousarray((rgb * scale + offset).transpose(0, 3, 1, 2), dtype=np.float32)
    feed = {"image": ort.OrtValue.ortvalue_from_numpy(image)}
    names = [output.name for output in session.get_outputs()]

    def once(_images: npt.NDArray[np.uint8]) -> object:
        # OrtValues in and out, so that the backbone's time includes no copies.
        return session.run_with_ort_values(names, feed)

    return once


def paired(
    one: Callable[[npt.NDArray[np.uint8]], object],
    other: Callable[[npt.NDArray[np.uint8]], object],
    turns: list[npt.NDArray[np.uint8]],
    pairs: int,
) -> tuple[list[float], list[float], list[float]]:
    """Time two functions alternately on the same images, with a changing order.

    Returns:
        The ratios ``other / one`` of consecutive runs, the seconds of ``one``, and the seconds of ``other``.
    """
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
    """Return the wall-clock time of one call, in seconds."""
    start = time.perf_counter()
    work(images)
    return time.perf_counter() - start


def stages(
    model: Padim, turns: list[npt.NDArray[np.uint8]], repeats: int, maps: npt.NDArray[np.uint16]
) -> dict[str, float]:
    """Return the mean milliseconds per image of every stage of scoring, by name."""
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
        # The mean and not the median, as score and mask take longer on images with a defect.
        result[name] = 1e3 * statistics.fmean(times) / (batch if name in own else 1)
    return result


def read(model: Padim, effort: Effort, result: report.Report) -> None:
    """Measure decoding and resizing, which are not part of the scoring path above."""
    rows = []
    for side in (512, 1000, 2000):
        files = [images.jpeg(images.image(i, side=side)) for i in range(4)]
        times: dict[str, list[float]] = {"decode": [], "resize": []}
        for i in range(effort.pairs[16]):
            start = time.perf_counter()
            rgb = decode(files[i % 4], "image.jpg")
            middle = time.perf_counter()
            model.state.preprocess(rgb)
            times["decode"].append(middle - start)
            times["resize"].append(time.perf_counter() - middle)
        decoding, resizing = (1e3 * statistics.median(times[name]) for name in ("decode", "resize"))
        result.values[f"decode_ms_{side}px"] = decoding
        result.values[f"resize_ms_{side}px"] = resizing
        rows.append((f"{side} x {side}", f"{decoding:.2f}", f"{resizing:.2f}", f"{decoding + resizing:.2f}"))
    result.show("Reading a JPEG, one thread", ("image", "decode ms", "resize ms", "together ms"), rows)


def fit_memory(args: argparse.Namespace, effort: Effort, result: report.Report) -> None:
    """Measure the peak memory of fits on few and on many images, each in a separate process."""
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
    """Fit ``count`` images, generated when they are read, while the parent process measures the memory."""
    with tempfile.TemporaryDirectory() as folder:
        model = Padim(config, work_dir=folder).fit(images.Generated(count))
        _ = model.threshold_level


if __name__ == "__main__":
    sys.exit(main())
