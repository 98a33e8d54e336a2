"""Health check of a fitted model: is it fit for use, or blind, and what is to be done.

It looks at what the good parts alone tell: how they lie, what the model catches of defects painted on parts
that it does not know, how many parts are behind the threshold, and the images. It is made after every fit and
takes seconds. Painted defects confirm, they never choose: whether a setting is better is for labelled defects
or another independent test to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.analysis.health_findings import GRADES, Finding, Grade, Remedy, Topic, worst
from padim.analysis.health_images import image_findings, measured_images
from padim.analysis.health_painted import painted_finding
from padim.analysis.health_position import position_finding
from padim.analysis.health_threshold import threshold_finding
from padim.data.loading import Watch
from padim.storage.atomic import write_atomic

if TYPE_CHECKING:
    from padim.data.loading import Cancel, Named, Progress
    from padim.model import Padim

__all__ = ["FILE", "GRADES", "Finding", "Grade", "Health", "Remedy", "Topic", "check_health", "state_of"]

# Name of the file beside a model's bundle with its latest check.
FILE = "health.json"
# Version of that file.
_FORMAT = 1
_TITLES: dict[Grade, str] = {
    "green": "Health: nothing speaks against using this model.",
    "amber": "Health: look at this before the model is released.",
    "red": "Health: this model is not fit for use.",
}


@dataclass(frozen=True)
class Health:
    """The result of a health check.

    Attributes:
        findings: one for each topic, the worst first.
        identity: of the scoring state that was checked, with its threshold; see :func:`state_of`.
    """

    findings: tuple[Finding, ...]
    identity: str

    @property
    def grade(self) -> Grade:
        """The worst grade of all findings."""
        return worst(self.findings)

    @property
    def title(self) -> str:
        """The result in one sentence."""
        return _TITLES[self.grade]

    @property
    def open(self) -> tuple[Finding, ...]:
        """The findings that are not green, the worst first."""
        return tuple(finding for finding in self.findings if finding.grade != "green")

    def of(self, model: Padim) -> bool:
        """Whether the check is of the model as it is now."""
        return self.identity == state_of(model)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {
            "format": _FORMAT,
            "grade": self.grade,
            "findings": [finding.to_json() for finding in self.findings],
            "identity": self.identity,
        }

    @classmethod
    def from_json(cls, data: Any) -> Health:
        """Restore a result from :meth:`to_json`'s.

        Raises:
            ValueError: it is something else, or of a later version.
        """
        try:
            if data["format"] != _FORMAT:
                raise ValueError(f"version {data['format']} of a health check")
            return cls(tuple(Finding.from_json(one) for one in data["findings"]), str(data["identity"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a health check ({error})") from error

    def write(self, path: Path) -> None:
        """Write the result to a file, atomically."""
        write_atomic(path, json.dumps(self.to_json(), indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> Health | None:
        """Read a result; None if there is none, or it cannot be read: it is made again then."""
        try:
            return cls.from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            return None


def state_of(model: Padim) -> str:
    """Return what a check depends on, as text: the scoring state, the threshold and the smallest region."""
    threshold = model.current_threshold
    level = "none" if threshold is None else str(threshold.level)
    return f"{model.state.identity}/{level}/{model.config.min_area}"


def check_health(
    model: Padim,
    images: Iterable[Named] | None = None,
    *,
    retrain: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Health:
    """Check whether a model is fit for use, from its good parts alone.

    Args:
        model: a fitted model; is not changed.
        images: the images that it was fitted on, for painting defects on the originals; by default, and for
            those that are missing, the model's thumbnails are used.
        retrain: whether to train a method's network once more, without the parts that defects are painted
            on, if the method trains one: that takes as long as the fit. Otherwise such a model is not tried.
        seed: of the painted defects.
        progress: called as (done, total or None, stage).
        cancel: polled between images; returning True cancels.

    Raises:
        NotFittedError: the model is not fitted.
        Cancelled: ``cancel`` returned True.
        BundleError: a thumbnail is damaged.
    """
    watch = Watch(progress, cancel)
    identity = state_of(model)
    position = position_finding(model, watch)
    found = [position, threshold_finding(model)]
    if model.current_threshold is not None:
        found.append(painted_finding(model, images, position, retrain=retrain, seed=seed, watch=watch))
    found += image_findings(model, measured_images(model, watch))
    found.sort(key=lambda finding: -GRADES.index(finding.grade))
    return Health(tuple(found), identity)
