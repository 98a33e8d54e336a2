"""Compare this project with anomalib's PaDiM: scoring and fitting on the same images with the same network.

    python benchmarks/peers.py [--check] [--json] [--data CATEGORY] [--venv DIR]

The peers are installed in a separate environment, which the first run creates (some gigabytes from PyPI).
Every contender is a process (``peers_worker.py``); they run alternately on the same images, never two at
once, and the reported ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import images, memory, report
from padim.config import PadimConfig
from padim.data.decode import decode
from padim.data.preprocess import Preprocess
from padim.data.sources import FolderSource
from padim.network import registry, weights
from padim.network.weights import cache_folder

HERE = Path(__file__).resolve().parent
WORKER, REQUIREMENTS = HERE / "peers_worker.py", HERE / "peers-requirements.txt"
STRIDE, SIZE, FEATURES = 4, 256, 100
SIDE = 512  # side of the synthetic images, in pixels
# Anomalib's regularization of the diagonal: 0.01 when it computes the covariance, 0.00001 when it inverts it.
THEIR_EPS = 0.01001
PEERS = {"torch": "anomalib, torch", "onnx": "anomalib, ONNX", "openvino": "anomalib, OpenVINO"}
SPEED_TARGETS = {"openvino": 1.3, "onnx": 2.0, "torch": 5.0}
FIT_TARGET, MEMORY_TARGET = 4.2, 0.334
# With one layer both compute the same, up to rounding to our map's 65,536 levels (4,000 for a normal part).
SAME_TARGET = 0.002
# Pause between two turns, so that threads that spin for a moment after their work are asleep.
PAUSE_S, IDLE_S, IDLE_TARGET = 0.03, 1.0, 0.05
SAME_FIT = 40
OTHERS_NOTED = 0.05


@dataclass(frozen=True)
class TimmName:
    """The names of a backbone and of its layers in timm, and hence in anomalib.

    Attributes:
        name: timm's name of the backbone.
        layers: timm's names of the layers, by this project's names.
    """

    name: str
    layers: Mapping[str, str]


TIMM = {
    "efficientnet_lite0": TimmName(
        "tf_efficientnet_lite0", {"blocks.2": "blocks.1", "blocks.4": "blocks.2", "blocks.10": "blocks.4"}
    ),
    "resnet18": TimmName("resnet18", {f"layer{i}": f"layer{i}" for i in (1, 2, 3)}),
}


@dataclass(frozen=True)
class Effort:
    """The extent of the measurements.

    Attributes:
        normals: number of synthetic images in the fit, without ``--data``.
        turns: number of turns, by batch size.
        fits: number of fits of each side.
    """

    normals: int
    turns: dict[int, int]
    fits: int


FULL = Effort(normals=209, turns={1: 60, 16: 12}, fits=3)
QUICK = Effort(normals=24, turns={1: 4, 16: 2}, fits=1)


class WorkerError(RuntimeError):
    """A worker process replied with an error, or ended."""


class Worker:
    """A contender in a separate process, with one line of JSON per request and reply."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """
        Args:
            command: the command that starts the process.
            environment: the complete environment of the process.
        """
        # A file, as a pipe would fill up while the reply is awaited.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=environment,
        )

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises:
            WorkerError: the worker replied with an error, or ended.
        """
        assert self._process.stdin
        assert self._process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": verb, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        return parse_reply(verb, line, self._error_tail())

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used, in seconds."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def _error_tail(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]

    def close(self) -> None:
        """Close the pipes, upon which the process ends by itself, and wait for its end."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def parse_reply(verb: str, line: str, errors: str) -> dict[str, Any]:
    """Parse a worker's reply.

    Args:
        verb: the request.
        line: the reply.
        errors: the end of the worker's error output, for error messages.

    Raises:
        WorkerError: the reply is an error, is not JSON, or is missing.
    """
    if not line:
        raise WorkerError(f"the worker ended during the request {verb}:\n{errors}")
    try:
        reply = json.loads(line)
    except json.JSONDecodeError as error:
        raise WorkerError(f"the worker's reply to {verb} is not JSON: {line[:200]!r}\n{errors}") from error
    if "error" in reply:
        raise WorkerError(f"{verb}: {reply['error']}\n{errors}")
    return dict(reply)


@dataclass(frozen=True)
class Site:
    """The settings with which workers are started.

    Attributes:
        theirs: the Python executable of the peers' environment.
        threads: number of cores for each contender.
        weights: file of the backbone's weights, the same for both sides.
    """

    theirs: Path
    threads: int
    weights: Path

    def command(self, contender: str) -> list[str]:
        python = sys.executable if contender == "ours" else str(self.theirs)
        return [python, str(WORKER), contender]

    @property
    def environment(self) -> dict[str, str]:
        count = str(self.threads)
        variables = (
            "PEERS_THREADS",
            "PADIM_THREADS",
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
        )
        return {
            **os.environ,
            **dict.fromkeys(variables, count),
            "PADIM_WEIGHTS": str(self.weights),
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, contender: str) -> Worker:
        return Worker(self.command(contender), self.environment)

    def watched(self, contender: str, request: dict[str, Any]) -> tuple[memory.Peaks, dict[str, Any], float]:
        """Run one request in a new process; return its peak memory, its reply and its total seconds."""
        start = time.perf_counter()
        with environment_of(self.environment):
            peaks, output = memory.watch([*self.command(contender), json.dumps(request)])
        return peaks, parse_reply(request["do"], output, ""), time.perf_counter() - start


@contextlib.contextmanager
def environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these environment variables while the block runs, for the processes that it starts."""
    former = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument(
        "--data", type=Path, help="a category in MVTec AD's layout instead of synthetic images"
    )
    parser.add_argument("--venv", type=Path, help="the peers' environment; created if missing")
    parser.add_argument("--backbone", choices=sorted(TIMM), default="efficientnet_lite0")
    parser.add_argument("--weights", type=Path, help="a file of that backbone's weights, for both sides")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads of every contender (2)")
    parser.add_argument("--loaders", type=int, default=8, help="anomalib's num_workers (8, its default)")
    parser.add_argument("--fits", type=int, help=f"number of fits of each side ({FULL.fits})")
    parser.add_argument("--quick", action="store_true", help="few images and turns: not the real check")
    args = parser.parse_args(arguments)
    effort = QUICK if args.quick else FULL

    result = report.Report("peers")
    for peer, bound in SPEED_TARGETS.items():
        result.target(f"{peer}_by_ours_batch_1", ">=", bound)
    result.target("fit_seconds_by_ours", ">=", FIT_TARGET)
    result.target("fit_anonymous_share", "<=", MEMORY_TARGET)
    result.target("fit_resident_share", "<=", MEMORY_TARGET)
    result.target("one_layer_difference", "<=", SAME_TARGET)
    result.target("idle_cpu_share", "<=", IDLE_TARGET)
    report.run(parser, result, args)
    if args.quick:
        result.note("--quick: only a few images and turns. This is not the real check.")

    weights.use(args.weights)
    site = Site(
        make_venv(args.venv or cache_folder() / "peers-venv"), args.threads, weights.locate(args.backbone)
    )
    config = PadimConfig(
        backbone=args.backbone,
        layers=tuple(TIMM[args.backbone].layers),
        input_size=SIZE,
        grid_stride=STRIDE,
        n_features=FEATURES,
    )
    result.details["settings"] = {"config": config.model_dump(mode="json"), "weights": site.weights.name}
    result.details["settings"] |= {"threads": args.threads, "loaders": args.loaders}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        normals, tests = prepare_images(args.data, config, effort, work)
        job = fit(site, config, normals, work / "full", args.loaders, result, args.fits or effort.fits)
        score(site, job, tests, work, effort, result)
        same(site, config, normals, tests, work, args.loaders, result)
    return result.finish(args)


