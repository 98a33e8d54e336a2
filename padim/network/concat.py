"""Join several backbones into one network: each processes the same image; all their layers are outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from padim.network.nodes import Piece, constants, op, renamed
from padim.network.registry import OF, Backbone, get


def joined(backbone: Backbone, parts: Mapping[str, bytes]) -> bytes:
    """Join the ONNX networks of several backbones into one.

    Args:
        backbone: the joined backbone from :func:`padim.network.registry.get`.
        parts: the networks by name, each from :func:`padim.network.backbone.onnx_bytes`.

    Returns:
        One network with the input ``image``, normalised as for the first part, and outputs named
        ``part/layer``.
    """
    nodes, fixed, outputs = [], [], []
    model = onnx.ModelProto()
    for index, (name, content) in enumerate(parts.items()):
        model = onnx.load_model_from_string(content)
        prefix = f"{name}{OF}"
        own = renamed(Piece(list(model.graph.node), list(model.graph.initializer), []), prefix, ())
        # A pixel v enters as v * scale + offset of the first part; this converts it to this part's values.
        part_backbone = get(name)
        scale = np.array(part_backbone.scale) / np.array(backbone.scale)
        offset = np.array(part_backbone.offset) - np.array(backbone.offset) * scale
        fixed += constants(
            **{
                f"part{index}_scale": scale.astype(np.float32).reshape(1, 3, 1, 1),
                f"part{index}_offset": offset.astype(np.float32).reshape(1, 3, 1, 1),
            }
        )
        nodes += [
            op("Mul", ["image", f"part{index}_scale"], [f"part{index}_scaled"]),
            op("Add", [f"part{index}_scaled", f"part{index}_offset"], [f"{prefix}image"]),
            *own.nodes,
        ]
        fixed += own.constants
        for output in model.graph.output:
            info = onnx.ValueInfoProto()
            info.CopyFrom(output)
            info.name = prefix + output.name
            outputs.append(info)
    graph = helper.make_graph(nodes, "joined_backbones", list(model.graph.input), outputs, fixed)
    result = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    return bytes(result.SerializeToString())
