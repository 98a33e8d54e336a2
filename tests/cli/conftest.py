"""Fixtures of the command-line tests: folders of images, and a runner of commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from padim import Padim
from tests.parts import defects, normals, png


@dataclass(frozen=True)
class Done:
    """The exit status and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """Return the only line of an error message; nothing may be on stdout."""
        assert self.code == 2, (self.code, self.err)
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


Run = Callable[..., Done]

# As small_config in tests/conftest.py, whose network is then in the cache.
SMALL = ("--input-size", "64", "--n-features", "20", "--smoothing", "2", "--min-area", "8")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process."""
    from padim.cli.app import app

    monkeypatch.setenv("COLUMNS", "100")

    def invoke(*arguments: object) -> Done:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return invoke


def write(folder: Path, files: list[tuple[str, Any]]) -> Path:
    """Write files of images to a folder, creating sub-folders as needed."""
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the 22 good parts of ``small_model``."""
    return write(tmp_path_factory.mktemp("good"), normals(22))


@pytest.fixture(scope="session")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write MVTec AD's layout: 6 good parts, 4 chips with masks, 2 scratches, of which one has a mask."""
    folder = tmp_path_factory.mktemp("labelled")
    write(folder / "test" / "good", normals(6, first=100))
    bad = defects(6)
    write(folder / "test" / "chip", bad[:4])
    write(folder / "test" / "scratch", bad[4:])
    mask = np.zeros((96, 96, 3), np.uint8)
    mask[24:72, 24:72] = 255
    names = [f"chip/{name.removesuffix('.png')}_mask.png" for name, _ in bad[:4]]
    write(folder / "ground_truth", [(name, png(mask)) for name in [*names, "scratch/bad_004_mask.png"]])
    return folder


@pytest.fixture
def own_model(small_model: Padim, tmp_path: Path) -> Path:
    """Save ``small_model`` again, for tests that change it."""
    return small_model.save(tmp_path / "own.padim")


@pytest.fixture(autouse=True)
def no_health_check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits end without a health check, but in tests marked ``health``."""
    if request.node.get_closest_marker("health") is None:
        monkeypatch.setattr("padim.cli.fit._health", lambda *_: None)