# --- the peers' environment ------------------------------------------------------------------------------


def make_venv(folder: Path) -> Path:
    """Create or complete the peers' environment, and return its Python executable.

    Raises:
        ValueError: the folder contains something else.
        subprocess.CalledProcessError: pip failed.
    """
    folder = folder.absolute()
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done, wanted = folder / "peers.sha256", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if python.exists() and done.exists() and done.read_text().strip() == wanted:
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise ValueError(f"{folder} is neither empty nor a Python environment")
    print(f"Installing the peers into {folder}: some gigabytes, several minutes.\n", flush=True)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", "-r", str(REQUIREMENTS)]
    subprocess.run(pip, check=True)
    done.write_text(wanted)  # last, so that an interrupted installation is repeated
    return python


# --- images --------------------------------------------------------------------------------------------


def prepare_images(
    data: Path | None, config: PadimConfig, effort: Effort, work: Path
) -> tuple[Path, npt.NDArray[np.uint8]]:
    """Return a folder of good images to fit on, and 16 images at input size, every second with a defect.

    Raises:
        ValueError: ``data`` has no ``train/good``, or too few good or defective test images.
    """
    preprocess = Preprocess(config.input_shape, config.fit)
    if data is None:
        normals = work / "normals"
        normals.mkdir()
        for i in range(effort.normals):
            # All of one size, as from a camera: anomalib would first resize each batch to its largest image.
            (normals / f"{i:05d}.jpg").write_bytes(images.jpeg(images.image(i, side=SIDE)))
        made = (images.image(i, defect=i % 2 == 1, seed=1) for i in range(16))
        return normals, np.stack([preprocess(rgb) for rgb in made])
    normals = (data / "train" / "good").absolute()
    if not normals.is_dir():
        raise ValueError(f"{data} has no folder train/good")
    kinds = sorted(path for path in (data / "test").iterdir() if path.is_dir())
    good = [item for kind in kinds if kind.name == "good" for item in FolderSource(kind)]
    bad = [item for kind in kinds if kind.name != "good" for item in FolderSource(kind)]
    if len(good) < 8 or len(bad) < 8:
        raise ValueError(
            f"{data / 'test'} has {len(good)} good and {len(bad)} defective images; 8 are needed"
        )
    # Spread over all kinds of defects.
    chosen = [(good[i], bad[i * len(bad) // 8]) for i in range(8)]
    return normals, np.stack([preprocess(decode(f, name)) for pair in chosen for name, f in pair])


# --- fitting ---------------------------------------------------------------------------------------------


def fit(
    site: Site,
    config: PadimConfig,
    normals: Path,
    folder: Path,
    loaders: int,
    result: report.Report | None,
    times: int,
) -> dict[str, Any]:
    """Fit both sides alternately on the same files, each in a new process.

    Args:
        site: how workers are started.
        config: this project's configuration.
        normals: folder of the good images.
        folder: new folder for both models.
        loaders: anomalib's number of data-loading processes.
        result: receives times and peak memory; None: they are not recorded.
        times: number of fits of each side.

    Returns:
        The job with which workers open the models: their files, threshold and settings.
    """
    folder.mkdir()
    layers = registry.get(config.backbone)
    timm = TIMM[config.backbone]
    job: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "threads": site.threads,
        "images": str(normals),
        "peer": {
            "backbone": timm.name,
            "layers": [timm.layers[name] for name in config.layers],
            "weights": str(site.weights),
            # ours: v * scale + offset for v in 0..255; theirs: (v / 255 - mean) / std.
            "mean": [
                -offset / scale / 255 for scale, offset in zip(layers.scale, layers.offset, strict=True)
            ],
            "std": [1 / scale / 255 for scale in layers.scale],
            "loaders": loaders,
        },
    }
    sides: dict[str, list[tuple[memory.Peaks, dict[str, Any], float]]] = {"ours": [], "torch": []}
    for turn in range(times):
        # This project fits first: it selects the channels that both use.
        for who in ("ours", "torch") if turn % 2 == 0 else ("torch", "ours"):
            kept = folder / ("ours.zip" if who == "ours" else "theirs")
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                request = {"do": "fit", **job, "work": scratch, "out": str(kept)}
                sides[who].append(site.watched(who, request))
            if who == "ours":
                fitted = sides[who][-1][1]
                job["peer"]["channels"], job["threshold"] = fitted["channels"], fitted["threshold"]
    job["ours"], job["theirs"] = str(folder / "ours.zip"), str(folder / "theirs")
    if result is not None:
        show_fits(sides, result)
    return job


def show_fits(
    sides: dict[str, list[tuple[memory.Peaks, dict[str, Any], float]]], result: report.Report
) -> None:
    """Record the values of the fits and print a table."""
    counts = {fitted["images"] for runs in sides.values() for _, fitted, _ in runs}
    if len(counts) != 1:
        raise ValueError(f"the sides fitted different numbers of images: {sorted(counts)}")
    seconds = {who: [fitted["seconds"] for _, fitted, _ in runs] for who, runs in sides.items()}
    rows = []
    for who, title in (("ours", "this project"), ("torch", "anomalib")):
        runs = sides[who]
        typical = {
            "seconds": statistics.median(seconds[who]),
            "process_seconds": statistics.median(whole for _, _, whole in runs),
            "anonymous_mb": statistics.median(peaks.anonymous for peaks, _, _ in runs) / memory.MB,
            "resident_mb": statistics.median(peaks.resident for peaks, _, _ in runs) / memory.MB,
        }
        result.values.update({f"fit_{name}_{who}": value for name, value in typical.items()})
        rows.append(
            (title, *(f"{value:.1f}" if "sec" in name else f"{value:.0f}" for name, value in typical.items()))
        )
    ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["torch"], strict=True)]
    result.values["fit_seconds_by_ours"] = statistics.median(ratios)
    for kind in ("anonymous", "resident"):
        ours, theirs = (result.values[f"fit_{kind}_mb_{who}"] for who in ("ours", "torch"))
        result.values[f"fit_{kind}_share"] = (ours or 0.0) / theirs if theirs else None
    result.details["fits"] = seconds
    headers = ("", "seconds", "whole process s", "peak anonymous MB", "peak resident MB")
    result.show(f"Fitting {counts.pop()} image files, median of {len(ratios)}", headers, rows)


