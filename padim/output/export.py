"""A model for other programs: one ONNX file from image to score, or its bare numbers as ``.npz``.

The exported scorer is :func:`padim.network.graph.scoring_graph` with all its inputs but the images baked
in, so it computes what this program computes; ``examples/`` shows how little it takes to use it. What a
verdict needs besides is in the file's metadata.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from padim._version import __version__
from padim.decision.guard_band import guard_levels
from padim.errors import PadimError
from padim.methods.factor import Factor, LowRank
from padim.methods.padim import PatchGaussians
from padim.network import backbone as backbones
from padim.network.runtime import session_options
from padim.output.scorer_seal import DATA_FILE, DATA_SHA256, seal_entry
from padim.storage import leftovers
from padim.storage.atomic import explain_os_error, sync_folder
from padim.text import megabytes

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["export_npz", "export_onnx", "inverse_covariance_bytes", "metadata"]

FORMAT = "padim-scorer"
VERSION = 1
NPZ_FORMAT = "padim-params"
# 2: features may be normalized, which readers of version 1 would not do.
NPZ_VERSION = 2

# An ONNX file is one protobuf message, and that ends at 2 GiB: what is larger has its numbers beside it.
MOST_INLINE_BYTES = 2_000_000_000
# Arrays of at least that many bytes then move into the second file. Readers map it into memory, and on
# Windows a map starts at a multiple of 64 KiB.
_LARGE_BYTES = 2**16
_ALIGNMENT = 2**16
# Above this, whole inverse covariances are hardly what somebody wants; the factor in the ONNX file is less.
MOST_NPZ_BYTES = 4_000_000_000
_BLOCK_BYTES = 64 * 2**20

Array = npt.NDArray[Any]


Exporter = TypeVar("Exporter", bound=Callable[..., Path])


def _of_one_state(export: Exporter) -> Exporter:
    """Threshold, Gaussians and channels of a file belong together: nothing changes the model meanwhile."""

    @wraps(export)
    def held(model: Padim, *args: Any, **options: Any) -> Path:
        with model.working_set.held():
            return export(model, *args, **options)

    return cast(Exporter, held)


@_of_one_state
def export_onnx(model: Padim, path: str | Path, *, name: str | None = None, distances: bool = False) -> Path:
    """Write a model as one graph: images in, judged maps and scores out.

    Input ``rgb``: uint8 ``(n, S, S, 3)``, S the input size. A model that pads images has a second input
    ``inside``: float32 ``(n, S, S)``, 1 where the image lies in its square and 0 in the padding; the region
    of interest is multiplied in. Outputs ``map``: uint16 ``(n, S, S)``, the judged map in levels, and
    ``score``: float32 ``(n,)``, its largest level: the score *at a smallest region of one pixel*. The
    threshold, which is meant for scores at the model's smallest region, and all else are in the metadata, see
    :func:`metadata`. Only operators of the ONNX standard are used.

    Over 2 GB the numbers are in a second file beside it, ``<name>.<digits>.data``, which must go with it
    unrenamed. Files are replaced whole or not at all. The file carries a SHA-256 of itself, and of the second
    file, see :mod:`padim.output.scorer_seal`.

    Args:
        model: a fitted one. Without a threshold it warns, and the metadata have none: there are scores, but
            no verdicts.
        path: the file to write; one that is there is replaced.
        name: the model's, for the metadata.
        distances: also an output ``distance``, float32 ``(n, p)``, before enlarging and smoothing.

    Returns:
        ``path``.

    Raises:
        NotFittedError: there is nothing to export.
        PadimError: the file cannot be written, or what was written does not compute what the model does.
    """
    path = Path(path)
    facts = metadata(model, name)
    if "threshold_level" not in facts:
        warnings.warn(
            f"{path}: the model has no threshold, so the exported scorer gives scores and no verdicts; "
            "fit it on at least three good parts or set a threshold by hand",
            stacklevel=2,
        )
    proto, baked = _scorer(model, distances)
    helper.set_model_props(proto, facts)
    with _written(path) as folder:
        target = folder / path.name
        if sum(array.nbytes for array in baked.values()) + proto.ByteSize() <= MOST_INLINE_BYTES:
            # One after another, each let go of: they may be half of what the machine has.
            for key in list(baked):
                array = baked.pop(key)
                _described(proto, key, array).raw_data = b"".join(_little_endian(array))
        else:
            name, sha256 = _put_beside(proto, baked, target)
            proto.metadata_props.add(key=DATA_FILE, value=name)
            proto.metadata_props.add(key=DATA_SHA256, value=sha256)
        content = proto.SerializeToString()
        del proto, baked
        with target.open("wb") as file:
            file.write(content)
            file.write(seal_entry(content))
        del content
        _check(target, model)
    return path


def metadata(model: Padim, name: str | None = None) -> dict[str, str]:
    """What the exported file says of itself; ONNX metadata are text.

    Levels are those of ``map`` and ``score``; ``quantizer_offset + quantizer_step * level`` is in the units
    that padim shows. An image is rejected above ``threshold_level`` and to be reviewed from ``review_from``
    to ``review_to`` (1 and 0, which no score lies between, without a guard band). These are meant for scores
    at ``min_area``; ``false_rejects`` is what they promise there, and ``false_rejects_at_min_area_1`` what to
    expect where the largest level alone is looked at. ``threshold_level_at_min_area_1`` is what the model's
    choice of threshold would come to for that. All of these are absent where there is no threshold.
    """
    config, fitted = model.config, model.state.fitted
    quantizer, threshold = fitted.quantizer, model.current_threshold
    facts: dict[str, object] = {
        "format": FORMAT,
        "format_version": VERSION,
        "padim_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "input_size": config.input_size,
        "fit": config.fit,
        "grid": config.grid,
        "grid_stride": config.grid_stride,
        "feature_norm": config.feature_norm,
        "backbone": config.backbone,
        "layers": ",".join(config.active_layers),
        "method": config.method,
        "n_features": fitted.detector.shape[1],
        "weights": config.weights,
        "backbone_sha256": model.network.extractor.backbone_sha256,
        "scoring_identity": model.state.identity,
        "smoothing_sigma": config.smoothing_sigma,
        "min_area": config.min_area,
        "quantizer_offset": quantizer.offset,
        "quantizer_step": quantizer.step,
        "calibration": fitted.calibration,
        "parts": len({normal.group for normal in fitted.normals if normal.status == "fit"}),
        "roi": "everywhere"
        if model.decision.roi is None
        else f"{model.decision.roi.mean():.6f} of the square",
    }
    if name:
        facts["name"] = name
    for key in ("source", "sha256"):
        # Models saved before it was recorded do not know.
        if model.network.provenance.get(key):
            facts[f"weights_{key}"] = model.network.provenance[key]
    if model.network.random_weights:
        facts["warning"] = "the network has random weights: its verdicts mean nothing"
    if threshold is not None:
        low, high = guard_levels(threshold.level, model.decision.guard, quantizer)
        facts |= {
            "threshold_level": threshold.level,
            "threshold_value": quantizer.to_value(threshold.level),
            "threshold_basis": threshold.basis,
            "review_from": low,
            "review_to": high,
        }
        if threshold.permille is not None:
            facts["threshold_percentile"] = threshold.permille / 10
            facts["threshold_supported"] = "yes" if threshold.supported else "no"
        facts["threshold_level_at_min_area_1"] = model.state.threshold(model.decision.choice, 1).level
        if fitted.calibration != "none":
            for key, area in (("false_rejects", config.min_area), ("false_rejects_at_min_area_1", 1)):
                rate = model.state.false_rejects(threshold.level, area)
                rate_document: dict[str, float] = {"above": rate.above, "parts": rate.n}
                rate_document |= {"expected": round(rate.expected, 6), "upper_95": round(rate.upper, 6)}
                facts[key] = json.dumps(rate_document)
    return {key: str(value) for key, value in facts.items()}


# --- the graph ----------------------------------------------------------------------------------------------


def _scorer(model: Padim, distances: bool) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The graph without the baked arrays, and these."""
    state, extractor = model.state, model.network.extractor
    detector, size = state.fitted.detector, extractor.input_size
    proto = extractor.scoring_graph(detector, model.state.channels, guarded=True)
    graph = proto.graph
    baked = dict(state.scorer.arrays)
    inside = baked.pop("inside")
    everywhere = inside.shape == (1, 1, 1) and bool(inside.all())
    for value in list(graph.input):
        if value.name != "rgb":
            graph.input.remove(value)
    if model.config.fit == "pad":
        graph.input.append(helper.make_tensor_value_info("inside", TensorProto.FLOAT, ["n", size, size]))
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
    if isinstance(factor, LowRank) and factor.narrow:
        # Every number is a 16-bit one: half the file, and the very same numbers once it is open.
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


