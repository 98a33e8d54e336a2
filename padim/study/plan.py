"""The plan of a study: named configurations, from combinations of lists or listed individually.

All combinations of the lists are formed; a set of layers is combined with the networks that have these
layers. All configurations are checked here, before any work is done, and errors name the entry.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from padim.config import PadimConfig, explain
from padim.errors import BackboneError, PadimError
from padim.input_size import InputSize, as_input_size, as_text
from padim.network import registry
from padim.text import clipped, shown
from padim.yaml_text import from_file, parse_yaml

__all__ = ["MOST", "StudyPlan", "Variant"]

# The maximum number of configurations in a study; a larger table would not be readable.
MOST = 200
# The maximum number of combinations to check, many of which may be the same configuration.
_MOST_COMBINATIONS = 10 * MOST
Layers = tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """One configuration of a study.

    Attributes:
        name: a name that is unique in the study.
        config: all settings.
    """

    name: str
    config: PadimConfig


class StudyPlan(BaseModel):
    """The lists of a study as written in its plan.

    Without lists and configurations, the base is the only configuration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: dict[str, Any] = Field(default_factory=dict, description="Settings of every configuration.")
    methods: tuple[str, ...] = Field((), description="Methods to combine with the other lists.")
    backbones: tuple[str, ...] = Field((), description="Networks.")
    layers: tuple[Layers, ...] = Field((), description="Sets of layers.")
    input_sizes: tuple[Annotated[InputSize, BeforeValidator(as_input_size)], ...] = Field(
        (), description="Sides in pixels, or height x width such as 160x416."
    )
    configurations: tuple[dict[str, Any], ...] = Field(
        (), description="Further ones by themselves: settings beside the base's, and a name."
    )

    @classmethod
    def of(cls, choices: Mapping[str, Any]) -> StudyPlan:
        """Create a plan from lists and check its configurations.

        Raises:
            PadimError: a list is unknown, or an entry is not a valid configuration; the message names it.
        """
        unknown = [key for key in choices if key not in cls.model_fields]
        if unknown:
            close = difflib.get_close_matches(unknown[0][:80], cls.model_fields, n=1, cutoff=0.5)
            hint = f"did you mean '{close[0]}'?" if close else f"valid keys: {', '.join(cls.model_fields)}"
            raise PadimError(f"plan: unknown key '{clipped(unknown[0], 80)}'; {hint}")
        try:
            plan = cls.model_validate(dict(choices))
        except ValidationError as error:
            raise PadimError(f"plan: {explain(error)}") from error
        plan.variants()
        return plan

    @classmethod
    def from_yaml(cls, text: str) -> StudyPlan:
        """Create a plan from YAML text.

        Raises:
            PadimError: the text is not YAML or has no lists, or as for :meth:`of`.
        """
        data = parse_yaml(text, "the plan")
        if data is None:
            data = {}
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise PadimError(f"the plan must have the keys {', '.join(cls.model_fields)}")
        return cls.of(data)

    @classmethod
    def load(cls, path: str | Path) -> StudyPlan:
        """Create a plan from a YAML file; errors name the file."""
        return from_file(path, cls.from_yaml)

    def variants(self) -> tuple[Variant, ...]:
        """Return all configurations in the order of the lists, without duplicates.

        Raises:
            PadimError: an entry is not a valid configuration, two have the same name, or there are too many;
                the message names the entry.
        """
        combinations = math.prod(
            max(1, len(one)) for one in (self.methods, self.backbones, self.layers, self.input_sizes)
        )
        requested = combinations + len(self.configurations)
        if requested > _MOST_COMBINATIONS:
            raise PadimError(f"plan: {requested:,} configurations; a study has at most {MOST}")
        found: dict[PadimConfig, str] = {}
        combined = self._combined()
        keys = {key: None for choices in combined for key in choices}
        differing = [key for key in keys if any(one.get(key) != combined[0].get(key) for one in combined)]
        for choices in combined:
            # Choices that all combinations have in common do not belong in their names.
            values = {key: choices[key] for key in differing or keys if key in choices}
            words = _words(values or choices, self.base)
            found.setdefault(
                _config(_overridden(self.base, choices), f"configuration '{clipped(words, 80)}'"), words
            )
        named: dict[str, PadimConfig] = {name: config for config, name in found.items()}
        if len(named) < len(found):
            raise PadimError("plan: two configurations have the same name; list them under configurations")
        for index, entry in enumerate(self.configurations, start=1):
            choices = dict(entry)
            name = choices.pop("name", None) or _words(choices, self.base)
            place = f"configurations, entry {index}"
            if not isinstance(name, str) or not name.strip():
                raise PadimError(f"plan: {place}: its name must be nonempty text, got {shown(name)}")
            name = name.strip()
            config = _config(_overridden(self.base, choices), f"{place} ('{clipped(name, 80)}')")
            if named.get(name, config) != config:
                raise PadimError(
                    f"plan: {place}: there is another configuration called '{clipped(name, 80)}'"
                )
            if config not in found:
                named[name] = config
                found[config] = name
        if len(named) > MOST:
            raise PadimError(f"plan: {len(named)} configurations; a study has at most {MOST}")
        return tuple(Variant(name, config) for name, config in named.items())

    def _combined(self) -> list[dict[str, Any]]:
        """Return the choices of every combination of the lists, to override the base."""
        lists = (self.methods, self.backbones, self.layers, self.input_sizes)
        if self.configurations and not any(lists):
            return []
        backbones: Sequence[str | None] = self.backbones or (None,)
        nets: list[dict[str, Any]] = []
        for backbone in backbones:
            own = self._layers_of(backbone or self._base_backbone)
            chosen = {} if backbone is None else {"backbone": backbone}
            nets += [{**chosen, "layers": layers} for layers in own] or [chosen]
        unmatched = [one for one in self.layers if not any(net.get("layers") == one for net in nets)]
        if unmatched:
            known = clipped(", ".join(self.backbones or (self._base_backbone,)), 200)
            names = clipped(", ".join(unmatched[0]), 120)
            raise PadimError(f"plan: layers: {names} are not the layers of any of {known}")
        methods = [{"method": method} for method in self.methods] or [{}]
        sizes = [{"input_size": size} for size in self.input_sizes] or [{}]
        return [{**method, **net, **size} for method, net, size in product(methods, nets, sizes)]

    @property
    def _base_backbone(self) -> str:
        return str(self.base.get("backbone", PadimConfig.model_fields["backbone"].default))

    def _layers_of(self, backbone: str) -> list[Layers]:
        """Return the sets of layers that a network has."""
        try:
            names = {layer.name for layer in registry.get(backbone).layers}
        except BackboneError as error:
            raise PadimError(f"plan: backbones: {clipped(str(error), 600)}") from error
        return [layers for layers in self.layers if layers and names.issuperset(layers)]