# --- scoring ---------------------------------------------------------------------------------------------


def score(
    site: Site,
    job: dict[str, Any],
    tests: npt.NDArray[np.uint8],
    work: Path,
    effort: Effort,
    result: report.Report,
) -> None:
    """Time all contenders alternately on the same images, and compare their results."""
    with opened(site, job, list(PEERS), result) as workers:
        agree(answers(workers, tests, work), result)
        result.values["idle_cpu_share"] = idle(workers)
        rows, before = [], usage(workers)
        for batch, turns in effort.turns.items():
            files = batches(tests, batch, work)
            seconds = take_turns(workers, files, turns)
            rows += show_scores(seconds, batch, result)
        others = others_share(before, usage(workers))
        result.values["others_cpu_share"] = others
    headers = ("batch", "contender", "ms per image", "times ours", "middle half", "turns")
    result.show("Scoring: RGB at input size to map, score and mask", headers, rows)
    if others > OTHERS_NOTED:
        result.note(
            f"other processes used {others:.0%} of this machine's cores. This slows down anomalib's torch "
            "module and fit disproportionately: repeat the benchmark on an idle machine."
        )


@contextlib.contextmanager
def opened(
    site: Site, job: dict[str, Any], peers: Sequence[str], result: report.Report
) -> Iterator[dict[str, Worker]]:
    """Start this project's worker and those of the given peers, with their models loaded."""
    theirs = {**job, "model": job["theirs"]}
    if set(peers) & {"onnx", "openvino"}:
        with site.start("torch") as exporter:
            fitted = exporter.ask("export", **theirs)
        theirs |= {kind: fitted[kind] for kind in ("onnx", "openvino")}
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in ("ours", *peers):
            workers[name] = stack.enter_context(site.start(name))
            fitted = workers[name].ask(
                "open", **({**job, "model": job["ours"]} if name == "ours" else theirs)
            )
            result.details.setdefault("contenders", {})[name] = {k: v for k, v in fitted.items() if k != "ok"}
        yield workers


