"""The interface of scikit-learn's estimators: get, set and copy settings by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError

from padim.config import PadimConfig, explain


class Estimator(ABC):
    """Base class with settings that can be read and copied at any time, and changed before fitting.

    Attributes:
        config: all settings.
    """

    config: PadimConfig

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all settings by name; ``deep`` exists for scikit-learn and has no effect."""
        return {name: getattr(self.config, name) for name in type(self.config).model_fields}

    def set_params(self, **settings: Any) -> Self:
        """Change settings before fitting; return self.

        Raises:
            ValueError: a setting does not exist or is out of range.
            PadimError: the model is fitted, so that its settings can no longer be changed.
        """
        self._take_settings(with_settings(self.config, settings))
        return self

    @abstractmethod
    def _take_settings(self, config: PadimConfig) -> None:
        """Replace the settings; raise PadimError if the model is fitted."""

    def __sklearn_clone__(self) -> Self:
        return type(self)(self.config)  # type: ignore[call-arg]

    def _settings_given(self) -> list[str]:
        """Return the settings given explicitly, as in a call: ``input_size=256``."""
        return [f"{name}={getattr(self.config, name)!r}" for name in sorted(self.config.model_fields_set)]


def with_settings(config: PadimConfig | None, settings: Mapping[str, Any]) -> PadimConfig:
    """Return a configuration with some settings changed; settings never given keep dependent defaults.

    Raises:
        ValueError: a setting does not exist or is out of range.
    """
    if config is not None and not settings:
        return config
    unknown = sorted(settings.keys() - PadimConfig.model_fields.keys())
    if unknown:
        raise ValueError(
            f"there is no setting {unknown[0]!r}; there are {', '.join(PadimConfig.model_fields)}"
        )
    given = {} if config is None else {name: getattr(config, name) for name in config.model_fields_set}
    try:
        return PadimConfig.model_validate({**given, **settings})
    except ValidationError as error:
        raise ValueError(explain(error)) from None
