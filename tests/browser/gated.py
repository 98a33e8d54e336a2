"""Streamlit's own command line, with the scoring waiting at a gate.

    python tests/browser/gated.py run app.py

The gate is a file, named by ``PADIM_TEST_GATE``: as long as it exists, only as many images of a scoring get
through as it says. So a test has a scoring under way for as long as it wants, on a machine of any speed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from padim import Padim, Prediction


def shut_by(file: str) -> None:
    """Let only the first images out of a scoring while this file exists: as many as it says, or none."""
    score = Padim.predict
    gate = Path(file)

    def waiting(self: Padim, *args: Any, **settings: Any) -> Iterator[Prediction]:
        for place, one in enumerate(score(self, *args, **settings)):
            while gate.exists() and place >= int(gate.read_text() or 0):
                time.sleep(0.02)  # between two looks, not instead of one
            yield one

    Padim.predict = waiting  # type: ignore[method-assign]


if __name__ == "__main__":
    from streamlit.web.cli import main

    shut_by(os.environ["PADIM_TEST_GATE"])
    main()