def _described(proto: onnx.ModelProto, key: str, array: Array) -> onnx.TensorProto:
    """A new constant of the graph, as yet without its numbers."""
    tensor = proto.graph.initializer.add()
    tensor.name, tensor.data_type = key, helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.dims.extend(array.shape)
    return tensor


def _put_beside(proto: onnx.ModelProto, baked: dict[str, Array], target: Path) -> tuple[str, str]:
    """Write the large arrays into a file beside ``target``, named by its content, and refer to them.

    Returns:
        The file's name and its SHA-256.
    """
    part = target.with_name("data")
    places: list[tuple[onnx.TensorProto, int]] = []
    digest = hashlib.sha256()
    with part.open("wb") as file:
        for key, array in baked.items():
            tensor = _described(proto, key, array)
            if array.nbytes < _LARGE_BYTES:
                tensor.raw_data = b"".join(_little_endian(array))
                continue
            gap = bytes(-file.tell() % _ALIGNMENT)
            digest.update(gap)
            file.write(gap)
            places.append((tensor, file.tell()))
            for block in _little_endian(array):
                digest.update(block)
                file.write(block)
    # By its content: until the graph is replaced in one step, the former one still finds its own numbers.
    location = f"{target.name}.{digest.hexdigest()[:16]}.data"
    for tensor, offset in places:
        length = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = TensorProto.EXTERNAL
    part.rename(target.with_name(location))
    return location, digest.hexdigest()


