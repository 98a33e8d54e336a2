"""The configuration of a model: all settings, validated on input and saved in the bundle."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from padim import presets
from padim.errors import BackboneError, PadimError
from padim.input_size import InputSize, as_input_size, as_shape
from padim.locating.settings import Align
from padim.methods import catalogue
from padim.network import registry
from padim.text import clipped, shown
from padim.yaml_text import from_file, parse_yaml

GridStride = Literal[4, 8, 16]
Weights = Literal["pretrained", "random"]
# The values that settings effectively had in models saved before the settings were introduced.
BEFORE_IT_WAS_A_SETTING: Mapping[str, Any] = {
    "feature_norm": "none",
    "neighborhood": 0,
    "bit_depth": None,
    "align": None,
    "pixel_size_mm": None,
}
# The bit depth with which saved models from before are opened: 16-bit files were read over their full range,
# whatever their metadata declared.
BIT_DEPTH_BEFORE = 16
# Present names of settings by their names before version 0.2; both are read, only the present ones are
# written.
FORMER_NAMES: Mapping[str, str] = {"muted_layers": "inactive_layers"}


def is_as_before(name: str, value: Any) -> bool:
    """Return whether a setting has the effect that it had before it was introduced.

    Digests leave such settings out, so that models and stopped fits from before keep their identity. After a
    fit only models of 8-bit images have no bit depth, and for these it changes nothing.
    """
    before = BEFORE_IT_WAS_A_SETTING.items()
    return (name, value) in before or (name, value) == ("bit_depth", BIT_DEPTH_BEFORE)


class PadimConfig(BaseModel):
    """Settings of a model for fitting and scoring; immutable, so that they always match the fitted model.

    Lengths are in pixels of the model's input (:attr:`input_shape`), which is also the resolution of the
    anomaly map. The defaults of ``layers`` and ``n_features`` are those of the backbone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    method: catalogue.MethodName = Field("padim", description="Method that models the normal parts.")
    backbone: str = Field("efficientnet_lite0", description="Name in the backbone registry.")
    weights: Weights = Field(
        "pretrained", description="The published weights, or random ones, which serve for trials only."
    )
    layers: tuple[str, ...] = Field(
        registry.EFFICIENTNET_LITE0.default_layers,
        min_length=1,
        description="Layers of the backbone whose features are joined.",
    )
    inactive_layers: tuple[str, ...] = Field(
        (),
        description="Layers that are computed but left out of the Gaussians; turning one on or off uses the "
        "features on disk, not the network.",
    )
    input_size: InputSize = Field(
        256,
        description="Size to which every image is resized: a side in pixels for a square, or height and "
        "width such as 160x416. Where none is given, the first fit chooses one near the parts' aspect ratio.",
    )
    fit: Literal["stretch", "pad"] = Field(
        "stretch", description="Resize to the input size, or pad to it, keeping the aspect ratio."
    )
    bit_depth: Annotated[int, Field(ge=8, le=16)] | None = Field(
        None,
        description="Bits of the range of values in images deeper than 8 bits, such as 12 for a 12-bit "
        "camera's 16-bit files; null: as the files' metadata declare, decided by the first fit.",
    )
    align: Align | None = Field(
        None, description="How the part is located in each image; null: images are compared as they are."
    )
    grid_stride: GridStride = Field(8, description="Input pixels per grid position.")
    feature_norm: catalogue.FeatureNorm = Field(
        "l2",
        description="l2: at every grid position the channels of a layer are scaled to a mean square of 1; "
        "none: as the network returns them. The default depends on the method and on align.",
    )
    n_features: Annotated[int, Field(ge=1, lt=2**31)] | None = Field(
        registry.EFFICIENTNET_LITE0.default_n_features,
        description="Number of channels d that the seeded draw keeps; null keeps all channels of the layers.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**64)] = Field(0, description="Seed of the channel draw.")
    # Below a millionth, held-out distances with n < d lose all their digits in floating point.
    eps: Annotated[float, Field(ge=1e-6, allow_inf_nan=False)] = Field(
        0.01, description="Added to the covariance's diagonal (paper, section III-B)."
    )
    shrinkage: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Fixed weight of the identity in the covariance; 0 is off."
    )
    position_tolerance: Literal[0, 1] = Field(
        0,
        description="padim: grid positions in each direction by which a part may be displaced; the distance "
        "is the smallest to the Gaussians at these positions.",
    )
    coreset_percent: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = Field(
        1.0,
        description="patchcore: share of the normals' patches that is kept, in percent, but at least 2,048.",
    )
    neighborhood: Annotated[int, Field(ge=0, le=2)] = Field(
        0,
        description="patchcore: compare a position with all normals' vectors up to so many grid positions "
        "away, without using coreset_percent. 0 compares with the coreset.",
    )
    folds: Annotated[int, Field(ge=2, le=20)] = Field(
        5, description="Methods that train: number of cross-fitting rounds for the held-out scores."
    )
    max_epochs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        30, description="Methods that train: largest number of passes over the normals."
    )
    patience: Annotated[int, Field(ge=1, lt=2**31)] = Field(
        8, description="Methods that train: passes without improvement on held-out parts before it ends."
    )
    svdd_objective: Literal["one_class", "soft_boundary"] = Field(
        "one_class", description="svdd: pull all patches to the centre, or leave a share outside a sphere."
    )
    svdd_nu: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="svdd with a soft boundary: the share of patches that may be outside the sphere."
    )
    flow_couplings: Annotated[int, Field(ge=2, le=32)] = Field(
        6, description="flow: number of coupling layers."
    )
    members: tuple[catalogue.MethodName, ...] = Field(
        ("padim", "patchcore"), description="ensemble: the methods whose maps are combined."
    )
    smoothing_sigma: Annotated[float, Field(ge=0, le=64)] = Field(
        4.0, description="Gaussian smoothing of the anomaly map, in pixels; 0 is none."
    )
    min_area: Annotated[int, Field(ge=1, lt=2**31)] = Field(
        16, description="Smallest region that counts, in pixels of the map."
    )
    pixel_size_mm: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = Field(
        None,
        description="Side of a pixel of the original images in mm, for lengths and areas in mm; null: not "
        "known. It never changes a score.",
    )

    @model_validator(mode="before")
    @classmethod
    def _suggest_for_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key)[:80], cls.model_fields, n=1, cutoff=0.5)
                    hint = (
                        f"did you mean '{close[0]}'?"
                        if close
                        else f"valid keys: {', '.join(cls.model_fields)}"
                    )
                    raise ValueError(f"unknown key '{clipped(str(key), 80)}'; {hint}")
        return data

    @model_validator(mode="wrap")
    @classmethod
    def _dependent_defaults(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Add defaults that depend on method and backbone; ``model_fields_set`` has only given settings."""
        if not isinstance(data, dict):
            return handler(data)
        data = _under_present_names(data)
        defaults = _defaults_for(data, cls.model_fields["backbone"].default)
        config = handler({**defaults, **data})
        config.model_fields_set.difference_update(defaults.keys() - data.keys())
        return config

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, name: str) -> str:
        try:
            return registry.get(name).name
        except BackboneError as error:
            raise ValueError(str(error)) from error

    @field_validator("layers", "inactive_layers")
    @classmethod
    def _no_layer_twice(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(layers)) != len(layers):
            raise ValueError(f"a layer is named twice: {', '.join(layers)}")
        return layers

    @field_validator("members")
    @classmethod
    def _several_members(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if "ensemble" in members:
            raise ValueError("an ensemble cannot be a member of an ensemble")
        if len(set(members)) != len(members) or not members:
            raise ValueError(f"name different methods, got {', '.join(members) or 'none'}")
        return members

    @field_validator("input_size", mode="before")
    @classmethod
    def _sides(cls, value: Any) -> InputSize:
        return as_input_size(value)

    @model_validator(mode="after")
    def _layers_of_the_backbone(self) -> Self:
        backbone = registry.get(self.backbone)
        try:
            backbone.select(self.layers)
        except BackboneError as error:
            raise ValueError(str(error)) from error
        unknown = [name for name in self.inactive_layers if name not in self.layers]
        if unknown:
            raise ValueError(
                f"inactive_layers: {', '.join(unknown)} is none of the layers {', '.join(self.layers)}"
            )
        if not self.active_layers:
            raise ValueError("inactive_layers: at least one layer must be left")
        if self.n_features is not None and self.n_features > self.channels:
            raise ValueError(
                f"n_features: {self.n_features} is more than the {self.channels} channels of "
                f"{', '.join(self.active_layers)} of {self.backbone}; choose at most {self.channels}, "
                "or null for all"
            )
        return self

    @model_validator(mode="after")
    def _check_ensemble(self) -> Self:
        backbones = len(registry.get(self.backbone).parts)
        if self.method == "ensemble" and len(self.members) * backbones < 2:
            raise ValueError("members: an ensemble takes at least two different methods, or two backbones")
        return self

    @model_validator(mode="after")
    def _check_student_teacher(self) -> Self:
        if self.needs_images and len(registry.get(self.backbone).parts) > 1:
            raise ValueError(
                f"method stfpm: a student has one teacher; choose one backbone, not {self.backbone}"
            )
        return self

    @model_validator(mode="after")
    def _min_area_fits_the_map(self) -> Self:
        height, width = self.input_shape
        if self.min_area > height * width:
            raise ValueError(f"min_area {self.min_area} is larger than the whole {height} x {width} map")
        return self

    @property
    def methods_used(self) -> tuple[catalogue.MethodName, ...]:
        """The method, or the methods of the ensemble."""
        return self.members if self.method == "ensemble" else (self.method,)

    @property
    def trains(self) -> bool:
        """Whether the method trains a network, which takes minutes."""
        return any(catalogue.get(name).trains for name in self.methods_used)

    @property
    def needs_images(self) -> bool:
        """Whether a method is fitted to the images themselves, not to their embeddings alone."""
        return "stfpm" in self.methods_used

    @property
    def input_shape(self) -> tuple[int, int]:
        """Size of the model's input and of its maps in pixels: (height, width)."""
        return as_shape(self.input_size)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows and columns of the grid of positions."""
        height, width = self.input_shape
        return height // self.grid_stride, width // self.grid_stride

    @property
    def positions(self) -> int:
        """Number of grid positions, p."""
        rows, columns = self.grid_shape
        return rows * columns

    @property
    def active_layers(self) -> tuple[str, ...]:
        """Names of the layers that are not inactive, from shallow to deep."""
        names = [name for name in self.layers if name not in self.inactive_layers]
        return tuple(layer.name for layer in registry.get(self.backbone).select(names))

    @property
    def channels(self) -> int:
        """Number of channels of the active layers, from which d are drawn."""
        return registry.get(self.backbone).channels(self.active_layers)

    def to_yaml(self) -> str:
        """Return the configuration as YAML, with every key, in field order."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def under_former_names(self) -> dict[str, Any]:
        """Return the settings as plain JSON, each under the first name that it had.

        Digests are computed from these, so that renaming a setting does not change a saved model's identity.
        """
        former = {new: old for old, new in FORMER_NAMES.items()}
        return {former.get(name, name): value for name, value in self.model_dump(mode="json").items()}

    @classmethod
    def of(cls, choices: Mapping[str, Any]) -> PadimConfig:
        """Create a configuration from a mapping; missing keys take their defaults.

        Raises:
            PadimError: a key is unknown (with a suggestion) or a value is out of range; lists all problems.
        """
        try:
            return cls.model_validate(dict(choices))
        except ValidationError as error:
            raise PadimError(f"configuration: {explain(error)}") from error

    @classmethod
    def of_saved(cls, choices: Mapping[str, Any]) -> PadimConfig:
        """Create the configuration of a saved model.

        Settings that did not exist when it was saved take the values of :data:`BEFORE_IT_WAS_A_SETTING`.
        Models of former versions may have more features than their layers have channels, which then meant all
        of them. The number is reduced to the channels that were fitted.

        Raises:
            ValidationError: as the constructor.
        """
        choices = {**BEFORE_IT_WAS_A_SETTING, **_under_present_names(choices)}
        wanted = choices.get("n_features")
        if not isinstance(wanted, int):
            return cls.model_validate(choices)
        every = cls.model_validate({**choices, "n_features": None})
        return cls.model_validate({**choices, "n_features": min(wanted, every.channels)})

    @classmethod
    def from_yaml(cls, text: str) -> PadimConfig:
        """Create a configuration from YAML; missing keys take their defaults.

        The keys may be nested in a single ``padim:``, as in files of other PaDiM programs, and those files'
        ``distance_metric`` is accepted if it is ``mahalanobis``. ``preset: fine`` stands for the settings of
        that preset (:mod:`padim.presets`); other keys in the file take precedence over it.

        Raises:
            PadimError: the text is not YAML or not a mapping, a key is unknown (with a suggestion), or a
                value is out of range.
        """
        return cls.of(presets.expand(*cls.choices_from_yaml(text)))

    @classmethod
    def choices_from_yaml(cls, text: str) -> tuple[presets.PresetName | None, dict[str, Any]]:
        """Return the preset named in a YAML text, if any, and the keys that the text sets, unchecked.

        Raises:
            PadimError: the text is not YAML or not a mapping, or the preset or metric is unknown.
        """
        data = parse_yaml(text, "the configuration")
        if isinstance(data, dict) and list(data) == ["padim"]:
            data = data["padim"]
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise PadimError("the configuration must be a list of 'key: value' lines")
        data = _under_present_names(data)
        metric = data.pop("distance_metric", "mahalanobis")
        if metric != "mahalanobis":
            raise PadimError(f"configuration: distance_metric must be mahalanobis (got {shown(metric)})")
        if "preset" not in data:
            return None, data
        try:
            return presets.check(data.pop("preset")), data
        except PadimError as error:
            raise PadimError(f"configuration: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> PadimConfig:
        """Read a configuration from a YAML file; errors name the file."""
        return from_file(path, cls.from_yaml)

    @classmethod
    def load_choices(cls, path: str | Path) -> tuple[presets.PresetName | None, dict[str, Any]]:
        """Read a valid YAML file as :meth:`choices_from_yaml` does; errors name the file."""

        def checked(text: str) -> tuple[presets.PresetName | None, dict[str, Any]]:
            cls.from_yaml(text)
            return cls.choices_from_yaml(text)

        return from_file(path, checked)


def _under_present_names(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Rename former names of settings; one given under both names is left for the validator to refuse."""
    return {
        name if (new := FORMER_NAMES.get(name)) is None or new in choices else new: value
        for name, value in choices.items()
    }


def _defaults_for(choices: Mapping[str, Any], usual_backbone: str) -> dict[str, Any]:
    """Return the defaults that depend on the method and backbone of these choices.

    Invalid choices are ignored here; the validators report them.
    """
    defaults: dict[str, Any] = {}
    method = choices.get("method", "padim")
    if isinstance(method, str) and method in catalogue.METHODS:
        located = choices.get("align") is not None
        defaults["feature_norm"] = catalogue.usual_norm(method, located=located)
    if method == "stfpm":
        # Every round trains a whole network, not a small one on the backbone's features.
        defaults |= {"folds": 3, "max_epochs": 20}
    name = choices.get("backbone", usual_backbone)
    if not isinstance(name, str):
        return defaults
    try:
        backbone = registry.get(name)
        defaults["layers"] = backbone.default_layers
        inactive = choices.get("inactive_layers", ())
        kept = [layer for layer in choices.get("layers", backbone.default_layers) if layer not in inactive]
        defaults["n_features"] = backbone.default_features(kept) or None
    except (BackboneError, TypeError):
        pass
    return defaults


# Largest number of validation errors in one message.
_MOST_FINDINGS = 5


def explain(error: ValidationError) -> str:
    """Summarize pydantic's validation errors in one line, with the settings and values concerned."""
    found = error.errors()
    parts = []
    for item in found[:_MOST_FINDINGS]:
        where = clipped(".".join(str(part) for part in item["loc"]), 80)
        message = clipped(item["msg"].removeprefix("Value error, "), 700 if len(found) == 1 else 160)
        parts.append(f"{where}: {message} (got {shown(item['input'])})" if where else message)
    if len(found) > _MOST_FINDINGS:
        parts.append(f"and {len(found) - _MOST_FINDINGS:,} more")
    return clipped("; ".join(parts), 900)
