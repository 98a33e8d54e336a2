"""The basis on which a threshold is chosen. A module of its own, because importing it loads nothing else."""

from __future__ import annotations

from typing import Literal

# By images: a share of the good parts is rejected. By pixels: a share of their pixels exceeds it. Or by hand.
Basis = Literal["image", "pixel", "manual"]