def _little_endian(array: Array) -> Iterator[bytes]:
    """An array's numbers as a file has them, a piece at a time."""
    rows = array if array.ndim else array[None]
    step = max(1, _BLOCK_BYTES // max(1, rows[0].nbytes))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        yield block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes()


def _check(path: Path, model: Padim) -> None:
    """What was written is a valid file and computes what the model computes.

    Raises:
        PadimError: it does not.
    """
    size = model.network.extractor.input_size
    # Noise: something to see at every place, at any size.
    rgb = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    feed: dict[str, Array] = {"rgb": rgb}
    try:
        onnx.checker.check_model(str(path), full_check=True)
        session = ort.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
        if model.config.fit == "pad":
            feed["inside"] = np.ones((1, size, size), np.float32)
        levels = session.run(["map"], feed)[0].astype(np.int64)
    except Exception as error:
        # onnx and onnxruntime raise a score of unrelated types for a graph they do not take.
        raise PadimError(f"{path.name}: the exported graph cannot be run ({error})") from error
    _, expected = model.state.scorer(rgb)
    # On another execution provider the model itself is some thousandths off.
    off = np.abs(levels - expected.astype(np.int64)).max()
    if off > 2 + 0.01 * expected.max():
        raise PadimError(
            f"{path.name}: the exported graph does not compute what the model does (off by {off} levels)"
        )


# --- the bare numbers ---------------------------------------------------------------------------------------


def inverse_covariance_bytes(model: Padim) -> int:
    """How large the ``.npz`` will be, to some thousandths: whole inverse covariances, and the means."""
    p, d = model.state.gaussians.factor.shape
    return 4 * p * d * (d + 1)


@_of_one_state
def export_npz(model: Padim, path: str | Path, *, force: bool = False) -> Path:
    """Write the Gaussians as arrays, and the network beside them as ``<stem>_backbone.onnx``.

    For pipelines of their own: mean and inverse covariance at every grid position, and all that leads to
    them. The network takes ``image``, float32 ``(n, 3, S, S)``, a pixel ``v`` entering as
    ``v * pixel_scale + pixel_offset``, and gives one output a layer. Layers finer than ``grid_stride`` are
    averaged over areas to the grid, coarser ones enlarged bilinearly (half-pixel centres, clamped edges).
    Where ``feature_norm`` is ``l2``, each layer's vector x of all its c channels is then multiplied at every
    position by ``sqrt(c) / max(|x|, 1e-6)``; ``none`` leaves it. The layers are joined in the order of
    ``layer_names`` and reduced to ``channel_indices``. With ``delta`` the deviation
    from ``mean`` the distance is ``sqrt(delta @ inv_covariance @ delta)``; positions run row by row. With
    ``position_tolerance`` 1 it is the smallest of those to the Gaussians of the 3 x 3 positions around.

    Arrays: ``mean`` float32 ``(p, d)``; ``inv_covariance`` float32 ``(p, d, d)``; ``channel_indices`` int64
    ``(d,)``; ``layer_names``, ``layer_channels``, ``layer_strides``; ``input_size``, ``grid_stride``,
    ``grid``, ``fit``, ``feature_norm``, ``position_tolerance``; ``pixel_scale``, ``pixel_offset`` float32
    ``(3,)``; ``sigma``, ``min_area``, ``quantizer_offset``, ``quantizer_step``; ``threshold`` (map units)
    and ``threshold_level``, if there is one; ``roi`` bool ``(S, S)``, if there is one; ``backbone``,
    ``weights``, ``backbone_onnx`` (the file's name), ``backbone_sha256``;
    ``scoring_identity`` (:mod:`padim.scoring_identity`); ``format``, ``format_version``,
    ``padim_version``, ``created``.

    Args:
        model: a fitted one.
        path: the file to write; its and the network's are replaced.
        force: write it however large it is; see :func:`inverse_covariance_bytes`.

    Returns:
        ``path``.

    Raises:
        NotFittedError: there is nothing to export.
        PadimError: the method has no Gaussians, it would be larger than 4 GB and ``force`` is not set, or it
            cannot be written.
    """
    path = Path(path)
    expected = inverse_covariance_bytes(model)
    if expected > MOST_NPZ_BYTES and not force:
        raise PadimError(
            f"{path}: whole inverse covariances of this model take {megabytes(expected)}, over the limit of "
            f"{megabytes(MOST_NPZ_BYTES)}; export it as ONNX, or fit fewer features or a coarser grid"
        )
    gaussians, fitted, config = model.state.gaussians, model.state.fitted, model.config
    backbone, layers = backbones.get(config.backbone), model.network.extractor.layers
    network = model.network.extractor.backbone_onnx
    network_name = f"{path.stem}_backbone.onnx"
    members: dict[str, object] = {
        "format": NPZ_FORMAT,
        "format_version": NPZ_VERSION,
        "padim_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "mean": gaussians.mean,
        "channel_indices": model.state.channels,
        "layer_names": np.array([layer.name for layer in layers]),
        "layer_channels": np.array([layer.channels for layer in layers]),
        "layer_strides": np.array([layer.stride for layer in layers]),
        "input_size": config.input_size,
        "grid_stride": config.grid_stride,
        "grid": config.grid,
        "fit": config.fit,
        "feature_norm": config.feature_norm,
        "position_tolerance": config.position_tolerance,
        "pixel_scale": np.array(backbone.scale, np.float32),
        "pixel_offset": np.array(backbone.offset, np.float32),
        "sigma": config.smoothing_sigma,
        "min_area": config.min_area,
        "quantizer_offset": fitted.quantizer.offset,
        "quantizer_step": fitted.quantizer.step,
        "backbone": config.backbone,
        "weights": config.weights,
        "backbone_onnx": network_name,
        "backbone_sha256": model.network.extractor.backbone_sha256,
        "scoring_identity": model.state.identity,
    }
    threshold = model.current_threshold
    if threshold is not None:
        members["threshold"] = fitted.quantizer.to_value(threshold.level)
        members["threshold_level"] = threshold.level
    if model.decision.roi is not None:
        members["roi"] = model.decision.roi
    with _written(path) as folder:
        (folder / network_name).write_bytes(network)
        with zipfile.ZipFile(folder / path.name, "w", zipfile.ZIP_STORED) as archive:
            for key, value in members.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.asarray(value), allow_pickle=False)
                archive.writestr(f"{key}.npy", content.getvalue())
            with archive.open("inv_covariance.npy", "w", force_zip64=True) as member:
                _write_inverses(member, gaussians.factor)
    return path


