"""The scoring identity of a model: a SHA-256 of everything that anomaly maps depend on, and of nothing else.

Models with the same scoring identity compute the same map for the same image; a decision on a map of another
one is refused. The identity covers the network, the layers and channels, all arrays of the detector, the
resizing to the input size, the grid, the smoothing, the scale of the levels and the region of interest. The
threshold, the smallest region, the guard band and the data stored of the normal images are not part of it.

It is computed from the SHA-256 of a saved model's files, so it can be derived from a bundle's manifest, and
opening a model does not hash its arrays again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from padim.config import PadimConfig, is_as_before

if TYPE_CHECKING:
    from padim.decision.anomaly_map import Quantizer

__all__ = ["NOT_SCORING", "of_manifest", "scoring_bytes", "scoring_files", "scoring_identity"]

# Files of a bundle on which no image's score depends: data of the normals, drawn shapes, the self-test.
NOT_SCORING = frozenset(
    {
        "held_out.npy",
        "normals.json",
        "roi_shapes.json",
        "self_test_inputs.png",
        "self_test_maps.png",
        "thumbnails.bin",
    }
)
# All other settings count, including any future setting that is not listed here.
_NOT_SCORING_SETTINGS = frozenset({"min_area", "pixel_size_mm"})


def scoring_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of the files in a bundle that scores depend on, by name."""
    files = manifest.get("files", {})
    return {name: str(files[name].get("sha256")) for name in sorted(files.keys() - NOT_SCORING)}


def scoring_bytes(manifest: Mapping[str, Any]) -> int:
    """Return the bytes of the files in a bundle that scores depend on: about the size of a scorer."""
    files = manifest.get("files", {})
    return sum(int(files[name].get("bytes", 0)) for name in files.keys() - NOT_SCORING)


def scoring_identity(config: PadimConfig, quantizer: Quantizer, files: Mapping[str, str]) -> str:
    """Compute the identity of a scoring state, a hex SHA-256.

    Args:
        config: the model's configuration.
        quantizer: the scale of its levels.
        files: hex SHA-256, by name, of every file that scores depend on, as stored in a bundle: the network,
            the channels, the detector's files, and the region of interest if there is one.
    """
    return _digest(config, quantizer.offset, quantizer.step, files)


def of_manifest(manifest: Mapping[str, Any]) -> str:
    """Compute the scoring identity of a saved model from its manifest.

    Raises:
        KeyError, TypeError, ValueError: the manifest's settings or scale are not valid.
    """
    scale = manifest["quantizer"]
    config = PadimConfig.of_saved(manifest["config"])
    return _digest(config, float(scale["offset"]), float(scale["step"]), scoring_files(manifest))


def _digest(config: PadimConfig, offset: float, step: float, files: Mapping[str, str]) -> str:
    settings = config.under_former_names()
    # Settings with their value from before they were introduced are left out, so that models saved then keep
    # their identity.
    state = {
        "settings": {
            name: value
            for name, value in settings.items()
            if name not in _NOT_SCORING_SETTINGS and not is_as_before(name, value)
        },
        "scale": [offset, step],
        "files": dict(files),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
