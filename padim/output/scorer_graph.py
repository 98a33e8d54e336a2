"""The graph of an exported model: the scoring graph with a model's arrays as constants.

With ``output_type`` float32 it uses only types and forms of operators that TensorRT's ONNX parser accepts:
TensorRT has neither uint16 nor int16, takes uint8 only as a network input that is cast at once, and
dequantizes only from signed integers around zero. The levels are the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from padim.methods.factor import LowRank
from padim.methods.padim import PatchGaussians

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["OutputType", "add_initializer", "exported_graph", "takes_inside"]

Array: TypeAlias = npt.NDArray[Any]
OutputType: TypeAlias = Literal["uint16", "float32"]
"""Type of the level map in an exported graph; the values are the same integers."""


def takes_inside(model: Padim) -> bool:
    """Whether an exported graph has the input ``inside``: the model pads images, or locates parts."""
    return model.config.fit == "pad" or model.config.align is not None


def exported_graph(
    model: Padim, *, distances: bool, output_type: OutputType
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Return the scoring graph of a model without its constant arrays, and these arrays by name.

    Args:
        model: a fitted model.
        distances: whether the output ``distance`` is kept.
        output_type: type of the output ``map``.
    """
    state, extractor = model.state, model.network.extractor
    detector, shape = state.fitted.detector, extractor.input_shape
    proto = extractor.scoring_graph(detector, model.state.channels, guarded=True)
    graph = proto.graph
    baked = dict(state.scorer.arrays)
    inside = baked.pop("inside")
    everywhere = inside.shape == (1, 1, 1) and bool(inside.all())
    for value in list(graph.input):
        if value.name != "rgb":
            graph.input.remove(value)
    if takes_inside(model):
        graph.input.append(helper.make_tensor_value_info("inside", TensorProto.FLOAT, ["n", *shape]))
        if not everywhere:
            baked["roi"] = inside
            at = _index_of(graph, "judged")
            graph.node[at].input[1] = "inside_roi"
            graph.node.insert(at, helper.make_node("Mul", ["inside", "roi"], ["inside_roi"]))
    elif everywhere:
        at = _index_of(graph, "judged")
        multiplied = graph.node[at].input[0]
        graph.node.pop(at)
        for node in graph.node:
            node.input[:] = [multiplied if name == "judged" else name for name in node.input]
    else:
        baked["inside"] = inside
    if not distances:
        graph.output.remove(next(value for value in graph.output if value.name == "distance"))
    factor = detector.factor if isinstance(detector, PatchGaussians) else None
    if output_type == "float32":
        _use_plain_types(graph)
    elif isinstance(factor, LowRank) and factor.narrow:
        # All values are multiples of a step by 16-bit integers: half the size, without any rounding.
        baked.pop("basis")
        baked["basis_16"] = factor.integers()[:, None]
        assert factor.step is not None
        baked["basis_step"] = factor.step[:, None, None]
        graph.node.insert(0, helper.make_node("Mul", ["basis_32", "basis_step"], ["basis"]))
        graph.node.insert(0, helper.make_node("Cast", ["basis_16"], ["basis_32"], to=TensorProto.FLOAT))
    used = {name for node in graph.node for name in node.input}
    for constant in [constant for constant in graph.initializer if constant.name not in used]:
        graph.initializer.remove(constant)
    return proto, baked


def _index_of(graph: onnx.GraphProto, output: str) -> int:
    return next(i for i, node in enumerate(graph.node) if output in node.output)


def add_initializer(proto: onnx.ModelProto, key: str, array: Array) -> onnx.TensorProto:
    """Add a constant with the array's name, dtype and shape to the graph, without its data."""
    tensor = proto.graph.initializer.add()
    tensor.name, tensor.data_type = key, helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.dims.extend(array.shape)
    return tensor


def _use_plain_types(graph: onnx.GraphProto) -> None:
    """Change the first and the last nodes so that no uint16 and no arithmetic on uint8 is left.

    The results are the same numbers: a level is a whole number of at most 65535, exact in float32, and a
    pixel less its zero point is one too.
    """
    output = next(value for value in graph.output if value.name == "map")
    output.type.tensor_type.elem_type = TensorProto.FLOAT
    cast = graph.node[_index_of(graph, "map")]
    cast.CopyFrom(helper.make_node("Identity", [cast.input[0]], ["map"]))
    for at, node in enumerate(graph.node):
        if "rgb" in node.input:
            node.input[list(node.input).index("rgb")] = "rgb_float32"
            graph.node.insert(at, helper.make_node("Cast", ["rgb"], ["rgb_float32"], to=TensorProto.FLOAT))
            break
    # One at most: the first node of a network whose pixels are scaled around a whole number.
    for at in [i for i, node in enumerate(graph.node) if node.op_type == "DequantizeLinear"]:
        source, scale, zero = graph.node[at].input
        (target,) = graph.node[at].output
        stored = next(constant for constant in graph.initializer if constant.name == zero)
        stored.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored).astype(np.float32), zero))
        graph.node[at].CopyFrom(helper.make_node("Sub", [source, zero], ["pixels_from_zero"]))
        graph.node.insert(at + 1, helper.make_node("Mul", ["pixels_from_zero", scale], [target]))