def batches(tests: npt.NDArray[np.uint8], batch: int, work: Path) -> list[Path]:
    """Write the images to files of ``batch`` images each, and return the files."""
    files = []
    for start in range(0, len(tests) - batch + 1, batch):
        files.append(work / f"batch{batch}-{start:02d}.npy")
        np.save(files[-1], tests[start : start + batch])
    return files


def take_turns(workers: Mapping[str, Worker], files: Sequence[Path], turns: int) -> dict[str, list[float]]:
    """Return the seconds of every contender in every turn.

    All contenders score the same file in a turn; their order changes from turn to turn.
    """
    names = list(workers)
    for name in names:
        for file in [*files[:3], *files[:3]]:
            workers[name].ask("score", images=str(file))
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(turns):
        first = turn % len(names)
        order = names[first:] + names[:first]
        for name in order if turn % 2 == 0 else reversed(order):
            time.sleep(PAUSE_S)
            seconds[name].append(workers[name].ask("score", images=str(files[turn % len(files)]))["seconds"])
    return seconds


def show_scores(
    seconds: Mapping[str, Sequence[float]], batch: int, result: report.Report
) -> list[tuple[object, ...]]:
    """Record medians at one batch size, and median ratios to this project, and return the table's rows."""
    rows: list[tuple[object, ...]] = []
    for name, own in seconds.items():
        each = 1e3 * statistics.median(own) / batch
        result.values[f"{name}_ms_batch_{batch}"] = each
        if name == "ours":
            rows.append((batch, "this project", f"{each:.2f}", "1", "", len(own)))
            continue
        ratios = [theirs / ours for theirs, ours in zip(own, seconds["ours"], strict=True)]
        low, high = np.percentile(ratios, [25, 75])
        result.values[f"{name}_by_ours_batch_{batch}"] = statistics.median(ratios)
        middle = f"{low:.2f} to {high:.2f}"
        rows.append((batch, PEERS[name], f"{each:.2f}", f"{statistics.median(ratios):.2f}", middle, len(own)))
    return rows


