"""The network that is part of this package: EfficientNet-Lite0 as ONNX, cut to the requested layers.

The file in ``exported/`` is torch's own export with every layer in the registry, made by
``scripts/export_lite0.py``. :func:`cut` derives from it what :func:`padim.network.backbone.export` would
write for fewer layers, byte for byte and without torch: the network's bytes are part of the identity of every
model's working files, so a different encoding of the same graph would invalidate those. What torch writes
depends on the layers in three ways only:

- nodes after the deepest layer, and the weights that they read, are missing;
- an output that was not requested is an inner value, named after the node that computes it;
- the weights are numbered from a first number that depends on the deepest layer. It cannot be derived from
  the graph; the file's metadata contain it for every layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from padim.errors import BackboneError

if TYPE_CHECKING:
    import onnx

_NUMBERED = re.compile(r"(onnx::\w+_)(\d+)")
_FIRST_NUMBER = "first_number/"


@lru_cache(maxsize=8)
def packaged_onnx(file: str, layers: tuple[str, ...]) -> bytes:
    """Return the packaged network up to the deepest of these layers, as the bytes that torch would export.

    Args:
        file: name of the packaged file (:attr:`padim.network.registry.WeightsFile.network`).
        layers: names of layers, from shallow to deep.

    Raises:
        BackboneError: the file is missing from the installation.
    """
    try:
        content = (files("padim") / "network" / "exported" / file).read_bytes()
    except OSError as error:
        raise BackboneError(
            f"{file} is missing from the installation ({error.strerror}); install the program again"
        ) from error
    return cut(content, layers)


def cut(content: bytes, layers: Sequence[str]) -> bytes:
    """Derive the export with only these layers as outputs from the export with all layers.

    Args:
        content: the export with all layers, from :func:`with_first_numbers`.
        layers: names of the outputs to keep, from shallow to deep.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    first = {entry.key: int(entry.value) for entry in model.metadata_props}[_FIRST_NUMBER + layers[-1]]
    del model.metadata_props[:]
    maker = {name: node for node in graph.node for name in node.output}
    deepest = next(index for index, node in enumerate(graph.node) if layers[-1] in node.output)
    del graph.node[deepest + 1 :]

    shift = first - _first_number(graph)

    def renumbered(name: str) -> str:
        found = _NUMBERED.fullmatch(name)
        return f"{found[1]}{int(found[2]) + shift}" if found else name

    inner = {out.name: f"{maker[out.name].name}_output_0" for out in graph.output if out.name not in layers}
    for node in graph.node:
        node.input[:] = [inner.get(name) or renumbered(name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
    _keep_read(graph, renumbered)
    _keep_outputs(graph, layers, f"{maker[layers[0]].op_type}{layers[0]}_dim_3")
    return bytes(model.SerializeToString())


def _keep_read(graph: onnx.GraphProto, renumbered: Callable[[str], str]) -> None:
    """Remove the weights that no node reads, which are the last ones, as weights are in the nodes' order."""
    read = {name for node in graph.node for name in node.input}
    for weight in graph.initializer:
        weight.name = renumbered(weight.name)
    kept = sum(weight.name in read for weight in graph.initializer)
    del graph.initializer[kept:]


def _keep_outputs(graph: onnx.GraphProto, layers: Sequence[str], width: str) -> None:
    """Remove the other outputs; torch names the dynamic width of all outputs after the first of them."""
    for index in reversed(range(len(graph.output))):
        if graph.output[index].name not in layers:
            del graph.output[index]
    for output in graph.output:
        output.type.tensor_type.shape.dim[3].dim_param = width


def _first_number(graph: onnx.GraphProto) -> int:
    return min(int(found[2]) for weight in graph.initializer if (found := _NUMBERED.fullmatch(weight.name)))


def with_first_numbers(content: bytes, alone: dict[str, bytes]) -> bytes:
    """Build the file to package: the export with all layers, and each layer's first number for :func:`cut`.

    Args:
        content: the export with all layers.
        alone: for each layer, by name, the export with that layer only.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    for layer, own in alone.items():
        number = _first_number(onnx.load_model_from_string(own).graph)
        model.metadata_props.add(key=_FIRST_NUMBER + layer, value=str(number))
    return bytes(model.SerializeToString())
