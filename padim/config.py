"""PadimConfig: every choice that shapes a model, validated at the edge and kept in the bundle."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from padim.errors import PadimError

GridStride = Literal[4, 8, 16]


class PadimConfig(BaseModel):
    """Choices for fitting and judging; immutable, so that a model and its config cannot drift apart.

    Lengths are pixels of the model's input (``input_size`` x ``input_size``), which is also the
    resolution of the anomaly map.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    backbone: str = Field("efficientnet_lite0", description="Name in the backbone registry.")
    layers: tuple[str, ...] = Field(
        ("blocks.2", "blocks.4", "blocks.10"), min_length=1, description="Layers whose maps are joined."
    )
    input_size: Annotated[int, Field(ge=64, le=2048, multiple_of=32)] = Field(
        256, description="Side in pixels to which every picture is resized."
    )
    fit: Literal["stretch", "pad"] = Field("stretch", description="Resize to a square, or pad to one.")
    grid_stride: GridStride = Field(8, description="Input pixels per grid position.")
    n_features: Annotated[int, Field(ge=1)] | None = Field(
        100, description="Channels kept by the seeded draw (fewer if the layers have fewer); null keeps all."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the channel draw.")
    # Below a millionth, nothing of a held-out distance with n < d is left in floating point.
    eps: Annotated[float, Field(ge=1e-6, allow_inf_nan=False)] = Field(
        0.01, description="Added to the covariance's diagonal (paper, section III-B)."
    )
    shrinkage: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Fixed weight of the identity in the covariance; 0 is off."
    )
    smoothing_sigma: Annotated[float, Field(ge=0, le=64)] = Field(
        4.0, description="Gaussian smoothing of the anomaly map, in pixels; 0 is none."
    )
    min_area: Annotated[int, Field(ge=1)] = Field(
        16, description="Smallest region that counts, in pixels of the map."
    )

    @model_validator(mode="before")
    @classmethod
    def _suggest_for_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                    hint = (
                        f"did you mean '{close[0]}'?"
                        if close
                        else f"valid keys: {', '.join(cls.model_fields)}"
                    )
                    raise ValueError(f"unknown key '{key}'; {hint}")
        return data

    @field_validator("layers")
    @classmethod
    def _no_layer_twice(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(layers)) != len(layers):
            raise ValueError(f"a layer is named twice: {', '.join(layers)}")
        return layers

    @model_validator(mode="after")
    def _min_area_fits_the_map(self) -> Self:
        if self.min_area > self.input_size**2:
            raise ValueError(
                f"min_area {self.min_area} is larger than the whole {self.input_size} x {self.input_size} map"
            )
        return self

    @property
    def grid(self) -> int:
        """Side of the square grid: positions per row."""
        return self.input_size // self.grid_stride

    def to_yaml(self) -> str:
        """The config as YAML, every key present, in field order."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> PadimConfig:
        """Parse YAML; missing keys take their defaults.

        Raises:
            PadimError: not YAML, not a mapping, an unknown key (with a suggestion) or a value out of range.
        """
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise PadimError(f"the configuration is not valid YAML: {error}") from error
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise PadimError("the configuration must be a list of 'key: value' lines")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise PadimError(f"configuration: {explain(error)}") from error

    @classmethod
    def load(cls, path: str | Path) -> PadimConfig:
        """Read a YAML file; errors name the file."""
        try:
            return cls.from_yaml(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PadimError(f"{path}: cannot be read ({error})") from error
        except PadimError as error:
            raise PadimError(f"{path}: {error}") from error


def explain(error: ValidationError) -> str:
    """pydantic's findings as one line a person can act on."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {message} (got {item['input']!r})" if where else message)
    return "; ".join(parts)
