"""Helpers shared by the commands that measure a model: evaluate, sensitivity, robustness, learning-curve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from padim.cli import summary
from padim.cli.options import decide
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal
from padim.errors import Cancelled

if TYPE_CHECKING:
    from padim.data.loading import Progress
    from padim.model import Padim


def model_at(
    terminal: Terminal, path: Path, *, percentile: float | None, threshold: float | None, min_area: int | None
) -> Padim:
    """Load a model, set the threshold if one is given, and warn if its network has random weights.

    Raises:
        PadimError: there is no such model, or it has no threshold; raised before any image is read.
    """
    from padim.model import Padim

    model = Padim.load(path)
    decide(model, percentile=percentile, value=threshold, min_area=min_area)
    model.threshold_level  # noqa: B018
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; its figures mean nothing")
    return model


@contextmanager
def measuring(terminal: Terminal) -> Iterator[tuple[Progress, Stop]]:
    """Provide a progress callback and a stop flag; exit without a result if the measurement is stopped."""
    with Stop(terminal) as stop:
        try:
            with terminal.progress() as progress:
                yield progress, stop
        except (Cancelled, KeyboardInterrupt) as error:
            terminal.error("stopped; no figures are reported, as those of some of the images would mislead")
            raise typer.Exit(stop.exit_code) from error
