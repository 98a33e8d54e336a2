"""The control above the settings that chooses among presets, and what it says of the one chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from padim import presets
from padim.network import registry
from padim.presets import PRESETS
from ui.app.text import count, megabytes

if TYPE_CHECKING:
    from padim.config import PadimConfig

_KEY = "fit-preset"
# The widgets whose values a preset decides; the features' slider has a key for every range.
SIZE, STRIDE = "fit-size", "fit-stride"


def layers_key(backbone: str) -> str:
    """Key of the layers' widget: every network has its own."""
    return f"fit-layers-{backbone}"


def features_key(backbone: str, channels: int) -> str:
    """Key of the slider of channels kept: another network or set of layers has another range."""
    return f"fit-d-{backbone}-{channels}"


def draw(chosen: Mapping[str, Any], config: PadimConfig | None, images: int) -> None:
    """Draw the control, set to the preset that the settings make, or to none of them.

    Call it once the settings are known, in a container above them.

    Args:
        chosen: keys of a configuration, as the widgets stand.
        config: what they make; None where that is no valid one.
        images: of good parts.
    """
    backbone = str(chosen["backbone"])
    now = _matching(chosen)
    options: list[presets.PresetName | Literal["custom"]] = [preset.name for preset in PRESETS.values()]
    if now is None:
        options.append("custom")
    # The settings are what counts: the control only says which preset they are, and when it is clicked.
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
        return None  # no layer is chosen, and so no number of features
    return presets.matching(chosen)


def _apply(backbone: str) -> None:
    """Set the widgets below to what the preset says; runs before the page does."""
    name = st.session_state.get(_KEY)
    if name not in PRESETS:
        return
    wanted = presets.settings(presets.check(name), backbone)
    st.session_state[SIZE], st.session_state[STRIDE] = wanted["input_size"], wanted["grid_stride"]
    st.session_state[layers_key(backbone)] = list(wanted["layers"])
    channels = registry.get(backbone).channels(wanted["layers"])
    st.session_state[features_key(backbone, channels)] = wanted["n_features"] or channels


def _description(
    now: presets.PresetName | None, backbone: str, config: PadimConfig | None, images: int
) -> str:
    """One line: what it does, costs and has gained."""
    if now is None:
        return "Settings of your own, below. Choose a preset to go back to one."
    sentences = [PRESETS[now].summary if backbone == presets.TUNED_FOR else presets.ELSEWHERE[now]]
    if now != "standard":
        sentences += [
            text for text in (presets.gained(now, backbone), _cost(now, backbone, config, images)) if text
        ]
    return " ".join(sentences)


def _cost(now: presets.PresetName, backbone: str, config: PadimConfig | None, images: int) -> str:
    """Memory for these images, and time, against the standard preset."""
    if config is None:
        return ""
    from padim.analysis.cost import estimate

    usual = config.model_validate({**config.model_dump(), **presets.settings("standard", backbone)})
    own, other = (estimate(one, images).score_memory for one in (config, usual))
    sentences = (
        f"With {count(images, 'image')} scoring takes {megabytes(own)} of memory, Standard {megabytes(other)}"
    )
    measured = presets.MEASURED.get(now) if backbone == presets.TUNED_FOR else None
    if measured is not None:
        sentences += f"; it takes {presets.times(measured.scoring_time)} of Standard"
    return f"{sentences}."
