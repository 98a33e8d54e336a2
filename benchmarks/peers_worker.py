"""One contender of benchmarks/peers.py in a separate process: fits, exports or scores images on request.

    python benchmarks/peers_worker.py CONTENDER            # requests on stdin, one JSON object per line
    python benchmarks/peers_worker.py CONTENDER REQUEST    # one request, given as JSON

A request is ``{"do": VERB, ...}`` with the verb's arguments; the reply is one line, ``{"ok": true, ...}`` or
``{"error": "..."}``. Arrays are passed in ``.npy`` files. As each environment lacks the other's packages,
this file imports nothing but numpy until a contender is opened.
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

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing

RGB = npt.NDArray[np.uint8]
# Range of the scale to which anomalib normalizes its maps, in thresholds. Values beyond it are clipped, and
# those of a defect may be tens of thresholds.
SCALE = 128


class ScoredBatch(NamedTuple):
    """The results for n images that an inspection line needs.

    Attributes:
        maps: ``(n, S, S)``, in the contender's own units.
        scores: ``(n,)``, in the contender's own units.
        masks: bool ``(n, S, S)``.
    """

    maps: npt.NDArray[Any]
    scores: npt.NDArray[Any]
    masks: npt.NDArray[np.bool_]


class Contender(Protocol):
    """A program that fits models and scores images; some can do only one of both."""

    def prepare(self, job: dict[str, Any]) -> None:
        """Open the network, which is not part of the timed fit."""

    def fit(self, job: dict[str, Any]) -> dict[str, Any]:
        """Fit a model on image files, ready to score; this is timed."""

    def keep(self, job: dict[str, Any]) -> dict[str, Any]:
        """Write the fitted model to ``job["out"]``; return values that the other side needs."""

    def export(self, job: dict[str, Any]) -> dict[str, Any]:
        """Convert the saved model to the files that ``open`` reads, and return their paths."""

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        """Load a model, ready to score; return the versions of packages."""

    def score(self, rgb: RGB) -> ScoredBatch:
        """Compute maps, scores and masks from RGB at input size; this is timed."""

    def in_map_units(self, scored: ScoredBatch) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Convert maps and scores to distances, to compare them between contenders."""


class Ours:
    """This project, through its public interface."""

    packages = ("numpy", "onnxruntime", "opencv-python-headless")

    def prepare(self, job: dict[str, Any]) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from padim import Padim, PadimConfig
        from padim.network.allocation import keep_freed_memory

        keep_freed_memory()  # as the application and the command line do
        self.model = Padim(PadimConfig.model_validate(job["config"]), work_dir=job["work"])
        shape = self.model.config.input_shape
        self.model.network.extractor(np.zeros((1, *shape, 3), np.uint8))

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
        return {}  # the saved model is used as it is

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
    """The common base of the three ways to run anomalib's PaDiM: its fit, settings and exports."""

    packages: tuple[str, ...] = ("anomalib", "torch", "timm", "lightning", "numpy")
    threshold: float

    def prepare(self, job: dict[str, Any]) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no downloads: the weights are read from a file
        import torch
        from anomalib.models import Padim
        from anomalib.pre_processing import PreProcessor
        from torchvision.transforms.v2 import Compose, Normalize, Resize

        torch.set_num_threads(job["threads"])
        peer, size = job["peer"], job["config"]["input_size"]
        # Anomalib's classes and defaults are used. Only what must be the same for the comparison is set: the
        # network, layers, d, input size and normalisation, and below the weights and the selected channels.
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
        # Anomalib's engine always writes a checkpoint, while our fit writes no bundle. The time of writing it
        # is measured and subtracted.
        saving, save = 0.0, Trainer.save_checkpoint

        def timed(trainer: Any, *args: Any, **kwargs: Any) -> None:
            nonlocal saving
            start = time.perf_counter()
            save(trainer, *args, **kwargs)
            saving += time.perf_counter() - start

        Trainer.save_checkpoint = timed
        try:
            # With a data module, a validation set would be required and its time would count.
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
        """Restore the fitted model with a threshold, so that its post-processing computes masks."""
        import torch

        self.prepare(job)
        kept = torch.load(Path(job["model"]) / "gaussian.pt", weights_only=True, mmap=True)
        self.padim.model.gaussian.mean = kept["mean"]
        self.padim.model.gaussian.inv_covariance = kept["inv_covariance"]
        threshold, post = job["threshold"], self.padim.post_processor
        # Fitted without defects, anomalib has no scale for its maps, whose middle must be the threshold.
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
        def denormalized(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
            return (values.astype(np.float64) - 0.5) * SCALE * self.threshold + self.threshold

        return denormalized(scored.maps), denormalized(scored.scores)


class Torch(Anomalib):
    """Anomalib's Lightning module called directly, with its pre-processing, model and post-processing."""

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        import torch

        self.restore(job)
        self.torch, self.threshold = torch, job["threshold"]
        return {"versions": versions(self.packages)}

    def score(self, rgb: RGB) -> ScoredBatch:
        with self.torch.inference_mode():
            # The input has the form that anomalib's read_image() returns: float32 planes in 0..1.
            image = self.torch.from_numpy(rgb).permute(0, 3, 1, 2).to(self.torch.float32).div_(255)
            out = self.padim(image)
            return ScoredBatch(
                out.anomaly_map[:, 0].numpy(), out.pred_score.reshape(-1).numpy(), out.pred_mask[:, 0].numpy()
            )


class Onnx(Anomalib):
    """Anomalib's exported graph in ONNX Runtime, with its default options."""

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
    """Anomalib's exported graph in OpenVINO, with its default options, which optimize latency."""

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
    """Convert images to the exported graphs' input, float32 ``(n, 3, S, S)`` in 0..1, in one pass."""
    n, height, width, _ = rgb.shape
    result = np.empty((n, 3, height, width), np.float32)
    return np.multiply(rgb.transpose(0, 3, 1, 2), np.float32(1 / 255), out=result)


def load_weights(network: Any, path: Path) -> None:
    """Load weights from a file into a timm network that was created without pretrained weights.

    Args:
        network: created with ``features_only``, so without the head.
        path: ``.npz`` with each batch norm folded into the convolution before it, or a ``.pth`` state dict
            with the network's names or, as packages name them differently, with the same order of layers.

    Raises:
        ValueError: the file has not the weights of this network.
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
    """Convert folded weights for a network with batch norms, of which each only adds a bias.

    Layers that are not in the file keep their values: PaDiM uses none after the last one in the file.
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
    """Return the installed versions of these packages."""
    return {name: version(name) for name in packages}


def answer(contender: Contender, request: dict[str, Any], known: dict[str, RGB]) -> dict[str, Any]:
    """Carry out one request.

    Args:
        contender: the contender.
        request: ``do`` and the verb's arguments.
        known: images read for earlier requests, by file, as reading is never timed.

    Returns:
        The reply.
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
    """Answer requests until they end; return 1 if the last one failed, else 0.

    A failed request is answered with its error, and serving continues: the other side decides what to do.
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
    """Restrict the process to this number of cores, however many threads libraries start, where supported."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def main(arguments: list[str]) -> int:
    # Standard output is reserved for replies: the output of libraries is redirected to stderr.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    keep_to_cores(int(os.environ.get("PEERS_THREADS", "2")))
    contender = CONTENDERS[arguments[0]]()
    return serve(contender, arguments[1:2] or sys.stdin, answers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
