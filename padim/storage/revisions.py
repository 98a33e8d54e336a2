"""Revisions of saved models: which one is at a path, what a later one changed, and who may replace it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from padim.errors import ChangedSinceOpenedError

Manifest = Mapping[str, Any]
# Settings with a line of their own, or that follow from others.
_NAMED = {"min_area": "smallest region", "smoothing_sigma": "smoothing", "pixel_size_mm": "pixel size"}
_LAYERS = ("inactive_layers", "n_features")


def revision_of(manifest: Manifest) -> str:
    """Return a manifest's revision, which changes with every save of a changed model; empty for none."""
    return str(manifest.get("seal", ""))


def check_unchanged(path: Path, current: Manifest | None, opened: Manifest | None) -> None:
    """Raise an error if saving would undo a change of someone else.

    Args:
        path: the saved model.
        current: the manifest that is there now; None if there is none that can be read. Then nothing can be
            undone.
        opened: the manifest that may be replaced; empty if nothing may be there, None if anything may be
            replaced.

    Raises:
        ChangedSinceOpenedError: another revision is there now.
    """
    if opened is None or current is None:
        return
    before, now = revision_of(opened), revision_of(current)
    if before != now:
        raise ChangedSinceOpenedError.at(
            path, before, now, when=str(current.get("created", "")), changes=what_changed(opened, current)
        )


def parsed(content: bytes) -> Manifest | None:
    """Parse a manifest of any version, without checking it; None if it is not one."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("seal") else None


def what_changed(before: Manifest, now: Manifest) -> str:
    """Describe the difference of two manifests of a model: "threshold 3.1 → 2.9, parts in the fit 12 → 11".

    Returns:
        The text; empty if a manifest is incomplete, so that they cannot be compared.
    """
    try:
        return ", ".join(_differences(before, now))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""


def _differences(before: Manifest, now: Manifest) -> list[str]:
    found = []
    one, other = _threshold(before), _threshold(now)
    if one != other:
        found.append(f"threshold {one} → {other}")
    elif before.get("choice") != now.get("choice"):
        found.append(f"threshold {_rule(before)} → {_rule(now)}")
    for key, title in _NAMED.items():
        was, is_now = before["config"].get(key), now["config"].get(key)
        if was != is_now:
            found.append(f"{title} {was} → {is_now}")
    for key, title in (("parts", "parts in the fit"), ("images", "images")):
        was, is_now = before["counts"][key], now["counts"][key]
        if was != is_now:
            found.append(f"{title} {was} → {is_now}")
    if _hash(before, "roi.npy") != _hash(now, "roi.npy"):
        found.append(f"region of interest {_action(_hash(before, 'roi.npy'), _hash(now, 'roi.npy'))}")
    if before.get("guard") != now.get("guard"):
        found.append(f"guard band {_action(before.get('guard'), now.get('guard'))}")
    if any(before["config"].get(key) != now["config"].get(key) for key in _LAYERS):
        found.append("other layers in use")
    rest = [
        key
        for key in sorted({*before["config"], *now["config"]} - {*_NAMED, *_LAYERS})
        if before["config"].get(key) != now["config"].get(key)
    ]
    if rest:
        found.append(f"fitted with another {', '.join(rest)}")
    if not found:
        same = {name: _hash(before, name) for name in before["files"]} == {
            name: _hash(now, name) for name in now["files"]
        }
        found.append("saved again with the same content" if same else "other good parts, or other scores")
    return found


def _threshold(manifest: Manifest) -> str:
    threshold, quantizer = manifest.get("threshold"), manifest.get("quantizer")
    if not threshold or not quantizer:
        return "none"
    return f"{quantizer['offset'] + quantizer['step'] * threshold['level']:.4g}"


def _rule(manifest: Manifest) -> str:
    """Describe how the threshold is chosen: "at 95 % of parts"."""
    choice = manifest["choice"]
    if choice["basis"] == "manual":
        return "set by hand"
    return f"at {choice['permille'] / 10:g} % of {'parts' if choice['basis'] == 'image' else 'pixels'}"


def _hash(manifest: Manifest, name: str) -> str | None:
    entry = manifest["files"].get(name)
    return None if entry is None else str(entry["sha256"])


def _action(before: object, now: object) -> str:
    return "set" if before is None else "removed" if now is None else "changed"
