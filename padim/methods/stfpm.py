"""The ``stfpm`` method: student-teacher feature pyramid matching (Wang et al., 2021, arXiv 2103.04257).

The backbone is the teacher. A student network, randomly initialized, is trained to reproduce the teacher's
output at every layer in use, on good parts only; where the two disagree, the image shows something that good
parts do not have.

Both outputs are normalized to length 1 over the channels of each position. The disagreement of a layer at a
position is half the squared distance between them, from 0 (the same direction) to 2 (opposite directions),
and its mean over all positions is the loss of the student. The disagreements of the layers are resampled to
the grid of the model like embeddings, by area or bilinearly, and multiplied (equation 3 of the paper). The
distance is the geometric mean of the layers, a root of the product: it ranks like the product, and is between
0 and 2 for any number of layers.

Unlike in the paper, the student is not a copy of the teacher but a plain pyramid with its strides
(:mod:`padim.methods.student`), which trains much faster; and it is trained on a random square of a quarter of
each image at a time, because training steps matter more than pixels, many of which are similar in good parts.

All channels of the layers in use take part; ``n_features`` selects channels of embeddings, which are not read
here. The student needs what an embedding lacks: the image, and the teacher's output at the strides of the
layers. So held-out distances come from running both networks, not from embeddings.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx

from padim.config import PadimConfig
from padim.decision.anomaly_map import Quantizer, tail_inputs
from padim.errors import BundleError, PadimError
from padim.methods import cross_fitting
from padim.methods.base import FitResult, Losses, Task
from padim.methods.student import build, export
from padim.methods.training import TrainingPlan, Turn, initialize, train
from padim.network import backbone as backbones
from padim.network.check import check_network
from padim.network.detector import MISFIT, Array, Detector, Saved
from padim.network.extractor import FeatureExtractor, open_extractor
from padim.network.nodes import Piece, constants, op, renamed
from padim.network.registry import Layer
from padim.network.resample import enlarging
from padim.network.runtime import open_session, run_session
from padim.storage.image_store import ImageStore

STUDENT = "student.onnx"
# Keeps outputs that are zero everywhere at zero, and is negligible for all others.
_TINY = 1e-12
_RATE = 2e-3
BATCH = 8
# The number of squares in an epoch, regardless of the number of images: the students of the folds
# take as many steps as that of all parts, or they would be worse for that reason alone; and the
# duration is known in advance.
_SQUARES = 160
_PREFIX = "student_"


@dataclass(frozen=True)
class StudentTeacher(Detector):
    """A detector whose distances are the disagreement between student and teacher.

    Attributes:
        student: the student as ONNX, from ``image`` to one output for each layer, named like the layer.
        layers: the layers of the teacher in use, from shallow to deep.
        input_shape: (h, w) of the images in pixels.
        grid_stride: input pixels per grid position.
        features: the number of embedding channels in the model; not used for scoring.
    """

    student: bytes
    layers: tuple[Layer, ...]
    input_shape: tuple[int, int]
    grid_stride: int
    features: int

    method: ClassVar[str] = "stfpm"
    needs_image: ClassVar[bool] = True

    @property
    def form(self) -> str:
        # The weights of the student are part of the graph: they are few, and sessions fold them as constants.
        return f"stfpm-{self._digest}"

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.student).hexdigest()

    @property
    def shape(self) -> tuple[int, int]:
        height, width = (side // self.grid_stride for side in self.input_shape)
        return height * width, self.features

    def piece(self, features: int) -> Piece:
        """Return the nodes that compute distances; they read ``image`` and the layers, not ``embedding``."""
        graph = onnx.load_model_from_string(self.student).graph
        body = renamed(Piece(list(graph.node), list(graph.initializer), []), _PREFIX, {"image"})
        fixed = constants(
            stfpm_tiny=np.float32(_TINY),
            stfpm_half=np.float32(0.5),
            stfpm_share=np.float32(1 / len(self.layers)),
            stfpm_flat=np.array([0, -1]),
        )
        nodes, roots = [], []
        for layer in self.layers:
            own = f"stfpm_{layer.name}"
            nodes += _unit(layer.name, f"{own}_teacher") + _unit(_PREFIX + layer.name, f"{own}_student")
            nodes += [
                op("Sub", [f"{own}_teacher", f"{own}_student"], [f"{own}_apart"]),
                op("ReduceSumSquare", [f"{own}_apart"], [f"{own}_square"], axes=[1], keepdims=1),
                op("Mul", [f"{own}_square", "stfpm_half"], [f"{own}_half_square"]),
            ]
            on_grid, matrices = self._on_grid(layer, f"{own}_half_square", f"{own}_on_grid")
            nodes += [*on_grid, op("Pow", [f"{own}_on_grid", "stfpm_share"], [f"{own}_root"])]
            fixed += matrices
            roots.append(f"{own}_root")
        product = roots[0]
        for index, root in enumerate(roots[1:]):
            nodes.append(op("Mul", [product, root], [f"stfpm_product_{index}"]))
            product = f"stfpm_product_{index}"
        nodes.append(op("Reshape", [product, "stfpm_flat"], ["unchecked"]))
        return Piece([*body.nodes, *nodes], [*body.constants, *fixed], [])

    def _on_grid(
        self, layer: Layer, source: str, target: str
    ) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Return nodes that resample a layer to the grid, as ``padim.network.graph.embedding_piece`` does."""
        if layer.stride == self.grid_stride:
            return [op("Identity", [source], [target])], []
        if layer.stride < self.grid_stride:
            side = self.grid_stride // layer.stride
            pooled = op("AveragePool", [source], [target], kernel_shape=[side, side], strides=[side, side])
            return [pooled], []
        rows, columns = (
            enlarging(side // layer.stride, side // self.grid_stride, 0.0).astype(np.float32)
            for side in self.input_shape
        )
        fixed = {f"{target}_rows": rows, f"{target}_columns": np.ascontiguousarray(columns.T)}
        nodes = [
            op("MatMul", [f"{target}_rows", source], [f"{target}_tall"]),
            op("MatMul", [f"{target}_tall", f"{target}_columns"], [target]),
        ]
        return nodes, constants(**fixed)

    def inputs(self) -> dict[str, Array]:
        return {}

    def files(self) -> dict[str, Array | bytes]:
        return {STUDENT: self.student}

    @classmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> StudentTeacher:
        student, layers = saved.bytes(STUDENT), _layers(config)
        try:
            check_network(student, STUDENT, layers, config.input_shape)
        except BundleError as error:
            raise ValueError(error) from error
        graph = onnx.load_model_from_string(student).graph
        names = [value.name for value in graph.input], [value.name for value in graph.output]
        if names != (["image"], [layer.name for layer in layers]):
            raise ValueError(MISFIT)
        return cls(student, layers, config.input_shape, config.grid_stride, shape[1])

    def strange(self) -> float:
        return 2.0  # outputs in opposite directions at every layer


def _unit(source: str, target: str) -> list[onnx.NodeProto]:
    """Return nodes that normalize a tensor to length 1 over its channels."""
    return [
        op("ReduceL2", [source], [f"{target}_length"], axes=[1], keepdims=1),
        op("Add", [f"{target}_length", "stfpm_tiny"], [f"{target}_divisor"]),
        op("Div", [source, f"{target}_divisor"], [target]),
    ]


def _layers(config: PadimConfig) -> tuple[Layer, ...]:
    return backbones.get(config.backbone).select(config.active_layers)


def fit_detector(task: Task) -> FitResult:
    """Train a student on all parts, and one for each fold for the held-out distances.

    Raises:
        PadimError: the images are not available, or the network is not the one that computed the features.
    """
    if task.images is None:
        raise PadimError("this method is fitted on the images themselves; only their features are stored")
    extractor = open_extractor(task.config, task.network)
    if extractor.identity != task.feature_store.identity:
        raise PadimError("the current network is not the one that computed the features of the good parts")
    if task.folder is not None:
        task.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="teacher-", dir=task.folder) as folder:
        teacher_features = TeacherFeatures(task, task.images, extractor, Path(folder))
        return cross_fitting.cross_fit(task, teacher_features.fit, teacher_features.distances)


