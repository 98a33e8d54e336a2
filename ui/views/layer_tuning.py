"""Layer tuning: how much each layer adds to the distances of good parts, and which layers the model uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import model_changes
from ui.app import shell
from ui.widgets import layers, panels

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry


def draw(entry: Entry, model: Padim, busy: bool) -> None:
    """Draw the share of each layer in the distances of good parts, and the choice of layers to use.

    Args:
        entry: the model in use.
        model: the same model, opened.
        busy: whether a change of it is running, so that no other one can be started.
    """
    panel = st.expander("Tune layers", key="fit-layers", icon=":material/layers:", on_change="rerun")
    if not panel.open:
        return
    from padim.analysis.layer_questions import can_attribute

    with panel:
        if not model.working_set.has_features:
            st.write(
                "The working features were deleted. “Give the same images again”, above, brings them back; "
                "until then no layer can be looked at, or turned off or on."
            )
            return
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**How far good parts lie from the model, by layer**")
            if can_attribute(model):
                _shares_of_good_parts(entry, model)
            else:
                st.caption(layers.UNREPORTED)
        with right:
            _choose_layers(entry, model, busy)


def _shares_of_good_parts(entry: Entry, model: Padim) -> None:
    try:
        with st.spinner("Working it out"):
            explanation = layers.of_normals(entry, model)
    except (PadimError, OSError) as error:
        shell.failure("The layers cannot be looked into.", error)
        return
    st.html(panels.bars(layers.bars_of(model, explanation.shares.tolist(), features=True)))
    st.caption(
        "Every good part is scored by a model without it, as always. A layer with a large share here that "
        "never shows on your defects (on the Inspect page, “Which layer saw it”) mostly adds noise.",
        help="Mean over the images in the fit of each layer’s Shapley value of the squared distance "
        "distance, at up to 256 places spread over the image.",
    )


def _choose_layers(entry: Entry, model: Padim, busy: bool) -> None:
    used = model.config.active_layers
    by_name = {layer.name: layer for layer in model.network.extractor.layers}
    picked = st.pills(
        "Layers to use",
        list(by_name),
        selection_mode="multi",
        wrap=True,
        default=list(used),
        format_func=lambda name: f"{name} · {layers.sees(by_name[name])}",
        # Once the model has changed, the pills show the layers in use.
        key=f"fit-use-{entry.revision}",
        disabled=busy,
        help="A layer that is turned off stays on disk and can be turned on again at any time.",
    )
    if not picked:
        st.error("Choose at least one layer.", icon=":material/error:")
    if st.button(
        "Refit with these layers",
        key="fit-relayer",
        icon=":material/refresh:",
        disabled=busy or not picked or set(picked) == set(used),
    ):
        model_changes.start_refit(entry, picked)
        st.rerun()
    takes = "trains anew, which takes minutes" if model.config.trains else "takes a second or a few"
    st.caption(
        f"It uses the features on disk and {takes}: the backbone network does not run. The threshold "
        "follows. To go back, choose the former layers again: the model is then the same to the last bit."
    )
