"""The habits of scikit-learn's estimators: settings read, set and copied by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError

from padim.config import PadimConfig, explain


class Estimator(ABC):
    """Something with settings, which can be read and copied at any time, and changed before it is fitted.

    Attributes:
        config: every setting.
    """

    config: PadimConfig

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All settings by name; ``deep`` is scikit-learn's, and changes nothing here."""
        return {name: getattr(self.config, name) for name in type(self.config).model_fields}

    def set_params(self, **settings: Any) -> Self:
        """Change settings before a fit.

        Raises:
            ValueError: a setting that does not exist, or is out of range.
            PadimError: it is fitted; what it was fitted with stays with it.
        """
        self._take_settings(with_settings(self.config, settings))
        return self

    @abstractmethod
    def _take_settings(self, config: PadimConfig) -> None:
        """Go on with other settings, unless it is fitted."""

    def __sklearn_clone__(self) -> Self:
        return type(self)(self.config)  # type: ignore[call-arg]

    def _settings_given(self) -> list[str]:
        """Those that are not left to their defaults, as they would be given: ``input_size=256``."""
        return [f"{name}={getattr(self.config, name)!r}" for name in sorted(self.config.model_fields_set)]


def with_settings(config: PadimConfig | None, settings: Mapping[str, Any]) -> PadimConfig:
    """A config with single settings changed; what nobody gave keeps following the others' defaults.

    Raises:
        ValueError: a setting that does not exist, or is out of range.
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