class TeacherFeatures:
    """The images and the teacher's outputs for them, which are on disk for the duration of the fit."""

    def __init__(self, task: Task, images: ImageStore, extractor: FeatureExtractor, folder: Path) -> None:
        self._task, self._images, self._extractor = task, images, extractor
        self._layers = _layers(task.config)
        self._shape = task.config.input_shape
        backbone = backbones.get(task.config.backbone)
        self._scale = np.asarray(backbone.scale, np.float32)[:, None, None]
        self._offset = np.asarray(backbone.offset, np.float32)[:, None, None]
        self._path = folder / "teacher_outputs.f16"
        self._shapes = [
            (layer.channels, *(side // layer.stride for side in self._shape)) for layer in self._layers
        ]
        self._numbers = [int(np.prod(shape)) for shape in self._shapes]
        self._place = {row: place for place, row in enumerate(task.fit_rows)}
        self._write_outputs()
        # Squares, with sides of half the shorter side of the images, are aligned to the positions of the
        # coarsest layer and at least two of them wide, because batch normalization cannot be trained on a
        # single one.
        self._step = max(layer.stride for layer in self._layers)
        self._crop = max(2 * self._step, min(self._shape) // 2 // self._step * self._step)

    def _planes(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Return some of the images as uint8 ``(n, 3, h, w)``."""
        return self._images.read(rows).transpose(0, 3, 1, 2)

    def _image(self, planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return images as the input of the networks: float32 ``(n, 3, h, w)``, normalized."""
        return np.ascontiguousarray(planes, np.float32) * self._scale + self._offset

    def _write_outputs(self) -> None:
        """Write the teacher's outputs, normalized to length 1, to disk in 16 bits.

        The rounding adds a hundred-thousandth to a loss of hundredths.
        """
        session = open_session(self._extractor.backbone_onnx)
        names = [layer.name for layer in self._layers]
        rows = self._task.fit_rows
        with self._path.open("wb") as file:
            for start in range(0, len(rows), BATCH):
                self._task.watch.step(start, len(rows), "Asking the teacher")
                image = self._image(self._planes(rows[start : start + BATCH]))
                outputs = run_session(session, names, {"image": image})
                lengths = [np.linalg.norm(output, axis=1, keepdims=True) for output in outputs]
                units = [a / (length + _TINY) for a, length in zip(outputs, lengths, strict=True)]
                for index in range(len(image)):
                    file.writelines(unit[index].astype(np.float16).tobytes() for unit in units)

    def _outputs(self, rows: Sequence[int]) -> list[npt.NDArray[np.float16]]:
        """Return the teacher's outputs for some images: one array ``(n, channels, h, w)`` for each layer."""
        total, found = sum(self._numbers), []
        with self._path.open("rb", buffering=0) as file:
            for row in rows:
                file.seek(2 * total * self._place[row])
                found.append(np.fromfile(file, np.float16, total))
        ends = np.cumsum([0, *self._numbers])
        return [
            np.stack([record[start:end].reshape(shape) for record in found])
            for (start, end), shape in zip(pairwise(ends), self._shapes, strict=True)
        ]

    def fit(self, turn: Turn) -> tuple[StudentTeacher, tuple[Losses, ...]]:
        """Train a student on the rows of a turn, and return the detector with its loss curves."""
        from torch import Tensor, from_numpy
        from torch.nn.functional import normalize

        student = build(self._layers)
        initialize(student, turn.seed)

        def loss(batch: _Batch) -> Tensor:
            image, outputs = batch
            total = from_numpy(np.zeros((), np.float32))
            for own, output in zip(student(from_numpy(image)), outputs, strict=True):
                apart = normalize(own, dim=1, eps=_TINY) - from_numpy(output.astype(np.float32))
                total = total + 0.5 * apart.square().sum(dim=1).mean()
            return total

        losses = train(
            student,
            turn,
            TrainingPlan.of(self._task.config, rate=_RATE),
            batches=lambda rng: self._squares(turn.rows, rng),
            loss=loss,
            held_out=lambda: self._full_images(turn.stop_rows),
        )
        config = self._task.config
        detector = StudentTeacher(
            export(student, self._layers),
            self._layers,
            config.input_shape,
            config.grid_stride,
            self._task.features,
        )
        return detector, (losses,)

    def _full_images(self, rows: Sequence[int]) -> Iterator[_Batch]:
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            yield self._image(self._planes(chosen)), self._outputs(chosen)

    def _squares(self, rows: Sequence[int], rng: np.random.Generator) -> Iterator[_Batch]:
        """Yield one epoch of random squares; no image gives a second square before all have given one."""
        rounds = [rng.permutation(np.asarray(rows, np.int64)) for _ in range(-(-_SQUARES // len(rows)))]
        order = np.concatenate(rounds)[:_SQUARES].tolist()
        for start in range(0, _SQUARES, BATCH):
            picked = order[start : start + BATCH]
            most = [(side - self._crop) // self._step for side in self._shape]
            places = rng.integers(0, most, (len(picked), 2), endpoint=True) * self._step
            image = self._image(_cut(self._planes(picked), places, self._crop))
            yield (
                image,
                [
                    _cut(output, places // layer.stride, self._crop // layer.stride)
                    for layer, output in zip(self._layers, self._outputs(picked), strict=True)
                ],
            )

    def distances(self, detector: Detector, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the distances of some normal images, computed as in scoring: float32 ``(n, p)``."""
        extractor, config = self._extractor, self._task.config
        # Not one of the extractor's cached sessions: those of the folds would evict the ones in use.
        session = open_session(extractor.scoring_graph(detector, self._task.channels))
        tail = tail_inputs(config.grid_shape, config.input_shape, 0.0, Quantizer(0.0, 1.0))
        feed: dict[str, Any] = {**tail, "inside": np.ones((1, 1, 1), np.float32)}
        size = extractor.batch_size(detector.scoring_bytes())
        found = []
        for start in range(0, len(rows), size):
            rgb = self._images.read(rows[start : start + size])
            found.append(run_session(session, ["distance"], {**feed, "rgb": rgb})[0])
        return np.concatenate(found)


# Images as the input of the networks, and the teacher's outputs at every layer.
_Batch = tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]


def _cut(maps: npt.NDArray[Any], places: npt.NDArray[np.int64], side: int) -> npt.NDArray[Any]:
    """Cut a square out of each map ``(n, c, h, w)``, with its corner at ``places`` (row, column)."""
    cut = [one[:, y : y + side, x : x + side] for one, (y, x) in zip(maps, places, strict=True)]
    return np.stack(cut)


DETECTOR = StudentTeacher
