"""Settings of how the part is located in each image, before its features are computed."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["STATISTICS", "Align", "Displacement", "LocatingMethod", "OnLost"]

LocatingMethod = Literal["outline", "template", "features"]
OnLost = Literal["review", "reject"]
Displacement = Literal["shift", "turn", "scale"]
STATISTICS: tuple[Displacement, ...] = ("shift", "turn", "scale")

Mark = tuple[
    Annotated[float, Field(allow_inf_nan=False)],
    Annotated[float, Field(allow_inf_nan=False)],
    Annotated[float, Field(gt=0, allow_inf_nan=False)],
    Annotated[float, Field(gt=0, allow_inf_nan=False)],
]
Point = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]]
Weight = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]

# Defaults that depend on the method. Parts that are found by their outline may lie anywhere and in any
# direction, and the size of an outline scatters so unevenly that it would raise the other limits: nothing is
# judged unless the user asks for it.
# The default weight is 3: displacements scatter around 0, so that their largest values are about three times
# their median, those of map scores only about one and a half times.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "outline": {"max_turn": 180.0, "shift_weight": None, "turn_weight": None, "scale_weight": None},
    # Among all places, turns and sizes one reaches a match of 0.6 by chance.
    "template": {"max_turn": 15.0, "min_match": 0.7},
    "features": {"max_turn": 180.0},
}


class Align(BaseModel):
    """Settings of locating the part; immutable. Lengths are in pixels of the reference image.

    One good part, the *reference*, is frozen when the model is fitted; all other parts are brought to its
    place. Beyond the limits, or when the match is weak, the verdict is "part not found".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    method: LocatingMethod = Field(
        description="outline: the part's outline before a plain background; template: one or two places "
        "marked on the reference; features: many small details (keypoints)."
    )
    reference: str | None = Field(
        None, description="Name of the image of the reference part; null: the first image of the fit."
    )
    margin: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = Field(
        10.0, description="outline: margin around the part, in percent of its length and width."
    )
    background: tuple[Point, ...] | None = Field(
        None,
        description="outline: corners (x, y) of an area of the reference that shows only background; null: "
        "the border of the image.",
    )
    first_end: Point | None = Field(
        None,
        description="outline: a point (x, y) on the reference at the end of the part that comes first "
        "(left, or top of an upright part); null: the heavier end.",
    )
    marks: tuple[Mark, ...] = Field(
        (),
        max_length=2,
        description="template: one or two distinctive places of the reference, each (x, y, width, height); "
        "empty: proposed at the fit.",
    )
    detector: Literal["orb", "sift"] = Field("sift", description="features: the kind of keypoints.")
    max_shift: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = Field(
        50.0, description="Largest shift, in percent of the longer side of the reference image."
    )
    max_turn: Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)] = Field(
        180.0, description="Largest turn to either side, in degrees."
    )
    max_scale: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = Field(
        20.0, description="Largest difference in size from the reference, in percent."
    )
    min_match: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0.5, description="Weakest match with the reference that counts as found, from 0 to 1."
    )
    resize: bool = Field(
        False, description="Bring parts to the size of the reference too; for cameras whose distance varies."
    )
    on_lost: OnLost = Field("reject", description="Verdict of an image in which the part is not found.")
    shift_weight: Weight | None = Field(
        3.0,
        description="Weight of the shift in the verdict, larger is more lenient; null: not judged. At 3 it "
        "hardly raises the threshold of the map.",
    )
    turn_weight: Weight | None = Field(3.0, description="As shift_weight, for the turn.")
    scale_weight: Weight | None = Field(3.0, description="As shift_weight, for the size.")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_method(cls, data: Any) -> Any:
        if isinstance(data, str):  # ``align: outline``
            data = {"method": data}
        if isinstance(data, dict):
            for name in data:
                if name not in cls.model_fields:
                    close = difflib.get_close_matches(str(name)[:80], cls.model_fields, n=1, cutoff=0.5)
                    hint = f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(cls.model_fields)}"
                    raise ValueError(f"unknown setting '{str(name)[:80]}'; {hint}")
            return {**_DEFAULTS.get(str(data.get("method")), {}), **data}
        return data

    @model_validator(mode="after")
    def _corners_of_the_background(self) -> Self:
        if self.background is not None and len(self.background) < 3:
            raise ValueError("background: an area has at least three corners")
        return self

    @property
    def weights(self) -> dict[Displacement, float]:
        """The weight of every displacement that is judged, by name."""
        given = {name: getattr(self, f"{name}_weight") for name in STATISTICS}
        return {name: weight for name, weight in given.items() if weight is not None}
