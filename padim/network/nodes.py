"""Pieces of an ONNX graph, and helper functions to build them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

op = helper.make_node
tensor = helper.make_tensor_value_info
FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64


@dataclass(frozen=True)
class Piece:
    """Part of an ONNX graph: nodes with the constants and inputs that they need."""

    nodes: list[onnx.NodeProto]
    constants: list[onnx.TensorProto]
    inputs: list[onnx.ValueInfoProto]


def constants(**values: object) -> list[onnx.TensorProto]:
    """Convert arrays or numbers to constants of the graph, named by their keywords."""
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def renamed(piece: Piece, prefix: str, shared: Collection[str]) -> Piece:
    """Copy a piece with a prefix before every name but the shared ones, to combine pieces in one graph."""

    def name_of(name: str) -> str:
        # An empty name is an optional input that is not given.
        return name if name in shared or not name else prefix + name

    nodes = []
    for original in piece.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(original)
        copy.input[:] = [name_of(name) for name in original.input]
        copy.output[:] = [name_of(name) for name in original.output]
        copy.name = name_of(original.name)
        nodes.append(copy)
    fixed, inputs = [], []
    for constant in piece.constants:
        value = onnx.TensorProto()
        value.CopyFrom(constant)
        value.name = name_of(constant.name)
        fixed.append(value)
    for name_read in piece.inputs:
        info = onnx.ValueInfoProto()
        info.CopyFrom(name_read)
        info.name = name_of(name_read.name)
        inputs.append(info)
    return Piece(nodes, fixed, inputs)
