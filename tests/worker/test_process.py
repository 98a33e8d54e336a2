"""The worker process: what it leaves, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from padim import PadimConfig, Workspace
from padim.analysis.health import Health
from padim.errors import Cancelled, ImageError, PadimError
from padim.records.library import ImageLibrary
from padim.worker import messages, process
from padim.worker.images import AtPath, Files
from tests import parts

CONFIG = PadimConfig(input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8)
WAIT = 120


@pytest.fixture
def images(tmp_path: Path) -> Files:
    """Ten images of good parts and a file that is none, on disk under numbers."""
    files = []
    for i, (name, data) in enumerate([*parts.normals(10), ("notes.png", b"no image")]):
        assert isinstance(data, bytes)
        (tmp_path / f"{i:03d}").write_bytes(data)
        files.append((name, tmp_path / f"{i:03d}"))
    return Files(files=files)


def fit_in(home: Path, images: Files | AtPath) -> messages.Fit:
    entry = Workspace(home).create("Plate")
    config = CONFIG.model_dump(mode="json")
    return messages.Fit(root=home, model=entry.id, config=config, groups={}, images=images)


class Stages:
    """Notes the stages, and does something once at the first of a name."""

    def __init__(self, at: str = "", then: Callable[[], None] | None = None) -> None:
        self.at, self.then, self.seen = at, then, list[str]()

    def __call__(
        self, done: int, total: int | None = None, stage: str = "", *, in_bytes: bool = False
    ) -> None:
        self.seen.append(stage)
        if self.then is not None and stage == self.at:
            then, self.then = self.then, None
            then()


def workers() -> list[psutil.Process]:
    """The worker processes of this one."""
    found = []
    for child in psutil.Process().children():
        try:
            if "padim.worker" in child.cmdline():
                found.append(child)
        except psutil.Error:  # it has ended meanwhile
            continue
    return found


def never(_: Callable[[], None]) -> None:
    """Nobody cancels."""


@pytest.mark.slow
def test_a_fit_is_saved_and_its_process_gone(tmp_path: Path, images: Files) -> None:
    stages, home = Stages(), tmp_path / "home"
    request = fit_in(home, images)
    outcome = process.perform(request, stages, never)
    assert outcome.images == 10
    assert [error.name for error in outcome.unusable] == ["notes.png"]
    assert "Reading images" in stages.seen
    (entry,) = Workspace(home).models()
    assert entry.id == request.model
    model = Workspace(home).open(entry.id)
    assert [normal.name for normal in model.normals_] == [name for name, _ in images.files[:10]]
    originals = ImageLibrary(home, entry.id).images()
    assert [one.sha256 for one in originals] == [normal.sha256 for normal in model.normals_]
    assert outcome.library_note == ""
    assert workers() == []


@pytest.mark.slow
def test_an_error_arrives_with_its_type(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist") as caught:
        process.perform(fit_in(tmp_path / "home", AtPath(path=tmp_path / "none")), Stages(), never)
    assert caught.value.name.endswith("none")


def test_a_killed_process_is_one_sentence(tmp_path: Path, images: Files) -> None:
    def kill() -> None:
        (worker,) = workers()
        worker.kill()

    request = fit_in(tmp_path / "home", images)
    with pytest.raises(PadimError, match="killed by the system, most likely because memory ran out"):
        process.perform(request, Stages("Preparing the network", kill), never)
    assert Workspace(tmp_path / "home").models() == []


@pytest.mark.slow
def test_it_stops_when_asked(tmp_path: Path, images: Files) -> None:
    asked: list[Callable[[], None]] = []
    request = fit_in(tmp_path / "home", images)
    with pytest.raises(Cancelled):
        process.perform(request, Stages("Preparing the network", lambda: asked[0]()), asked.append)
    assert Workspace(tmp_path / "home").models() == []
    assert workers() == []


def test_one_that_does_not_hear_is_killed(
    tmp_path: Path, images: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.1)
    asked: list[Callable[[], None]] = []

    def deaf() -> None:
        (worker,) = workers()
        worker.suspend()
        asked[0]()

    with pytest.raises(Cancelled):
        process.perform(
            fit_in(tmp_path / "home", images), Stages("Preparing the network", deaf), asked.append
        )
    assert workers() == []


@pytest.mark.slow
def test_it_ends_with_whoever_asked(tmp_path: Path, images: Files) -> None:
    """Also where that is killed, and can tell it nothing."""
    request = messages.request_to_json(fit_in(tmp_path / "home", images))
    script = textwrap.dedent(
        """
        import sys
        from padim.worker import messages, process
        def progress(done, total=None, stage="", *, in_bytes=False):
            print(stage, flush=True)
        process.perform(messages.request_from_json(sys.argv[1]), progress, lambda _: None)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script, request], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        (worker,) = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGKILL)
        worker.wait(WAIT)
    assert Workspace(tmp_path / "home").models() == []


@pytest.mark.slow
def test_ctrl_c_in_the_terminal_is_not_for_it(tmp_path: Path, images: Files) -> None:
    def interrupt() -> None:
        (worker,) = workers()
        assert os.getpgid(worker.pid) != os.getpgid(0)
        worker.send_signal(signal.SIGINT)

    outcome = process.perform(
        fit_in(tmp_path / "home", images), Stages("Preparing the network", interrupt), never
    )
    assert outcome.images == 10


@pytest.mark.slow
def test_a_check_is_made_on_the_originals_and_gives_way(tmp_path: Path, images: Files) -> None:
    home = tmp_path / "home"
    request = fit_in(home, images)
    process.perform(request, Stages(), never)
    priorities: list[int] = []
    of_sessions: list[str] = []

    def look() -> None:
        for one in workers():
            priorities.append(one.nice())
            group = Path(f"/proc/{one.pid}/autogroup")  # Linux has none where it does not group sessions
            of_sessions.extend(group.read_text().split()[-1:] if group.exists() else [])

    stages = Stages("Opening the model", look)
    done = process.perform(messages.CheckHealth(root=home, model=request.model), stages, never)
    assert done.health is not None
    found = Health.from_json(done.health)
    assert found.of(Workspace(home).open(request.model))
    assert "painted defects" in {finding.topic for finding in found.findings}
    assert priorities == [psutil.Process().nice() + 10]
    assert of_sessions in ([], ["10"])
