"""Parts of the settings of sinks that several kinds have."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from padim.records.inspection import InspectionSource, InspectionVerdict
from padim.text import clipped

__all__ = ["ChallengeSettings", "Given", "MqttTriggerSettings", "SinkFilter", "SinkPart", "TriggerSettings"]

Given = Annotated[str, Field(min_length=1, max_length=2_000)]


class SinkPart(BaseModel):
    """A mapping of the YAML; an unknown key is refused, with the nearest one that exists."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _suggest_for_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key)[:80], cls.model_fields, n=1, cutoff=0.5)
                    names = ", ".join(cls.model_fields)
                    hint = f"did you mean '{close[0]}'?" if close else f"valid keys: {names}"
                    raise ValueError(f"unknown key '{clipped(str(key), 80)}'; {hint}")
        return data


class SinkFilter(SinkPart):
    """Which inspections a sink gets; an empty list takes all.

    Attributes:
        verdicts: what the model said.
        models: ids or names of models.
        part_numbers: the part numbers.
        sources: the ways an image came in.
    """

    verdicts: tuple[InspectionVerdict, ...] = ()
    models: tuple[Given, ...] = ()
    part_numbers: tuple[Given, ...] = ()
    sources: tuple[InspectionSource, ...] = ()

    def accepts(self, document: Mapping[str, Any]) -> bool:
        """Return whether an inspection passes, by its document (``inspection_document``)."""
        names = {document["model_id"], document["model_name"]}
        return (
            (not self.verdicts or document["verdict"] in self.verdicts)
            and (not self.models or not names.isdisjoint(self.models))
            and (not self.part_numbers or document["part_number"] in self.part_numbers)
            and (not self.sources or document["source"] in self.sources)
        )


class ChallengeSettings(SinkPart):
    """Challenge parts: known defects that a station must reject now and then, to show that it still does.

    Attributes:
        serials: pattern of their serial numbers, such as ``CHALLENGE-*``; empty: there are none.
        hours: a challenge is due when the last passed one is older.
    """

    serials: Annotated[str, Field(max_length=100)] = ""
    hours: Annotated[float, Field(gt=0, le=8_760)] = 24.0


class TriggerSettings(SinkPart):
    """Images that a machine may have inspected by naming their files.

    Attributes:
        folder: only files below it are read.
        target: the model that inspects: its id, name or path, or a part number; empty: the model of the part
            number that the request gives.
        station: the inspection station, where the request gives none.
        megabytes: size of the largest file.
    """

    folder: Given
    target: Annotated[str, Field(max_length=2_000)] = ""
    station: Annotated[str, Field(max_length=100)] = ""
    megabytes: Annotated[float, Field(gt=0, le=10_000)] = 64.0


class MqttTriggerSettings(TriggerSettings):
    """The same over MQTT.

    Attributes:
        topic: requests are published there: a path, or JSON with ``path`` and more.
        answer_topic: results are published there, where a request names no other topic (MQTT 5).
    """

    topic: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^#+]+$")] = "padim/inspect"
    answer_topic: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^#+]+$")] = "padim/answers"
