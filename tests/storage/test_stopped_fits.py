"""Fits of the app that a killed server has left: listed, resumed, discarded; never a living one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from padim import Padim, Workspace, doctor
from padim.errors import PadimError
from padim.storage import leftovers, stopped_fits
from padim.worker.images import AtPath, Files
from padim.worker.messages import Fit, request_to_json
from tests.parts import normals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of another kind")

ROOT = Path(__file__).parents[2]
# The worker's own work, killed when the first batch is recorded, or held there.
WORK = """
import os, signal, sys
from padim.storage.resume import Unfinished
from padim.worker.messages import request_from_json
from padim.worker.verbs import perform
add = Unfinished.add
def added(self, batch):
    add(self, batch)
    print("recorded", flush=True)
    STOP
Unfinished.add = added
perform(request_from_json(sys.argv[1]), lambda *_, **__: None, lambda: False)
"""


def request(store: Workspace, model: str, config: object, images: AtPath | Files) -> Fit:
    return Fit(root=store.root, model=model, config=config, groups={}, images=images, label="22 files")


def command(asked: Fit, stop: str) -> list[str]:
    return [sys.executable, "-c", WORK.replace("STOP", stop), request_to_json(asked)]


@pytest.fixture
def store(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def images(store: Workspace) -> Files:
    """Uploads, handed over as the app does it."""
    folder = store.root / "jobs" / "0123456789abcdef"
    folder.mkdir(parents=True)
    files = []
    for index, (name, content) in enumerate(normals(22)):
        assert isinstance(content, bytes)
        (folder / f"{index:06d}").write_bytes(content)
        files.append((name, folder / f"{index:06d}"))
    return Files(files=files)


def killed(store: Workspace, small_model: Padim, images: AtPath | Files) -> stopped_fits.StoppedFit:
    """A fit of the app whose server and worker were killed after 16 images."""
    entry = store.create("Part <1>")
    asked = request(store, entry.id, small_model.config.model_dump(mode="json"), images)
    done = subprocess.run(
        command(asked, f"os.kill(os.getpid(), {int(signal.SIGKILL)})"), cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    (fit,) = stopped_fits.in_workspace(store)
    return fit


@pytest.mark.slow
def test_a_killed_fit_goes_on_with_its_uploads_to_the_bit(
    store: Workspace, images: Files, small_model: Padim
) -> None:
    fit = killed(store, small_model, images)
    assert (fit.name, fit.done, fit.total, fit.can_go_on) == ("Part <1>", 16, 22, True)
    assert store.models() == []
    # Its uploads are no leftovers; those of nobody are.
    other = store.root / "jobs" / "fedcba9876543210"
    other.mkdir()
    (other / "000000").write_bytes(b"12")
    gone = doctor.sweep(doctor.leftovers_of_workspace(store))
    assert [one.path for one in gone if one.path.is_relative_to(store.root)] == [other]
    assert fit.request is not None
    again = request(store, str(fit.model_id), fit.request.config, images)
    subprocess.run(command(again, "pass"), cwd=ROOT, check=True)
    (entry,) = store.models()
    assert stopped_fits.in_workspace(store) == []
    from tests.cli.test_fit import same

    same(store.open(entry.id), small_model)
    assert store.open(entry.id).working_set.has_features


@pytest.mark.slow
def test_discarding_takes_the_uploads_along(store: Workspace, images: Files, small_model: Padim) -> None:
    fit = killed(store, small_model, images)
    stopped_fits.discard(fit, store)
    assert not fit.folder.exists()
    assert not images.files[0][1].parent.exists()
    assert stopped_fits.in_workspace(store) == []


@pytest.mark.slow
def test_without_its_images_it_is_listed_and_cannot_go_on(
    store: Workspace, images: Files, small_model: Padim
) -> None:
    fit = killed(store, small_model, images)
    images.files[3][1].unlink()
    (again,) = stopped_fits.in_workspace(store)
    assert again.request == fit.request
    assert not again.can_go_on


@pytest.mark.slow
def test_a_fit_of_a_living_process_is_neither_listed_nor_discarded(
    store: Workspace, images: Files, small_model: Padim
) -> None:
    fit = killed(store, small_model, images)
    entry = store.create("Under way")
    asked = request(store, entry.id, small_model.config.model_dump(mode="json"), images)
    holding = f"""
import subprocess, sys
from padim.storage.leftovers import held_folder
from pathlib import Path
with held_folder(Path({str(entry.path)!r})):
    subprocess.run({command(asked, "os.read(0, 1)")!r}, check=False)
"""
    with subprocess.Popen(
        [sys.executable, "-c", holding], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"recorded\n"
        assert [one.name for one in stopped_fits.in_workspace(store)] == [fit.name]
        assert [one.name for one in stopped_fits.at_work(store)] == ["Under way"]
        assert leftovers.is_held(entry.path)
        (living,) = stopped_fits.at_work(store)
        with pytest.raises(PadimError, match="is being fitted"):
            stopped_fits.discard(living, store)
        assert entry.path.is_dir()
        assert doctor.sweep(doctor.leftovers_of_workspace(store)) == []
        server.communicate(b"\n\n\n")
    assert [one.name for one in store.models()] == ["Under way"]


def test_two_processes_cannot_fit_one_model(store: Workspace) -> None:
    entry = store.create("Held")
    with store.locked(entry.id):
        assert stopped_fits.in_workspace(store) == []
    assert [one.name for one in stopped_fits.in_workspace(store)] == ["Held"]
