"""Convert between a model's plain data (settings, arrays, records of the normals) and a bundle.

The detector's files and the decision settings are interpreted by :mod:`padim.persistence`, which saves and
opens models; here they are plain files and JSON values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from padim.config import BIT_DEPTH_BEFORE, PadimConfig, explain
from padim.errors import BundleError
from padim.storage import bundle
from padim.storage.normals import Normal
from padim.text import clipped

__all__ = ["SavedModel", "does_not_fit", "manifest_errors", "read", "write"]

Json = dict[str, Any]
_SELF_TEST = ("self_test_inputs.png", "self_test_maps.png")


@dataclass(frozen=True)
class SavedModel:
    """Content of a saved model, except for the files of its detector and the normals' thumbnails.

    Attributes:
        config: the settings.
        features_asked: number of channels last requested, which may be more than the active layers have; None
            for all.
        form: version of the detector's files.
        provenance: origin of the network's weights; empty for a model saved before that was recorded.
        choice: how the threshold is chosen.
        guard: the guard band; None for no band.
        threshold: the resulting threshold, if there is one; only for readers of the manifest.
        calibration: state of the held-out distances.
        quantizer: scale of the maps.
        losses: records of the trainings.
        normals: all normal images, in their order.
        network: the backbone as ONNX.
        channels: int64 ``(d,)``, the channels used.
        held_out: float32 ``(n, H, W)``, the normals' held-out distances.
        roi: bool ``(h, w)``, True where defects count; None: everywhere.
        roi_shapes: the shapes that the region of interest was drawn with.
        reference: record and image of the reference part; None for models that do not locate parts.
        covered: bool ``(h, w)``, the map pixels that are scored because most images show them; None as for
            ``reference``.
        fitted_at: time of the fit (ISO 8601); empty for a model saved before that was recorded.
        self_test: what the manifest says of the self-test; None for a model saved before there was one.
        self_test_files: its inputs and maps as PNG files; None if it has none.
    """

    config: PadimConfig
    features_asked: int | None
    form: str
    provenance: dict[str, str]
    choice: Json
    guard: Json | None
    threshold: Json | None
    calibration: str
    quantizer: Json
    losses: Sequence[Json]
    normals: tuple[Normal, ...]
    network: bytes
    channels: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.float32]
    roi: npt.NDArray[np.bool_] | None
    roi_shapes: Any
    reference: tuple[bytes, bytes] | None = None
    covered: npt.NDArray[np.bool_] | None = None
    fitted_at: str = ""
    self_test: Json | None = None
    self_test_files: tuple[bytes, bytes] | None = None


def write(
    path: Path,
    model: SavedModel,
    detector: Mapping[str, bundle.Content],
    thumbnails: bundle.Content,
    *,
    opened: Mapping[str, Any] | None = None,
) -> Json:
    """Save a model as a bundle, atomically.

    Args:
        path: a folder, or a file ending in ``.zip``.
        model: the model's content.
        detector: the detector's files, by name.
        thumbnails: content of the file of all thumbnails, at the normals' offsets.
        opened: manifest of the model that may be replaced, as for :func:`padim.storage.bundle.write`.

    Returns:
        The manifest as written.

    Raises:
        ChangedSinceOpenedError: another model is there.
        OSError: the bundle cannot be written.
    """
    statuses = Counter(normal.status for normal in model.normals)
    manifest = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **({"fitted": model.fitted_at} if model.fitted_at else {}),
        "method": model.config.method,
        "form": model.form,
        "losses": list(model.losses),
        "backbone": model.provenance,
        "config": model.config.model_dump(mode="json"),
        "n_features_asked": model.features_asked,
        "choice": model.choice,
        "guard": model.guard,
        "threshold": model.threshold,
        "calibration": model.calibration,
        "quantizer": model.quantizer,
        **({} if model.self_test is None else {"self_test": model.self_test}),
        "counts": {
            "images": len(model.normals),
            "parts": len({n.group for n in model.normals if n.status == "fit"}),
            "kept_out": statuses["kept_out"],
            "not_good": statuses["not_good"],
            **({"reference": statuses["reference"]} if statuses["reference"] else {}),
        },
    }
    normals = json.dumps([normal.to_json() for normal in model.normals], ensure_ascii=False)
    files: dict[str, bundle.Content] = {
        **detector,
        "channels.npy": model.channels,
        "held_out.npy": model.held_out,
        "normals.json": normals.encode(),
        "thumbnails.bin": thumbnails,
        "backbone.onnx": model.network,
    }
    if model.roi is not None:
        files["roi.npy"] = model.roi.view(np.uint8)
    if model.roi_shapes:
        files["roi_shapes.json"] = json.dumps(model.roi_shapes).encode()
    if model.reference is not None and model.covered is not None:
        files["reference.json"], files["reference.png"] = model.reference
        files["covered.npy"] = model.covered.view(np.uint8)
    if model.self_test_files is not None:
        files.update(zip(_SELF_TEST, model.self_test_files, strict=True))
    return bundle.write(path, manifest, files, opened=opened)


@contextmanager
def manifest_errors(path: Path) -> Iterator[None]:
    """Convert errors from a manifest's invalid values to one BundleError that names the problem."""
    try:
        yield
    except ValidationError as error:
        raise BundleError(f"{path}: {bundle.MANIFEST}: {explain(error)}") from error
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: {bundle.MANIFEST} is incomplete ({clipped(str(error), 300)})") from error


