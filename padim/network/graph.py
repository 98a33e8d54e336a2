"""Build the scoring graph: one ONNX graph from uint8 images to level maps.

    rgb -- normalise, backbone, join the layers --> embedding -- detector --> distance -- tail --> map

The detector's parameters, the smoothing, the scale of the levels and the region of interest are *inputs* of
the graph: adding or removing images and fitting again change the values, never the graph. The exporter stores
them as constants. ``tail_graph`` is the last part by itself, for distances that were computed elsewhere (the
normals' held-out distances): the same nodes, so the same map to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from padim.methods.catalogue import FeatureNorm
from padim.network.nodes import FLOAT, INT64, Piece, constants, op, tensor
from padim.network.registry import Backbone, Layer
from padim.network.resample import enlarging

OPSET = 17
IR_VERSION = 9

# NaN and infinity count as this distance, very far away, so that they are never accepted as good.
FARTHEST = 1e30
# Smallest divisor of a layer's vector in feature normalization.
SHORTEST = 1e-6
_MAX_LEVEL = 65535.0


def embedding_piece(
    backbone_onnx: bytes,
    backbone: Backbone,
    layers: Sequence[Layer],
    input_shape: tuple[int, int],
    grid_stride: int,
    kept: npt.NDArray[np.int64] | None = None,
    feature_norm: FeatureNorm = "none",
) -> Piece:
    """Build the nodes from images to embeddings: normalisation, backbone and layers joined on one grid.

    See docs/design.md, section 4.1. The input is ``rgb``, uint8 ``(n, *input_shape, 3)``. The result is
    ``embedding``, float32 ``(n, c, H, W)``, the layers' channels from shallow to deep; a finer layer is
    area-averaged to the grid, a coarser one enlarged bilinearly with half-pixel centres. With ``kept``, int64
    ``(d,)`` in ascending order, it contains only these channels.

    With ``feature_norm`` ``l2`` every layer's vector of all its c channels is multiplied, at each position of
    the grid, by ``sqrt(c) / max(|x|, 1e-6)``: the mean square of all its channels becomes 1, and that of the
    kept channels about 1. It is a fixed function of one image, so exact held-out distances stay exact.
    """
    body = onnx.load_model_from_string(backbone_onnx).graph
    before = _pixels(backbone)
    nodes, fixed = [*before.nodes, *body.node], [*body.initializer, *before.constants]
    on_grid, first = [], 0
    for layer in layers:
        own = np.arange(layer.channels)
        if kept is not None:
            own = kept[(kept >= first) & (kept < first + layer.channels)] - first
            first += layer.channels
        if not len(own):
            continue
        piece = _layer_piece(layer, own, input_shape, grid_stride, feature_norm)
        nodes += piece.nodes
        fixed += piece.constants
        on_grid.append(_on_grid(layer))
    nodes.append(op("Concat", on_grid, ["embedding"], axis=1))
    rgb = tensor("rgb", TensorProto.UINT8, ["n", *input_shape, 3])
    return Piece(nodes, fixed, [rgb])


def _pixels(backbone: Backbone) -> Piece:
    """Build the nodes from ``rgb`` to ``image``: float32 planes with ``v * scale + offset`` for a pixel v."""
    planes = op("Transpose", ["rgb"], ["rgb_planes"], perm=[0, 3, 1, 2])
    zero = -backbone.offset[0] / backbone.scale[0]
    if len({*backbone.scale}) == len({*backbone.offset}) == 1 and zero in range(256):
        # One pass over the pixels instead of three, with the same result.
        fixed = constants(pixel_scale=np.float32(backbone.scale[0]), pixel_zero=np.uint8(zero))
        return Piece(
            [planes, op("DequantizeLinear", ["rgb_planes", "pixel_scale", "pixel_zero"], ["image"])],
            fixed,
            [],
        )
    scale, offset = (np.asarray(v, np.float32).reshape(1, 3, 1, 1) for v in (backbone.scale, backbone.offset))
    nodes = [
        planes,
        op("Cast", ["rgb_planes"], ["rgb_float"], to=FLOAT),
        op("Mul", ["rgb_float", "pixel_scale"], ["rgb_scaled"]),
        op("Add", ["rgb_scaled", "pixel_offset"], ["image"]),
    ]
    return Piece(nodes, constants(pixel_scale=scale, pixel_offset=offset), [])


def _on_grid(layer: Layer) -> str:
    """Return the name in the graph of a layer's kept channels on the grid."""
    return f"{layer.name}_on_grid"


