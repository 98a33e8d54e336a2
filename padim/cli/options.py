"""Command-line options of a configuration, and how they combine with a YAML file and a preset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from padim.config import PadimConfig

METHOD, NETWORK, DECISION = "The method", "The network and its features", "The decision"

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="YAML", help="Settings from a file; options override them."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Level of detail: fast, standard or fine; default standard. Other options, and settings of a "
        "file, override it.",
    ),
]
Folder = Annotated[
    str | None,
    typer.Option(
        "--folder",
        metavar="PATH",
        help="The folder with the good parts inside DIR or the zip, such as train/good; [b].[/] says that "
        "all images in it show good parts, whatever the names of its folders say.",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="padim (default), patchcore, shared, svdd, flow, stfpm, or several joined by + to combine them. "
        "See the methods command.",
        rich_help_panel=METHOD,
    ),
]
Tolerance = Annotated[
    bool | None,
    typer.Option(
        "--position-tolerance/--no-position-tolerance",
        help="padim: tolerate a displacement of parts by one grid position.",
        rich_help_panel=METHOD,
    ),
]
Coreset = Annotated[
    float | None,
    typer.Option(
        "--coreset",
        metavar="PERCENT",
        help="patchcore: percentage of the patches that is kept, never fewer than 2,048 patches; default 1.",
        rich_help_panel=METHOD,
    ),
]
Neighborhood = Annotated[
    int | None,
    typer.Option(
        "--neighborhood",
        metavar="N",
        help="patchcore: compare each position with all good parts' patches up to N grid positions away, "
        "1 or 2, instead of with a coreset (--coreset is then ignored); default 0, off.",
        rich_help_panel=METHOD,
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="N",
        help="Methods that train: number of folds by which good parts are scored without themselves.",
        rich_help_panel=METHOD,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        help="Methods that train: maximum number of epochs; training stops early by itself.",
        rich_help_panel=METHOD,
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help="The network; see the backbones command.",
        rich_help_panel=NETWORK,
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="A,B,C",
        help="The network's layers, separated by commas; default by backbone.",
        rich_help_panel=NETWORK,
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option(
        "--input-size",
        metavar="PIXELS|HxW",
        help="Size to which images are resized: the side of a square, or height x width such as 160x416, in "
        "multiples of 32; default near the good parts' aspect ratio, at the area of 256 x 256.",
        rich_help_panel=NETWORK,
    ),
]
GridStride = Annotated[
    int | None,
    typer.Option(
        "--grid-stride",
        metavar="PIXELS",
        help="Pixels per grid position: 4, 8 or 16; default 8.",
        rich_help_panel=NETWORK,
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--n-features",
        metavar="D|all",
        help="Number of channels kept; default by backbone.",
        rich_help_panel=NETWORK,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", help="Seed of the channel selection; default 0.", rich_help_panel=NETWORK
    ),
]
FeatureNorm = Annotated[
    str | None,
    typer.Option(
        "--feature-norm",
        metavar="HOW",
        help="l2 scales the channels of each layer, at every position, to a mean square of 1; none leaves "
        "them unchanged; default by method.",
        rich_help_panel=NETWORK,
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        "--resize",
        metavar="HOW",
        help="stretch or pad images to the input size; default stretch, or pad for good parts of mixed "
        "shapes.",
        rich_help_panel=NETWORK,
    ),
]
BitDepth = Annotated[
    int | None,
    typer.Option(
        "--bit-depth",
        metavar="BITS",
        help="Bits of the values in images deeper than 8 bits, 8 to 16: 12 for a 12-bit camera's 16-bit "
        "files; default as the files' metadata declare.",
        rich_help_panel=NETWORK,
    ),
]
Random = Annotated[
    bool,
    typer.Option(
        "--random-weights",
        help="Use an untrained network, for trials only; the model is marked accordingly.",
        rich_help_panel=NETWORK,
    ),
]
Smoothing = Annotated[
    float | None,
    typer.Option(
        "--smoothing",
        metavar="SIGMA",
        help="Standard deviation of the anomaly map's smoothing, in map pixels.",
        rich_help_panel=DECISION,
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
PixelSize = Annotated[
    float | None,
    typer.Option(
        "--pixel-size",
        metavar="MM",
        help="Side of a pixel of the original images in mm, for lengths and areas in mm; 0: not known.",
        rich_help_panel=DECISION,
    ),
]
Percentile = Annotated[
    float | None,
    typer.Option(
        "--percentile",
        metavar="P",
        help="Set the threshold at this percentile of the scores of the good parts, 0.1 to 99.9.",
        rich_help_panel=DECISION,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", metavar="VALUE", help="Set the threshold, in map units.", rich_help_panel=DECISION
    ),
]


def config_of(path: Path | None, preset: str | None = None, **given: Any) -> PadimConfig:
    """Combine a preset, a YAML file and command-line options into a configuration.

    Options override the file, and the file overrides the preset: the one given, or the one that the file
    names. A method may be several names joined by ``+``, which makes an ensemble of them. An option for
    another backbone discards the file's layers, inactive layers and number of features; one for other layers
    discards its inactive layers and number of features.

    Args:
        path: the YAML file, or None.
        preset: the preset's name, or None.
        **given: values of options by setting; None where an option was not given.

    Raises:
        PadimError: the file cannot be read, or the values are no valid configuration; in one sentence.
    """
    from padim import presets
    from padim.config import PadimConfig
    from padim.errors import PadimError

    # Only settings that the file contains: defaults depend on the method and the backbone.
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
    file_backbone = choices.get("backbone", PadimConfig.model_fields["backbone"].default)
    if given.get("backbone", file_backbone) != file_backbone:
        choices = {
            name: choices[name] for name in choices.keys() - {"layers", "inactive_layers", "n_features"}
        }
    if "align" in given:
        given["align"] = _aligned(choices.get("align"), given["align"])
    if "layers" in given:
        choices = {name: choices[name] for name in choices.keys() - {"inactive_layers", "n_features"}}
    return PadimConfig.of(presets.expand(named, {**choices, **given}))


def _aligned(of_file: Any, given: dict[str, Any]) -> dict[str, Any] | None:
    """Combine a file's settings of locating the part with those of options; another method starts afresh."""
    if given.get("method") == "none":
        return None
    before = {"method": of_file} if isinstance(of_file, str) else dict(of_file or {})
    if given.get("method", before.get("method")) != before.get("method"):
        before = {}
    return {**before, **given}


def decide(model: Any, **given: Any) -> None:
    """Set the decision settings that were given, and leave the others unchanged.

    Raises:
        PadimError: a value is out of range, or both a percentile and a threshold are given.
    """
    from pydantic import ValidationError

    from padim.config import explain
    from padim.errors import PadimError

    given = {name: value for name, value in given.items() if value is not None}
    if "percentile" in given and "value" in given:
        raise PadimError("--percentile and --threshold are mutually exclusive: give one of them")
    if "percentile" in given and "basis" not in given and model.decision.choice.basis == "manual":
        given["basis"] = "image"
    try:
        model.set_decision(**given)
    except ValidationError as error:
        raise PadimError(explain(error)) from error
    except ValueError as error:
        raise PadimError(str(error)) from error
