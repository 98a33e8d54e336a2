"""The scoring graph: uint8 pictures in, judged maps out, in one piece of ONNX.

    rgb -- normalise, backbone, join the layers --> embedding -- detector --> distance -- tail --> map

What the detector has learnt, the smoothing, the scale of the levels and the region of interest are *inputs*
of the graph: adding, removing and re-fitting change values, never the graph. The exporter bakes them in.
``tail_graph`` is the last part by itself, for distances that come from elsewhere (the normals' held-out
ones): the same nodes, so the same map to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from padim.enlarge import enlarging
from padim.piece import FLOAT, INT64, Piece, constants, op, tensor
from padim.registry import Backbone, Layer

OPSET = 17
IR_VERSION = 9

# What is not a number, or beyond all numbers, counts as very far away: never as good.
FARTHEST = 1e30
_MAX_LEVEL = 65535.0


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
    fixed = constants(pixel_scale=scale, pixel_offset=offset)
    before = [
        op("Transpose", ["rgb"], ["rgb_planes"], perm=[0, 3, 1, 2]),
        op("Cast", ["rgb_planes"], ["rgb_float"], to=FLOAT),
        op("Mul", ["rgb_float", "pixel_scale"], ["rgb_scaled"]),
        op("Add", ["rgb_scaled", "pixel_offset"], ["image"]),
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
                op("AveragePool", [finer], [source], kernel_shape=[side, side], strides=[side, side])
            )
        # Fewer channels make enlarging cheaper. Also where all are kept: both graphs then join the layers in
        # the same memory layout, in which they round alike: fit and scoring see the same features to the bit.
        chosen = f"{layer.name}_kept"
        fixed += constants(**{f"{chosen}_channels": own})
        behind.append(op("Gather", [source, f"{chosen}_channels"], [chosen], axis=1))
        if layer.stride <= grid_stride:
            on_grid.append(chosen)
            continue
        target = f"{layer.name}_on_grid"
        rows = enlarging(input_size // layer.stride, input_size // grid_stride, 0.0).astype(np.float32)
        fixed += constants(**{f"{target}_rows": rows, f"{target}_columns": np.ascontiguousarray(rows.T)})
        behind += [
            op("MatMul", [f"{target}_rows", chosen], [f"{target}_tall"]),
            op("MatMul", [f"{target}_tall", f"{target}_columns"], [target]),
        ]
        on_grid.append(target)
    behind.append(op("Concat", on_grid, ["embedding"], axis=1))
    rgb = tensor("rgb", TensorProto.UINT8, ["n", input_size, input_size, 3])
    return Piece([*before, *body.node, *behind], [*body.initializer, *fixed], [rgb])


def _checked_piece(*, guarded: bool) -> Piece:
    """``unchecked`` to ``distance``, both float32 ``(n, p)``.

    ``guarded``: what is no number becomes :data:`FARTHEST`, for those who cannot look at ``distance``.
    """
    if not guarded:
        return Piece([op("Identity", ["unchecked"], ["distance"])], [], [])
    nodes = [
        op("IsNaN", ["unchecked"], ["not_a_number"]),
        op("Where", ["not_a_number", "farthest", "unchecked"], ["number"]),
        op("Min", ["number", "farthest"], ["distance"]),
    ]
    return Piece(nodes, constants(farthest=np.float32(FARTHEST)), [])


def _tail_piece() -> Piece:
    """``distance`` to ``map``, uint16 ``(n, size, size)``, and ``score``, its largest level.

    Enlarging and smoothing are one linear operator on rows and columns (``padim.maps.enlarging``); the row
    operator is divided by the levels' step, so that what comes out is a level.
    """
    nodes = [
        op("Reshape", ["distance", "grid_shape"], ["grid"]),
        op("MatMul", ["rows_to_levels", "grid"], ["tall"]),
        op("MatMul", ["tall", "columns"], ["wide"]),
        op("Add", ["wide", "level_offset"], ["unrounded"]),
        op("Round", ["unrounded"], ["rounded"]),
        op("Clip", ["rounded", "lowest", "highest"], ["clipped"]),
        op("Mul", ["clipped", "inside"], ["judged"]),
        op("Cast", ["judged"], ["map"], to=TensorProto.UINT16),
        op("ReduceMax", ["judged"], ["score"], axes=[1, 2], keepdims=0),
    ]
    fixed = constants(lowest=np.float32(0), highest=np.float32(_MAX_LEVEL))
    inputs = [
        tensor("grid_shape", INT64, [3]),
        tensor("rows_to_levels", FLOAT, ["size", "grid"]),
        tensor("columns", FLOAT, ["grid", "size"]),
        tensor("level_offset", FLOAT, []),
        tensor("inside", FLOAT, ["n or 1", "size or 1", "size or 1"]),
    ]
    return Piece(nodes, fixed, inputs)


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
    return _model("padim_embedding", [piece], [tensor("embedding", FLOAT, ["n", channels, grid, grid])])


def _of_embedding(kept: npt.NDArray[np.int64]) -> Piece:
    """Input ``all_channels``, float32 ``(n, c, h, w)``; gives ``embedding``, of those kept."""
    nodes = [op("Gather", ["all_channels", "channels"], ["embedding"], axis=1)]
    return Piece(nodes, constants(channels=kept), [tensor("all_channels", FLOAT, ["n", "c", "h", "w"])])


def behind_embedding_graph(
    detector: Piece, kept: npt.NDArray[np.int64], size: int, *, guarded: bool = False
) -> onnx.ModelProto:
    """All but the network: an embedding of all channels to the outputs of :func:`scoring_graph`."""
    pieces = [_of_embedding(kept), detector, _checked_piece(guarded=guarded), _tail_piece()]
    return _model("padim_behind_embedding", pieces, _outputs(size))


def tail_graph() -> onnx.ModelProto:
    """The last part by itself: ``distance`` to ``map``."""
    distance = Piece([], [], [tensor("distance", FLOAT, ["n", "p"])])
    outputs = [tensor("map", TensorProto.UINT16, ["n", "size", "size"])]
    piece = _tail_piece()
    return _model("padim_tail", [distance, Piece(piece.nodes[:-1], piece.constants, piece.inputs)], outputs)


def scoring_graph(embedding: Piece, detector: Piece, size: int, *, guarded: bool = False) -> onnx.ModelProto:
    """The whole: ``rgb`` to ``distance``, ``map`` and ``score``.

    Args:
        embedding: from :func:`embedding_piece`, of the channels kept.
        detector: from :meth:`padim.detector.Detector.piece`.
        size: side of the map.
        guarded: pictures whose distances are no numbers are told by the map as well.

    Returns:
        outputs ``distance`` float32 ``(n, p)``, ``map`` uint16 ``(n, size, size)`` and ``score`` float32
        ``(n,)``: the map's largest level, the anomaly score at a smallest region of one pixel.
    """
    pieces = [embedding, detector, _checked_piece(guarded=guarded), _tail_piece()]
    return _model("padim_scoring", pieces, _outputs(size))


def _outputs(size: int) -> list[onnx.ValueInfoProto]:
    return [
        tensor("distance", FLOAT, ["n", "p"]),
        tensor("map", TensorProto.UINT16, ["n", size, size]),
        tensor("score", FLOAT, ["n"]),
    ]
