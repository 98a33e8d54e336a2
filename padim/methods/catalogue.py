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
    """The description of a method that a user needs before choosing it.

    Attributes:
        name: the value of ``PadimConfig.method``.
        title: the name shown in the interface.
        summary: one sentence for a quality engineer.
        module: the name of the module in ``padim.methods``.
        held_out: how the held-out scores of the good parts are computed: by ``exact`` leave-one-out, by
            ``approximate`` leave-one-out (the influence of the part on the fit is not removed completely), by
            cross-fitting with ``folds`` (several models, each fitted without some of the parts), or in the
            way of each of the ``members`` of an ensemble.
        trains: whether a network is trained, which takes minutes and produces loss curves.
        settings: the keys of the config that this method reads and some other methods do not.
        feature_norm: the default of ``PadimConfig.feature_norm``: the value that detects more
            defects with this method.
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
            # With "l2", recall at the held-out threshold fell on two of three real data sets.
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
            # It compares whole layers itself, each normalized to length 1, and reads no embedding.
            feature_norm="none",
        ),
        Method(
            "ensemble",
            "Ensemble",
            "Several methods score together: their maps are put on one scale and averaged.",
            "ensemble",
            "members",
            settings=("members",),
        ),
    )
}
assert set(METHODS) == set(get_args(MethodName))


def get(name: str) -> Method:
    """Return the description of a method; the name must be known, which the config checks."""
    return METHODS[name]


def usual_norm(name: str, *, located: bool) -> FeatureNorm:
    """Return the default of ``PadimConfig.feature_norm``.

    Of parts that are located PaDiM's Gaussians catch more with the features as they are: differences in
    strength from place to place are then the part's own. On generated brackets the recall at the honest
    threshold was 57 instead of 33 % (``benchmarks/alignment.py``), on screws the AUROC .92 instead of .85.

    Args:
        name: the name of the method.
        located: whether the part is located in each image.
    """
    return "none" if located and name == "padim" else METHODS[name].feature_norm


def held_out(name: str, *, neighborhood: int) -> HeldOutKind:
    """Return how a method computes its held-out scores.

    Args:
        name: the name of the method, or of a member of an ensemble.
        neighborhood: ``PadimConfig.neighborhood``; with a neighborhood, PatchCore compares every position
            with all patches of the other parts, so that leave-one-out is exact.
    """
    if name == "patchcore" and neighborhood:
        return "exact"
    return METHODS[name].held_out
