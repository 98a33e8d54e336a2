"""Configurations given on the command line of a benchmark: a YAML file, and changes to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from padim.config import PadimConfig
from padim.yaml_text import parse_yaml

BASELINE_NAME = "baseline"


def changes(items: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` items into a dictionary; values are YAML, as in ``layers=[blocks.4,blocks.10]``.

    Raises:
        PadimError: a value is not valid YAML.
        ValueError: an item has no ``=``, or a key occurs twice.
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
    """Return a configuration with these settings changed.

    Settings that were not chosen explicitly follow the change: another network has its own default layers,
    other layers their default number of features, another method its default settings.

    Raises:
        PadimError: the result is no valid configuration.
    """
    chosen = config.model_dump(exclude_unset=True)
    if "backbone" in change:
        chosen = {k: v for k, v in chosen.items() if k not in ("layers", "inactive_layers", "n_features")}
    elif "layers" in change or "inactive_layers" in change:
        chosen.pop("n_features", None)
    return PadimConfig.of({**chosen, **change})


def configuration(path: Path | None, method: str | None, items: Sequence[str]) -> PadimConfig:
    """Return the configuration of a file, or the default one, with another method and with changes.

    Args:
        path: a YAML file, or None for the default configuration.
        method: another method, or None.
        items: ``KEY=VALUE`` changes.

    Raises:
        PadimError: the result is no valid configuration.
        ValueError: as :func:`changes`.
    """
    config = PadimConfig.load(path) if path else PadimConfig()
    change = changes(items)
    return changed(config, {**({"method": method} if method else {}), **change})


def named(config: PadimConfig, arguments: Sequence[Sequence[str]]) -> dict[str, PadimConfig]:
    """Return the baseline configuration and its variants by name.

    Args:
        config: the baseline configuration.
        arguments: the values of each ``--variant``: a name, then ``KEY=VALUE`` changes or one YAML file.

    Raises:
        PadimError: a variant is no valid configuration.
        ValueError: nothing follows the name, a name is used twice, or as :func:`changes`.
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
