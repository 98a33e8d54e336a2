"""Which networks are run: those that the export writes, and nothing that reads, loops or blows up."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from padim import Padim, PadimConfig
from padim.errors import BundleError, PadimError
from padim.network import backbone, runtime
from padim.network import check as network_check
from padim.network.check import OPERATORS, check_network
from padim.network.registry import REGISTRY, Layer
from padim.storage import bundle
from padim.storage.bundle import Bundle
from tests.parts import defects

LAYER = Layer("out", "out", 4, 2)


def network() -> onnx.ModelProto:
    """An image to one layer: a convolution by 2, and its positive part."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["conv"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["out"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, "a", "b"])
    graph = helper.make_graph(nodes, "g", [image], [out], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def check(model: onnx.ModelProto | bytes, size: int = 64) -> None:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    check_network(content, "backbone.onnx", [LAYER], (size, size))


def test_a_small_network_is_taken() -> None:
    check(network())
    check(network(), 2048)


@pytest.mark.slow
def test_no_operator_is_allowed_that_no_network_has() -> None:
    """That all of the registry are taken is tested where they are exported, in ``test_backbones.py``."""
    used: dict[str, set[str]] = defaultdict(set)
    some = {"efficientnet_lite0": "blocks.2", "efficientnet_b0": "features.2", "resnet18": "maxpool"}
    for name in (*some, "mobilenet_v3_small"):
        layers = [some[name]] if name in some else [layer.name for layer in REGISTRY[name].layers]
        graph = onnx.load_model_from_string(backbone.onnx_bytes(name, layers, "random")).graph
        for node in graph.node:
            used[node.op_type] |= {attribute.name for attribute in node.attribute}
    assert used == OPERATORS
    assert set(network_check._RULES) == set(OPERATORS)


def node(operator: str, given: list[str], **settings: Any) -> Callable[[onnx.ModelProto], None]:
    """Put a node behind the convolution."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node.insert(1, helper.make_node(operator, given, ["more"], **settings))
        model.graph.node[2].input[0] = "more"

    return change


def constant(name: str, *numbers: int) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.initializer.append(numpy_helper.from_array(np.array(numbers), name))


def both(*changes: Callable[[onnx.ModelProto], None]) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for one in changes:
            one(model)

    return change


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_named_only(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="../secret")


def external_in_a_constant(model: onnx.ModelProto) -> None:
    node("Constant", [], value=numpy_helper.from_array(np.zeros(1, np.float32)))(model)
    tensor = model.graph.node[1].attribute[0].t
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")


def branch() -> onnx.GraphProto:
    value = helper.make_tensor_value_info("b", TensorProto.FLOAT, [])
    return helper.make_graph([helper.make_node("Identity", ["conv"], ["b"])], "b", [], [value])


def graph_in_an_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute.append(helper.make_attribute("body", branch()))


def function(model: onnx.ModelProto) -> None:
    relu = helper.make_node("Relu", ["x"], ["y"])
    made = helper.make_function("own", "F", ["x"], ["y"], [relu], [helper.make_opsetid("", 17)])
    model.functions.append(made)


def sparse(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [2**40])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2**62]))


def dims(*sides: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = sides

    return change


def conv(**settings: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].attribute.extend(
            helper.make_attribute(name, value)
            for name, value in settings.items()
        )  # fmt: skip
        kept = [a for a in model.graph.node[0].attribute if a.name not in settings]
        new = [a for a in model.graph.node[0].attribute if a.name in settings][-len(settings) :]
        del model.graph.node[0].attribute[:]
        model.graph.node[0].attribute.extend([*kept, *new])

    return change


def doubled(times: int) -> Callable[[onnx.ModelProto], None]:
    """A constant that is joined to itself, again and again: 2 to the power of ``times`` numbers."""

    def change(model: onnx.ModelProto) -> None:
        constant("c0", 1, 1)(model)
        for k in range(times):
            model.graph.node.insert(0, helper.make_node("Concat", [f"c{k}"] * 2, [f"c{k + 1}"], axis=0))
        model.graph.node.extend([model.graph.node[k] for k in range(times)][::-1])
        del model.graph.node[:times]

    return change


def grown(operator: str, times: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        constant("p", 0, 0, 500, 500, 0, 0, 500, 500)(model)
        name = "image"
        for k in range(times):
            given = [name, "p"] if operator == "Pad" else [name, name]
            model.graph.node.append(helper.make_node(operator, given, [f"x{k}"]))
            name = f"x{k}"

    return change


def many_held(model: onnx.ModelProto) -> None:
    """Results that are all needed at the end."""
    for k in range(200):
        model.graph.node.append(helper.make_node("Relu", ["image"], [f"r{k}"]))
    name = "image"
    for k in range(200):
        model.graph.node.append(helper.make_node("Add", [name, f"r{k}"], [f"s{k}"]))
        name = f"s{k}"


def twice(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["image"], ["out"]))


def opset(domain: str, version: int) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.opset_import.append(helper.make_opsetid(domain, version))


def other_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "photo"


def other_output(model: onnx.ModelProto) -> None:
    model.graph.node[1].output[0] = "other"


REFUSED: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "external data": (external, "in another file"),
    "external data, named only": (external_named_only, "in another file"),
    "external data in a constant": (external_in_a_constant, "in another file"),
    "If": (node("If", ["conv"], then_branch=branch(), else_branch=branch()), "operator 'If'"),
    "Loop": (node("Loop", ["", "", "conv"], body=branch()), "operator 'Loop'"),
    "Scan": (node("Scan", ["conv"], body=branch(), num_scan_inputs=1), "operator 'Scan'"),
    "a graph in an attribute": (graph_in_an_attribute, "attribute 'body'"),
    "a function": (function, "functions"),
    "sparse numbers": (sparse, "functions or other parts"),
    "a foreign operator": (node("Gelu", ["conv"], domain="com.microsoft"), "'com.microsoft.Gelu'"),
    "a foreign domain": (opset("com.evil", 1), "operators of a custom domain"),
    "a foreign domain of a known operator": (node("Relu", ["conv"], domain="com.evil"), "'com.evil.Relu'"),
    "two operator sets": (opset("", 18), "operator set 17"),
    "another operator set": (other_opset, "operator set 17"),
    "another input": (other_input, "its input is not 'image'"),
    "another output": (other_output, "does not give the layer out"),
    "another attribute": (conv(auto_pad="SAME_UPPER"), "attribute 'auto_pad'"),
    "Resize": (node("Resize", ["conv"]), "operator 'Resize'"),
    "Expand": (both(constant("s", 1, 4, 10**6, 10**6), node("Expand", ["conv", "s"])), "operator 'Expand'"),
    "Tile": (both(constant("s", 1, 1, 10**6, 10**6), node("Tile", ["conv", "s"])), "operator 'Tile'"),
    "negative sides": (dims(-4, -3, 3, 3), "a shape that no"),
    "sides that overflow": (dims(2**62, 2**62, 3, 3), "as many numbers as its shape"),
    "more numbers than there are": (dims(4, 3, 3, 4), "as many numbers as its shape"),
    "fewer numbers than there are": (dims(4, 3, 3, 1), "as many numbers as its shape"),
    "five sides": (dims(4, 3, 3, 3, 1), "a shape that no"),
    "strings": (lambda m: m.graph.initializer[0].string_data.append(b"x"), "as many numbers as its shape"),
    "two kinds of numbers": (
        lambda m: m.graph.initializer[0].float_data.append(1),
        "as many numbers as its shape",
    ),
    "another type": (lambda m: setattr(m.graph.initializer[0], "data_type", 16), "of a type"),
    "a vast padding of a convolution": (conv(pads=[10**6] * 4), "pads out of range"),
    "a wide padding of a convolution": (conv(pads=[60_000] * 4), "numbers"),
    "a negative padding": (conv(pads=[-1, 0, 0, 0]), "pads out of range"),
    "no step": (conv(strides=[0, 2]), "strides out of range"),
    "another group": (conv(group=2), "does not fit the channels"),
    "a large dilation": (conv(dilations=[500, 500]), "larger than the image"),
    "a constant filled out of proportion": (
        both(constant("s", 10**9), node("ConstantOfShape", ["s"])),
        "more numbers than a padding has",
    ),
    "a constant filled by the image": (node("ConstantOfShape", ["conv"]), "not a constant"),
    "a constant of negative length": (
        both(constant("s", -1), node("ConstantOfShape", ["s"])),
        "more numbers than a padding has",
    ),
    "a constant doubled": (doubled(40), "more numbers than a padding has"),
    "an image doubled": (node("Concat", ["conv", "conv"], axis=1), "not a constant"),
    "an image turned": (node("Transpose", ["conv"], perm=[3, 2, 1, 0]), "not a constant"),
    "an image as integers": (node("Cast", ["conv"], to=7), "not a constant"),
    "padding without end": (grown("Pad", 60), "numbers"),
    "too much at once": (many_held, "in memory for one image"),
    "an outer product": (
        both(
            lambda m: m.graph.initializer.append(
                numpy_helper.from_array(np.zeros((1, 2000, 1, 1), np.float32), "v")
            ),
            node("Add", ["image", "v"]),
        ),
        "does not fit",
    ),
    "the same result twice": (twice, "no output of its own"),
    "nothing gives it": (node("Relu", ["nowhere"]), "which no earlier node computes"),
    "itself": (node("Relu", ["more"]), "which no earlier node computes"),
    "not enough given": (node("Add", ["conv"]), "does not fit"),
    "too many parts": (
        lambda m: m.graph.node.extend([helper.make_node("Relu", ["image"], [f"{k}"]) for k in range(10_001)]),
        "nodes, over the limit",
    ),
    "a long name": (lambda m: setattr(m.graph, "doc_string", "x" * 5_000_000), "besides its numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_backbone_has_is_refused(name: str) -> None:
    change, reason = REFUSED[name]
    model = network()
    change(model)
    with pytest.raises(BundleError) as refused:
        check(model)
    message = str(refused.value)
    assert reason in message
    assert message.startswith("backbone.onnx is not a network that padim writes: ")
    assert "\n" not in message
    assert message.endswith("fit a new one")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"x" * 100,
        b":\xff\xff\xff\xff\x0f",
        b"\x0b" * 1000,  # groups within groups
        b"\x3a\x00" * 50_000,
        b":" + b"\x80\x80\x08" + b"\n\x00" * 65_536,  # empty nodes
        network().SerializeToString()[:-7],
        b"\xff" * 11,
    ],
)
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"backbone\.onnx is not a network that padim writes"):
        check(content)


def test_deep_nesting_is_refused() -> None:
    content = b""
    for _ in range(5000):  # a graph in a node's attribute, and again
        length = bytearray()
        left = len(content)
        while True:
            length.append(left & 0x7F | (0x80 if left > 0x7F else 0))
            left >>= 7
            if not left:
                break
        content = b"\x32" + bytes(length) + content
    with pytest.raises(BundleError):
        check(b":" + b"\x80\x80\x01" + content[: 2**14])


# --- where it is asked --------------------------------------------------------------------------------------


def with_network(saved: Path, folder: Path, content: bytes) -> Path:
    """The bundle with another network, sealed as if it belonged there."""
    opened = Bundle(saved)
    files = {name: opened.bytes(name) for name in opened.manifest["files"]}
    files["backbone.onnx"] = content
    own = ("format", "version", "files", "seal")
    manifest = {key: value for key, value in opened.manifest.items() if key not in own}
    bundle.write(folder / "model", manifest, files)
    return folder / "model"


def test_a_bundle_with_a_network_of_another_kind_is_refused(
    saved_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.ort, "InferenceSession", lambda *_, **__: pytest.fail("a session was made"))
    model = onnx.load_model_from_string(Bundle(saved_model).bytes("backbone.onnx"))
    external(model)
    path = with_network(saved_model, tmp_path, model.SerializeToString())
    with pytest.raises(BundleError, match=r"model: backbone.onnx is not .* are in another file"):
        Padim.load(path)


def test_what_onnx_runtime_refuses_is_told_in_one_sentence(saved_model: Path, tmp_path: Path) -> None:
    """Two names that clash with the program's own can only be found there."""
    model = onnx.load_model_from_string(Bundle(saved_model).bytes("backbone.onnx"))
    model.graph.node.append(helper.make_node("Relu", ["image"], ["embedding"]))
    path = with_network(saved_model, tmp_path, model.SerializeToString())
    with pytest.raises(PadimError, match="cannot be opened by ONNX Runtime") as refused:
        Padim.load(path)
    assert "\n" not in str(refused.value)


def test_what_goes_wrong_in_a_run_is_told_in_one_sentence(
    saved_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Padim.load(saved_model)

    class Failing:
        def run_with_ort_values(self, *_: object) -> None:
            raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION\n\tFailed to allocate memory")

    monkeypatch.setattr(model.network.extractor, "scoring_session", lambda *_: Failing())
    with pytest.raises(PadimError, match="cannot be run by ONNX Runtime") as failed:
        list(model.predict(defects(1)))
    assert "\n" not in str(failed.value)
    assert "Failed to allocate memory" in str(failed.value)
    monkeypatch.setattr(model.network.extractor, "session", Failing())
    with pytest.raises(PadimError, match="cannot be run by ONNX Runtime"):
        model.network.extractor(rng_image(64))


# --- mutated files ------------------------------------------------------------------------------------------

_FUZZ = """
import json, sys
from pathlib import Path
import numpy as np
from padim import Padim
from padim.errors import PadimError
saved, folder, pixels = Padim.load(sys.argv[1]), Path(sys.argv[2]), np.load(sys.argv[3])
from padim.network.extractor import FeatureExtractor
for line in sys.stdin:
    content = Path(line.strip()).read_bytes()
    try:
        found = FeatureExtractor(content, saved.config)(pixels)
        told = str(float(np.nan_to_num(found.astype(np.float64), posinf=1e9, neginf=-1e9).sum()))
    except PadimError as error:
        told = "refused: " + str(error)
    print(json.dumps(told), flush=True)
"""


def mutated(content: bytes, rng: random.Random, numbers: list[tuple[int, int]]) -> bytes:
    """Some bits, bytes, cuts or repeats, outside the raw numbers: those may be any."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        while any(first <= (at := rng.randrange(len(content))) < last for first, last in numbers):
            pass
        at = min(at, len(damaged) - 1)
        how = rng.randrange(5)
        if how == 0:
            damaged[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            damaged[at] = rng.randrange(256)
        elif how == 2:
            del damaged[at : at + rng.randrange(1, 20)]
        elif how == 3:
            damaged[at:at] = damaged[at : at + rng.randrange(1, 60)]
        else:
            damaged[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 8)))
    return bytes(damaged)


@pytest.mark.slow
def test_mutated_networks_run_or_are_refused_in_a_sentence(saved_model: Path, tmp_path: Path) -> None:
    content = Bundle(saved_model).bytes("backbone.onnx")
    numbers, rng = [], random.Random(2026)
    for tensor in onnx.load_model_from_string(content).graph.initializer:
        at = content.find(tensor.raw_data)
        numbers.append((at, at + len(tensor.raw_data)))
    names = []
    for index in range(40):
        names.append(tmp_path / f"{index}.onnx")
        names[-1].write_bytes(mutated(content, rng, numbers))
    size, _ = PadimConfig.of_saved(Bundle(saved_model).manifest["config"]).input_shape
    np.save(tmp_path / "pixels.npy", rng_image(size))
    done = subprocess.run(
        [sys.executable, "-c", _FUZZ, saved_model, tmp_path, tmp_path / "pixels.npy"],
        input="\n".join(map(str, names)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    description = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(description) == len(names)
    refused = [line for line in description if line.startswith("refused: ")]
    assert len(refused) > 10
    assert all("\n" not in line for line in refused)


def rng_image(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 256, (1, size, size, 3), np.uint8)
