"""What every benchmark shares: tables, ``--json``, and targets that ``--check`` holds it to.

A benchmark declares its targets before it measures, so that a mistyped ``--target`` fails at once, and one
that was declared and never measured counts as missed: skipping a measurement is not a way to pass.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before ONNX Runtime is loaded: nothing leaves the machine

Relation = Literal["<=", "<", ">="]


@dataclass(frozen=True)
class Target:
    """``value <relation> bound``, for the value recorded under the target's name."""

    relation: Relation
    bound: float

    def met(self, value: float | None) -> bool:
        """False also for a value that was not measured or is not a number."""
        if value is None or math.isnan(value):
            return False
        if self.relation == "<":
            return value < self.bound
        return value <= self.bound if self.relation == "<=" else value >= self.bound

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--json``, ``--check`` and ``--target``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NAME=BOUND",
        help="another bound for a target; NAME may leave out the part before the first dot",
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Plain columns: the first to the left, the others to the right."""
    cells = [list(map(str, row)) for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


@dataclass
class Report:
    """Collects one benchmark's values.

    Attributes:
        benchmark: its name.
        values: measured, by name; with a target where one was declared.
        targets: by name.
        details: whatever else the JSON should carry.
    """

    benchmark: str
    values: dict[str, float | None] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def target(self, name: str, relation: Relation, bound: float) -> None:
        """Declare a target."""
        self.targets[name] = Target(relation, bound)

    def override(self, overrides: Sequence[str]) -> None:
        """Apply ``--target NAME=BOUND``.

        Raises:
            ValueError: not of that form, or no target has that name; names the known ones.
        """
        for text in overrides:
            name, equals, bound = text.partition("=")
            names = [known for known in self.targets if name in (known, known.partition(".")[2])]
            if not equals or not names:
                raise ValueError(
                    f"--target {text}: expected NAME=BOUND, NAME one of {', '.join(self.targets)}"
                )
            for known in names:
                self.targets[known] = replace(self.targets[known], bound=float(bound))

    def note(self, text: str) -> None:
        """A remark printed at once and kept in the JSON."""
        self.notes.append(text)
        print(f"Note: {text}\n", flush=True)

    def show(self, title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table at once: a long benchmark should be seen to move."""
        print(f"{title}\n\n{table(headers, rows)}\n", flush=True)

    @property
    def missed(self) -> list[str]:
        """Names of the targets that are not met."""
        return [name for name, target in self.targets.items() if not target.met(self.values.get(name))]

    def finish(self, args: argparse.Namespace) -> int:
        """Print targets and, where asked for, the JSON; the exit code is the answer to ``--check``."""
        missed = self.missed
        rows = []
        for name, target in self.targets.items():
            value = self.values.get(name)
            shown = "not measured" if value is None else f"{value:.4g}"
            rows.append((name, shown, target, "MISSED" if name in missed else "met"))
        if rows:
            self.show("Targets", ("target", "measured", "wanted", ""), rows)
        for name in missed:
            print(f"MISSED {name}: wanted {self.targets[name]}, got {self.values.get(name)}", flush=True)
        if args.json:
            document = {
                "benchmark": self.benchmark,
                "environment": environment(),
                "values": self.values,
                "targets": {
                    name: {"relation": target.relation, "bound": target.bound, "met": name not in missed}
                    for name, target in self.targets.items()
                },
                "missed": missed,
                "notes": self.notes,
                "details": self.details,
            }
            print(json.dumps(document), flush=True)
        return 1 if args.check and missed else 0


def environment() -> dict[str, Any]:
    """What the figures depend on, besides the code."""
    import cv2
    import numpy as np
    import onnxruntime as ort

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "onnxruntime": ort.__version__,
    }


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """``--data``, a folder of categories; the environment's ``PADIM_DATA`` stands in for it."""
    data = os.environ.get("PADIM_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=data,
        required=data is None,
        help="folder; default: the environment's PADIM_DATA",
    )


def run(parser: argparse.ArgumentParser, report: Report, args: argparse.Namespace) -> None:
    """Apply ``--target``; a wrong one ends the program as any wrong argument does."""
    try:
        report.override(args.target)
    except ValueError as error:
        parser.error(str(error))


def utf8_output() -> None:
    """Tables hold characters that a Windows console's default encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
