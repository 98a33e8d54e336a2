"""FeatureExtractor: pictures at input size to embeddings, in one cached ONNX Runtime session.

Normalisation and the joining of the layers' maps are nodes of the graph, so that every caller (fit,
score, app, shell) gets the same numbers, and a uint8 picture is all that crosses the border.
"""

from __future__ import annotations

import hashlib
import os
import threading

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from padim import backbones
from padim.backbones import OPSET, Backbone, Layer
from padim.config import PadimConfig
from padim.errors import BackboneError, BundleError


def session_options() -> ort.SessionOptions:
    """Options of every session: ``PADIM_THREADS`` sets the CPU threads (default: all cores)."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("PADIM_THREADS", "0"))
    # Idle threads would spin, against the decoders and against the other session's: with it, 50 pictures
    # took a quarter longer and a single one no less.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def embedding_graph(
    backbone_onnx: bytes, backbone: Backbone, layers: tuple[Layer, ...], input_size: int, grid_stride: int
) -> onnx.ModelProto:
    """Put the normalisation before, and the embedding (DESIGN 4.1) behind, an exported backbone.

    Input ``rgb``: uint8 ``(n, input_size, input_size, 3)``. Output ``embedding``: float32
    ``(n, c, grid, grid)``, the layers' channels from shallow to deep; a finer layer is area-averaged to
    the grid, a coarser one enlarged bilinearly with half-pixel centres.
    """
    body = onnx.load_model_from_string(backbone_onnx).graph
    constants = [
        numpy_helper.from_array(np.asarray(values, np.float32).reshape(1, 3, 1, 1), name)
        for name, values in (("pixel_scale", backbone.scale), ("pixel_offset", backbone.offset))
    ]
    before = [
        helper.make_node("Transpose", ["rgb"], ["rgb_planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["rgb_planes"], ["rgb_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["rgb_float", "pixel_scale"], ["rgb_scaled"]),
        helper.make_node("Add", ["rgb_scaled", "pixel_offset"], ["image"]),
    ]
    behind, on_grid = [], []
    for layer in layers:
        if layer.stride == grid_stride:
            on_grid.append(layer.name)
            continue
        target = f"{layer.name}_on_grid"
        if layer.stride < grid_stride:
            side = grid_stride // layer.stride
            behind.append(
                helper.make_node(
                    "AveragePool", [layer.name], [target], kernel_shape=[side, side], strides=[side, side]
                )
            )
        else:
            factor = layer.stride / grid_stride
            constants.append(
                numpy_helper.from_array(np.array([1, 1, factor, factor], np.float32), f"{target}_by")
            )
            behind.append(
                helper.make_node(
                    "Resize",
                    [layer.name, "", f"{target}_by"],
                    [target],
                    mode="linear",
                    coordinate_transformation_mode="half_pixel",
                )
            )
        on_grid.append(target)
    behind.append(helper.make_node("Concat", on_grid, ["embedding"], axis=1))
    grid = input_size // grid_stride
    channels = sum(layer.channels for layer in layers)
    graph = helper.make_graph(
        [*before, *body.node, *behind],
        "padim_embedding",
        [helper.make_tensor_value_info("rgb", TensorProto.UINT8, ["n", input_size, input_size, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", channels, grid, grid])],
        [*body.initializer, *constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


class FeatureExtractor:
    """One session for one backbone, set of layers, input size and grid.

    Attributes:
        backbone_onnx: the network as it goes into the bundle.
        identity: hex digest of everything that determines the embeddings.
        channels: c, channels of all layers together.
        grid: side of the square grid.
        input_size: side of the pictures taken.
        runs: how often the network ran; the app's promise that a threshold change never runs it is
            tested against this.
    """

    def __init__(self, backbone_onnx: bytes, config: PadimConfig) -> None:
        backbone = backbones.get(config.backbone)
        layers = backbone.select(config.layers)
        self.backbone_onnx = backbone_onnx
        self.layers = layers
        self.channels = sum(layer.channels for layer in layers)
        self.grid = config.grid
        self.input_size = config.input_size
        self.identity = hashlib.sha256(
            hashlib.sha256(backbone_onnx).digest() + f"{config.input_size}/{config.grid_stride}".encode()
        ).hexdigest()
        try:
            graph = embedding_graph(backbone_onnx, backbone, layers, config.input_size, config.grid_stride)
            self.session = ort.InferenceSession(
                graph.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnx and onnxruntime raise a score of unrelated types for a file that is no valid network.
            raise BundleError(f"the backbone network cannot be opened: {error}") from error
        self.runs = 0
        self._count = threading.Lock()

    def __call__(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embeddings of pictures at input size.

        Args:
            rgb: uint8 ``(n, input_size, input_size, 3)``.

        Returns:
            float32 ``(n, channels, grid, grid)``. Safe to call from several threads.
        """
        return self.run(rgb).numpy()

    def run(self, rgb: npt.NDArray[np.uint8]) -> ort.OrtValue:
        """As :meth:`__call__`, left in the runtime's own memory for the next session to read."""
        size = self.input_size
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[1:] != (size, size, 3):
            raise ValueError(f"rgb must be uint8 (n, {size}, {size}, 3), got {rgb.dtype} {rgb.shape}")
        with self._count:
            self.runs += 1
        feed = {"rgb": ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(rgb))}
        return self.session.run_with_ort_values(["embedding"], feed)[0]

    def batch_size(self) -> int:
        """Pictures a run: 16 at 256 px, fewer for larger ones, so that memory stays level."""
        return int(np.clip(16 * 256**2 // self.input_size**2, 1, 16))


_opening = threading.Lock()
_opened: dict[tuple[object, ...], FeatureExtractor] = {}
_MOST_OPEN = 8


def open_extractor(config: PadimConfig, backbone_onnx: bytes | None = None) -> FeatureExtractor:
    """The extractor for a config, made once per process (sessions are costly to open, cheap to share).

    Args:
        config: backbone, layers, input size and grid are read.
        backbone_onnx: the network out of a bundle; without it, the registry's.

    Raises:
        BackboneError: unknown backbone or layer, or no weights.
        BundleError: ``backbone_onnx`` is no usable network.
    """
    backbone = backbones.get(config.backbone)
    layers = tuple(layer.name for layer in backbone.select(config.layers))
    coarsest = max(layer.stride for layer in backbone.select(config.layers))
    if config.input_size % coarsest:
        raise BackboneError(f"input_size {config.input_size} is not a multiple of the stride {coarsest}")
    with _opening:
        content = backbone_onnx or backbones.onnx_bytes(config.backbone, layers)
        key = (hashlib.sha256(content).digest(), layers, config.input_size, config.grid_stride)
        if key not in _opened:
            while len(_opened) >= _MOST_OPEN:
                _opened.pop(next(iter(_opened)))
            _opened[key] = FeatureExtractor(content, config)
        return _opened[key]


def draw_channels(total: int, n_features: int | None, seed: int) -> npt.NDArray[np.int64]:
    """The channels kept: a seeded draw without replacement, in ascending order (paper, section III-A).

    Returns:
        int64 ``(min(n_features, total),)``; all channels for ``None``.
    """
    if n_features is None or n_features >= total:
        return np.arange(total, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(total, n_features, replace=False)).astype(np.int64)
