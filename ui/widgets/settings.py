"""The form with the settings of a new model, described for quality engineers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from padim import presets
from padim.methods import catalogue
from padim.network import backbone as backbones
from padim.network.registry import JOIN, own_layers
from ui.widgets import input_sizes, layer_range, method_settings, networks, preset_control, resolution

if TYPE_CHECKING:
    from padim.config import PadimConfig
    from padim.network.registry import Backbone

# Narrowest column in pixels: widgets are side by side if their labels fit, else one below the other.
_NARROWEST = 150
_NORMS = {"l2": "One length for each layer", "none": "As the network gives them"}
# The labels avoid "fine" and "standard", which are names of presets.
STRIDES = {4: "4 px, closest", 8: "8 px", 16: "16 px, widest"}


def form(sizes: Mapping[tuple[int, int], int], located: tuple[int, int] | None = None) -> PadimConfig | None:
    """Draw the widgets and return the resulting configuration, or None while it is not valid.

    Args:
        sizes: how many images of good parts have which (height, width) in pixels. If their shapes differ,
            padding is the better default; from their number the cost of a preset is estimated.
        located: (height, width) in pixels of what is cut out where the part lies; None for whole images.
    """
    from pydantic import ValidationError

    from padim.config import PadimConfig, explain
    from padim.data.shapes import mixed_shapes

    mixed = mixed_shapes(sizes)

    # Filled in last, because it shows which preset matches the settings below it.
    preset = st.container()
    chosen: dict[str, Any] = method_settings.choose()
    name = st.selectbox(
        "Network",
        list(backbones.REGISTRY),
        format_func=networks.title,
        key="fit-backbone",
        persist_state="session",
        help="The pretrained network whose features describe the images. It is never trained here.",
    )
    if chosen["method"] == "ensemble":
        name = _with_another(name)
    backbone = backbones.get(name)
    chosen["backbone"] = name
    # Filled in later, because its text on the weights depends on a widget further down.
    about = st.container()
    picked = layer_range.choose(backbone, name, presets.settings("standard", name)["layers"])
    with st.expander("Input size, grid and features", key="fit-closely", icon=":material/tune:"):
        chosen.update(_closeness(backbone, name, picked, sizes if located is None else [located]))
    # What is cut out where the part lies has one shape, which the input size follows.
    chosen["fit"] = _shape(mixed) if located is None else "stretch"
    with st.expander("Advanced"):
        chosen.update(_advanced())
        chosen["pixel_size_mm"] = resolution.pixel_size("fit-pixel-size", None)
        chosen.update(_normalization(chosen["method"], located is not None))
        chosen.update(method_settings.advanced(chosen))
    with st.expander("For trials", key="fit-trials"):
        chosen["weights"] = _weights()
    with about:
        for part in backbone.parts:
            own = own_layers(part, tuple(picked) or backbone.default_layers) if backbone.joins else picked
            status = networks.status(part, chosen["weights"])
            networks.panel(part, own or backbones.get(part).default_layers, status)
    config = None
    if not picked:
        st.error("Choose at least one layer.", icon=":material/error:")
    else:
        try:
            config = PadimConfig(**chosen)
        except ValidationError as error:
            st.error(explain(error), icon=":material/error:")
    with preset:
        preset_control.draw(chosen, config, sum(sizes.values()))
    return config


def _shape(mixed: bool) -> str:
    return st.radio(
        "Shape",
        ["stretch", "pad"],
        index=1 if mixed else 0,
        format_func={
            "stretch": "Stretch to the input size",
            "pad": "Keep the shape, pad the rest",
        }.__getitem__,
        key=f"fit-shape-{mixed}",
        persist_state="session",
        horizontal=True,
        help="Stretching uses every pixel and is right when all images have one shape. Padding keeps "
        "proportions when they differ.",
    )


def _closeness(
    backbone: Backbone, name: str, picked: Sequence[str], sizes: Iterable[tuple[int, int]]
) -> dict[str, Any]:
    """Draw the other settings that presets set than the layers, and return the values of all.

    Their defaults are stored in the session, not passed to the widgets, because presets set them there too.
    """
    standard = presets.settings("standard", name)
    layers = {layer.name: layer for layer in backbone.layers}
    chosen: dict[str, Any] = {"layers": tuple(picked)}
    pair = st.grid(min_column_width=_NARROWEST, gap="small", key="fit-size-and-grid")
    with pair.cell():
        chosen["input_size"] = input_sizes.choose(sizes)
    with pair.cell():
        st.session_state.setdefault(preset_control.STRIDE, standard["grid_stride"])
        chosen["grid_stride"] = st.selectbox(
            "Grid",
            list(STRIDES),
            format_func=lambda stride: STRIDES[stride],
            key=preset_control.STRIDE,
            persist_state="session",
            help="How far apart the places lie at which the model learns what is normal. Half as far places "
            "defects more exactly and takes four times the memory.",
        )
    channels = sum(layers[key].channels for key in picked)
    if channels:
        key = preset_control.features_key(name, channels)
        st.session_state.setdefault(key, min(channels, backbone.default_n_features or channels))
        chosen["n_features"] = st.slider(
            "Features kept at each place (d)",
            min_value=min(10, channels),
            max_value=channels,
            key=key,
            persist_state="session",
            help="A seeded random choice among the layers’ channels. Memory grows with its square; below "
            "about 50 subtle defects begin to fade.",
        )
    return chosen


def _with_another(name: str) -> str:
    """Draw the choice of a second network for an ensemble; return the name of the network or of the pair."""
    another = st.selectbox(
        "And on another network",
        [None, *(key for key in backbones.REGISTRY if key != name)],
        format_func=lambda key: "None" if key is None else networks.title(key),
        key=f"fit-another-{name}",
        persist_state="session",
        help="Every method of the ensemble then scores on both networks. Time and memory double.",
    )
    return name if another is None else f"{name}{JOIN}{another}"


def _weights() -> Literal["pretrained", "random"]:
    random = st.checkbox(
        "Random weights instead of trained ones",
        key="fit-random",
        persist_state="session",
        help="The network is built but was never trained. It needs no file, and takes the same time and "
        "memory.",
    )
    st.caption(
        "To try out speed, memory and export without the weights’ file. The verdicts of such a model mean "
        "nothing; it is marked so on every page and in every file."
    )
    return "random" if random else "pretrained"


def _normalization(method: str, located: bool) -> dict[str, Any]:
    """Draw the choice of feature normalization; return nothing for a method that does not use features.

    Args:
        method: the name of the method.
        located: whether the part is located in each image.
    """
    if method == "stfpm":
        return {}
    default = catalogue.usual_norm(method, located=located)
    wanted = st.selectbox(
        "Feature normalization",
        list(_NORMS),
        index=list(_NORMS).index(default),
        format_func=lambda norm: (
            f"{_NORMS[norm]} (usual for this method)" if norm == default else _NORMS[norm]
        ),
        # The key depends on what the default depends on.
        key=f"fit-norm-{method}{'-located' if located else ''}",
        persist_state="session",
        help="At every place the features of a layer are brought to one length, so that bright edges, glare "
        "and grain do not set the threshold for faint defects elsewhere. It costs next to nothing.",
    )
    return {"feature_norm": wanted}


def _advanced() -> dict[str, Any]:
    pair = st.grid(min_column_width=_NARROWEST, gap="small", key="fit-advanced")
    with pair.cell():
        seed = st.number_input(
            "Seed",
            min_value=0,
            max_value=2**31 - 1,
            value=0,
            key="fit-seed",
            persist_state="session",
            help="Which channels the random choice keeps. The same seed gives the same model.",
        )
        sigma = st.number_input(
            "Smoothing (px)",
            min_value=0.0,
            max_value=64.0,
            value=4.0,
            step=0.5,
            key="fit-sigma",
            persist_state="session",
            help="Blur of the anomaly map, in pixels of the input size. More is calmer, less is sharper.",
        )
    with pair.cell():
        eps = st.number_input(
            "Regularisation (eps)",
            min_value=1e-6,
            max_value=10.0,
            value=0.01,
            format="%.4g",
            key="fit-eps",
            persist_state="session",
            help="Added to every feature’s variance, so that a few images do not make a model that is "
            "too sure of itself. The paper’s value is 0.01.",
        )
        area = st.number_input(
            "Smallest region (px²)",
            min_value=1,
            max_value=4096,
            value=16,
            key="fit-area",
            persist_state="session",
            help="Smaller hot spots do not count, in pixels of the input size. It can be changed later, on "
            "the Calibrate page.",
        )
    return {"seed": int(seed), "smoothing_sigma": float(sigma), "eps": float(eps), "min_area": int(area)}
