"""Settings of how the part is located, as the export has written them into align.json.

They were checked when the model was fitted; padim's own module with this name checks what a user types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATISTICS = ("shift", "turn", "scale")
Displacement = LocatingMethod = OnLost = str
Point = tuple[float, float]
Mark = tuple[float, float, float, float]


class Align:
    """Settings of locating the part; lists are tuples, as in padim."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update({name: _tuples(value) for name, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"align.json: align has no setting '{name}'")

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Align:
        """Return a copy with some settings changed."""
        return Align({**self.__dict__, **(update or {})})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
