"""The examples in docstrings and documents are run, in a folder that has what they name."""

from __future__ import annotations

import doctest
import pkgutil
import re
import shlex
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer

import padim
from padim.cli.app import app
from tests.parts import defects, normals

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_DOCUMENTS = ("README.md", "docs/design.md", "docs/security.md", "benchmarks/README.md")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``parts/good`` with 22 good parts, ``parts/today.zip`` with a defect and a good one, ``part.jpg``."""
    good = tmp_path / "parts" / "good"
    good.mkdir(parents=True)
    for name, content in normals(22):
        (good / name).write_bytes(bytes(content))
    with zipfile.ZipFile(tmp_path / "parts" / "today.zip", "w") as today:
        today.writestr("1.png", bytes(defects(1)[0][1]))
        today.writestr("2.png", bytes(normals(1, first=3)[0][1]))
    (tmp_path / "part.jpg").write_bytes(bytes(normals(1)[0][1]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Fenced blocks of a language in the documents, with the document's name."""
    for name in _DOCUMENTS:
        for found, text in _FENCED.findall((ROOT / name).read_text(encoding="utf-8")):
            if found == language:
                yield name, text


def test_docstrings(folder: Path) -> None:
    run = 0
    for found in [*pkgutil.walk_packages(padim.__path__, "padim."), None]:
        module = padim if found is None else import_module(found.name)
        outcome = doctest.testmod(module)
        assert outcome.failed == 0, module.__name__
        run += outcome.attempted
    assert run >= 4


def test_python_blocks_of_the_documents(folder: Path) -> None:
    texts = [text for _, text in blocks("python")]
    assert len(texts) >= 2
    names: dict[str, object] = {}
    # What the block on the line PC leaves to the reader to import.
    exec("import numpy as np, onnxruntime\nfrom PIL import Image, ImageOps", names)
    for text in texts:
        exec(compile(text, "README.md", "exec"), names)
    assert (folder / "flange.padim").exists()


def commands() -> list[str]:
    """The lines of the documents that call the command."""
    lines = [line for _, text in blocks("") for line in text.splitlines()]
    return [line.split(" #")[0].strip() for line in lines if line.startswith(("python -m padim ", "padim "))]


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_documents_are_ones_that_the_program_knows(line: str) -> None:
    """Each is parsed to the last option; what they do is tested with the commands themselves."""
    words = shlex.split(line)
    words = words[3:] if words[0] == "python" else words[1:]
    group = typer.main.get_command(app)
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words[1:] if word.startswith("-") and len(word) > 1} <= known
