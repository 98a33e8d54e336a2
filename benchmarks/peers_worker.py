"""One side of benchmarks/peers.py, in a process of its own: fits, exports, or judges images when asked to.

    python benchmarks/peers_worker.py CONTENDER            # requests on stdin, one JSON object a line
    python benchmarks/peers_worker.py CONTENDER REQUEST    # one request, given as JSON, then the end

A request is ``{"do": VERB, ...}``, the rest being the verb's arguments; the answer is one line,
``{"ok": true, ...}`` or ``{"error": "..."}``. Arrays go through ``.npy`` files. The environment of the peers
lacks what the engine needs and the other way round, so this file needs nothing but numpy until a contender is
opened.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO

import numpy as np
import numpy.typing as npt

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before ONNX Runtime is loaded: nothing leaves the machine

RGB = npt.NDArray[np.uint8]
# Width of the scale that anomalib's maps are brought to, in thresholds: what lies beyond is cut off, and a
# defect may be tens of thresholds hot.
SCALE = 128


class ScoredBatch(NamedTuple):
    """What a line PC wants to know of n images.

    Attributes:
        maps: ``(n, S, S)``, as the contender gives them.
        scores: ``(n,)``.
        masks: bool ``(n, S, S)``.
    """

    maps: npt.NDArray[Any]
    scores: npt.NDArray[Any]
    masks: npt.NDArray[np.bool_]


class Contender(Protocol):
    """Something that fits and judges; not every one can do both."""

    def prepare(self, job: dict[str, Any]) -> None:
        """Open the network, so that neither side's fit is charged for it."""

    def fit(self, job: dict[str, Any]) -> dict[str, Any]:
        """Image files to a model that can judge. This is what is timed."""

    def keep(self, job: dict[str, Any]) -> dict[str, Any]:
        """Write the fitted model to ``job["out"]``; says what the other side has to know."""

    def export(self, job: dict[str, Any]) -> dict[str, Any]:
        """Turn the kept model into the files that ``open`` takes."""

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        """Load a model, ready to judge; answers with versions."""

    def score(self, rgb: RGB) -> ScoredBatch:
        """RGB at input size to map, score and mask. This is what is timed."""

    def in_map_units(self, scored: ScoredBatch) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Maps and scores as distances, to compare them between contenders."""


class Ours:
    """This project, through its public verbs."""

    packages = ("numpy", "onnxruntime", "opencv-python-headless")

    def prepare(self, job: dict[str, Any]) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from padim import Padim, PadimConfig
        from padim.network.allocation import keep_freed_memory

        keep_freed_memory()  # as the application and the command line do
        self.model = Padim(PadimConfig.model_validate(job["config"]), work_dir=job["work"])
        size = self.model.config.input_size
        self.model.network.extractor(np.zeros((1, size, size, 3), np.uint8))

    def fit(self, job: dict[str, Any]) -> dict[str, Any]:
        from padim.data.sources import FolderSource

        self.model.fit(FolderSource(Path(job["images"])))
        _ = self.model.threshold_level  # calibration is part of a fit
        return {"images": len(self.model.normals_)}

    def keep(self, job: dict[str, Any]) -> dict[str, Any]:
        self.model.save(job["out"])
        threshold = self.model.state.fitted.quantizer.to_value(self.model.threshold_level)
        return {"channels": self.model.state.channels.tolist(), "threshold": threshold}

    def export(self, job: dict[str, Any]) -> dict[str, Any]:
        return {}  # it is judged with as it was saved

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from padim import Padim
        from padim.decision.regions import map_mask
        from padim.network.allocation import keep_freed_memory

        keep_freed_memory()
        self.model = Padim.load(job["model"])
        self.map_mask, self.level = map_mask, self.model.threshold_level
        self.min_area = self.model.config.min_area
        return {"versions": versions(self.packages)}

    def score(self, rgb: RGB) -> ScoredBatch:
        maps, scores = self.model.state.score_arrays(rgb, self.model.config.min_area)
        masks = np.stack([self.map_mask(q, self.level, self.min_area) for q in maps])
        return ScoredBatch(maps, np.asarray(scores), masks)

    def in_map_units(self, scored: ScoredBatch) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        scale = self.model.state.fitted.quantizer
        return (
            scale.offset + scale.step * scored.maps.astype(np.float64),
            scale.offset + scale.step * scored.scores.astype(np.float64),
        )


class Anomalib(ABC):
    """What the three ways of running anomalib's PaDiM share: its fit, its settings, its exports."""

    packages: tuple[str, ...] = ("anomalib", "torch", "timm", "lightning", "numpy")
    threshold: float

    def prepare(self, job: dict[str, Any]) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded: the weights come from a file
        import torch
        from anomalib.models import Padim
        from anomalib.pre_processing import PreProcessor
        from torchvision.transforms.v2 import Compose, Normalize, Resize

        torch.set_num_threads(job["threads"])
        peer, size = job["peer"], job["config"]["input_size"]
        # Their own classes, settings and defaults; only what the comparison needs to be the same is set:
        # network, layers, d, input size and normalisation, and below the weights and the channels drawn.
        steps = [Resize((size, size), antialias=True), Normalize(peer["mean"], peer["std"])]
        self.padim = Padim(
            backbone=peer["backbone"],
            layers=peer["layers"],
            pre_trained=False,
            n_features=len(peer["channels"]),
            pre_processor=PreProcessor(transform=Compose(steps)),
            visualizer=False,
            evaluator=False,
        )
        self.padim.model.idx = torch.tensor(peer["channels"])
        load_weights(self.padim.model.feature_extractor.feature_extractor, Path(peer["weights"]))

    def fit(self, job: dict[str, Any]) -> dict[str, Any]:
        from anomalib.data import Folder
        from anomalib.engine import Engine
        from lightning.pytorch import Trainer

        images = Folder(
            name="images",
            normal_dir=job["images"],
            test_split_mode="none",
            val_split_mode="none",
            num_workers=job["peer"]["loaders"],
        )
        engine = Engine(
            accelerator="cpu",
            default_root_dir=job["work"],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        # Their engine cannot be kept from writing a checkpoint; our fit writes no bundle. So it is timed, to
        # be taken off.
        saving, save = 0.0, Trainer.save_checkpoint

        def timed(trainer: Any, *args: Any, **kwargs: Any) -> None:
            nonlocal saving
            start = time.perf_counter()
            save(trainer, *args, **kwargs)
            saving += time.perf_counter() - start

        Trainer.save_checkpoint = timed
        try:
            # Given as a data module they would ask for a validation set, and be charged for that too.
            images.setup("fit")
            engine.fit(self.padim, train_dataloaders=images.train_dataloader())
        finally:
            Trainer.save_checkpoint = save
        return {"images": len(images.train_data), "saving_seconds": saving}

    def keep(self, job: dict[str, Any]) -> dict[str, Any]:
        import torch

        Path(job["out"]).mkdir(parents=True, exist_ok=True)
        gaussian = self.padim.model.gaussian
        kept = {"mean": gaussian.mean, "inv_covariance": gaussian.inv_covariance}
        torch.save(kept, Path(job["out"]) / "gaussian.pt")
        return {}

    def restore(self, job: dict[str, Any]) -> None:
        """The fitted model again, with a threshold, so that its post-processing has a mask to make."""
        import torch

        self.prepare(job)
        kept = torch.load(Path(job["model"]) / "gaussian.pt", weights_only=True, mmap=True)
        self.padim.model.gaussian.mean = kept["mean"]
        self.padim.model.gaussian.inv_covariance = kept["inv_covariance"]
        threshold, post = job["threshold"], self.padim.post_processor
        # They fit without defects, so nothing has set the scale of their maps, whose middle is the threshold.
        for name, value in (("threshold", threshold), ("min", 0.0), ("max", SCALE * threshold)):
            for kind in ("image", "pixel"):
                attribute = f"_{kind}_{name}" if name == "threshold" else f"{kind}_{name}"
                setattr(post, attribute, torch.tensor(value))
        self.padim.eval()

    def export(self, job: dict[str, Any]) -> dict[str, Any]:
        self.restore(job)
        size = (job["config"]["input_size"],) * 2
        return {
            "onnx": str(self.padim.to_onnx(job["model"], input_size=size)),
            "openvino": str(self.padim.to_openvino(job["model"], input_size=size)),
        }

    @abstractmethod
    def open(self, job: dict[str, Any]) -> dict[str, Any]: ...

    @abstractmethod
    def score(self, rgb: RGB) -> ScoredBatch: ...

    def in_map_units(self, scored: ScoredBatch) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        def undone(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
            return (values.astype(np.float64) - 0.5) * SCALE * self.threshold + self.threshold

        return undone(scored.maps), undone(scored.scores)


class Torch(Anomalib):
    """The Lightning module called as a function: its pre-processing, model and post-processing."""

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        import torch

        self.restore(job)
        self.torch, self.threshold = torch, job["threshold"]
        return {"versions": versions(self.packages)}

    def score(self, rgb: RGB) -> ScoredBatch:
        with self.torch.inference_mode():
            # read_image() of theirs gives float32 planes in 0..1.
            image = self.torch.from_numpy(rgb).permute(0, 3, 1, 2).to(self.torch.float32).div_(255)
            out = self.padim(image)
            return ScoredBatch(
                out.anomaly_map[:, 0].numpy(), out.pred_score.reshape(-1).numpy(), out.pred_mask[:, 0].numpy()
            )


class Onnx(Anomalib):
    """The exported graph in ONNX Runtime, with its default options."""

    packages = ("onnxruntime", "numpy")

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.log_severity_level = 3
        self.session = ort.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])
        self.threshold = job["threshold"]
        self.input = self.session.get_inputs()[0].name
        return {"versions": versions(self.packages)}

    def score(self, rgb: RGB) -> ScoredBatch:
        wanted = ["anomaly_map", "pred_score", "pred_mask"]
        maps, scores, masks = self.session.run(wanted, {self.input: planes(rgb)})
        return ScoredBatch(maps[:, 0], scores.reshape(-1), masks[:, 0])


