"""Export of a model for other programs: one ONNX graph from image to score, or its arrays as ``.npz``.

The exported graph is :func:`padim.network.graph.scoring_graph` with all inputs but the images stored as
constants, so that it computes exactly what this program computes; ``examples/`` shows how to use it. The
threshold, the scale and other values needed for a verdict are in the file's metadata.
"""

from __future__ import annotations

import hashlib
import io
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
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from padim._version import __version__
from padim.errors import PadimError
from padim.methods.factor import Factor
from padim.network import backbone as backbones
from padim.network.runtime import session_options
from padim.output.scorer_graph import OutputType, add_initializer, exported_graph, takes_inside
from padim.output.scorer_metadata import metadata
from padim.output.scorer_seal import DATA_FILE, DATA_SHA256, seal_entry
from padim.storage import leftovers
from padim.storage.atomic import explain_os_error, sync_folder
from padim.text import megabytes

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = [
    "NEEDS_A_FOLDER",
    "export_npz",
    "export_onnx",
    "inverse_covariance_bytes",
    "metadata",
    "write_scorer",
]

NEEDS_A_FOLDER = (
    "this model locates the part before it scores, which one ONNX file cannot do; export it as a folder, "
    "with a script that does: give a name without .onnx"
)
"""Why a model that locates the part is not exported as a single file."""

NPZ_FORMAT = "padim-params"
# Version 2: features may be normalized, which readers of version 1 do not support.
NPZ_VERSION = 2

# A protobuf message, and so an ONNX file, is limited to 2 GiB: larger models store arrays in a second file.
MOST_INLINE_BYTES = 2_000_000_000
# Arrays of at least this many bytes are stored in the second file. Readers map it into memory, and on Windows
# a mapping must start at a multiple of 64 KiB.
_LARGE_BYTES = 2**16
_ALIGNMENT = 2**16
# Full inverse covariances larger than this need ``force``; the factors in the ONNX file are much smaller.
MOST_NPZ_BYTES = 4_000_000_000
_BLOCK_BYTES = 64 * 2**20

Array = npt.NDArray[Any]


Exporter = TypeVar("Exporter", bound=Callable[..., Path])


def _with_model_locked(export: Exporter) -> Exporter:
    """Make an export hold the model's lock, so that threshold, Gaussians and channels are of one state."""

    @wraps(export)
    def held(model: Padim, *args: Any, **options: Any) -> Path:
        with model.working_set.held():
            return export(model, *args, **options)

    return cast(Exporter, held)


@_with_model_locked
def export_onnx(
    model: Padim,
    path: str | Path,
    *,
    name: str | None = None,
    distances: bool = False,
    output_type: OutputType = "uint16",
) -> Path:
    """Write a model as one ONNX graph from images to level maps and scores.

    Input ``rgb``: uint8 ``(n, h, w, 3)``, of the model's input shape. A model that pads has a second input
    ``inside``: float32 ``(n, h, w)``, 1 inside the image's area of the input and 0 in the padding; the
    region of interest is multiplied in. Outputs ``map``: uint16 ``(n, h, w)`` (or float32, see
    ``output_type``), the level map, and ``score``: float32 ``(n,)``, its largest level: the score *at a
    smallest region of one pixel*. The threshold, which applies to scores at the model's smallest region, and
    all other values are in the metadata, see :func:`padim.output.scorer_metadata.metadata`. Only operators of
    the ONNX standard are used.

    Over 2 GB, large arrays are in a second file, ``<name>.<digits>.data``, which must stay beside the first
    under its name. Files are replaced atomically. The file carries a SHA-256 of itself, and of the second
    file, see :mod:`padim.output.scorer_seal`.

    Args:
        model: a fitted model. If it has no threshold, a warning is issued and the metadata have none: the
            graph gives scores, but no verdicts.
        path: the file to write; an existing one is replaced.
        name: the model's name, for the metadata.
        distances: adds an output ``distance``, float32 ``(n, p)``: distances before resampling and smoothing.
        output_type: type of ``map``. ``float32`` has the same values and is for runtimes without uint16, such
            as TensorRT; see :mod:`padim.output.scorer_graph`.

    Returns:
        ``path``.

    Raises:
        NotFittedError: the model is not fitted.
        ValueError: ``output_type`` is neither of the two.
        PadimError: the model locates the part (:func:`padim.output.aligned_export.export_folder` exports
            it), the file cannot be written, or the written graph does not reproduce the model's results.
    """
    path = Path(path)
    if model.config.align is not None:
        raise PadimError(f"{path}: {NEEDS_A_FOLDER}")
    return write_scorer(model, path, name=name, distances=distances, output_type=output_type)