@dataclass(frozen=True)
class Usage:
    """Clock and processor times, in seconds since arbitrary starts.

    Attributes:
        clock: wall-clock time.
        all_processes: processor time of all processes of the machine.
        ours: processor time of this benchmark and its workers.
    """

    clock: float
    all_processes: float
    ours: float


def usage(workers: Mapping[str, Worker]) -> Usage:
    """Return the current clock and processor times."""
    cores, own = psutil.cpu_times(), psutil.Process().cpu_times()
    # "user" includes guests already; time taken by the host ("steal") counts as that of other processes.
    rest = ("idle", "iowait", "guest", "guest_nice")
    all_processes = sum(value for name, value in cores._asdict().items() if name not in rest)
    ours = own.user + own.system + sum(worker.cpu_seconds() for worker in workers.values())
    return Usage(time.perf_counter(), all_processes, ours)


def others_share(before: Usage, after: Usage) -> float:
    """Return the share of the machine's cores that other processes used between two times, 0..1."""
    others = (after.all_processes - before.all_processes) - (after.ours - before.ours)
    return max(0.0, others / (after.clock - before.clock) / (psutil.cpu_count() or 1))


def idle(workers: Mapping[str, Worker]) -> float:
    """Return the largest share of a core that a contender uses while it waits for its turn."""
    time.sleep(PAUSE_S)
    before = {name: worker.cpu_seconds() for name, worker in workers.items()}
    start = time.perf_counter()
    time.sleep(IDLE_S)
    passed = time.perf_counter() - start
    return max((worker.cpu_seconds() - before[name]) / passed for name, worker in workers.items())