def _overridden(base: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the base with choices that override it; layers of another network are dropped."""
    kept = dict(base)
    if choices.get("backbone", kept.get("backbone")) != kept.get("backbone"):
        kept = {name: kept[name] for name in kept.keys() - {"layers", "inactive_layers"}}
    if "layers" in choices:
        kept = {name: kept[name] for name in kept.keys() - {"inactive_layers"}}
    return {**kept, **choices}


def _config(choices: Mapping[str, Any], place: str) -> PadimConfig:
    try:
        config = PadimConfig.of(choices)
        if config.align is not None:
            # Its features are shared by configurations, and a model's depend on its reference part.
            raise PadimError(
                "align: a study compares whole images; compare models with and without locating by the "
                "command align"
            )
        return config
    except PadimError as error:
        raise PadimError(f"plan: {place}: {str(error).removeprefix('configuration: ')}") from error


def _size_text(value: Any) -> str:
    try:
        return as_text(as_input_size(value))
    except ValueError:  # reported where the configuration is checked
        return clipped(str(value), 40)


def _words(choices: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """Return a name for a configuration from its choices."""
    words = []
    for key, value in choices.items():
        if key == "layers":
            words.append("+".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        elif key == "input_size":
            words.append(f"{_size_text(value)} px")
        elif key in ("method", "backbone"):
            words.append(str(value))
        else:
            words.append(f"{key} {value}")
    return " · ".join(words) or str(base.get("method", "padim"))
