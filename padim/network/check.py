"""Check that an ONNX network from a saved model is safe to run, before ONNX Runtime reads it.

A saved model may come from anyone and is untrusted. Its network is accepted only if this program's own export
could have written it: one file, the operators of :data:`OPERATORS` with the attributes listed there, and all
numbers in the file itself. From the size of the input, the sizes of all intermediate results and the number
of multiplications are computed here, in Python; a network for which this is not possible is refused. So an
accepted network cannot read other files, loop, call foreign code, or use disproportionate memory or time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from padim.errors import BundleError
from padim.network.registry import Layer
from padim.text import megabytes

__all__ = ["OPERATORS", "check_network"]

OPSET = 17
# Largest size of the file; a protobuf message can have at most 2 GiB.
MOST_BYTES = 2_000_000_000
# Bytes of names, nodes and shapes, that is, all but the constants' numbers: each may take a hundred bytes
# when parsed. The largest network of the registry has 0.2 MB of them.
MOST_STRUCTURE_BYTES = 4_000_000
MOST_NODES = 10_000
# Largest number of values in a constant that is computed here; such constants are paddings and bounds.
_MOST_NUMBERS = 64
# Numbers in memory at the same time, per pixel of the input; the registry's networks have up to 100. At 256
# pixels and 16 images per run this is 1 GB.
MOST_HELD_A_PIXEL = 256
# Multiplications per pixel of the input; Wide-ResNet-50 has 0.23 million, the whole registry together 0.6.
MOST_PRODUCTS_A_PIXEL = 1_000_000
# Smaller inputs count as this many pixels, because some costs do not depend on the size.
_FEWEST_PIXELS = 64 * 64
_LARGEST_SETTING = 2**16

Shape = tuple[int, ...]

# Every operator that the export writes, with its attributes. tests/network/test_backbone.py checks all
# networks of the registry against this table.
OPERATORS: Mapping[str, frozenset[str]] = {
    "Add": frozenset(),
    "Cast": frozenset({"to"}),
    "Clip": frozenset(),
    "Concat": frozenset({"axis"}),
    "Constant": frozenset({"value"}),
    "ConstantOfShape": frozenset({"value"}),
    "Conv": frozenset({"dilations", "group", "kernel_shape", "pads", "strides"}),
    "GlobalAveragePool": frozenset(),
    "HardSigmoid": frozenset({"alpha"}),
    "HardSwish": frozenset(),
    "Identity": frozenset(),
    "MaxPool": frozenset({"ceil_mode", "dilations", "kernel_shape", "pads", "strides"}),
    "Mul": frozenset(),
    "Pad": frozenset({"mode"}),
    "Relu": frozenset(),
    "Reshape": frozenset({"allowzero"}),
    "Sigmoid": frozenset(),
    "Slice": frozenset(),
    "Transpose": frozenset({"perm"}),
}

_NUMBER_TYPES = {TensorProto.FLOAT: np.float32, TensorProto.INT64: np.int64}
_PLAIN_ATTRIBUTES = {AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.INTS, AttributeProto.STRING}


class _Refused(Exception):
    """Raised with the reason why a network is not accepted; the message does not name the network."""


def check_network(content: bytes, name: str, layers: Sequence[Layer], input_shape: tuple[int, int]) -> None:
    """Check a network without running it; raise BundleError with the reason if it is not accepted.

    Args:
        content: the ONNX file, with the input ``image``, float32 ``(n, 3, h, w)``, and one output per layer.
        name: name of the file for the message.
        layers: the layers that will be read, each an output of that name, ``(n, channels, h / stride,
            w / stride)``.
        input_shape: h and w.

    Raises:
        BundleError: the network is damaged, too large, or not one that this program writes.
    """
    try:
        _check_wire(content)
        try:
            model = onnx.load_model_from_string(content)
        except Exception as error:  # protobuf's DecodeError has no public name to import
            raise _Refused("it is not an ONNX file or is damaged") from error
        _check_model(model)
        shapes = _shapes(model.graph, input_shape)
        for layer in layers:
            height, width = (side // layer.stride for side in input_shape)
            if shapes.get(layer.name) != (1, layer.channels, height, width):
                raise _Refused(f"it does not give the layer {layer.name}, of {layer.channels} channels")
    except _Refused as refused:
        raise BundleError(
            f"{name} is not a network that padim writes: {refused}; save the model again with the padim that "
            "fitted it, or fit a new one"
        ) from refused.__cause__


# --- the protobuf wire format, before anything is parsed ----------------------------------------------------

# Fields of the messages ModelProto, GraphProto and TensorProto.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9


def _check_wire(content: bytes) -> None:
    """Limit the memory that parsing takes: everything but the constants' raw numbers counts as structure."""
    if len(content) > MOST_BYTES:
        raise _Refused(f"it has {megabytes(len(content))}, over the limit of {megabytes(MOST_BYTES)}")
    structure, entries = len(content), 0
    graphs = [(at, end) for field, at, end in _fields(content, 0, len(content)) if field == _GRAPH]
    for graph in graphs:
        for field, at, end in _fields(content, *graph):
            entries += 1
            if entries > 2 * MOST_NODES:
                raise _Refused("it has too many parts")
            if field == _INITIALIZER:
                raw = [
                    last - first for number, first, last in _fields(content, at, end) if number == _RAW_DATA
                ]
                structure -= sum(raw)
    if structure > MOST_STRUCTURE_BYTES:
        raise _Refused(
            f"it has {megabytes(structure)} besides its numbers, over the limit of "
            f"{megabytes(MOST_STRUCTURE_BYTES)}"
        )


