"""What a study compares: configurations, each with a name, from lists of choices or one by one.

Lists are combined, everything with everything; a set of layers goes with the networks that have such layers.
All of it is checked here, before any work is done, and errors name the entry.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from padim.config import PadimConfig, explain
from padim.errors import BackboneError, PadimError
from padim.network import registry
from padim.text import clipped, shown
from padim.yaml_text import from_file, parse_yaml

__all__ = ["MOST", "StudyPlan", "Variant"]

# Configurations in one study: beyond them nobody reads the table.
MOST = 200
# Combinations to look at, many of which may be the same configuration.
_MOST_LOOKED_AT = 10 * MOST
Layers = tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """One configuration.

    Attributes:
        name: unique in its study.
        config: all of its settings.
    """

    name: str
    config: PadimConfig


class StudyPlan(BaseModel):
    """A study's lists, as they are written down.

    With no list and no configuration, the base is the only one there is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: dict[str, Any] = Field(default_factory=dict, description="Settings of every configuration.")
    methods: tuple[str, ...] = Field((), description="Methods to combine with the other lists.")
    backbones: tuple[str, ...] = Field((), description="Networks.")
    layers: tuple[Layers, ...] = Field((), description="Sets of layers.")
    input_sizes: tuple[int, ...] = Field((), description="Sides in pixels.")
    configurations: tuple[dict[str, Any], ...] = Field(
        (), description="Further ones by themselves: settings beside the base's, and a name."
    )

    @classmethod
    def of(cls, choices: Mapping[str, Any]) -> StudyPlan:
        """The plan of these lists, its configurations checked.

        Raises:
            PadimError: an unknown list, or an entry that makes no configuration; names it.
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
        """Parse YAML.

        Raises:
            PadimError: not YAML, no lists, or as :meth:`of`.
        """
        data = parse_yaml(text, "the plan")
        if data is None:
            data = {}
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise PadimError(f"the plan must have the keys {', '.join(cls.model_fields)}")
        return cls.of(data)

    @classmethod
    def load(cls, path: str | Path) -> StudyPlan:
        """Read a YAML file; errors name the file."""
        return from_file(path, cls.from_yaml)

    def variants(self) -> tuple[Variant, ...]:
        """All configurations, in the order of the lists; those alike are one.

        Raises:
            PadimError: an entry that makes no configuration, two of one name, or too many; names it.
        """
        combinations = math.prod(
            max(1, len(one)) for one in (self.methods, self.backbones, self.layers, self.input_sizes)
        )
        asked = combinations + len(self.configurations)
        if asked > _MOST_LOOKED_AT:
            raise PadimError(f"plan: {asked:,} configurations; a study has at most {MOST}")
        found: dict[PadimConfig, str] = {}
        combined = self._combined()
        keys = {key: None for choices in combined for key in choices}
        differing = [key for key in keys if any(one.get(key) != combined[0].get(key) for one in combined)]
        for choices in combined:
            # What all have in common tells none of them apart.
            values = {key: choices[key] for key in differing or keys if key in choices}
            words = _words(values or choices, self.base)
            found.setdefault(
                _config(_over(self.base, choices), f"configuration '{clipped(words, 80)}'"), words
            )
        named: dict[str, PadimConfig] = {name: config for config, name in found.items()}
        if len(named) < len(found):
            raise PadimError("plan: two configurations have the same name; list them under configurations")
        for index, entry in enumerate(self.configurations, start=1):
            choices = dict(entry)
            name = choices.pop("name", None) or _words(choices, self.base)
            place = f"configurations, entry {index}"
            if not isinstance(name, str) or not name.strip():
                raise PadimError(f"plan: {place}: its name must be a word, got {shown(name)}")
            name = name.strip()
            config = _config(_over(self.base, choices), f"{place} ('{clipped(name, 80)}')")
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
        """Choices beside the base's, one for each combination of the lists."""
        lists = (self.methods, self.backbones, self.layers, self.input_sizes)
        if self.configurations and not any(lists):
            return []
        backbones: Sequence[str | None] = self.backbones or (None,)
        nets: list[dict[str, Any]] = []
        for backbone in backbones:
            own = self._layers_of(backbone or self._base_backbone)
            chosen = {} if backbone is None else {"backbone": backbone}
            nets += [{**chosen, "layers": layers} for layers in own] or [chosen]
        strange = [one for one in self.layers if not any(net.get("layers") == one for net in nets)]
        if strange:
            known = clipped(", ".join(self.backbones or (self._base_backbone,)), 200)
            names = clipped(", ".join(strange[0]), 120)
            raise PadimError(f"plan: layers: {names} are not the layers of any of {known}")
        methods = [{"method": method} for method in self.methods] or [{}]
        sizes = [{"input_size": size} for size in self.input_sizes] or [{}]
        return [{**method, **net, **size} for method, net, size in product(methods, nets, sizes)]

    @property
    def _base_backbone(self) -> str:
        return str(self.base.get("backbone", PadimConfig.model_fields["backbone"].default))

    def _layers_of(self, backbone: str) -> list[Layers]:
        """Those of the sets that this network has."""
        try:
            names = {layer.name for layer in registry.get(backbone).layers}
        except BackboneError as error:
            raise PadimError(f"plan: backbones: {clipped(str(error), 600)}") from error
        return [layers for layers in self.layers if layers and names.issuperset(layers)]


def _over(base: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """The base with other choices: the layers of another network no longer count."""
    kept = dict(base)
    if choices.get("backbone", kept.get("backbone")) != kept.get("backbone"):
        kept = {name: kept[name] for name in kept.keys() - {"layers", "inactive_layers"}}
    if "layers" in choices:
        kept = {name: kept[name] for name in kept.keys() - {"inactive_layers"}}
    return {**kept, **choices}


def _config(choices: Mapping[str, Any], place: str) -> PadimConfig:
    try:
        return PadimConfig.of(choices)
    except PadimError as error:
        raise PadimError(f"plan: {place}: {str(error).removeprefix('configuration: ')}") from error


def _words(choices: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """A name from what was chosen."""
    words = []
    for key, value in choices.items():
        if key == "layers":
            words.append("+".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        elif key == "input_size":
            words.append(f"{value} px")
        elif key in ("method", "backbone"):
            words.append(str(value))
        else:
            words.append(f"{key} {value}")
    return " · ".join(words) or str(base.get("method", "padim"))
