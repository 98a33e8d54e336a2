"""The options that describe a configuration, and the configuration they make together with a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from padim.config import PadimConfig

METHOD, NETWORK, DECISION = "The method", "The network and its features", "The decision"

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="YAML", help="Settings from a file; options here count more."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="How finely it looks: fast, standard or fine; standard. Other options here, and settings of a "
        "file, count more.",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="padim, patchcore, shared, svdd, flow, stfpm, or several joined by + to judge together; padim. "
        "See the methods command.",
        rich_help_panel=METHOD,
    ),
]
Tolerance = Annotated[
    bool | None,
    typer.Option(
        "--position-tolerance/--no-position-tolerance",
        help="padim: allow parts to lie one grid position off.",
        rich_help_panel=METHOD,
    ),
]
Coreset = Annotated[
    float | None,
    typer.Option(
        "--coreset",
        metavar="PERCENT",
        help="patchcore: share of the patches that is remembered, never fewer than 2,048; 1.",
        rich_help_panel=METHOD,
    ),
]
Neighborhood = Annotated[
    int | None,
    typer.Option(
        "--neighborhood",
        metavar="N",
        help="patchcore: compare a place with all good parts' patches up to N grid positions away, 1 or 2, "
        "instead of with a share of all (--coreset is not read then); 0 is off.",
        rich_help_panel=METHOD,
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="N",
        help="Methods that train: in how many turns parts are left out for their held-out scores.",
        rich_help_panel=METHOD,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        help="Methods that train: passes over the images at most; they stop early by themselves.",
        rich_help_panel=METHOD,
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help="Which network; see the backbones command.",
        rich_help_panel=NETWORK,
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="A,B,C",
        help="Its layers, with commas between; the backbone's own choice.",
        rich_help_panel=NETWORK,
    ),
]
InputSize = Annotated[
    int | None,
    typer.Option(
        "--input-size",
        metavar="PIXELS",
        help="Side to which images are resized, a multiple of 32; 256.",
        rich_help_panel=NETWORK,
    ),
]
GridStride = Annotated[
    int | None,
    typer.Option(
        "--grid-stride",
        metavar="PIXELS",
        help="Pixels per grid position: 4, 8 or 16; 8.",
        rich_help_panel=NETWORK,
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--n-features",
        metavar="D|all",
        help="Channels kept; the backbone's own choice.",
        rich_help_panel=NETWORK,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed of the channel draw; 0.", rich_help_panel=NETWORK),
]
FeatureNorm = Annotated[
    str | None,
    typer.Option(
        "--feature-norm",
        metavar="HOW",
        help="l2 scales the channels of a layer at every position to a mean square of 1, none takes them as "
        "they are; the method's own choice.",
        rich_help_panel=NETWORK,
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        "--resize",
        metavar="HOW",
        help="stretch images to a square, or pad them to one; stretch.",
        rich_help_panel=NETWORK,
    ),
]
Random = Annotated[
    bool,
    typer.Option(
        "--random-weights",
        help="An untrained network, for trials only; the model is marked for it.",
        rich_help_panel=NETWORK,
    ),
]
Smoothing = Annotated[
    float | None,
    typer.Option(
        "--smoothing", metavar="SIGMA", help="Smoothing of the map, in map pixels.", rich_help_panel=DECISION
    ),
]
MinArea = Annotated[
    int | None,
    typer.Option(
        "--min-area",
        metavar="PIXELS",
        help="Smallest region that counts, in map pixels.",
        rich_help_panel=DECISION,
    ),
]
Percentile = Annotated[
    float | None,
    typer.Option(
        "--percentile",
        metavar="P",
        help="Threshold at this percentile of the good parts' held-out scores, 0.1 to 99.9.",
        rich_help_panel=DECISION,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", metavar="VALUE", help="Threshold by hand, in map units.", rich_help_panel=DECISION
    ),
]


def config_of(path: Path | None, preset: str | None = None, **given: Any) -> PadimConfig:
    """The configuration of a YAML file, if there is one, and of the options that were given.

    Below both stand the settings of a preset: of the one given, or of the one that the file names.

    A method may be several, joined by ``+``: an ensemble of them.

    With another backbone, layers and number of features of the file no longer count; with other layers,
    the number of features.

    Raises:
        PadimError: a file that cannot be read, or values that make no configuration; in one sentence.
    """
    from padim import presets
    from padim.config import PadimConfig
    from padim.errors import PadimError

    # Only what the file says: other defaults come with another method or backbone.
    named, choices = (None, {}) if path is None else PadimConfig.load_choices(path)
    if preset is not None:
        named = presets.check(preset)
    given = {name: value for name, value in given.items() if value is not None}
    if "+" in given.get("method", ""):
        given["members"] = tuple(name.strip() for name in given["method"].split("+"))
        given["method"] = "ensemble"
    if "layers" in given:
        given["layers"] = tuple(name.strip() for name in given["layers"].split(",") if name.strip())
    features = given.get("n_features")
    if features is not None:
        try:
            given["n_features"] = None if features.lower() == "all" else int(features)
        except ValueError:
            raise PadimError(f"--n-features takes a whole number or 'all', not '{features}'") from None
    of_file = choices.get("backbone", PadimConfig.model_fields["backbone"].default)
    if given.get("backbone", of_file) != of_file:
        choices = {
            name: choices[name] for name in choices.keys() - {"layers", "inactive_layers", "n_features"}
        }
    if "layers" in given:
        choices = {name: choices[name] for name in choices.keys() - {"inactive_layers", "n_features"}}
    return PadimConfig.of(presets.expand(named, {**choices, **given}))


def decide(model: Any, **given: Any) -> None:
    """Set what the decision options say, and leave the rest.

    Raises:
        PadimError: a value out of range, or both a percentile and a threshold.
    """
    from pydantic import ValidationError

    from padim.config import explain
    from padim.errors import PadimError

    given = {name: value for name, value in given.items() if value is not None}
    if "percentile" in given and "value" in given:
        raise PadimError("--percentile and --threshold exclude each other: give one of them")
    if "percentile" in given and "basis" not in given and model.decision.choice.basis == "manual":
        given["basis"] = "image"
    try:
        model.set_decision(**given)
    except ValidationError as error:
        raise PadimError(explain(error)) from error
    except ValueError as error:
        raise PadimError(str(error)) from error
