"""The form for choosing a method and its settings, described for quality engineers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.extras import missing_torch
from padim.methods import catalogue
from padim.methods.catalogue import METHODS
from padim.methods.requirements import can_fit
from ui.app.text import count
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.config import PadimConfig

_CORESETS = (0.5, 1.0, 2.0, 5.0, 10.0)
# Grid positions to each side within which the nearest patch is searched; 0 searches a coreset of all of them.
_NEIGHBORHOODS = {0: "Anywhere on the part", 1: "At most one place away", 2: "At most two places away"}
_EXACT = "Each good part is scored by a model that has never seen it: so will the next good part score."


def title(name: str) -> str:
    """Return the method's name in menus, with a note if fitting it requires PyTorch that is not installed."""
    shown = METHODS[name].title
    return shown if can_fit(name) else f"{shown} (needs PyTorch)"


def choose() -> dict[str, Any]:
    """Draw the choice of method with its settings, and return the values as keys of the configuration."""
    name = st.selectbox(
        "Method",
        list(METHODS),
        format_func=title,
        key="fit-method",
        persist_state="session",
        help="How the model learns what is normal. Start with PaDiM; the Compare page tries several on your "
        "own images and says which is best.",
    )
    st.caption(METHODS[name].summary)
    chosen: dict[str, Any] = {"method": name}
    used: tuple[str, ...] = (name,)
    if name == "ensemble":
        chosen["members"] = used = tuple(
            st.pills(
                "Which methods score together",
                [key for key in METHODS if key != "ensemble"],
                selection_mode="multi",
                wrap=True,
                default=["padim", "patchcore"],
                format_func=title,
                key="fit-members",
                persist_state="session",
                help="Their maps are put on one scale, how rare such a place is on good parts, and averaged.",
            )
        )
    if "padim" in used:
        chosen["position_tolerance"] = int(
            st.checkbox(
                "Parts lie a little differently each time",
                key="fit-tolerance",
                persist_state="session",
                help="Position tolerance: each place may also look like its neighbours on the grid, one step "
                "(8 px at the standard grid) to each side. For parts in a loose fixture. Scoring takes some "
                "times longer, and very small shifts are no longer found.",
            )
        )
    if "patchcore" in used:
        chosen |= _memory()
    if not all(can_fit(key) for key in used):
        st.error(plain(f"{missing_torch('This choice of method')}."), icon=":material/error:")
    elif any(METHODS[key].trains for key in used):
        st.info(
            "This method trains a network: fitting takes minutes, not seconds. It can be cancelled.",
            icon=":material/hourglass:",
        )
    return chosen


def _memory() -> dict[str, Any]:
    """Draw PatchCore's settings: where the nearest patch is searched, and the share of patches stored."""
    chosen: dict[str, Any] = {}
    chosen["neighborhood"] = st.selectbox(
        "Where the nearest patch is looked for",
        list(_NEIGHBORHOODS),
        format_func=_NEIGHBORHOODS.__getitem__,
        key="fit-neighborhood",
        persist_state="session",
        help="Anywhere: for parts that lie differently each time; a share of the patches is remembered. Near "
        "the same place: for parts that lie the same way; every patch of every good part is remembered, so "
        "that memory grows with each, and each good part is scored exactly as if it had never been there.",
    )
    if chosen["neighborhood"]:
        st.caption("All patches are remembered: the memory this takes is said below, and no share is drawn.")
        return chosen
    chosen["coreset_percent"] = st.select_slider(
        "Patches remembered",
        _CORESETS,
        value=1.0,
        format_func=lambda share: f"{share:g} %",
        key="fit-coreset",
        persist_state="session",
        help="Of all patches of the good parts, and never fewer than 2,048. More may find subtler defects; "
        "fitting, scoring and memory grow in proportion: ten times as many take about ten times as long.",
    )
    return chosen


def advanced(chosen: dict[str, Any]) -> dict[str, Any]:
    """Draw the advanced settings of the chosen method, and return them as keys of the configuration.

    Args:
        chosen: the values returned by :func:`choose`.
    """
    from padim.config import PadimConfig

    used = chosen["members"] if chosen["method"] == "ensemble" else (chosen["method"],)
    if not any(METHODS[key].trains for key in used):
        return {}
    defaults = PadimConfig.of({"method": chosen["method"]})
    result: dict[str, Any] = {}
    if "svdd" in used:
        soft = st.checkbox(
            "Soft boundary (Deep SVDD)",
            key="fit-svdd-soft",
            persist_state="session",
            help="A tenth of the good patches may lie outside the sphere the network draws, so that odd ones "
            "among your good parts pull it less.",
        )
        result["svdd_objective"] = "soft_boundary" if soft else "one_class"
    result["folds"] = st.number_input(
        "Folds",
        min_value=2,
        max_value=20,
        value=defaults.folds,
        key=f"fit-folds-{chosen['method']}",
        persist_state="session",
        help="In so many turns some good parts are left out of the training, to be scored by a network that "
        "has not seen them. More turns are more honest and take longer.",
    )
    return result


def titles(config: PadimConfig) -> str:
    """Describe the method in a few words."""
    text = " + ".join(catalogue.get(name).title for name in config.methods_used)
    if config.method == "padim" and config.position_tolerance:
        text += ", position-tolerant"
    if config.method == "patchcore" and config.neighborhood:
        text += f", nearest within {count(config.neighborhood, 'place')}"
    return text


def honesty(config: PadimConfig) -> str:
    """Explain in a sentence or two how the good parts' held-out scores were computed."""
    ways = {catalogue.held_out(name, neighborhood=config.neighborhood) for name in config.methods_used}
    text = [_EXACT] if ways == {"exact"} else []
    if "approximate" in ways:
        text.append(
            "For PatchCore each good part is scored against the memory without its own patches, filled up "
            "with what they had stood for: an approximation, close to a memory chosen without the part."
        )
    if "folds" in ways:
        text.append(
            f"Each good part is scored by a network trained without it, in {config.folds} turns. Those "
            "networks have seen fewer parts than the final one, so that the scores come out a little too "
            "high rather than too low."
        )
    return " ".join(text)
