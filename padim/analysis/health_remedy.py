"""The configuration of the second model that a finding of the health check recommends."""

from __future__ import annotations

from typing import Any

from padim.config import PadimConfig
from padim.data.input_shape import input_shape_for
from padim.errors import PadimError
from padim.input_size import as_input_size
from padim.methods import catalogue

__all__ = ["remedied"]


def remedied(config: PadimConfig, changes: dict[str, Any]) -> PadimConfig:
    """Return a model's configuration with the changes of a remedy.

    Settings with a default that depends on what changes get the new default, if they have the old one.

    Args:
        config: of the model.
        changes: the changes of :class:`padim.analysis.health.Remedy`.

    Raises:
        PadimError: they do not go together.
    """
    given = config.model_dump()
    if "method" in changes and changes["method"] not in catalogue.METHODS:
        raise PadimError(f"there is no method {changes['method']!r}")
    usual = catalogue.usual_norm(config.method, located=config.align is not None)
    if config.feature_norm == usual and {"align", "method"} & set(changes):
        del given["feature_norm"]
    if "align" in changes and as_input_size(config.input_size) == input_shape_for([]):
        # What the frame of the part decides is better than a square to which it would be squeezed.
        del given["input_size"]
    return PadimConfig.of({**given, **changes})
