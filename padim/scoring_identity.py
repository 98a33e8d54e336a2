"""The scoring identity: a SHA-256 over everything that anomaly maps depend on, and over nothing else.

Models of the same scoring identity give the same map for the same image; a decision on a map of another one
is refused. It covers the network, the layers and channels read, all arrays of the detector, how images are
brought to the input size, the grid, the smoothing, the scale of the levels and the region of interest. The
threshold, the smallest region, the guard band and what is kept of the normal images are not part of it.

It is made of the SHA-256 of the files that a saved model has, so it can be read from a bundle's manifest, and
opening a model does not hash its arrays again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from padim.config import BEFORE_IT_WAS_A_SETTING, PadimConfig

if TYPE_CHECKING:
    from padim.decision.anomaly_map import Quantizer

__all__ = ["NOT_SCORING", "of_manifest", "scoring_bytes", "scoring_files", "scoring_identity"]

# What a bundle holds of the normals, and of how the region was drawn: no image's score depends on them.
NOT_SCORING = frozenset({"held_out.npy", "normals.json", "roi_shapes.json", "thumbnails.bin"})
# Every other setting counts, one that will be added too, until it is found here.
_NOT_SCORING_SETTINGS = frozenset({"min_area"})


def scoring_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the files in a bundle that scores depend on, by name."""
    files = manifest.get("files", {})
    return {name: str(files[name].get("sha256")) for name in sorted(files.keys() - NOT_SCORING)}


def scoring_bytes(manifest: Mapping[str, Any]) -> int:
    """Size of the files in a bundle that scores depend on, in bytes: about what a scorer takes."""
    files = manifest.get("files", {})
    return sum(int(files[name].get("bytes", 0)) for name in files.keys() - NOT_SCORING)


def scoring_identity(config: PadimConfig, quantizer: Quantizer, files: Mapping[str, str]) -> str:
    """Hex SHA-256 of a scoring state.

    Args:
        config: of the model.
        quantizer: the scale of its levels.
        files: hex SHA-256 of every file that scores depend on, as a bundle stores it, by name: the network,
            the channels, the detector's, and the region of interest if there is one.
    """
    return _digest(config, quantizer.offset, quantizer.step, files)


def of_manifest(manifest: Mapping[str, Any]) -> str:
    """The scoring identity of a saved model, from its manifest.

    Raises:
        KeyError, TypeError, ValueError: the manifest's settings or scale are not those of a model.
    """
    scale = manifest["quantizer"]
    config = PadimConfig.of_saved(manifest["config"])
    return _digest(config, float(scale["offset"]), float(scale["step"]), scoring_files(manifest))


def _digest(config: PadimConfig, offset: float, step: float, files: Mapping[str, str]) -> str:
    settings = config.under_former_names()
    # A setting that is as it was before it was one says nothing: models saved then keep their identity.
    before = BEFORE_IT_WAS_A_SETTING.items()
    state = {
        "settings": {
            name: value
            for name, value in settings.items()
            if name not in _NOT_SCORING_SETTINGS and (name, value) not in before
        },
        "scale": [offset, step],
        "files": dict(files),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
