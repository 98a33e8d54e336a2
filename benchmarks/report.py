"""Reporting shared by all benchmarks: tables, ``--json``, and targets that ``--check`` enforces.

A benchmark declares its targets before it measures, so that a mistyped ``--target`` fails at once, and a
target that was declared but not measured counts as missed: skipping a measurement does not pass the check.
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

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing

Relation = Literal["<=", "<", ">="]


@dataclass(frozen=True)
class Target:
    """A requirement ``value <relation> bound`` on the value recorded under the target's name."""

    relation: Relation
    bound: float

    def met(self, value: float | None) -> bool:
        """Whether the value meets the target; False if it was not measured or is NaN."""
        if value is None or math.isnan(value):
            return False
        if self.relation == "<":
            return value < self.bound
        return value <= self.bound if self.relation == "<=" else value >= self.bound

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments ``--json``, ``--check`` and ``--target`` to a parser."""
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NAME=BOUND",
        help="change the bound of a target; the part of NAME up to the first dot may be omitted",
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a table as plain text, with the first column left-aligned and the others right-aligned."""
    cells = [list(map(str, row)) for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


@dataclass
class Report:
    """The collected results of one benchmark.

    Attributes:
        benchmark: the benchmark's name.
        values: measured values by name.
        targets: targets by the name of their value.
        details: further contents of the JSON.
        notes: remarks printed so far.
    """

    benchmark: str
    values: dict[str, float | None] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def target(self, name: str, relation: Relation, bound: float) -> None:
        """Declare a target for the value of this name."""
        self.targets[name] = Target(relation, bound)

    def override(self, overrides: Sequence[str]) -> None:
        """Apply the values of ``--target``, each of the form ``NAME=BOUND``.

        Raises:
            ValueError: a value has another form, or no target has that name; the message lists the names.
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
        """Print a remark at once, and include it in the JSON."""
        self.notes.append(text)
        print(f"Note: {text}\n", flush=True)

    def show(self, title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table at once, to show the progress of a long benchmark."""
        print(f"{title}\n\n{table(headers, rows)}\n", flush=True)

    @property
    def missed(self) -> list[str]:
        """The names of the targets that are not met."""
        return [name for name, target in self.targets.items() if not target.met(self.values.get(name))]

    def finish(self, args: argparse.Namespace) -> int:
        """Print the targets and, with ``--json``, the JSON; return the exit code, 1 if ``--check`` fails."""
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
    """Return properties of the machine and versions of packages that affect the figures."""
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
    """Add the argument ``--data``, a folder of categories, with ``PADIM_DATA`` as its default."""
    data = os.environ.get("PADIM_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=data,
        required=data is None,
        help="folder; default: environment variable PADIM_DATA",
    )


def run(parser: argparse.ArgumentParser, report: Report, args: argparse.Namespace) -> None:
    """Apply the values of ``--target``; an invalid one ends the program with a usage error."""
    try:
        report.override(args.target)
    except ValueError as error:
        parser.error(str(error))


def utf8_output() -> None:
    """Set the output's encoding to UTF-8: that of a Windows console lacks characters used in tables."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
