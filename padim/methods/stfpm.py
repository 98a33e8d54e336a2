"""``stfpm``: student-teacher feature pyramid matching (Wang et al., 2021, arXiv 2103.04257).

The backbone is the teacher. A student, random at first, learns to give the teacher's answers at every layer
in use, on good parts and nothing else; where the two disagree is something that good parts do not show.

Both answers are brought to length 1 over the channels of each position. A layer's disagreement there is half
the squared distance between them, 0 (the same direction) to 2 (the opposite one), and its mean over all
positions is what the student learns to lower. The layers' disagreements are brought to the model's grid as
embeddings are, by area or bilinearly, and multiplied (the paper's equation 3). The distance is the product's
root of as many degrees as there are layers, their geometric mean: it ranks as the product does, and stays
between 0 and 2 however many layers there are.

Unlike the paper's, the student is no copy of the teacher but a plain pyramid of its strides
(:mod:`padim.methods.student`), much quicker to train; and it learns from a random square of a quarter of each
image at a time: steps count more than pixels, of which good parts have many that are alike.

All channels of the layers in use take part; ``n_features`` draws among embeddings, which are not read here.
What an embedding lacks, the teacher's answers at the layers' own strides and the image, the student needs:
held-out distances come from running both networks, not from embeddings.
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
from padim.methods.training import TrainingPlan, Turn, initialise, train
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
# Keeps answers that are zero everywhere at zero, and is lost beside all others.
_TINY = 1e-12
_RATE = 2e-3
BATCH = 8
# Squares an epoch, however many images they come from: the students of the folds take as many steps as the
# one of all parts, or they would be worse by that alone; and how long it takes is known beforehand.
_SQUARES = 160
_PREFIX = "student_"


@dataclass(frozen=True)
class StudentTeacher(Detector):
    """Disagreement of student and teacher.

    Attributes:
        student: as ONNX: ``image`` to one output a layer, named as the layer.
        layers: the teacher's that are in use, from shallow to deep.
        input_size: side of the images in pixels.
        grid_stride: input pixels per grid position.
        features: channels the model keeps; not read.
    """

    student: bytes
    layers: tuple[Layer, ...]
    input_size: int
    grid_stride: int
    features: int

    method: ClassVar[str] = "stfpm"
    needs_image: ClassVar[bool] = True

    @property
    def form(self) -> str:
        # The student's weights are part of the graph: they are few, and sessions fold them.
        return f"stfpm-{self._digest}"

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.student).hexdigest()

    @property
    def shape(self) -> tuple[int, int]:
        return (self.input_size // self.grid_stride) ** 2, self.features

    def piece(self, features: int) -> Piece:
        """Reads ``image`` and the layers' own tensors, not ``embedding``."""
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
        """As :func:`padim.network.graph.embedding_piece` brings the layers' channels to the grid."""
        if layer.stride == self.grid_stride:
            return [op("Identity", [source], [target])], []
        if layer.stride < self.grid_stride:
            side = self.grid_stride // layer.stride
            pooled = op("AveragePool", [source], [target], kernel_shape=[side, side], strides=[side, side])
            return [pooled], []
        grids = self.input_size // layer.stride, self.input_size // self.grid_stride
        rows = enlarging(*grids, 0.0).astype(np.float32)
        fixed = {f"{target}_rows": rows, f"{target}_columns": np.ascontiguousarray(rows.T)}
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
            check_network(student, STUDENT, layers, config.input_size)
        except BundleError as error:
            raise ValueError(error) from error
        graph = onnx.load_model_from_string(student).graph
        names = [value.name for value in graph.input], [value.name for value in graph.output]
        if names != (["image"], [layer.name for layer in layers]):
            raise ValueError(MISFIT)
        return cls(student, layers, config.input_size, config.grid_stride, shape[1])

    def strange(self) -> float:
        return 2.0  # of answers in opposite directions, at every layer


def _unit(source: str, target: str) -> list[onnx.NodeProto]:
    """To length 1 over the channels."""
    return [
        op("ReduceL2", [source], [f"{target}_length"], axes=[1], keepdims=1),
        op("Add", [f"{target}_length", "stfpm_tiny"], [f"{target}_divisor"]),
        op("Div", [source, f"{target}_divisor"], [target]),
    ]


def _layers(config: PadimConfig) -> tuple[Layer, ...]:
    return backbones.get(config.backbone).select(config.active_layers)


def fit_detector(task: Task) -> FitResult:
    """A student of all parts, and for the held-out distances one a fold.

    Raises:
        PadimError: the images themselves are not at hand, or the network is not the one that was fitted on.
    """
    if task.images is None:
        raise PadimError("this method learns from the images themselves, and only their features are here")
    extractor = open_extractor(task.config, task.network)
    if extractor.identity != task.feature_store.identity:
        raise PadimError("the network at hand is not the one that the features of the good parts are from")
    if task.folder is not None:
        task.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="teacher-", dir=task.folder) as folder:
        teacher_features = TeacherFeatures(task, task.images, extractor, Path(folder))
        return cross_fitting.cross_fit(task, teacher_features.fit, teacher_features.distances)


