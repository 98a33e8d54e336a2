"""The control above the settings that chooses a preset, and the description of the chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from padim import presets
from padim.network import registry
from padim.presets import PRESETS
from ui.app.text import count, megabytes
from ui.widgets import input_sizes

if TYPE_CHECKING:
    from padim.config import PadimConfig

_KEY = "fit-preset"
# Keys of the widgets whose values a preset sets; the features' slider has a key for every range.
STRIDE = "fit-stride"


def layers_key(backbone: str) -> str:
    """Return the key of the layers' widget, which is different for every network."""
    return f"fit-layers-{backbone}"


def features_key(backbone: str, channels: int) -> str:
    """Return the key of the slider of features kept, whose range depends on the network and its layers."""
    return f"fit-d-{backbone}-{channels}"


def draw(chosen: Mapping[str, Any], config: PadimConfig | None, images: int) -> None:
    """Draw the control, set to the preset that matches the settings, or to "Custom".

    Call it once the settings are known, in a container above them.

    Args:
        chosen: the present values of the widgets, as keys of a configuration.
        config: the resulting configuration, or None if it is not valid.
        images: number of images of good parts.
    """
    backbone = str(chosen["backbone"])
    now = _matching(chosen)
    options: list[presets.PresetName | Literal["custom"]] = [preset.name for preset in PRESETS.values()]
    if now is None:
        options.append("custom")
    # The settings decide: the control shows the matching preset, and changes them only when it is clicked.
    st.session_state[_KEY] = now or "custom"
    st.segmented_control(
        "How closely it looks",
        options,
        format_func=lambda name: PRESETS[name].title if name in PRESETS else "Custom",
        required=True,
        wrap=True,
        key=_KEY,
        on_change=_apply,
        args=(backbone,),
        help="A preset sets layers, features, input size and grid together. Each of them can still be "
        "changed below; the control then says “Custom”.",
    )
    st.caption(_description(now, backbone, config, images))


def _matching(chosen: Mapping[str, Any]) -> presets.PresetName | None:
    if any(key not in chosen for key in presets.CONTROLLED):
        return None  # without a layer there is no number of features
    # Presets leave the shape to the parts: a rectangle of that choice is their size, at about its cost.
    if input_sizes.as_the_parts():
        chosen = {**chosen, "input_size": presets.settings("standard")["input_size"]}
    return presets.matching(chosen)


def _apply(backbone: str) -> None:
    """Set the widgets below to the preset's values; a callback that runs before the page."""
    name = st.session_state.get(_KEY)
    if name not in PRESETS:
        return
    wanted = presets.settings(presets.check(name), backbone)
    st.session_state[input_sizes.KEY] = input_sizes.AS_THE_PARTS
    st.session_state[STRIDE] = wanted["grid_stride"]
    st.session_state[layers_key(backbone)] = list(wanted["layers"])
    channels = registry.get(backbone).channels(wanted["layers"])
    st.session_state[features_key(backbone, channels)] = wanted["n_features"] or channels


def _description(
    now: presets.PresetName | None, backbone: str, config: PadimConfig | None, images: int
) -> str:
    """Describe in one line what the preset does, what it costs and what it has gained in measurements."""
    if now is None:
        return "Settings of your own, below. Choose a preset to go back to one."
    sentences = [PRESETS[now].summary if backbone == presets.TUNED_FOR else presets.ELSEWHERE[now]]
    if now != "standard":
        sentences += [
            text for text in (presets.gained(now, backbone), _cost(now, backbone, config, images)) if text
        ]
    return " ".join(sentences)


def _cost(now: presets.PresetName, backbone: str, config: PadimConfig | None, images: int) -> str:
    """Compare memory for these images, and time, with the standard preset."""
    if config is None:
        return ""
    from padim.analysis.cost import estimate

    standard = {**presets.settings("standard", backbone), "input_size": config.input_size}
    usual = config.model_validate({**config.model_dump(), **standard})
    own, other = (estimate(one, images).score_memory for one in (config, usual))
    sentences = (
        f"With {count(images, 'image')} scoring takes {megabytes(own)} of memory, Standard {megabytes(other)}"
    )
    measured = presets.MEASURED.get(now) if backbone == presets.TUNED_FOR else None
    if measured is not None:
        sentences += f"; it takes {presets.times(measured.scoring_time)} of Standard"
    return f"{sentences}."
