"""The findings of a health check: what was looked at, how good it is, in words, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

__all__ = ["GRADES", "Finding", "Grade", "Remedy", "Topic", "percent", "worst"]

Grade = Literal["green", "amber", "red"]
Topic = Literal[
    "position", "painted defects", "threshold", "resolution", "bit depth", "repeat shots", "odd images"
]
# From best to worst.
GRADES: tuple[Grade, ...] = get_args(Grade)


@dataclass(frozen=True)
class Remedy:
    """The one action that is recommended for a finding.

    Attributes:
        text: the action, as a sentence.
        changes: settings of :class:`padim.PadimConfig` with which to fit a second model; None if a second
            model is no remedy.
        action: what else is to be done: ``review`` (look at ``images`` among the good parts),
            ``add good parts``, ``group`` (say which images show the same part), ``smallest defect`` (measure
            with good parts that the model does not know), ``retrain`` (check again, with ``retrain``),
            ``rebuild`` (read the model's own images again),
            ``take images`` (again, better); None with ``changes``.
        images: names of the images concerned, worst first.
    """

    text: str
    changes: dict[str, Any] | None = None
    action: str | None = None
    images: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the remedy as plain JSON."""
        return {
            "text": self.text,
            "changes": self.changes,
            "action": self.action,
            "images": list(self.images),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Remedy:
        """Restore a remedy from :meth:`to_json`'s result."""
        return cls(data["text"], data["changes"], data["action"], tuple(data["images"]))


@dataclass(frozen=True)
class Finding:
    """What a health check found on one topic.

    Attributes:
        topic: what was looked at.
        grade: ``green``, ``amber`` (look at it before the release) or ``red`` (the model is not fit for use).
        sentence: what was found, in plain words and with its figures.
        remedy: what to do; None if nothing needs to be done.
        figures: the figures as plain JSON.
    """

    topic: Topic
    grade: Grade
    sentence: str
    remedy: Remedy | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON."""
        return {
            "topic": self.topic,
            "grade": self.grade,
            "sentence": self.sentence,
            "remedy": None if self.remedy is None else self.remedy.to_json(),
            "figures": self.figures,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finding:
        """Restore a finding from :meth:`to_json`'s result."""
        remedy = data["remedy"]
        if data["grade"] not in GRADES:
            raise ValueError(f"no grade: {data['grade']!r}")
        return cls(
            data["topic"],
            data["grade"],
            data["sentence"],
            None if remedy is None else Remedy.from_json(remedy),
            data["figures"],
        )


def worst(findings: Sequence[Finding]) -> Grade:
    """Return the worst grade of some findings; green without any."""
    return max((finding.grade for finding in findings), key=GRADES.index, default="green")


def percent(share: float) -> str:
    """Format a share as whole percent: "92 %"."""
    return f"{100 * share:.0f} %"
