"""The browser components' modules: their form, their types, and what they compute against the engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ui.components import engine_values
from ui.components import assets

HERE = Path(__file__).parent
MODULES = assets.FOLDER / "modules"
FILES = sorted(MODULES.rglob("*.js"))
NODE_TESTS = sorted(HERE.glob("*.test.js"))
MOST_LINES = 250
# A type alone is imported in a comment, and not at run time.
_IMPORT = re.compile(r'^(?:import|export)\b[^;]*?\bfrom "([^"]+)";', re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(MODULES).as_posix())
def test_a_module_is_short_and_its_types_are_checked(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == "// @ts-check"
    assert lines[1].startswith("// "), "what it is for"
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 125
    assert not re.search(r"@type \{any\}|@ts-ignore|@ts-expect-error|@ts-nocheck", text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(MODULES).as_posix())
def test_a_module_imports_neighbors_alone(file: Path) -> None:
    """By relative paths, which keep the digest in the URL; and nothing from elsewhere."""
    text = file.read_text(encoding="utf-8")
    assert "import(" not in re.sub(r'import\("\./[\w./]+"\)\.', "", text), "loaded when the page is open"
    assert "http:" not in text.replace("http://www.w3.org/", "")
    assert "https:" not in text
    for name in _IMPORT.findall(text):
        assert name.startswith("."), name
        found = (file.parent / name).resolve()
        assert found.is_file(), name
        assert found.is_relative_to(MODULES.resolve())


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {
        file.resolve(): {(file.parent / name).resolve() for name in _IMPORT.findall(file.read_text("utf-8"))}
        for file in FILES
    }
    done: set[Path] = set()
    while free := {file for file, needs in graph.items() if file not in done and needs <= done}:
        done |= free
    assert sorted(file.name for file in graph if file not in done) == []
    # From the first modules all others are reached, but for those with types alone: none is unused.
    entries = [MODULES / name / f"{name}.js" for name in ("desk", "marks", "region", "viewer")]
    reached: set[Path] = set()
    todo = [entry.resolve() for entry in entries]
    while todo:
        file = todo.pop()
        if file not in reached:
            reached.add(file)
            todo += graph[file]
    unused = {file.relative_to(MODULES.resolve()).as_posix() for file in set(graph) - reached}
    assert unused == {"desk/message.js", "marks/message.js", "region/message.js", "viewer/message.js"}


def test_the_modules_compute_what_the_engine_does(tmp_path: Path) -> None:
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("no Node.js found; on Debian: apt-get install nodejs")
    values = tmp_path / "engine.json"
    values.write_text(json.dumps(engine_values.values()), encoding="utf-8")
    ran = subprocess.run(
        [node, "--test", "--test-reporter=tap", *map(str, NODE_TESTS)],
        cwd=HERE,
        env={**os.environ, "PADIM_ENGINE_VALUES": str(values)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^# pass (\d+)$", ran.stdout, re.MULTILINE)
    assert passed is not None
    # A file that declares no test would pass unnoticed.
    declared = sum(len(re.findall(r"^test\(", file.read_text("utf-8"), re.MULTILINE)) for file in NODE_TESTS)
    assert int(passed[1]) == declared > 20


@pytest.mark.package
def test_the_types_of_the_modules_are_right() -> None:
    """By TypeScript, from the path or from the npm registry."""
    tsc = shutil.which("tsc")
    npx = shutil.which("npx")
    if tsc is None and npx is None:
        pytest.skip("no TypeScript found; npm install --global typescript@5")
    command = [tsc] if tsc else [str(npx), "--yes", "--package=typescript@5.9", "--", "tsc"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True)
    if version.returncode:
        pytest.skip(f"TypeScript cannot be had here: {version.stderr.strip()[-200:]}")
    ran = subprocess.run(
        [*command, "-p", str(assets.FOLDER / "jsconfig.json")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