def _layer_piece(
    layer: Layer,
    own: npt.NDArray[np.int64],
    input_shape: tuple[int, int],
    grid_stride: int,
    feature_norm: FeatureNorm,
) -> Piece:
    """Build the nodes from a layer's output to its kept channels on the grid, float32 ``(n, k, H, W)``.

    Args:
        layer: the layer, whose name is that of the output.
        own: int64 ``(k,)``, the kept channels, counted within the layer.
    """
    name, target = layer.name, _on_grid(layer)
    grid = [side // grid_stride for side in input_shape]
    fixed = constants(**{f"{name}_channels": own})

    # Used even if all channels are kept: both graphs then join the layers in the same memory layout and round
    # identically, so fitting and scoring get the same features to the bit.
    def chosen(source: str, result: str) -> onnx.NodeProto:
        return op("Gather", [source, f"{name}_channels"], [result], axis=1)

    def enlarged(source: str, result: str) -> list[onnx.NodeProto]:
        rows, columns = (
            enlarging(side // layer.stride, positions, 0.0).astype(np.float32)
            for side, positions in zip(input_shape, grid, strict=True)
        )
        fixed.extend(constants(**{f"{name}_rows": rows, f"{name}_columns": np.ascontiguousarray(columns.T)}))
        return [
            op("MatMul", [f"{name}_rows", source], [f"{name}_tall"]),
            op("MatMul", [f"{name}_tall", f"{name}_columns"], [result]),
        ]

    nodes, source = [], name
    if layer.stride < grid_stride:
        side, source = grid_stride // layer.stride, f"{name}_pooled"
        nodes.append(op("AveragePool", [name], [source], kernel_shape=[side, side], strides=[side, side]))
    if feature_norm == "none":
        if layer.stride <= grid_stride:
            return Piece([*nodes, chosen(source, target)], fixed, [])
        # Selected first, because enlarging fewer channels is cheaper.
        nodes += [chosen(source, f"{name}_kept"), *enlarged(f"{name}_kept", target)]
        return Piece(nodes, fixed, [])
    if layer.stride > grid_stride:
        # The norm is that of all channels on the grid, so the layer is enlarged before it is computed.
        nodes += enlarged(source, f"{name}_large")
        source = f"{name}_large"
    # The sum of squares is a product with a row of ones, the fastest way to sum over the channels.
    fixed += constants(
        **{
            f"{name}_ones": np.ones((1, layer.channels), np.float32),
            f"{name}_flat": np.array([0, layer.channels, -1]),
            f"{name}_map": np.array([0, 1, *grid]),
            f"{name}_tiny": np.float32(SHORTEST**2),
            f"{name}_length": np.float32(np.sqrt(layer.channels)),
        }
    )
    nodes += [
        op("Mul", [source, source], [f"{name}_squares"]),
        op("Reshape", [f"{name}_squares", f"{name}_flat"], [f"{name}_squares_flat"]),
        op("MatMul", [f"{name}_ones", f"{name}_squares_flat"], [f"{name}_sum"]),
        op("Max", [f"{name}_sum", f"{name}_tiny"], [f"{name}_above_zero"]),
        op("Sqrt", [f"{name}_above_zero"], [f"{name}_root"]),
        op("Div", [f"{name}_length", f"{name}_root"], [f"{name}_factor_flat"]),
        op("Reshape", [f"{name}_factor_flat", f"{name}_map"], [f"{name}_factor"]),
        chosen(source, f"{name}_kept"),
        op("Mul", [f"{name}_kept", f"{name}_factor"], [target]),
    ]
    return Piece(nodes, fixed, [])


def _checked_piece(*, guarded: bool) -> Piece:
    """Build the nodes from ``unchecked`` to ``distance``, both float32 ``(n, p)``.

    If ``guarded``, NaN and infinity become :data:`FARTHEST`, for users who see the map but not ``distance``.
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
    """Build the nodes from ``distance`` to ``map``, uint16 ``(n, h, w)``, and ``score``, its maximum.

    Enlarging and smoothing are one linear operator on rows and columns
    (``padim.network.resample.enlarging``); the row operator is divided by the step of the levels, so that the
    result is in levels.
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
        tensor("rows_to_levels", FLOAT, ["h", "H"]),
        tensor("columns", FLOAT, ["W", "w"]),
        tensor("level_offset", FLOAT, []),
        tensor("inside", FLOAT, ["n or 1", "h or 1", "w or 1"]),
    ]
    return Piece(nodes, fixed, inputs)


def _model(name: str, pieces: Sequence[Piece], outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    nodes, needed = [], {output.name for output in outputs}
    for node in reversed([node for piece in pieces for node in piece.nodes]):
        # Layers that were not chosen, and the nodes that only they need, are left out.
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


def embedding_graph(piece: Piece, channels: int, grid_shape: tuple[int, int]) -> onnx.ModelProto:
    """Build the graph for fitting, from ``rgb`` to ``embedding``."""
    return _model("padim_embedding", [piece], [tensor("embedding", FLOAT, ["n", channels, *grid_shape])])


def _of_embedding(kept: npt.NDArray[np.int64]) -> Piece:
    """Build the node that selects the kept channels of ``all_channels``, float32 ``(n, c, h, w)``."""
    nodes = [op("Gather", ["all_channels", "channels"], ["embedding"], axis=1)]
    return Piece(nodes, constants(channels=kept), [tensor("all_channels", FLOAT, ["n", "c", "h", "w"])])


def behind_embedding_graph(
    detector: Piece, kept: npt.NDArray[np.int64], shape: tuple[int, int], *, guarded: bool = False
) -> onnx.ModelProto:
    """Build the scoring graph without the network: from an embedding of all channels to the same outputs."""
    pieces = [_of_embedding(kept), detector, _checked_piece(guarded=guarded), _tail_piece()]
    return _model("padim_behind_embedding", pieces, _outputs(shape))


def tail_graph() -> onnx.ModelProto:
    """Build the last part of the scoring graph by itself, from ``distance`` to ``map``."""
    distance = Piece([], [], [tensor("distance", FLOAT, ["n", "p"])])
    outputs = [tensor("map", TensorProto.UINT16, ["n", "h", "w"])]
    piece = _tail_piece()
    return _model("padim_tail", [distance, Piece(piece.nodes[:-1], piece.constants, piece.inputs)], outputs)


def scoring_graph(
    embedding: Piece, detector: Piece, shape: tuple[int, int], *, guarded: bool = False
) -> onnx.ModelProto:
    """Build the whole scoring graph, from ``rgb`` to ``distance``, ``map`` and ``score``.

    Args:
        embedding: from :func:`embedding_piece`, for the kept channels.
        detector: from :meth:`padim.network.detector.Detector.piece`.
        shape: (h, w) of the map in pixels.
        guarded: whether NaN and infinite distances become very large ones, so that the map shows them.

    Returns:
        A graph with the outputs ``distance`` float32 ``(n, p)``, ``map`` uint16 ``(n, h, w)`` and
        ``score`` float32 ``(n,)``: the map's largest level, the anomaly score at a smallest region of one
        pixel.
    """
    pieces = [embedding, detector, _checked_piece(guarded=guarded), _tail_piece()]
    return _model("padim_scoring", pieces, _outputs(shape))


def _outputs(shape: tuple[int, int]) -> list[onnx.ValueInfoProto]:
    return [
        tensor("distance", FLOAT, ["n", "p"]),
        tensor("map", TensorProto.UINT16, ["n", *shape]),
        tensor("score", FLOAT, ["n"]),
    ]