class OpenVino(Anomalib):
    """The exported graph in OpenVINO, tuned for latency as its default is."""

    packages = ("openvino", "numpy")

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        import openvino

        core, settings = openvino.Core(), {"INFERENCE_NUM_THREADS": job["threads"]}
        self.compiled = core.compile_model(job["openvino"], "CPU", settings)
        self.threshold = job["threshold"]
        precision = self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        return {"versions": versions(self.packages), "precision": precision}

    def score(self, rgb: RGB) -> ScoredBatch:
        out = self.compiled(planes(rgb))
        maps, scores, masks = out["anomaly_map"], out["pred_score"], out["pred_mask"]
        return ScoredBatch(maps[:, 0], scores.reshape(-1), masks[:, 0])


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "ours": Ours,
    "torch": Torch,
    "onnx": Onnx,
    "openvino": OpenVino,
}


def planes(rgb: RGB) -> npt.NDArray[np.float32]:
    """The exported graphs' input: float32 ``(n, 3, S, S)`` in 0..1, in one pass over the image."""
    n, height, width, _ = rgb.shape
    result = np.empty((n, 3, height, width), np.float32)
    return np.multiply(rgb.transpose(0, 3, 1, 2), np.float32(1 / 255), out=result)


def load_weights(network: Any, path: Path) -> None:
    """Put a file's weights into a timm network that was made without any.

    Args:
        network: ``features_only``, so it lacks the head.
        path: ``.npz`` with each batch norm folded into the convolution before it, or a ``.pth`` state dict
            with the network's own names, or in the same order of layers (packages name them differently).
    """
    import torch

    own = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            folded = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        new = unfolded(own, folded)
    else:
        saved = torch.load(path, weights_only=True, map_location="cpu")
        values = [v for k, v in saved.items() if not k.endswith("num_batches_tracked")]
        by_name = all(name in saved for name in own)
        new = {name: saved[name] for name in own} if by_name else dict(zip(own, values, strict=False))
        if len(new) < len(own) or any(own[name].shape != new[name].shape for name in own):
            raise ValueError(f"{path.name} does not hold the weights of this network")
    network.load_state_dict(new, strict=False)


