"""The service as a process: real models and records, the client, keys, and an end in good order."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.service_process import PART_NUMBER, ServiceProcess
from padim import Padim, Workspace
from padim.records.api_keys import ApiKeys
from padim.records.inspections import InspectionRecords
from padim.records.recipes import Recipes
from padim.service.client import ServiceClient, ServiceError, ServiceInspection
from tests.parts import part, png

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "service.md"


@pytest.fixture(scope="module")
def root(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a model that inspects part number 4711."""
    root = tmp_path_factory.mktemp("workspace")
    workspace = Workspace(root)
    entry = workspace.create("Flange")
    workspace.save(entry.id, Padim.load(saved_model))
    Recipes(root).set(PART_NUMBER, entry.id, "Anna")
    (root / "in").mkdir()
    (root / "in" / "part.png").write_bytes(png(part(71)))
    return root


@pytest.fixture(scope="module")
def service(root: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(root, ["Flange", "--allow-root", str(root / "in")])
    yield service
    service.close()


def test_levels_and_verdicts_are_those_of_the_model(service: ServiceProcess, saved_model: Path) -> None:
    files = [(f"{i}.png", png(part(500 + i, defect=i % 2 == 0))) for i in range(4)]
    expected = {one.name: one for one in Padim.load(saved_model).predict(files)}
    with ServiceClient(service.url) as client:
        found = client.inspect_many(files, part_number=PART_NUMBER, lot="L7")
    for one in found:
        assert isinstance(one, ServiceInspection)
        own = expected[one.name]
        assert (one.verdict, one.document["score_level"]) == (own.verdict, own.score_level)
        assert [region["area"] for region in one.document["regions"]] == [r.area for r in own.regions]


def test_what_is_answered_is_on_record(service: ServiceProcess, root: Path) -> None:
    before = InspectionRecords(root).count()
    with ServiceClient(service.url) as client:
        assert client.ready()
        first = client.inspect(png(part(600)), name="a.png", serial="A1", idempotency_key="a1")
        again = client.inspect(png(part(600)), name="a.png", serial="A1", idempotency_key="a1")
        by_path = client.inspect_path("part.png")
        assert first == again == client.inspection(first.id)
        with pytest.raises(ServiceError, match="another image") as reused:
            client.inspect(png(part(601)), name="b.png", idempotency_key="a1")
        assert reused.value.kind == "key-reused"
        with pytest.raises(ServiceError, match="save it as PNG") as unusable:
            client.inspect(b"no image", name="c.png")
        assert unusable.value.kind == "unusable-image"
        assert [one["name"] for one in client.models()] == ["Flange"]
        assert client.part_numbers()[0]["part_number"] == PART_NUMBER
    assert InspectionRecords(root).count() == before + 2
    newest = InspectionRecords(root).page(number=2).items
    assert {one.uid for one in newest} == {first.id, by_path.id}
    assert {(one.source, one.who, one.version_number) for one in newest} == {("service", "service", 1)}


def curls() -> list[str]:
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("curl ")]


def test_the_guides_commands_work(service: ServiceProcess, root: Path, tmp_path: Path) -> None:
    """Every curl command of the guide is run as it stands, but for the port and the key."""
    for name, seed in (("part.png", 71), ("other.png", 72)):
        (tmp_path / name).write_bytes(png(part(seed)))
    commands = curls()
    assert len(commands) >= 9
    key = ApiKeys(root).add("guide", "Anna")
    for command in commands:
        line = command.replace("http://127.0.0.1:8600", service.url).replace("$API_KEY", key)
        done = subprocess.run(
            ["bash", "-c", line.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_the_guides_python_works(
    service: ServiceProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, seed in (("part.png", 71), ("other.png", 72)):
        (tmp_path / name).write_bytes(png(part(seed)))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block.replace("http://127.0.0.1:8600", service.url), str(GUIDE), "exec"), {})
    printed = capsys.readouterr().out.split()
    assert {"accept", "reject"} & set(printed)


def test_told_to_stop_it_finishes_what_it_took(root: Path) -> None:
    service = ServiceProcess(root, ["--no-sinks"])
    results: list[ServiceInspection] = []

    def send(number: int) -> None:
        with ServiceClient(service.url, patience=0) as client:
            results.append(client.inspect(png(part(700 + number)), part_number=PART_NUMBER))

    try:
        threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        # The first request opens the model, which takes long enough for all of them to have arrived.
        while "padim_open_images 6.0" not in httpx.get(f"{service.url}/metrics").text and not results:
            pass
        assert service.stop() == 0
        for thread in threads:
            thread.join()
    finally:
        service.close()
    assert len(results) == 6
    kept = {one.uid for one in InspectionRecords(root).page(number=6).items}
    assert kept == {one.id for one in results}


def test_beyond_this_machine_a_key_is_needed(root: Path) -> None:
    service = ServiceProcess(root, ["--address", "0.0.0.0", "--no-sinks"])
    try:
        with ServiceClient(service.url, patience=0) as client, pytest.raises(ServiceError) as refused:
            client.models()
        assert refused.value.kind == "key-missing"
        with ServiceClient(service.url, ApiKeys(root).add("elsewhere", "Anna")) as client:
            assert client.inspect(png(part(800)), part_number=PART_NUMBER).document["who"] == "elsewhere"
    finally:
        service.close()


def test_what_cannot_be_served_is_a_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "padim", "serve", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        return line

    monkeypatch.setenv("PADIM_HOME", str(root))
    assert "has no model" in refused("none")
    assert "belong together" in refused("--certificate", "x")
