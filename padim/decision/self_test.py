"""The self-test of a saved model: a few reference inputs with the level maps that are expected of them.

They are written when a model is saved, on the machine that saved it, and scored again at the first scoring of
the opened model, on whatever machine, execution provider and number of threads that is. A threshold promises
a false-reject rate for scores computed as at the fit; another processor, driver or version of ONNX Runtime
may compute others, which no checksum of a file can show.

The inputs are scored as they are, at the size of the network's input: nothing is decoded, resized or located,
so that a difference is one of the network or the detector.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from padim.decision.anomaly_map import Quantizer
from padim.decision.guard_band import Verdict, VerdictLimits
from padim.decision.regions import region_score
from padim.text import clipped, count

__all__ = ["MOST_IMAGES", "Machine", "SelfTest", "SelfTestResult", "compare"]

# Each is one run of the network at the first scoring, and its pixels and map are in the saved model.
MOST_IMAGES = 3
SelfTestState = Literal["none", "pending", "equal", "noted", "refused"]


@dataclass(frozen=True)
class Machine:
    """What a network runs on.

    Attributes:
        provider: short name of the execution provider, such as ``cpu`` or ``cuda``.
        threads: number of threads; 0 for all cores.
        runtime: version of ONNX Runtime.
    """

    provider: str
    threads: int
    runtime: str

    def __str__(self) -> str:
        threads = count(self.threads, "thread") if self.threads else "all cores"
        return f"{self.provider}, {threads}, ONNX Runtime {self.runtime}"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Machine:
        """Read it from a manifest; KeyError, TypeError or ValueError for other data."""
        text = [clipped(str(data[name]), 40) for name in ("provider", "runtime")]
        return cls(text[0], int(data["threads"]), text[1])


@dataclass(frozen=True, eq=False)
class SelfTest:
    """Reference inputs of a model and the level maps expected of them.

    Attributes:
        identity: scoring identity of the model that the maps are of.
        names: the images that the inputs were made from.
        inputs: uint8 ``(k, h, w, 3)``, at the size of the network's input.
        maps: uint16 ``(k, h, w)``.
        machine: what computed them.
        missing: why there are no inputs; empty if there are some.
    """

    identity: str
    names: tuple[str, ...]
    inputs: npt.NDArray[np.uint8]
    maps: npt.NDArray[np.uint16]
    machine: Machine | None
    missing: str = ""

    @classmethod
    def without(cls, identity: str, why: str) -> SelfTest:
        """Return the self-test of a model that can have none, and why."""
        return cls(identity, (), np.empty((0, 1, 1, 3), np.uint8), np.empty((0, 1, 1), np.uint16), None, why)

    def record(self) -> dict[str, Any]:
        """Return what the manifest says of it, as plain JSON values."""
        if self.machine is None:
            return {"identity": self.identity, "missing": self.missing}
        about = {name: getattr(self.machine, name) for name in ("provider", "threads", "runtime")}
        return {"identity": self.identity, "images": list(self.names), **about}

    def files(self) -> tuple[bytes, bytes] | None:
        """Return the inputs and the maps, each below the other, as two PNG files; None if there are none."""
        if not self.names:
            return None
        width = self.maps.shape[2]
        return _png(self.inputs.reshape(-1, width, 3)), _png(self.maps.reshape(-1, width))

    @classmethod
    def read(
        cls, record: Mapping[str, Any], files: tuple[bytes, bytes] | None, shape: tuple[int, int]
    ) -> SelfTest:
        """Read the self-test of a saved model.

        Args:
            record: from :meth:`record`.
            files: from :meth:`files`.
            shape: (height, width) of the network's input.

        Raises:
            KeyError, TypeError, ValueError: they are not valid, or do not fit each other.
        """
        identity = str(record["identity"])
        if files is None:
            return cls.without(identity, clipped(str(record["missing"]), 300))
        names = tuple(map(str, record["images"]))
        if not 1 <= len(names) <= MOST_IMAGES:
            raise ValueError(f"a self-test of {len(names)} images")
        height, width = shape
        size = (width, height * len(names))
        inputs = _pixels(files[0], "RGB", size).astype(np.uint8)
        maps = _pixels(files[1], "I;16", size).astype(np.uint16)
        return cls(
            identity,
            names,
            inputs.reshape(len(names), height, width, 3),
            maps.reshape(len(names), height, width),
            Machine.from_json(record),
        )


def _png(array: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG", compress_level=2)
    return buffer.getvalue()


def _pixels(png: bytes, mode: str, size: tuple[int, int]) -> npt.NDArray[Any]:
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            # Before anything is decoded: a small file can claim any size.
            if image.size != size or not image.mode.startswith(mode):
                raise ValueError(f"{image.mode} of {image.size}, expected {mode} of {size}")
            return np.asarray(image)
    except (OSError, SyntaxError) as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class SelfTestResult:
    """What the self-test of an opened model has found on this machine.

    The image's values are those of the image that differs most.

    Attributes:
        state: ``equal`` (every pixel of every map), ``noted`` (at most one level apart, the same verdicts),
            ``refused`` (more), ``pending`` (nothing was scored yet) or ``none`` (the model has no self-test).
        why: why there is none; empty otherwise.
        images: number of reference images.
        name: the image that differs most; empty without a difference.
        largest: the largest difference of a pixel, in levels.
        expected_level, found_level: score of the image as a level, as saved and as found.
        expected_score, found_score: the same in map units.
        expected_verdict, found_verdict: its verdicts at the saved threshold; empty without a threshold.
        saved_on, found_on: what computed the two.
    """

    state: SelfTestState
    why: str = ""
    images: int = 0
    name: str = ""
    largest: int = 0
    expected_level: int = 0
    found_level: int = 0
    expected_score: float = 0.0
    found_score: float = 0.0
    expected_verdict: Verdict | Literal[""] = ""
    found_verdict: Verdict | Literal[""] = ""
    saved_on: Machine | None = None
    found_on: Machine | None = None

    @property
    def sentence(self) -> str:
        """What was found, in one sentence without a full stop."""
        images = count(self.images, "reference image")
        if self.state == "none":
            return f"no self-test: {self.why}"
        if self.state == "pending":
            return f"{images}, scored at the first scoring"
        if self.state == "equal":
            return f"{images} score exactly as when the model was saved ({self.found_on})"
        if self.state == "noted":
            return (
                f"{images} score within one level of 65535 of when the model was saved, with the same "
                f"verdicts (here {self.found_on}; saved with {self.saved_on})"
            )
        return (
            f"{self.name} is to score {self.expected_score:.6g} (level {self.expected_level}"
            f"{_in_words(self.expected_verdict)}) and scores {self.found_score:.6g} (level {self.found_level}"
            f"{_in_words(self.found_verdict)}) here; its map differs by up to "
            f"{count(self.largest, 'level')} of 65535 (here {self.found_on}; saved with {self.saved_on})"
        )


def _in_words(verdict: str) -> str:
    return f", {verdict}" if verdict else ""


def compare(
    test: SelfTest,
    found: npt.NDArray[np.uint16],
    machine: Machine,
    *,
    min_area: int,
    limits: VerdictLimits | None,
    quantizer: Quantizer,
) -> SelfTestResult:
    """Compare the maps found of the reference inputs with those expected.

    Args:
        test: the self-test, with at least one image.
        found: uint16 ``(k, h, w)``.
        machine: what computed them.
        min_area: smallest region that counts, in map pixels.
        limits: the limits of the verdicts; None without a threshold.
        quantizer: the scale of the levels.
    """
    apart = np.abs(found.astype(np.int32) - test.maps.astype(np.int32)).max(axis=(1, 2))
    levels = [
        (region_score(expected, min_area), region_score(here, min_area))
        for expected, here in zip(test.maps, found, strict=True)
    ]
    verdicts: list[tuple[Verdict | Literal[""], Verdict | Literal[""]]] = [
        ("", "") if limits is None else (limits.verdict(expected), limits.verdict(here))
        for expected, here in levels
    ]
    flips = [expected != here for expected, here in verdicts]
    # A changed verdict is shown rather than a larger difference without one.
    worst = max(range(len(levels)), key=lambda index: (flips[index], int(apart[index])))
    largest = int(apart.max())
    state: SelfTestState = "equal" if largest == 0 else "noted"
    if largest > 1 or any(flips):
        state = "refused"
    expected, here = levels[worst]
    return SelfTestResult(
        state,
        images=len(levels),
        name=test.names[worst] if largest else "",
        largest=int(apart[worst]),
        expected_level=expected,
        found_level=here,
        expected_score=quantizer.to_value(expected),
        found_score=quantizer.to_value(here),
        expected_verdict=verdicts[worst][0],
        found_verdict=verdicts[worst][1],
        saved_on=test.machine,
        found_on=machine,
    )
