"""Presets: sets of settings that have been measured together, with what they cost and what they gained.

A preset fixes only how finely a model looks: layers, channels, input size and grid. Method, decision and all
else stay what they are. Anything that is set beside it counts more.

This file is data and a few functions over it; it imports neither numpy nor the rest of the engine. Memory is
computed for the user's own number of images by :mod:`padim.analysis.cost`. Times and gains were measured, all
for the method ``padim`` on ``efficientnet_lite0``; :data:`MEASURED` is the only place that holds them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from padim.errors import PadimError
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
"""The settings that presets decide."""
# Layers and channels were chosen for this network; on the others a preset changes the grid alone.
TUNED_FOR = registry.EFFICIENTNET_LITE0.name
_SIZE, _STRIDE = 256, 8


@dataclass(frozen=True)
class Measured:
    """What a preset did, against the standard one.

    Attributes:
        scoring_time: of one image, as a multiple of the standard preset's.
        auroc: points of image AUROC gained with 20 and with 50 good parts, mean over the sets.
        recall: points of recall at the honest threshold gained with 20 and with 50 good parts.
        error: standard error of those two over the sets, in points.
    """

    scoring_time: float
    auroc: tuple[float, float]
    recall: tuple[float, float]
    error: tuple[float, float]


@dataclass(frozen=True)
class Preset:
    """A set of settings under a name.

    Attributes:
        name: as in ``--preset`` and in a configuration file.
        title: as in the interface.
        summary: one sentence on what it does.
        own: its settings on :data:`TUNED_FOR`, where they differ from the standard ones.
        elsewhere: the same on any other network.
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
"""What a preset does on the other networks, where it changes the grid alone."""

MEASURED: Mapping[str, Measured] = {
    "fast": Measured(0.92, (1.0, 0.1), (1.7, -1.3), (0.7, 1.0)),
    "fine": Measured(1.16, (1.1, 0.7), (3.9, 0.6), (2.8, 1.1)),
}
"""By preset, against the standard one; how each figure is reproduced is in ``benchmarks/README.md``."""
SETS = 4
"""Public sets of images that the gains are means over."""


def times(ratio: float) -> str:
    """A ratio of times in words: "1.4 times the time", "about the time"."""
    return "about the time" if 0.95 <= ratio <= 1.05 else f"{ratio:.1f} times the time"


def gained(name: PresetName, backbone: str = TUNED_FOR) -> str:
    """What a preset gained over the standard one, as a sentence; what was not measured is said to be so."""
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
    """What a preset does, takes and gained, in a few sentences."""
    tuned = backbone == TUNED_FOR
    sentences = [PRESETS[name].summary if tuned else ELSEWHERE[name], gained(name, backbone)]
    found = MEASURED.get(name)
    if tuned and found is not None:
        sentences.append(f"Scoring takes {times(found.scoring_time)} of the standard preset.")
    return " ".join(text for text in sentences if text)


def _points(value: float) -> str:
    """ "+3.1", "-0.4" with a true minus, "0.0"."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def check(name: object) -> PresetName:
    """The name of a preset, if it is one.

    Raises:
        PadimError: it is none; names those there are.
    """
    for known in get_args(PresetName):
        if name == known:
            return known
    close = difflib.get_close_matches(str(name)[:80], PRESETS, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise PadimError(f"preset must be one of {', '.join(PRESETS)} (got {shown(name)}){hint}")


def settings(name: PresetName, backbone: str = TUNED_FOR) -> dict[str, Any]:
    """All that a preset decides, for a network: a value for each of :data:`CONTROLLED`.

    Raises:
        BackboneError: unknown backbone.
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
    """Choices with a preset's settings below them: what is chosen counts more.

    A number of channels belongs to its layers: with other layers than the preset's, theirs is the default.

    Args:
        name: None leaves the choices as they are.
        choices: keys of a configuration.
    """
    if name is None:
        return dict(choices)
    preset = PRESETS[name]
    try:
        tuned = registry.get(choices.get("backbone", TUNED_FOR)).name == TUNED_FOR
    except (PadimError, AttributeError, TypeError):
        return dict(choices)  # the configuration's own check says what is wrong with the backbone
    below = dict(preset.own if tuned else preset.elsewhere)
    if "layers" in choices:
        below = {key: value for key, value in below.items() if key not in ("layers", "n_features")}
    return {**below, **choices}


def matching(chosen: Mapping[str, Any]) -> PresetName | None:
    """The preset that has just these settings; None where they are of nobody's choosing but the user's.

    Args:
        chosen: keys of a configuration, with ``backbone`` and all of :data:`CONTROLLED`.

    Raises:
        BackboneError: unknown backbone.
    """
    for name in get_args(PresetName):
        wanted = settings(name, chosen["backbone"])
        same = all(chosen[key] == wanted[key] for key in CONTROLLED if key not in ("layers", "n_features"))
        layers = set(chosen["layers"])
        if same and layers == set(wanted["layers"]):
            every = registry.get(chosen["backbone"]).channels(tuple(wanted["layers"]))
            if (chosen["n_features"] or every) == (wanted["n_features"] or every):
                return name
    return None