# --- comparison of the results ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A contender's results: maps ``(n, S, S)`` and scores ``(n,)`` as distances, masks ``(n, S, S)``."""

    maps: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    masks: npt.NDArray[np.bool_]


def answers(workers: Mapping[str, Worker], tests: npt.NDArray[np.uint8], work: Path) -> dict[str, Answer]:
    """Return every contender's results for the same images."""
    file, fitted = work / "tests.npy", {}
    np.save(file, tests)
    for name, worker in workers.items():
        worker.ask("score", images=str(file), out=str(work))
        fitted[name] = Answer(
            *(np.load(work / f"{kind}.npy", allow_pickle=False) for kind in ("maps", "scores", "masks"))
        )
    return fitted


def agree(fitted: Mapping[str, Answer], result: report.Report) -> None:
    """Record the peers' correlations with this project's results.

    With several layers the methods differ slightly: anomalib enlarges the coarser layers by nearest
    neighbour, this project bilinearly, and anomalib's score is the map's maximum.
    """
    ours, rows = fitted["ours"], []
    for name, theirs in fitted.items():
        if name == "ours":
            continue
        maps = float(np.corrcoef(ours.maps.ravel(), theirs.maps.ravel())[0, 1])
        scores = float(np.corrcoef(ours.scores, theirs.scores)[0, 1])
        both = float((ours.masks & theirs.masks).sum() / max(1, (ours.masks | theirs.masks).sum()))
        result.values[f"{name}_map_correlation"] = maps
        result.values[f"{name}_score_correlation"] = scores
        result.values[f"{name}_mask_overlap"] = both
        rows.append((PEERS[name], f"{maps:.5f}", f"{scores:.5f}", f"{both:.3f}"))
    headers = ("with ours", "maps, correlation", "scores, correlation", "masks, common / either")
    result.show(f"The same channels on {len(ours.scores)} images", headers, rows)


def same(
    site: Site,
    config: PadimConfig,
    normals: Path,
    tests: npt.NDArray[np.uint8],
    work: Path,
    loaders: int,
    result: report.Report,
) -> None:
    """Check that both sides give the same map, up to its levels, with one layer, which is not resampled."""
    few, preprocess = work / "few", Preprocess(config.input_shape, config.fit)
    few.mkdir()
    for name, content in sorted(FolderSource(normals))[:SAME_FIT]:
        # Saved at input size: both decode alike, but resizing differs slightly, too much for this check.
        Image.fromarray(preprocess(decode(content, name))).save((few / name).with_suffix(".png"))
    finest = config.layers[0]
    alone = PadimConfig.model_validate(
        {
            **config.model_dump(),
            "layers": (finest,),
            "n_features": registry.get(config.backbone).select((finest,))[0].channels,
            "eps": THEIR_EPS,
            "min_area": 1,
            "feature_norm": "none",  # as in anomalib
        }
    )
    job = fit(site, alone, few, work / "alone", loaders, None, 1)
    with opened(site, job, ["torch"], report.Report("unused")) as workers:
        fitted = answers(workers, tests, work)
    ours, theirs = fitted["ours"], fitted["torch"]
    difference = float(np.abs(ours.maps - theirs.maps).max() / theirs.maps.max())
    result.values["one_layer_difference"] = difference
    result.values["one_layer_score_difference"] = float(
        (np.abs(ours.scores - theirs.scores) / theirs.scores).max()
    )
    result.show(
        f"With {finest} alone, where both methods are the same",
        ("", "largest difference"),
        [
            ("maps, of the largest value", f"{difference:.2e}"),
            ("scores, of each", f"{result.values['one_layer_score_difference']:.2e}"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