def _write_inverses(file: IO[bytes], factor: Factor) -> None:
    """The inverse covariances as ``.npy``, a block of positions at a time."""
    p, d = factor.shape
    header = {"descr": "<f4", "fortran_order": False, "shape": (p, d, d)}
    np.lib.format.write_array_header_2_0(file, header)
    step = max(1, _BLOCK_BYTES // (8 * 4 * d * d))
    for start in range(0, p, step):
        inverse = np.linalg.inv(factor.covariance(np.arange(start, min(start + step, p))))
        file.write(((inverse + inverse.transpose(0, 2, 1)) / 2).astype("<f4").tobytes())


# --- whole or not at all ------------------------------------------------------------------------------------


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A folder to write into; what is in it then takes its place beside ``path``, ``path`` itself last.

    Raises:
        PadimError: a file cannot be written; names it.
    """
    try:
        if path.is_dir():
            raise PadimError(f"{path}: is a folder; give the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        leftovers.sweep(leftovers.beside(path.parent, path.name))
        with leftovers.ScratchFolder(beside=path) as temporary:
            folder = Path(temporary)
            yield folder
            beside = sorted(file.name for file in folder.iterdir() if file.name != path.name)
            for name in (*beside, path.name):
                with (folder / name).open("rb+") as file:
                    os.fsync(file.fileno())
            for name in (*beside, path.name):
                (folder / name).replace(path.with_name(name))
        sync_folder(path.parent)
        _forget_former_data(path, set(beside))
    except OSError as error:
        raise explain_os_error(error, path) from error


def _forget_former_data(path: Path, current: set[str]) -> None:
    """Remove the numbers of an export that was replaced."""
    own = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.data")
    for file in path.parent.iterdir():
        if own.fullmatch(file.name) and file.name not in current:
            file.unlink(missing_ok=True)
