"""Save and open models: convert between the parts of a model and the plain data of its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.decision.anomaly_map import Quantizer
from padim.decision.calibration import Choice, Threshold
from padim.decision.guard_band import Guard
from padim.decision.roi import Shape
from padim.decision.roi import from_json as shapes_from_json
from padim.decision.roi import to_json as shapes_to_json
from padim.decision.self_test import SelfTest
from padim.decision.settings import DecisionSettings
from padim.errors import BundleError, PadimError
from padim.fitting import FittedState
from padim.locating.frozen import FrozenReference
from padim.methods import lookup
from padim.methods.base import Calibration, Losses
from padim.network.model_network import ModelNetwork
from padim.scoring_identity import scoring_files
from padim.storage import bundle, serialization
from padim.storage.model_folders import held
from padim.storage.thumbnails import Readable, SavedThumbnails

__all__ = ["ModelParts", "load", "save"]

# Files that scores depend on but that do not belong to the detector.
_NOT_THE_DETECTORS = {
    "backbone.onnx",
    "channels.npy",
    "roi.npy",
    "reference.json",
    "reference.png",
    "covered.npy",
}


@dataclass(frozen=True)
class ModelParts:
    """The parts of a saved model.

    Attributes:
        config: the settings.
        features_asked: number of channels last requested; None for all.
        network: the network that computes the features.
        decision: threshold, guard band and region of interest.
        fitted: the fitted state.
        thumbnails: thumbnails of the normals.
        manifest: manifest of the bundle that they were read from; empty if there is none.
        fitted_at: time of the fit (ISO 8601); empty if it is not known.
        self_test: reference inputs with the maps expected of them; None for a model saved without.
    """

    config: PadimConfig
    features_asked: int | None
    network: ModelNetwork
    decision: DecisionSettings
    fitted: FittedState
    thumbnails: Readable
    manifest: Mapping[str, Any] = field(default_factory=dict)
    fitted_at: str = ""
    self_test: SelfTest | None = None


def save(
    path: Path,
    parts: ModelParts,
    channels: npt.NDArray[np.int64],
    threshold: Threshold | None,
    opened: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Save a model as a bundle, atomically.

    Args:
        path: a folder, or a file ending in ``.zip``.
        parts: the parts of the model.
        channels: int64 ``(d,)``, the channels used.
        threshold: the threshold in use, stored so that it can be read without opening the model.
        opened: manifest of the model that may be replaced, empty for none; default: any model.

    Returns:
        The manifest of the saved model.

    Raises:
        ChangedSinceOpenedError: another model is there.
        BusyError: the model is in a workspace, and somebody else is changing it.
        OSError: the bundle cannot be written.
    """
    fitted, decision = parts.fitted, parts.decision
    saved = serialization.SavedModel(
        parts.config,
        parts.features_asked,
        fitted.detector.form,
        parts.network.provenance,
        asdict(decision.choice),
        asdict(decision.guard) if decision.guard else None,
        asdict(threshold) if threshold else None,
        fitted.calibration,
        asdict(fitted.quantizer),
        [asdict(losses) for losses in fitted.losses],
        fitted.normals,
        parts.network.extractor.backbone_onnx,
        channels,
        fitted.held_out,
        decision.roi,
        shapes_to_json(decision.roi_shapes),
        None if fitted.reference is None else (fitted.reference.record(), fitted.reference.png),
        fitted.covered,
        parts.fitted_at,
        None if parts.self_test is None else parts.self_test.record(),
        None if parts.self_test is None else parts.self_test.files(),
    )
    # Whoever changes or deletes a model of a workspace holds its lock.
    with held(path):
        return serialization.write(
            path, saved, fitted.detector.files(), parts.thumbnails.chunks, opened=opened
        )


def load(path: str | Path) -> ModelParts:
    """Open a saved bundle; torch is not needed.

    Raises:
        BundleError: a file is missing, truncated, altered or of another version; the error names it.
    """
    saved = bundle.Bundle(path)
    try:
        return _parts(saved)
    except BundleError:
        # Another session may have saved meanwhile and removed the files listed in the manifest read here.
        now = bundle.Bundle(path)
        if now.revision == saved.revision:
            raise
        return _parts(now)


def _parts(saved: bundle.Bundle) -> ModelParts:
    path, model = saved.path, serialization.read(saved)
    with serialization.manifest_errors(path):
        choice = Choice(**model.choice)
        guard = None if model.guard is None else Guard(**model.guard)
        quantizer = Quantizer(**model.quantizer)
        calibration = _calibration(model.calibration)
        losses = tuple(Losses.from_json(entry) for entry in model.losses)
        self_test = None
        if model.self_test is not None:
            self_test = SelfTest.read(model.self_test, model.self_test_files, model.config.input_shape)
    reference = _reference(path, model.reference)
    network = ModelNetwork(model.config, model.network, model.provenance)
    try:
        fits = np.array_equal(model.channels, network.channels(model.config))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    try:
        method = lookup.detector(model.config.method)
        detector = method.load(saved, model.config, (model.config.positions, len(model.channels)))
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error
    hashes = scoring_files(saved.manifest)
    own = {name: sha256 for name, sha256 in hashes.items() if name not in _NOT_THE_DETECTORS}
    detector.with_file_hashes(own)
    if not fits:
        raise serialization.does_not_fit(path)
    return ModelParts(
        model.config,
        model.features_asked,
        network,
        DecisionSettings(choice, guard, model.roi, _shapes(path, model.roi_shapes)),
        FittedState(
            model.normals,
            detector,
            model.held_out,
            quantizer,
            calibration,
            losses,
            reference,
            model.covered,
        ),
        SavedThumbnails(saved),
        saved.manifest,
        model.fitted_at,
        self_test,
    )


def _calibration(name: str) -> Calibration:
    found: Calibration
    for found in get_args(Calibration):
        if found == name:
            return found
    raise ValueError(f"calibration '{name}'")


def _reference(path: Path, saved: tuple[bytes, bytes] | None) -> FrozenReference | None:
    try:
        return None if saved is None else FrozenReference.read(*saved)
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error


def _shapes(path: Path, content: object) -> tuple[Shape, ...]:
    try:
        return shapes_from_json(content)
    except (PadimError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: roi_shapes.json is not readable ({error})") from error