def write_scorer(
    model: Padim,
    path: Path,
    *,
    name: str | None = None,
    distances: bool = False,
    output_type: OutputType = "uint16",
) -> Path:
    """Write the graph of :func:`export_onnx`; of a model that locates the part, for its cut-out input."""
    if output_type not in get_args(OutputType):
        raise ValueError(f"output_type must be 'uint16' or 'float32', got {output_type!r}")
    values = metadata(model, name, output_type=output_type)
    if "threshold_level" not in values:
        warnings.warn(
            f"{path}: the model has no threshold, so the exported scorer gives scores and no verdicts; "
            "fit it on at least three good parts or set a threshold by hand",
            stacklevel=2,
        )
    proto, baked = exported_graph(model, distances=distances, output_type=output_type)
    helper.set_model_props(proto, values)
    with _replacing(path) as folder:
        target = folder / path.name
        if sum(array.nbytes for array in baked.values()) + proto.ByteSize() <= MOST_INLINE_BYTES:
            # Arrays are moved one at a time and released, as they may take half of the machine's memory.
            for key in list(baked):
                array = baked.pop(key)
                add_initializer(proto, key, array).raw_data = b"".join(_little_endian(array))
        else:
            name, sha256 = _write_external_data(proto, baked, target)
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


def _write_external_data(proto: onnx.ModelProto, baked: dict[str, Array], target: Path) -> tuple[str, str]:
    """Write the large arrays into a file beside ``target``, named by its hash, and refer to it in the graph.

    Returns:
        The file's name and its SHA-256.
    """
    part = target.with_name("data")
    places: list[tuple[onnx.TensorProto, int]] = []
    digest = hashlib.sha256()
    with part.open("wb") as file:
        for key, array in baked.items():
            tensor = add_initializer(proto, key, array)
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
    # Named by content, so that the former graph keeps its own data file until it is replaced atomically.
    location = f"{target.name}.{digest.hexdigest()[:16]}.data"
    for tensor, offset in places:
        length = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = TensorProto.EXTERNAL
    part.rename(target.with_name(location))
    return location, digest.hexdigest()


def _little_endian(array: Array) -> Iterator[bytes]:
    """Yield an array's data as little-endian bytes, in blocks of rows."""
    rows = array if array.ndim else array[None]
    step = max(1, _BLOCK_BYTES // max(1, rows[0].nbytes))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        yield block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes()


def _check(path: Path, model: Padim) -> None:
    """Check that the written file is a valid graph and gives the model's level map for a test image.

    Raises:
        PadimError: it is not valid, or the level maps differ.
    """
    shape = model.network.extractor.input_shape
    # Noise has structure at every position, at any input size.
    rgb = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), np.uint8)
    feed: dict[str, Array] = {"rgb": rgb}
    try:
        onnx.checker.check_model(str(path), full_check=True)
        session = ort.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
        if takes_inside(model):
            feed["inside"] = np.ones((1, *shape), np.float32)
        levels = session.run(["map"], feed)[0].astype(np.int64)
    except Exception as error:
        # onnx and onnxruntime raise many unrelated types of errors for an invalid graph.
        raise PadimError(f"{path.name}: the exported graph cannot be run ({error})") from error
    _, expected = model.state.scorer(rgb)
    # The model may run on another execution provider, whose results differ by some thousandths.
    off = np.abs(levels - expected.astype(np.int64)).max()
    if off > 2 + 0.01 * expected.max():
        raise PadimError(
            f"{path.name}: the exported graph does not compute what the model does (off by {off} levels)"
        )


# --- arrays -------------------------------------------------------------------------------------------------


def inverse_covariance_bytes(model: Padim) -> int:
    """Return the size of the ``.npz`` in bytes, within some thousandths: inverse covariances and means."""
    p, d = model.state.gaussians.factor.shape
    return 4 * p * d * (d + 1)


