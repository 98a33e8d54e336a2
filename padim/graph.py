"""The scoring graph: uint8 pictures in, judged maps out, in one piece of ONNX.

    rgb -- normalise, backbone, join the layers --> embedding -- Mahalanobis --> distance -- tail --> map

The Gaussians, the smoothing, the scale of the levels and the region of interest are *inputs* of the graph:
adding, removing and re-fitting change values, never the graph. The exporter bakes them in. ``tail_graph``
is the last part by itself, for distances that come from elsewhere (the normals' held-out ones): the same
nodes, so the same map to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from padim.enlarge import enlarging
from padim.registry import Backbone, Layer

OPSET = 17
IR_VERSION = 9

FactorKind = Literal["triangular", "low_rank"]

# What is not a number, or beyond all numbers, counts as very far away: never as good.
FARTHEST = 1e30
_MAX_LEVEL = 65535.0

_node = helper.make_node
_tensor = helper.make_tensor_value_info
_FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class Piece:
    """Nodes with the constants and the inputs they need."""

    nodes: list[onnx.NodeProto]
    constants: list[onnx.TensorProto]
    inputs: list[onnx.ValueInfoProto]


def _constants(**values: object) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def embedding_piece(
    backbone_onnx: bytes,
    backbone: Backbone,
    layers: Sequence[Layer],
    input_size: int,
    grid_stride: int,
    kept: npt.NDArray[np.int64] | None = None,
) -> Piece:
    """Normalisation, the exported backbone, and the layers joined on one grid (DESIGN 4.1).

    Input ``rgb``: uint8 ``(n, input_size, input_size, 3)``. Gives ``embedding``: float32
    ``(n, c, grid, grid)``, the layers' channels from shallow to deep; a finer layer is area-averaged to
    the grid, a coarser one enlarged bilinearly with half-pixel centres. With ``kept``, int64 ``(d,)`` in
    ascending order, only these channels, taken before they are enlarged, which is the dearer step.
    """
    body = onnx.load_model_from_string(backbone_onnx).graph
    scale, offset = (np.asarray(v, np.float32).reshape(1, 3, 1, 1) for v in (backbone.scale, backbone.offset))
    constants = _constants(pixel_scale=scale, pixel_offset=offset)
    before = [
        _node("Transpose", ["rgb"], ["rgb_planes"], perm=[0, 3, 1, 2]),
        _node("Cast", ["rgb_planes"], ["rgb_float"], to=_FLOAT),
        _node("Mul", ["rgb_float", "pixel_scale"], ["rgb_scaled"]),
        _node("Add", ["rgb_scaled", "pixel_offset"], ["image"]),
    ]
    behind, on_grid, first = [], [], 0
    for layer in layers:
        own = np.arange(layer.channels)
        if kept is not None:
            own = kept[(kept >= first) & (kept < first + layer.channels)] - first
            first += layer.channels
        if not len(own):
            continue
        source = layer.name
        if layer.stride < grid_stride:
            side, finer = grid_stride // layer.stride, source
            source = f"{layer.name}_pooled"
            behind.append(
                _node("AveragePool", [finer], [source], kernel_shape=[side, side], strides=[side, side])
            )
        # Fewer channels make enlarging cheaper. Also where all are kept: both graphs then join the layers in
        # the same memory layout, in which they round alike: fit and scoring see the same features to the bit.
        chosen = f"{layer.name}_kept"
        constants += _constants(**{f"{chosen}_channels": own})
        behind.append(_node("Gather", [source, f"{chosen}_channels"], [chosen], axis=1))
        if layer.stride <= grid_stride:
            on_grid.append(chosen)
            continue
        target = f"{layer.name}_on_grid"
        rows = enlarging(input_size // layer.stride, input_size // grid_stride, 0.0).astype(np.float32)
        constants += _constants(**{f"{target}_rows": rows, f"{target}_columns": np.ascontiguousarray(rows.T)})
        behind += [
            _node("MatMul", [f"{target}_rows", chosen], [f"{target}_tall"]),
            _node("MatMul", [f"{target}_tall", f"{target}_columns"], [target]),
        ]
        on_grid.append(target)
    behind.append(_node("Concat", on_grid, ["embedding"], axis=1))
    rgb = _tensor("rgb", TensorProto.UINT8, ["n", input_size, input_size, 3])
    return Piece([*before, *body.node, *behind], [*body.initializer, *constants], [rgb])


def _distance_piece(kind: FactorKind, features: int, *, guarded: bool = False) -> Piece:
    """``embedding`` of the kept channels to ``distance``, float32 ``(n, p)``: the root of the squared
    Mahalanobis distance.

    Every picture is a product of its own with a single row, ``(p, n, 1, d) @ (p, 1, d, k)``: one row streams
    the factor at the memory's speed, the next ones find a position's factor in the processor's cache, and a
    picture's distances are the same to the last bit whether it is scored alone or in a batch. (As one
    product with n rows, a single picture takes half as long again, and rows do not sum alike.)

    ``guarded``: what is no number becomes :data:`FARTHEST`, for those who cannot look at ``distance``.
    """
    nodes = [
        _node("Reshape", ["embedding", "rows_of_positions"], ["embedding_rows"]),
        _node("Transpose", ["embedding_rows"], ["x"], perm=[3, 0, 1, 2]),
        _node("Sub", ["x", "mean"], ["delta"]),
    ]
    constants = _constants(rows_of_positions=np.array([0, 1, features, -1]), zero=np.array([0]))
    inputs = [_tensor("mean", _FLOAT, ["p", 1, 1, features])]
    pieces = _triangular(features) if kind == "triangular" else _low_rank(features)
    nodes += pieces.nodes
    if guarded:
        constants += _constants(farthest=np.float32(FARTHEST))
        nodes += [
            _node("Sqrt", ["squared"], ["root"]),
            _node("IsNaN", ["root"], ["not_a_number"]),
            _node("Where", ["not_a_number", "farthest", "root"], ["number"]),
            _node("Min", ["number", "farthest"], ["checked"]),
            _node("Transpose", ["checked"], ["distance"], perm=[1, 0]),
        ]
    else:
        nodes += [
            _node("Sqrt", ["squared"], ["root"]),
            _node("Transpose", ["root"], ["distance"], perm=[1, 0]),
        ]
    return Piece(nodes, [*constants, *pieces.constants], [*inputs, *pieces.inputs])


def split(features: int) -> int:
    """Columns in the left part of a triangular factor: about half, in whole vector registers."""
    half = features // 2
    return half // 16 * 16 if half >= 16 else max(half, 1)


def _triangular(features: int) -> Piece:
    """``squared = |delta V|^2``, V upper triangular, in two parts of columns: the left one without the rows
    that are zero, a quarter less to stream. Finer cuts gain nothing."""
    left = split(features)
    nodes = [
        _node("Slice", ["delta", "zero", "left_rows", "three"], ["delta_left"]),
        _node("MatMul", ["delta_left", "left"], ["white_left"]),
        _node("ReduceSumSquare", ["white_left"], ["squared_left"], axes=[2, 3], keepdims=0),
    ]
    inputs = [_tensor("left", _FLOAT, ["p", 1, left, left])]
    constants = _constants(left_rows=np.array([left]), three=np.array([3]))
    if left == features:
        nodes.append(_node("Identity", ["squared_left"], ["squared"]))
        return Piece(nodes, constants, inputs)
    nodes += [
        _node("MatMul", ["delta", "right"], ["white_right"]),
        _node("ReduceSumSquare", ["white_right"], ["squared_right"], axes=[2, 3], keepdims=0),
        _node("Add", ["squared_left", "squared_right"], ["squared"]),
    ]
    inputs.append(_tensor("right", _FLOAT, ["p", 1, features, features - left]))
    return Piece(nodes, constants, inputs)


def _low_rank(features: int) -> Piece:
    """``squared = |delta - Q c|^2 / floor + |scale * c|^2`` with ``c = Q^T delta``.

    The part outside the span is formed as a vector before it is squared: as a difference of two squares it
    would cancel, and a 16-bit Q would show.
    """
    nodes = [
        _node("MatMul", ["delta", "basis"], ["inside_span"]),
        _node("Transpose", ["inside_span"], ["inside_column"], perm=[0, 1, 3, 2]),
        _node("MatMul", ["basis", "inside_column"], ["projection"]),
        _node("Transpose", ["projection"], ["projection_row"], perm=[0, 1, 3, 2]),
        _node("Sub", ["delta", "projection_row"], ["outside"]),
        _node("ReduceSumSquare", ["outside"], ["squared_outside"], axes=[2, 3], keepdims=0),
        _node("Div", ["squared_outside", "floor"], ["outside_term"]),
        _node("Mul", ["inside_span", "basis_scale"], ["inside_scaled"]),
        _node("ReduceSumSquare", ["inside_scaled"], ["inside_term"], axes=[2, 3], keepdims=0),
        _node("Add", ["outside_term", "inside_term"], ["squared"]),
    ]
    inputs = [
        _tensor("basis", _FLOAT, ["p", 1, features, "r"]),
        _tensor("basis_scale", _FLOAT, ["p", 1, 1, "r"]),
        _tensor("floor", _FLOAT, []),
    ]
    return Piece(nodes, [], inputs)


def _tail_piece() -> Piece:
    """``distance`` to ``map``, uint16 ``(n, size, size)``, and ``score``, its largest level.

    Enlarging and smoothing are one linear operator on rows and columns (``padim.maps.enlarging``); the row
    operator is divided by the levels' step, so that what comes out is a level.
    """
    nodes = [
        _node("Reshape", ["distance", "grid_shape"], ["grid"]),
        _node("MatMul", ["rows_to_levels", "grid"], ["tall"]),
        _node("MatMul", ["tall", "columns"], ["wide"]),
        _node("Add", ["wide", "level_offset"], ["unrounded"]),
        _node("Round", ["unrounded"], ["rounded"]),
        _node("Clip", ["rounded", "lowest", "highest"], ["clipped"]),
        _node("Mul", ["clipped", "inside"], ["judged"]),
        _node("Cast", ["judged"], ["map"], to=TensorProto.UINT16),
        _node("ReduceMax", ["judged"], ["score"], axes=[1, 2], keepdims=0),
    ]
    constants = _constants(lowest=np.float32(0), highest=np.float32(_MAX_LEVEL))
    inputs = [
        _tensor("grid_shape", TensorProto.INT64, [3]),
        _tensor("rows_to_levels", _FLOAT, ["size", "grid"]),
        _tensor("columns", _FLOAT, ["grid", "size"]),
        _tensor("level_offset", _FLOAT, []),
        _tensor("inside", _FLOAT, ["n or 1", "size or 1", "size or 1"]),
    ]
    return Piece(nodes, constants, inputs)


def _model(name: str, pieces: Sequence[Piece], outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    nodes, needed = [], {output.name for output in outputs}
    for node in reversed([node for piece in pieces for node in piece.nodes]):
        # Layers that were not chosen, and what only they take, are left out.
        if needed & set(node.output):
            nodes.append(node)
            needed.update(node.input)
    graph = helper.make_graph(
        nodes[::-1],
        name,
        [value for piece in pieces for value in piece.inputs],
        outputs,
        [constant for piece in pieces for constant in piece.constants if constant.name in needed],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def embedding_graph(piece: Piece, channels: int, grid: int) -> onnx.ModelProto:
    """The graph that fitting runs: ``rgb`` to ``embedding``."""
    return _model("padim_embedding", [piece], [_tensor("embedding", _FLOAT, ["n", channels, grid, grid])])


def _of_embedding(kept: npt.NDArray[np.int64]) -> Piece:
    """Input ``all_channels``, float32 ``(n, c, h, w)``; gives ``embedding``, of those kept."""
    nodes = [_node("Gather", ["all_channels", "channels"], ["embedding"], axis=1)]
    return Piece(nodes, _constants(channels=kept), [_tensor("all_channels", _FLOAT, ["n", "c", "h", "w"])])


def behind_embedding_graph(
    kind: FactorKind, kept: npt.NDArray[np.int64], size: int, *, guarded: bool = False
) -> onnx.ModelProto:
    """All but the network: an embedding of all channels to the outputs of :func:`scoring_graph`."""
    pieces = [_of_embedding(kept), _distance_piece(kind, len(kept), guarded=guarded), _tail_piece()]
    return _model("padim_behind_embedding", pieces, _outputs(size))


def tail_graph() -> onnx.ModelProto:
    """The last part by itself: ``distance`` to ``map``."""
    distance = Piece([], [], [_tensor("distance", _FLOAT, ["n", "p"])])
    outputs = [_tensor("map", TensorProto.UINT16, ["n", "size", "size"])]
    piece = _tail_piece()
    return _model("padim_tail", [distance, Piece(piece.nodes[:-1], piece.constants, piece.inputs)], outputs)


def scoring_graph(
    piece: Piece, kind: FactorKind, features: int, size: int, *, guarded: bool = False
) -> onnx.ModelProto:
    """The whole: ``rgb`` to ``distance``, ``map`` and ``score``.

    Args:
        piece: from :func:`embedding_piece`, of the channels kept.
        kind: how the Gaussians are given.
        features: d, channels kept.
        size: side of the map.
        guarded: pictures whose distances are no numbers are told by the map as well.

    Returns:
        outputs ``distance`` float32 ``(n, p)``, ``map`` uint16 ``(n, size, size)`` and ``score`` float32
        ``(n,)``: the map's largest level, the anomaly score at a smallest region of one pixel.
    """
    pieces = [piece, _distance_piece(kind, features, guarded=guarded), _tail_piece()]
    return _model("padim_scoring", pieces, _outputs(size))


def _outputs(size: int) -> list[onnx.ValueInfoProto]:
    return [
        _tensor("distance", _FLOAT, ["n", "p"]),
        _tensor("map", TensorProto.UINT16, ["n", size, size]),
        _tensor("score", _FLOAT, ["n"]),
    ]
