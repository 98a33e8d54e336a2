"""Presets: named sets of settings with their measured costs and gains.

A preset determines only the layers, channels, input size and grid. Method, decision and all other settings
keep their values, and settings given explicitly take precedence over the preset.

This module contains data and a few functions; it imports neither numpy nor the rest of the engine. Memory is
computed for the user's number of images by :mod:`padim.analysis.cost`. Times and gains were measured for the
method ``padim`` on ``efficientnet_lite0``; :data:`MEASURED` is the only place that contains them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from padim.errors import PadimError
from padim.input_size import about_area, as_shape
from padim.network import registry
from padim.text import shown

__all__ = [
    "CONTROLLED",
    "ELSEWHERE",
    "MEASURED",
    "PRESETS",
    "SETS",
    "TUNED_FOR",
    "Measured",
    "Preset",
    "PresetName",
    "check",
    "described",
    "expand",
    "gained",
    "matching",
    "settings",
    "times",
]

PresetName = Literal["fast", "standard", "fine"]

CONTROLLED = ("layers", "n_features", "input_size", "grid_stride")
"""The settings that presets determine."""
# The network for which layers and channels were chosen; on others a preset changes only the grid.
TUNED_FOR = registry.EFFICIENTNET_LITE0.name
_SIZE, _STRIDE = 256, 8


@dataclass(frozen=True)
class Measured:
    """Measured cost and gain of a preset, relative to the standard preset.

    Attributes:
        scoring_time: time to score one image, as a multiple of the standard preset's.
        auroc: gain in image AUROC with 20 and with 50 good parts, in points, mean over the sets.
        recall: gain in recall at the honest threshold with 20 and with 50 good parts, in points.
        error: standard errors of the two recall gains over the sets, in points.
    """

    scoring_time: float
    auroc: tuple[float, float]
    recall: tuple[float, float]
    error: tuple[float, float]


@dataclass(frozen=True)
class Preset:
    """A named set of settings.

    Attributes:
        name: name in ``--preset`` and in a configuration file.
        title: name in the interface.
        summary: its effect in one sentence.
        own: its settings for :data:`TUNED_FOR` that differ from the standard ones.
        elsewhere: its settings for all other networks that differ from the standard ones.
    """

    name: PresetName
    title: str
    summary: str
    own: Mapping[str, Any]
    elsewhere: Mapping[str, Any]


_DEEP: Mapping[str, Any] = {"layers": ("blocks.4", "blocks.10"), "n_features": None}

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "Fast",
            "Every channel of a middle and a deep layer on a coarse grid: smaller and quicker, and about as "
            "good.",
            {**_DEEP, "grid_stride": 16},
            {"grid_stride": 16},
        ),
        Preset("standard", "Standard", "The default settings, right for most parts.", {}, {}),
        Preset(
            "fine",
            "Fine",
            "Every channel of a middle and a deep layer: may find a little more, and takes more memory.",
            _DEEP,
            {"grid_stride": 4},
        ),
    )
}
assert set(PRESETS) == set(get_args(PresetName))

ELSEWHERE: Mapping[str, str] = {
    "fast": "A coarse grid: a quarter of the memory, and defects are placed less exactly.",
    "standard": "The default settings of this network.",
    "fine": "A fine grid: defects are placed more exactly, at four times the memory.",
}
"""Summaries of the presets for the other networks, where they change only the grid."""

MEASURED: Mapping[str, Measured] = {
    "fast": Measured(0.92, (1.0, 0.1), (1.7, -1.3), (0.7, 1.0)),
    "fine": Measured(1.16, (1.1, 0.7), (3.9, 0.6), (2.8, 1.1)),
}
"""Measurements by preset, relative to the standard one; to reproduce them, see ``benchmarks/README.md``."""
SETS = 4
"""Number of public sets of images over which the gains are averaged."""


def times(ratio: float) -> str:
    """Format a ratio of times: "1.4 times the time", "about the time"."""
    return "about the time" if 0.95 <= ratio <= 1.05 else f"{ratio:.1f} times the time"


def gained(name: PresetName, backbone: str = TUNED_FOR) -> str:
    """Return a sentence on a preset's measured gain over the standard one; empty for the standard one."""
    if name == "standard":
        return ""
    if backbone != TUNED_FOR:
        return "It was not measured with this network."
    found = MEASURED.get(name)
    if found is None:
        return ""
    few, some = (
        f"{_points(value)} (± {error:.1f})" for value, error in zip(found.recall, found.error, strict=True)
    )
    return (
        f"On {SETS} public sets, against Standard: {few} points of the defects caught with 20 good parts, "
        f"{some} with 50, each at its own honest threshold."
    )


