"""Limits that are settings: each message says the limit and the setting, and inspecting goes on."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from padim.data.decode import decode
from padim.data.opening import open_source
from padim.errors import ImageError, InputError, PadimError, WorkspaceFullError
from padim.records.evidence import EvidenceFiles
from padim.records.inspections import InspectionRecords
from padim.records.library import ImageLibrary, NewImage
from padim.records.retention import prune_evidence
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from padim.storage import workspace_size
from padim.storage.model_folders import ModelFolders
from tests.parts import png
from tests.recorded import FIRST, new
from ui.jobs.jobs import Job
from ui.jobs.work_queue import _WorkerQueue

IMAGE = png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))


@pytest.fixture(autouse=True)
def measured_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_size, "_FRESH", -1.0)
    measure = workspace_size.measured_sizes
    monkeypatch.setattr(workspace_size, "measured_sizes", lambda root, max_age=-1.0: measure(root, max_age))


def test_the_largest_file_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(IMAGE)
    assert len(list(open_source(tmp_path))) == 1
    monkeypatch.setenv("PADIM_MAX_IMAGE_MB", "0.005")
    message = r"5243 bytes, the limit for one image; .* PADIM_MAX_IMAGE_MB"
    with pytest.raises(ImageError, match=message):
        decode(IMAGE, "a.png")
    source = open_source(tmp_path)
    assert list(source) == []
    assert re.search(message, str(source.skipped[0]))


def test_the_most_images_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(IMAGE)
    monkeypatch.setenv("PADIM_MAX_IMAGES", "3")
    assert len(list(open_source(tmp_path))) == 3
    monkeypatch.setenv("PADIM_MAX_IMAGES", "2")
    with pytest.raises(InputError, match=r"3 images are more than one set may have \(2\).* PADIM_MAX_IMAGES"):
        list(open_source(tmp_path))


def test_a_full_workspace_takes_no_model_and_no_image_and_inspects_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ModelFolders(tmp_path)
    model_id = models.create("Flange").id
    library = ImageLibrary(tmp_path, model_id)
    library.add([NewImage("a.png", IMAGE)], "files")
    sizes = workspace_size.measured_sizes(tmp_path)
    assert sizes.models >= len(IMAGE)
    assert sizes.total == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    monkeypatch.setenv("PADIM_WORKSPACE_LIMIT", "0.000001")
    message = r"the workspace is full \(0\.00 of 0\.00 GB\); delete models .* PADIM_WORKSPACE_LIMIT"
    with pytest.raises(WorkspaceFullError, match=f"“Plate”: {message}"):
        models.create("Plate")
    with pytest.raises(WorkspaceFullError, match=f"the image library: {message}"):
        library.add([NewImage("b.png", IMAGE + b"x")], "files")
    records = InspectionRecords(tmp_path)
    (row,) = records.add([new(1)])
    found = records.get(row)
    assert found is not None
    assert not EvidenceFiles(tmp_path).has_original(found.sha256)
    monkeypatch.setenv("PADIM_WORKSPACE_LIMIT", "1")
    records.add([new(2)])
    assert models.create("Plate").name == "Plate"


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a").write_bytes(b"x" * 1000)
    (tmp_path / "models" / "b").hardlink_to(tmp_path / "models" / "a")
    (tmp_path / "models" / "c").symlink_to(tmp_path / "models" / "a")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "d").write_bytes(b"x" * 10)
    sizes = workspace_size.measured_sizes(tmp_path)
    assert (sizes.models, sizes.deleted, sizes.other, sizes.total) == (1000, 10, 0, 1010)


@pytest.mark.parametrize(("chosen", "cap", "days"), [(None, 5, 5), (3, 5, 3), (30, 5, 5), (3, None, 3)])
def test_images_are_kept_no_longer_than_the_installation_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: int | None, cap: int | None, days: int
) -> None:
    if cap is not None:
        monkeypatch.setenv("PADIM_RETENTION_DAYS", str(cap))
    WorkspaceSettings(tmp_path).set(OriginalsSettings(keep="all"), "Anna")
    InspectionRecords(tmp_path, draw=lambda: 0.999).add([new(0, score=1.0)])
    settings = OriginalsSettings(keep="all", days=chosen)
    for age, gone in ((days - 1, 0), (days + 1, 1)):
        found = prune_evidence(
            tmp_path, settings, dry_run=True, now=FIRST + timedelta(days=age), spared=timedelta(days=-1)
        )
        assert found.deleted.originals == gone


def test_the_most_jobs_that_run_or_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_MAX_JOBS", "1")
    queue = _WorkerQueue()
    jobs = [Job(str(number), "A job", lambda job: None) for number in range(2)]
    with (
        queue.turn("fit", jobs[0]),
        pytest.raises(PadimError, match=r"1 job runs or waits already, .* PADIM_MAX_JOBS"),
        queue.turn("fit", jobs[1]),
    ):
        pass
    with queue.turn("fit", jobs[1]):
        pass
