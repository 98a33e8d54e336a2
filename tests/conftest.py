"""Fixtures that the tests share: a cache for the exported network, and a small fitted model."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from padim import Padim, PadimConfig
from tests.parts import normals

HERE = Path(__file__).parent

# Tests start some hundred processes. Where compiled modules are not kept, each of them compiles what it
# imports, which takes longer than what it is started for.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says how busy the machine is, not whether it is right.
settings.register_profile("no timing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no timing")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, as one at the end would keep other processes waiting."""
    weights: Counter[Path] = Counter()
    for item in items:
        file = item.path.relative_to(HERE).as_posix() if item.path.is_relative_to(HERE) else ""
        lasting = file.startswith("browser/") or any(map(item.get_closest_marker, ("slow", "package")))
        weights[item.path] += 10 if lasting else 1
    # A file's tests stay together and in their order.
    first = {path: place for place, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (-weights[item.path], first[item.path]))


@pytest.fixture(scope="session", autouse=True)
def padim_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache and a workspace of the tests' own: the network is exported once, the user's are left alone."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("padim-cache")
        if "PYTEST_XDIST_WORKER" in os.environ:
            # One for all processes of a run: what one of them has exported, the others need not.
            folder = tmp_path_factory.getbasetemp().parent / "padim-cache"
            folder.mkdir(exist_ok=True)
        # A developer may keep the exported networks between sessions; they are keyed by their content.
        patch.setenv("PADIM_CACHE", os.environ.get("PADIM_TEST_CACHE") or str(folder))
        # What a test does not put elsewhere must not land in the developer's own workspace.
        patch.setenv("PADIM_HOME", str(tmp_path_factory.mktemp("padim-home")))
        yield Path(os.environ["PADIM_CACHE"])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For modules that train networks so small that threads would mostly wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PADIM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def small_config() -> PadimConfig:
    """The real backbone at a size that takes milliseconds: an 8 x 8 grid of 20 features."""
    return PadimConfig(input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8)


@pytest.fixture(scope="session")
def small_model(small_config: PadimConfig, tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """A model of 22 good parts. Shared: tests must not change it (``saved_model`` is for that)."""
    return Padim(small_config, work_dir=tmp_path_factory.mktemp("work")).fit(normals(22))


@pytest.fixture(scope="session")
def saved_model(small_model: Padim, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small_model`` as a bundle folder, to be loaded or copied, not changed."""
    return small_model.save(tmp_path_factory.mktemp("saved") / "model")