def unfolded(own: dict[str, Any], folded: dict[str, Any]) -> dict[str, Any]:
    """Folded weights for a network that still has its batch norms: each becomes a bias and nothing else.

    Layers that the file lacks keep what they have: PaDiM uses no layer behind the last one in the file.
    """
    import torch

    result, epsilon = dict(own), 1e-5
    for name, value in folded.items():
        stem, _, kind = name.rpartition(".")
        if kind == "weight":
            result[name] = value
            continue
        # conv1 goes with bn1, downsample.0 with downsample.1.
        norm = stem.replace("conv", "bn") if "conv" in stem else f"{stem[:-1]}1"
        result[f"{norm}.bias"], one = value, torch.ones_like(value)
        result[f"{norm}.weight"], result[f"{norm}.running_mean"] = one, torch.zeros_like(value)
        result[f"{norm}.running_var"] = one - epsilon
    unknown = set(result) - set(own)
    if unknown:
        raise ValueError(f"the weights name layers that the network lacks: {', '.join(sorted(unknown))}")
    return result


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of what is installed here."""
    return {name: version(name) for name in packages}


def answer(contender: Contender, request: dict[str, Any], known: dict[str, RGB]) -> dict[str, Any]:
    """Do what one request asks for.

    Args:
        contender: who does it.
        request: with ``do`` and the verb's arguments.
        known: images read for former requests, by file; reading is never timed.
    """
    verb = request["do"]
    if verb == "score":
        path = request["images"]
        if path not in known:
            known[path] = np.load(path, allow_pickle=False)
        start = time.perf_counter()
        scored = contender.score(known[path])
        seconds = time.perf_counter() - start
        if "out" in request:
            maps, scores = contender.in_map_units(scored)
            for name, array in (("maps", maps), ("scores", scores), ("masks", scored.masks)):
                np.save(Path(request["out"]) / f"{name}.npy", array)
        return {"seconds": seconds}
    if verb == "fit":
        contender.prepare(request)
        start = time.perf_counter()
        fitted = contender.fit(request)
        seconds = time.perf_counter() - start - fitted.get("saving_seconds", 0.0)
        return {"seconds": seconds, **fitted, **contender.keep(request)}
    if verb == "open":
        return contender.open(request)
    if verb == "export":
        return contender.export(request)
    raise ValueError(f"unknown request '{verb}'")


def serve(contender: Contender, requests: Iterable[str], answers: TextIO) -> int:
    """Answer requests until they end; 1 when the last one could not be answered.

    A request that fails is answered with its error and serving goes on: the other side decides.
    """
    known: dict[str, RGB] = {}
    failed = False
    for line in requests:
        try:
            reply, failed = {"ok": True, **answer(contender, json.loads(line), known)}, False
        except Exception as error:
            traceback.print_exc()
            reply, failed = {"error": f"{type(error).__name__}: {error}"}, True
        print(json.dumps(reply), file=answers, flush=True)
    return int(failed)


def keep_to_cores(count: int) -> None:
    """Where the system can: no more cores than this, whatever pools of threads the libraries open."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def main(arguments: list[str]) -> int:
    # Libraries print what they like: their output goes to stderr, and the answers alone to the real stdout.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    keep_to_cores(int(os.environ.get("PEERS_THREADS", "2")))
    contender = CONTENDERS[arguments[0]]()
    return serve(contender, arguments[1:2] or sys.stdin, answers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