def _fields(content: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a protobuf message: number, and start and end of the value in ``content``."""
    seen = 0
    while at < stop:
        seen += 1
        if seen > 2 * MOST_NODES:
            raise _Refused("it has too many parts")
        key, at = _varint(content, at, stop)
        kind = key & 7
        if kind == 0:
            _, end = _varint(content, at, stop)
        elif kind == 1:
            end = at + 8
        elif kind == 2:
            length, at = _varint(content, at, stop)
            end = at + length
        elif kind == 5:
            end = at + 4
        else:
            raise _Refused("it is not an ONNX file or is damaged")
        if end > stop:
            raise _Refused("it is cut short or damaged")
        yield key >> 3, at, end
        at = end


def _varint(content: bytes, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= stop:
            raise _Refused("it is cut short or damaged")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at
    raise _Refused("it is not an ONNX file or is damaged")


# --- operators, attributes and constants --------------------------------------------------------------------


def _check_model(model: onnx.ModelProto) -> None:
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer or graph.quantization_annotation:
        raise _Refused("it has functions or other parts that no backbone has")
    opsets = [(entry.domain, entry.version) for entry in model.opset_import]
    if [domain for domain, _ in opsets if domain not in ("", "ai.onnx")]:
        raise _Refused("it uses operators of a custom domain")
    if [version for _, version in opsets] != [OPSET]:
        raise _Refused(f"it is not of operator set {OPSET}")
    if len(graph.node) > MOST_NODES:
        raise _Refused(f"it has {len(graph.node):,} nodes, over the limit of {MOST_NODES:,}")
    if [value.name for value in graph.input] != ["image"]:
        raise _Refused("its input is not 'image'")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            operator = ".".join(part for part in (node.domain, node.op_type) if part)
            raise _Refused(f"the operator {_short(operator)} is not one of a backbone's")
        for attribute in node.attribute:
            _check_attribute(node.op_type, attribute)
    for tensor in graph.initializer:
        _check_tensor(tensor)


def _check_attribute(operator: str, attribute: onnx.AttributeProto) -> None:
    name = attribute.name
    if name not in OPERATORS[operator] or attribute.ref_attr_name:
        raise _Refused(f"{operator} has the attribute {_short(name)}, which no backbone's has")
    if name == "value":
        if attribute.type != AttributeProto.TENSOR:
            raise _Refused(f"the value of a {operator} is not an array")
        _check_tensor(attribute.t)
    elif attribute.type not in _PLAIN_ATTRIBUTES:
        raise _Refused(f"{operator} has the attribute {name} as another graph")


def _check_tensor(tensor: onnx.TensorProto) -> None:
    """Check that a constant's numbers are in the file, match its shape and have a type that backbones use."""
    name = _short(tensor.name)
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise _Refused(f"the numbers of {name} are in another file")
    if tensor.data_type not in _NUMBER_TYPES or tensor.HasField("segment"):
        raise _Refused(f"{name} is of a type that no backbone's constants have")
    if len(tensor.dims) > 4 or any(side < 0 for side in tensor.dims):
        raise _Refused(f"{name} has a shape that no backbone's constants have")
    count = math.prod(tensor.dims)
    itemsize = np.dtype(_NUMBER_TYPES[tensor.data_type]).itemsize
    typed = tensor.float_data if tensor.data_type == TensorProto.FLOAT else tensor.int64_data
    there = len(tensor.raw_data) if tensor.HasField("raw_data") else itemsize * len(typed)
    unused = sum(map(len, (tensor.int32_data, tensor.string_data, tensor.double_data, tensor.uint64_data)))
    if tensor.HasField("raw_data"):
        unused += len(tensor.float_data) + len(tensor.int64_data)
    if there != itemsize * count or unused:
        raise _Refused(f"{name} does not have as many numbers as its shape requires")


def _short(name: str) -> str:
    """Shorten and quote an untrusted name for a message."""
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


# --- sizes of all intermediate results ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Value:
    """A tensor of the graph: its shape, and its numbers where they are few and known.

    Attributes:
        shape: for one image.
        numbers: the values of a small constant; None otherwise.
        image: whether it depends on the input.
    """

    shape: Shape
    numbers: npt.NDArray[Any] | None = None
    image: bool = False


def _shapes(graph: onnx.GraphProto, input_shape: tuple[int, int]) -> dict[str, Shape]:
    """Compute the shape of every tensor that depends on the input, for one image.

    Raises:
        _Refused: a shape is too large or cannot be computed.
    """
    values = {"image": _Value((1, 3, *input_shape), image=True)}
    for tensor in graph.initializer:
        if tensor.name in values:
            raise _Refused(f"{_short(tensor.name)} is defined twice")
        values[tensor.name] = _constant(tensor)
    pixels = max(math.prod(input_shape), _FEWEST_PIXELS)
    last_use = {name: at for at, node in enumerate(graph.node) for name in node.input}
    last_use |= {output.name: len(graph.node) for output in graph.output}
    products, held, freed = 0, 0, defaultdict[int, int](int)
    for at, node in enumerate(graph.node):
        if len(node.output) != 1 or not node.output[0] or node.output[0] in values:
            raise _Refused(f"a {node.op_type} has no output of its own")
        inputs = []
        for name in node.input:
            if name not in values:
                raise _Refused(f"a {node.op_type} takes {_short(name)}, which no earlier node computes")
            inputs.append(values[name])
        settings = {
            attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute
        }
        try:
            value, work = _RULES[node.op_type](inputs, settings)
        except _Refused as refused:
            raise _Refused(f"a {node.op_type} {refused}") from refused
        except (IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise _Refused(f"a {node.op_type} does not fit its inputs") from error
        size = math.prod(value.shape)
        products += size + work
        held += size
        if held > MOST_HELD_A_PIXEL * pixels:
            raise _Refused(f"a {node.op_type} would need {held:,} numbers in memory for one image")
        if products > MOST_PRODUCTS_A_PIXEL * pixels:
            raise _Refused("one image would take more work than any backbone's")
        values[node.output[0]] = value
        freed[last_use.get(node.output[0], at)] += size
        held -= freed.pop(at, 0)
    return {name: value.shape for name, value in values.items() if value.image}


def _constant(tensor: onnx.TensorProto) -> _Value:
    shape = tuple(tensor.dims)
    small = math.prod(shape) <= _MOST_NUMBERS
    return _Value(shape, numpy_helper.to_array(tensor) if small else None)


def _numbers(value: _Value) -> npt.NDArray[Any]:
    if value.numbers is None:
        raise _Refused("takes a size that is not a constant")
    return value.numbers


def _known(numbers: npt.NDArray[Any]) -> tuple[_Value, int]:
    if numbers.size > _MOST_NUMBERS or numbers.ndim > 4:
        raise _Refused("computes more numbers than a padding has")
    return _Value(numbers.shape, numbers), 0


_Rule = Callable[[list[_Value], dict[str, Any]], tuple[_Value, int]]


def _image(value: _Value) -> Shape:
    if not value.image or len(value.shape) != 4:
        raise _Refused("has an input that is not an image")
    return value.shape


# Each rule below takes an operator's inputs and attributes; it returns the output and the multiplications.


def _same(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    (value,) = inputs
    _image(value)
    return value, 0


def _identity(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    (value,) = inputs
    return value, 0


def _clipped(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    value, *bounds = inputs
    _image(value)
    if any(bound.shape != () or bound.image for bound in bounds) or len(bounds) > 2:
        raise _Refused("has bounds that are not numbers")
    return value, 0


def _broadcast(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    one, other = inputs
    shape = np.broadcast_shapes(one.shape, other.shape)
    if not (one.image or other.image) or len(shape) != 4:
        raise _Refused("has an input that is not an image")
    return _Value(shape, image=True), 0


def _integers(settings: dict[str, Any], name: str, count: int, least: int) -> list[int]:
    """Return an attribute's integers; without the attribute all of them are ``least``."""
    numbers = [int(number) for number in settings.get(name, [least] * count)]
    if len(numbers) != count or not all(least <= number <= _LARGEST_SETTING for number in numbers):
        raise _Refused(f"has {name} out of range")
    return numbers


def _windows(shape: Shape, kernel: Sequence[int], settings: dict[str, Any], up: bool) -> list[int]:
    """Return the numbers of windows of a convolution or pooling along both axes."""
    pads, sides = _integers(settings, "pads", 4, 0), []
    strides, dilations = (_integers(settings, name, 2, 1) for name in ("strides", "dilations"))
    for axis in range(2):
        free = shape[2 + axis] + pads[axis] + pads[2 + axis] - dilations[axis] * (kernel[axis] - 1) - 1
        if free < 0:
            raise _Refused("is larger than the image")
        sides.append((-(-free // strides[axis]) if up else free // strides[axis]) + 1)
    return sides


def _convolved(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    image, weights, *bias = inputs
    _, channels, *_ = _image(image)
    out_channels, per_group, *kernel = weights.shape
    group = int(settings.get("group", 1))
    if (
        not 1 <= group <= channels
        or per_group * group != channels
        or out_channels % group
        or len(kernel) != 2
    ):
        raise _Refused("does not fit the channels of its input")
    if weights.image or 0 in kernel or any(one.image or one.shape != (out_channels,) for one in bias):
        raise _Refused("has no weights")
    if len(bias) > 1 or _integers({"kernel_shape": kernel, **settings}, "kernel_shape", 2, 1) != list(kernel):
        raise _Refused("does not fit its weights")
    shape = (1, out_channels, *_windows(image.shape, kernel, settings, up=False))
    return _Value(shape, image=True), math.prod(shape) * per_group * math.prod(kernel)


def _pooled(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    (image,) = inputs
    shape = _image(image)
    kernel = _integers(settings, "kernel_shape", 2, 1)
    sides = _windows(shape, kernel, settings, up=bool(settings.get("ceil_mode", 0)))
    result = (*shape[:2], *sides)
    return _Value(result, image=True), math.prod(result) * math.prod(kernel)


def _averaged(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    (image,) = inputs
    return _Value((*_image(image)[:2], 1, 1), image=True), 0


def _padded(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    image, pads, *filling = inputs
    shape = _image(image)
    amounts = [int(amount) for amount in _numbers(pads).ravel()]
    if len(amounts) != 8 or not all(0 <= amount <= _LARGEST_SETTING for amount in amounts):
        raise _Refused("has pads out of range")
    if settings.get("mode", b"constant") != b"constant" or len(filling) > 1:
        raise _Refused("pads in another mode than a backbone's")
    if filling and (filling[0].image or filling[0].shape != ()):
        raise _Refused("pads with a value that is not a number")
    sides = zip(shape, amounts[:4], amounts[4:], strict=True)
    return _Value(tuple(side + before + behind for side, before, behind in sides), image=True), 0


def _filled(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    shape = [int(side) for side in _numbers(inputs[0]).ravel()]
    value = settings.get("value")
    one = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    if any(side < 0 for side in shape) or math.prod(shape) > _MOST_NUMBERS or one.size != 1:
        raise _Refused("computes more numbers than a padding has")
    return _known(np.full(shape, one.ravel()[0]))


def _joined(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    parts = [_numbers(value) for value in inputs]
    if sum(part.size for part in parts) > _MOST_NUMBERS:
        raise _Refused("computes more numbers than a padding has")
    return _known(np.concatenate(parts, axis=int(settings["axis"])))


def _reshaped(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    numbers, shape = inputs
    if settings.get("allowzero", 0):
        raise _Refused("has a shape of zeros")
    return _known(_numbers(numbers).reshape([int(side) for side in _numbers(shape).ravel()]))


def _sliced(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    numbers, *bounds = (_numbers(value) for value in inputs)
    starts, stops, axes, steps = (bound.ravel().tolist() for bound in bounds)
    cut = [slice(None)] * numbers.ndim
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        before_first = step < 0 and stop < -numbers.shape[axis]
        cut[axis] = slice(start, None if before_first else stop, step)
    return _known(numbers[tuple(cut)])


def _transposed(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    (value,) = inputs
    return _known(_numbers(value).transpose([int(axis) for axis in settings["perm"]]))


def _as_type(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    (value,) = inputs
    return _known(_numbers(value).astype(_NUMBER_TYPES[settings["to"]]))


def _constant_node(inputs: list[_Value], settings: dict[str, Any]) -> tuple[_Value, int]:
    if inputs:
        raise _Refused("has an input")
    return _constant(settings["value"]), 0


_RULES: Mapping[str, _Rule] = {
    "Add": _broadcast,
    "Cast": _as_type,
    "Clip": _clipped,
    "Concat": _joined,
    "Constant": _constant_node,
    "ConstantOfShape": _filled,
    "Conv": _convolved,
    "GlobalAveragePool": _averaged,
    "HardSigmoid": _same,
    "HardSwish": _same,
    "Identity": _identity,
    "MaxPool": _pooled,
    "Mul": _broadcast,
    "Pad": _padded,
    "Relu": _same,
    "Reshape": _reshaped,
    "Sigmoid": _same,
    "Slice": _sliced,
    "Transpose": _transposed,
}