def read(saved: bundle.Bundle) -> SavedModel:
    """Read a model's content from a bundle and check that its arrays fit its configuration.

    Raises:
        BundleError: a file is missing, truncated, altered or not valid; the error names it.
    """
    path, manifest = saved.path, saved.manifest
    with manifest_errors(path):
        config = PadimConfig.of_saved(manifest["config"])
        if "bit_depth" not in manifest["config"]:
            config = config.model_copy(update={"bit_depth": BIT_DEPTH_BEFORE})
        choice = manifest["choice"]
        # Missing in models saved before layers could be made inactive.
        asked = manifest.get("n_features_asked", config.n_features)
        if not (asked is None or (type(asked) is int and asked >= 1)):
            raise ValueError(f"n_features_asked '{asked}'")
        provenance = {name: str(value) for name, value in manifest.get("backbone", {}).items()}
        # Missing in models saved before guard bands were introduced.
        guard = manifest.get("guard")
        quantizer = manifest["quantizer"]
        calibration = manifest["calibration"]
        losses = list(manifest.get("losses", []))
        normals = tuple(Normal.from_json(entry) for entry in json.loads(saved.bytes("normals.json")))
    held_out = saved.array("held_out.npy", np.float32, 3)
    if held_out.shape[1:] != config.grid_shape or len(held_out) > len(normals):
        raise does_not_fit(path)
    reference, covered = _read_reference(saved, config)
    roi, shapes = _read_roi(saved, config.input_shape)
    self_test, tests = manifest.get("self_test"), None
    if self_test is not None and _SELF_TEST[0] in manifest["files"]:
        tests = saved.bytes(_SELF_TEST[0]), saved.bytes(_SELF_TEST[1])
    return SavedModel(
        config,
        asked,
        str(manifest.get("form", "")),
        provenance,
        choice,
        guard,
        manifest.get("threshold"),
        calibration,
        quantizer,
        losses,
        normals,
        saved.bytes("backbone.onnx"),
        saved.array("channels.npy", np.int64, 1),
        held_out,
        roi,
        shapes,
        reference,
        covered,
        str(manifest.get("fitted", "")),
        self_test,
        tests,
    )


def _read_reference(
    saved: bundle.Bundle, config: PadimConfig
) -> tuple[tuple[bytes, bytes] | None, npt.NDArray[np.bool_] | None]:
    """Read the reference part of a model that locates parts, and the map pixels that it scores."""
    if config.align is None:
        return None, None
    covered = saved.array("covered.npy", np.uint8, 2)
    if covered.shape != config.input_shape:
        raise does_not_fit(saved.path)
    return (saved.bytes("reference.json"), saved.bytes("reference.png")), covered != 0


def _read_roi(saved: bundle.Bundle, shape: tuple[int, int]) -> tuple[npt.NDArray[np.bool_] | None, Any]:
    """Read the region of interest, or None, and the shapes that it was drawn with as JSON values."""
    path, files = saved.path, saved.manifest["files"]
    if "roi.npy" not in files:
        return None, []
    roi = saved.array("roi.npy", np.uint8, 2)
    if roi.shape != shape:
        raise BundleError(f"{path}: roi.npy does not fit the configuration")
    if "roi_shapes.json" not in files:
        return roi != 0, []
    try:
        return roi != 0, json.loads(saved.bytes("roi_shapes.json"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: roi_shapes.json is not readable ({error})") from error


def does_not_fit(path: Path) -> BundleError:
    """Return the error for a bundle whose arrays do not match its configuration."""
    return BundleError(f"{path}: the arrays do not fit the configuration")