class TeacherFeatures:
    """The images and what the teacher answers to them, on disk as long as it is learnt from."""

    def __init__(self, task: Task, images: ImageStore, extractor: FeatureExtractor, folder: Path) -> None:
        self._task, self._images, self._extractor = task, images, extractor
        self._layers = _layers(task.config)
        self._size = task.config.input_size
        backbone = backbones.get(task.config.backbone)
        self._scale = np.asarray(backbone.scale, np.float32)[:, None, None]
        self._offset = np.asarray(backbone.offset, np.float32)[:, None, None]
        self._path = folder / "answers.f16"
        self._shapes = [(layer.channels, *[self._size // layer.stride] * 2) for layer in self._layers]
        self._numbers = [int(np.prod(shape)) for shape in self._shapes]
        self._place = {row: place for place, row in enumerate(task.fit_rows)}
        self._ask()
        # Squares begin where the coarsest layer has a position, and are at least two of its positions wide:
        # of a single one, batch normalisation learns nothing.
        self._step = max(layer.stride for layer in self._layers)
        self._crop = max(2 * self._step, self._size // 2 // self._step * self._step)

    def _planes(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Some of the images, uint8 ``(n, 3, size, size)``."""
        return self._images.read(rows).transpose(0, 3, 1, 2)

    def _image(self, planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """As the networks take it: float32 ``(n, 3, h, w)``."""
        return np.ascontiguousarray(planes, np.float32) * self._scale + self._offset

    def _ask(self) -> None:
        """Write down the teacher's answers, of length 1, in 16 bits: rounding adds a hundred-thousandth to a
        loss of hundredths."""
        session = open_session(self._extractor.backbone_onnx)
        names = [layer.name for layer in self._layers]
        rows = self._task.fit_rows
        with self._path.open("wb") as file:
            for start in range(0, len(rows), BATCH):
                self._task.watch.step(start, len(rows), "Asking the teacher")
                image = self._image(self._planes(rows[start : start + BATCH]))
                answers = run_session(session, names, {"image": image})
                lengths = [np.linalg.norm(answer, axis=1, keepdims=True) for answer in answers]
                units = [a / (length + _TINY) for a, length in zip(answers, lengths, strict=True)]
                for index in range(len(image)):
                    file.writelines(unit[index].astype(np.float16).tobytes() for unit in units)

    def _answers(self, rows: Sequence[int]) -> list[npt.NDArray[np.float16]]:
        """One array a layer, ``(n, channels, h, w)``."""
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
        """Train a student on the turn's rows."""
        from torch import Tensor, from_numpy
        from torch.nn.functional import normalize

        student = build(self._layers)
        initialise(student, turn.seed)

        def loss(batch: _Batch) -> Tensor:
            image, answers = batch
            total = from_numpy(np.zeros((), np.float32))
            for own, answer in zip(student(from_numpy(image)), answers, strict=True):
                apart = normalize(own, dim=1, eps=_TINY) - from_numpy(answer.astype(np.float32))
                total = total + 0.5 * apart.square().sum(dim=1).mean()
            return total

        losses = train(
            student,
            turn,
            TrainingPlan.of(self._task.config, rate=_RATE),
            batches=lambda rng: self._squares(turn.rows, rng),
            loss=loss,
            held_out=lambda: self._whole(turn.stop_rows),
        )
        config = self._task.config
        detector = StudentTeacher(
            export(student, self._layers),
            self._layers,
            config.input_size,
            config.grid_stride,
            self._task.features,
        )
        return detector, (losses,)

    def _whole(self, rows: Sequence[int]) -> Iterator[_Batch]:
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            yield self._image(self._planes(chosen)), self._answers(chosen)

    def _squares(self, rows: Sequence[int], rng: np.random.Generator) -> Iterator[_Batch]:
        """An epoch: random squares of the images, of none a second one before all have had theirs."""
        rounds = [rng.permutation(np.asarray(rows, np.int64)) for _ in range(-(-_SQUARES // len(rows)))]
        order = np.concatenate(rounds)[:_SQUARES].tolist()
        for start in range(0, _SQUARES, BATCH):
            picked = order[start : start + BATCH]
            most = (self._size - self._crop) // self._step
            places = rng.integers(0, most, (len(picked), 2), endpoint=True) * self._step
            image = self._image(_cut(self._planes(picked), places, self._crop))
            yield (
                image,
                [
                    _cut(answer, places // layer.stride, self._crop // layer.stride)
                    for layer, answer in zip(self._layers, self._answers(picked), strict=True)
                ],
            )

    def distances(self, detector: Detector, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """What scoring gives for some normals: ``(n, p)``."""
        extractor, config = self._extractor, self._task.config
        # Not from the extractor's own sessions: those of the folds would drive out the ones in use.
        session = open_session(extractor.scoring_graph(detector, self._task.channels))
        tail = tail_inputs(config.grid, config.input_size, 0.0, Quantizer(0.0, 1.0))
        feed: dict[str, Any] = {**tail, "inside": np.ones((1, 1, 1), np.float32)}
        size = extractor.batch_size(detector.scoring_bytes())
        found = []
        for start in range(0, len(rows), size):
            rgb = self._images.read(rows[start : start + size])
            found.append(run_session(session, ["distance"], {**feed, "rgb": rgb})[0])
        return np.concatenate(found)


# Images as the networks take them, and the teacher's answers at every layer.
_Batch = tuple[npt.NDArray[np.float32], list[npt.NDArray[Any]]]


def _cut(maps: npt.NDArray[Any], places: npt.NDArray[np.int64], side: int) -> npt.NDArray[Any]:
    """A square out of each map ``(n, c, h, w)``, at ``places`` (row, column)."""
    cut = [one[:, y : y + side, x : x + side] for one, (y, x) in zip(maps, places, strict=True)]
    return np.stack(cut)


DETECTOR = StudentTeacher
