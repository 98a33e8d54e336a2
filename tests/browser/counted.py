"""Streamlit's own command line, with every run of the network noted: a byte in the file ``PADIM_TEST_RUNS``.

    python tests/browser/counted.py run app.py

So a test can see from outside that moving a slider never runs the network.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from padim.network.extractor import FeatureExtractor


def count(file: str) -> None:
    """Note every run from now on."""
    fed = FeatureExtractor.fed

    def counted(self: FeatureExtractor, rgb: Any) -> Any:
        with Path(file).open("ab") as noted:
            noted.write(b".")
        return fed(self, rgb)

    FeatureExtractor.fed = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    from streamlit.web.cli import main

    count(os.environ["PADIM_TEST_RUNS"])
    main()