@_with_model_locked
def export_npz(model: Padim, path: str | Path, *, force: bool = False) -> Path:
    """Write the Gaussians of a PaDiM model as arrays, and its network as ``<stem>_backbone.onnx``.

    This is for users who build their own pipeline: mean and inverse covariance at every grid position, and
    everything needed to compute distances to them. The network takes ``image``, float32 ``(n, 3, h, w)``, in
    which a pixel ``v`` is ``v * pixel_scale + pixel_offset``, and has one output per layer. Layers finer than
    ``grid_stride`` are area-averaged to the grid, coarser ones resampled bilinearly (half-pixel centers,
    clamped edges). If ``feature_norm`` is ``l2``, each layer's vector x of all its c channels is then
    multiplied at every position by ``sqrt(c) / max(|x|, 1e-6)``; ``none`` leaves it unchanged. The layers are
    concatenated in the order of ``layer_names`` and reduced to ``channel_indices``. With ``delta`` the
    deviation from ``mean``, the distance is ``sqrt(delta @ inv_covariance @ delta)``; positions are in row
    order. With ``position_tolerance`` 1 it is the smallest of the distances to the Gaussians of the 3 x 3
    positions around.

    Arrays: ``mean`` float32 ``(p, d)``; ``inv_covariance`` float32 ``(p, d, d)``; ``channel_indices`` int64
    ``(d,)``; ``layer_names``, ``layer_channels``, ``layer_strides``; ``input_shape``, h and w in pixels;
    ``grid_shape``, its rows and columns; ``input_size`` and ``grid``, one side of a square, of a rectangle
    the same pairs; ``grid_stride``, ``fit``, ``feature_norm``, ``position_tolerance``; ``pixel_scale``,
    ``pixel_offset`` float32 ``(3,)``; ``sigma``, ``min_area``, ``quantizer_offset``, ``quantizer_step``;
    ``threshold`` (map units) and ``threshold_level``, if there is one; ``roi`` bool ``(h, w)``, if there is
    one; ``backbone``, ``weights``, ``backbone_onnx`` (the file's name), ``backbone_sha256``;
    ``scoring_identity`` (:mod:`padim.scoring_identity`); ``format``, ``format_version``,
    ``padim_version``, ``created``. Of a model that locates the part all arrays, ``roi`` too, are in the frame
    of the part, and ``align`` has the settings and the frame as JSON.

    Args:
        model: a fitted model.
        path: the file to write; an existing one, and its network, are replaced.
        force: write a file larger than 4 GB, see :func:`inverse_covariance_bytes`.

    Returns:
        ``path``.

    Raises:
        NotFittedError: the model is not fitted.
        PadimError: the method has no Gaussians, the file would be larger than 4 GB and ``force`` is not set,
            or it cannot be written.
    """
    path = Path(path)
    expected = inverse_covariance_bytes(model)
    if expected > MOST_NPZ_BYTES and not force:
        raise PadimError(
            f"{path}: the full inverse covariances of this model take {megabytes(expected)}, over the limit "
            f"of {megabytes(MOST_NPZ_BYTES)}; export it as ONNX, or fit fewer features or a coarser grid"
        )
    gaussians, fitted, config = model.state.gaussians, model.state.fitted, model.config
    backbone, layers = backbones.get(config.backbone), model.network.extractor.layers
    network = model.network.extractor.backbone_onnx
    network_name = f"{path.stem}_backbone.onnx"
    square = isinstance(config.input_size, int)
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
        "input_size": config.input_size if square else np.array(config.input_shape),
        "grid_stride": config.grid_stride,
        "grid": config.grid_shape[0] if square else np.array(config.grid_shape),
        "input_shape": np.array(config.input_shape),
        "grid_shape": np.array(config.grid_shape),
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
    if fitted.reference is not None:
        # The arrays are in the frame of the part; how it is found is said, but not done by this file.
        members["align"] = fitted.reference.record().decode()
    with _replacing(path) as folder:
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
    """Write the inverse covariances, float32 ``(p, d, d)``, in ``.npy`` format, by blocks of positions."""
    p, d = factor.shape
    header = {"descr": "<f4", "fortran_order": False, "shape": (p, d, d)}
    np.lib.format.write_array_header_2_0(file, header)
    step = max(1, _BLOCK_BYTES // (8 * 4 * d * d))
    for start in range(0, p, step):
        inverse = np.linalg.inv(factor.covariance(np.arange(start, min(start + step, p))))
        file.write(((inverse + inverse.transpose(0, 2, 1)) / 2).astype("<f4").tobytes())


# --- atomic replacement -------------------------------------------------------------------------------------


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Provide a temporary folder; on success its files are moved beside ``path``, the one of that name last.

    Raises:
        PadimError: a file cannot be written; the message names it.
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
        _remove_former_data(path, set(beside))
    except OSError as error:
        raise explain_os_error(error, path) from error


def _remove_former_data(path: Path, current: set[str]) -> None:
    """Remove the data files of exports that were replaced."""
    own = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.data")
    for file in path.parent.iterdir():
        if own.fullmatch(file.name) and file.name not in current:
            file.unlink(missing_ok=True)