def described(name: PresetName, backbone: str = TUNED_FOR) -> str:
    """Return a description of a preset's effect, cost and measured gain, in a few sentences."""
    tuned = backbone == TUNED_FOR
    sentences = [PRESETS[name].summary if tuned else ELSEWHERE[name], gained(name, backbone)]
    found = MEASURED.get(name)
    if tuned and found is not None:
        sentences.append(f"Scoring takes {times(found.scoring_time)} of the standard preset.")
    return " ".join(text for text in sentences if text)


def _points(value: float) -> str:
    """Format a gain in points with its sign and a typographic minus: "+3.1", "−0.4", "0.0"."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def check(name: object) -> PresetName:
    """Return the name if it is that of a preset.

    Raises:
        PadimError: there is no such preset; the message lists the presets.
    """
    for known in get_args(PresetName):
        if name == known:
            return known
    close = difflib.get_close_matches(str(name)[:80], PRESETS, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise PadimError(f"preset must be one of {', '.join(PRESETS)} (got {shown(name)}){hint}")


def settings(name: PresetName, backbone: str = TUNED_FOR) -> dict[str, Any]:
    """Return the values that a preset gives the settings in :data:`CONTROLLED`, for a network.

    Raises:
        BackboneError: the backbone is unknown.
    """
    network, preset = registry.get(backbone), PRESETS[name]
    standard: dict[str, Any] = {
        "layers": network.default_layers,
        "n_features": network.default_n_features,
        "input_size": _SIZE,
        "grid_stride": _STRIDE,
    }
    return {**standard, **(preset.own if network.name == TUNED_FOR else preset.elsewhere)}


def expand(name: PresetName | None, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with a preset's settings added; the given settings take precedence.

    The preset's number of channels applies only to its own layers: with other layers, their default is used.

    Args:
        name: the preset; None returns the settings unchanged.
        choices: keys of a configuration with their values.
    """
    if name is None:
        return dict(choices)
    preset = PRESETS[name]
    try:
        tuned = registry.get(choices.get("backbone", TUNED_FOR)).name == TUNED_FOR
    except (PadimError, AttributeError, TypeError):
        return dict(choices)  # validating the configuration will report what is wrong with the backbone
    below = dict(preset.own if tuned else preset.elsewhere)
    if "layers" in choices:
        below = {key: value for key, value in below.items() if key not in ("layers", "n_features")}
    return {**below, **choices}


def matching(chosen: Mapping[str, Any]) -> PresetName | None:
    """Return the preset with these settings, or None; rectangles of about its square's area count as it.

    Args:
        chosen: keys of a configuration, with ``backbone`` and all of :data:`CONTROLLED`.

    Raises:
        BackboneError: the backbone is unknown.
    """
    for name in get_args(PresetName):
        wanted = settings(name, chosen["backbone"])
        height, width = as_shape(chosen["input_size"])
        # A rectangle near the parts' aspect ratio has about the area of the square, and the same cost.
        same_size = chosen["input_size"] == _SIZE or (
            height != width and about_area(height * width, _SIZE**2)
        )
        same = same_size and chosen["grid_stride"] == wanted["grid_stride"]
        layers = set(chosen["layers"])
        if same and layers == set(wanted["layers"]):
            every = registry.get(chosen["backbone"]).channels(tuple(wanted["layers"]))
            if (chosen["n_features"] or every) == (wanted["n_features"] or every):
                return name
    return None
