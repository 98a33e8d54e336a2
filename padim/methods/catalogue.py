"""The methods a model can be fitted with, described for menus and checks: data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

HeldOutKind = Literal["exact", "approximate", "folds", "members"]
MethodName = Literal["padim", "shared", "svdd", "flow", "patchcore", "stfpm", "ensemble"]
FeatureNorm = Literal["none", "l2"]


@dataclass(frozen=True)
class Method:
    """What a user has to know of a method before choosing it.

    Attributes:
        name: as in ``PadimConfig.method``.
        title: as in the interface.
        summary: one sentence, in a quality engineer's words.
        module: of its code, below ``padim.methods``.
        held_out: how the good parts' own scores come about: ``exact`` leave-one-out, ``approximate``
            leave-one-out (the part's share in what was learnt is not undone completely), ``folds``
            (several models, each learnt without some of the parts), or as the ``members`` of an ensemble.
        trains: whether a network is trained, which takes minutes and has losses to show.
        settings: the keys of the config that only some methods read, and this one does.
        feature_norm: its default for ``PadimConfig.feature_norm``, whichever finds more with this method.
    """

    name: MethodName
    title: str
    summary: str
    module: str
    held_out: HeldOutKind
    trains: bool = False
    settings: tuple[str, ...] = ()
    feature_norm: FeatureNorm = "l2"


_TRAINING = ("folds", "max_epochs", "patience")

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            "padim",
            "PaDiM",
            "Learns, for every place on the part, how it varies. The standard choice for parts that lie "
            "the same way each time.",
            "padim",
            "exact",
            settings=("position_tolerance", "eps", "shrinkage"),
        ),
        Method(
            "patchcore",
            "PatchCore",
            "Remembers typical patches from anywhere on the good parts and asks for the nearest. For parts "
            "that lie differently each time.",
            "patchcore",
            "approximate",
            settings=("coreset_percent", "neighborhood"),
        ),
        Method(
            "shared",
            "Shared Gaussian",
            "One distribution for all places. Small and quick, for even surfaces; it does not know where on "
            "the part it looks.",
            "shared",
            "exact",
            settings=("eps", "shrinkage"),
        ),
        Method(
            "svdd",
            "Deep SVDD",
            "Trains a small network that pulls good patches together; what stays apart is strange.",
            "svdd",
            "folds",
            trains=True,
            settings=("svdd_objective", "svdd_nu", *_TRAINING),
            # With it, recall at the honest threshold fell on two of three real sets.
            feature_norm="none",
        ),
        Method(
            "flow",
            "Normalizing flow",
            "Trains a network that gives every patch its likelihood, whatever shape the good parts' "
            "distribution has.",
            "flow",
            "folds",
            trains=True,
            settings=("flow_couplings", *_TRAINING),
        ),
        Method(
            "stfpm",
            "Student–teacher (STFPM)",
            "Trains a student network to answer as the pretrained one does on good parts; where they "
            "disagree, something is new.",
            "stfpm",
            "folds",
            trains=True,
            settings=_TRAINING,
            # It compares whole layers itself, each at length 1, and reads no embedding.
            feature_norm="none",
        ),
        Method(
            "ensemble",
            "Ensemble",
            "Several methods judge together: their maps are put on one scale and averaged.",
            "ensemble",
            "members",
            settings=("members",),
        ),
    )
}
assert set(METHODS) == set(get_args(MethodName))


def get(name: str) -> Method:
    """The description of a method; the config has checked the name."""
    return METHODS[name]


def held_out(name: str, *, neighborhood: int) -> HeldOutKind:
    """How a method's held-out scores come about.

    Args:
        name: of the method, or of one in an ensemble.
        neighborhood: as in the settings; PatchCore with one compares every position with the other parts
            themselves, so that leaving one out is exact.
    """
    if name == "patchcore" and neighborhood:
        return "exact"
    return METHODS[name].held_out
