"""What the commands that measure a model on images share: evaluate, probe and shift."""

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
    """The model, at another threshold if one is given; that its network is random is said.

    Raises:
        PadimError: no such model, or it has no threshold: before any work is done.
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
    """Progress, and an ear for Ctrl-C; a measurement that was stopped gives nothing."""
    with Stop(terminal) as stop:
        try:
            with terminal.progress() as progress:
                yield progress, stop
        except (Cancelled, KeyboardInterrupt) as error:
            terminal.error("stopped; figures over a part of it would say nothing, so there are none")
            raise typer.Exit(stop.exit_code) from error
