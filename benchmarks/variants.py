"""Configurations as the command line names them: a YAML file, and changes to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from padim.config import PadimConfig
from padim.yaml_text import parse_yaml

BASELINE_NAME = "baseline"


def changes(items: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` items by key; a value is read as YAML: ``layers=[blocks.4,blocks.10]``.

    Raises:
        PadimError: a value is not YAML.
        ValueError: an item without ``=``, or a key named twice.
    """
    found: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ValueError(f"{item!r}: expected KEY=VALUE")
        if key in found:
            raise ValueError(f"{key} is set twice")
        found[key] = parse_yaml(value, f"the value of {key}")
    return found


def changed(config: PadimConfig, change: Mapping[str, Any]) -> PadimConfig:
    """The configuration with these keys changed.

    What was not chosen follows the change: another network brings its own layers, other layers their number
    of features, another method its own settings.

    Raises:
        PadimError: not a valid configuration.
    """
    chosen = config.model_dump(exclude_unset=True)
    if "backbone" in change:
        chosen = {k: v for k, v in chosen.items() if k not in ("layers", "inactive_layers", "n_features")}
    elif "layers" in change or "inactive_layers" in change:
        chosen.pop("n_features", None)
    return PadimConfig.of({**chosen, **change})


def configuration(path: Path | None, method: str | None, items: Sequence[str]) -> PadimConfig:
    """The configuration of the file, or the default one; by another method if one is named; with changes.

    Raises:
        PadimError: not a valid configuration.
        ValueError: as :func:`changes`.
    """
    config = PadimConfig.load(path) if path else PadimConfig()
    change = changes(items)
    return changed(config, {**({"method": method} if method else {}), **change})


def named(config: PadimConfig, arguments: Sequence[Sequence[str]]) -> dict[str, PadimConfig]:
    """The baseline configuration and its variants, by name.

    Args:
        config: the baseline configuration.
        arguments: of each ``--variant``: a name, then ``KEY=VALUE`` changes or a single YAML file.

    Raises:
        PadimError: not a valid configuration.
        ValueError: nothing follows the name, a name is taken, or as :func:`changes`.
    """
    found = {BASELINE_NAME: config}
    for name, *items in arguments:
        if not items or "=" in name or "." in name:
            raise ValueError(
                f"--variant {name}: expected NAME KEY=VALUE ... or NAME FILE, without = or . in NAME"
            )
        if name in found:
            raise ValueError(f"--variant {name}: there is another configuration of that name")
        if len(items) == 1 and "=" not in items[0]:
            found[name] = PadimConfig.load(items[0])
        else:
            found[name] = changed(config, changes(items))
    return found
