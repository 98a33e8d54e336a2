"""The examples in docstrings and documents are run, in a folder that has what they name."""

from __future__ import annotations

import doctest
import pkgutil
import re
import shlex
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import padim
from padim import Padim
from padim.cli.app import app
from tests.parts import defects, normals

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "benchmarks/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
# What its guide says of the service is run with a service (tests/service/test_serving.py).
_WITH_A_SERVICE = "docs/guides/service.md"
_IN_PYTHON = tuple(
    name
    for name in _DOCUMENTS
    if name != _WITH_A_SERVICE and "```python" in (ROOT / name).read_text(encoding="utf-8")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample, ``parts/good`` with 22 good parts, ``parts/today.zip`` with two more, ``part.jpg``."""
    good = tmp_path / "parts" / "good"
    good.mkdir(parents=True)
    for name, content in normals(22):
        (good / name).write_bytes(bytes(content))
    with zipfile.ZipFile(tmp_path / "parts" / "today.zip", "w") as today:
        today.writestr("1.png", bytes(defects(1)[0][1]))
        today.writestr("2.png", bytes(normals(1, first=3)[0][1]))
    (tmp_path / "part.jpg").write_bytes(bytes(normals(1)[0][1]))
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(document: str, *languages: str) -> list[str]:
    """Fenced blocks of these languages in a document."""
    found = _FENCED.findall((ROOT / document).read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


@pytest.mark.slow
def test_docstrings(folder: Path) -> None:
    run = 0
    for found in [*pkgutil.walk_packages(padim.__path__, "padim."), None]:
        module = padim if found is None else import_module(found.name)
        outcome = doctest.testmod(module)
        assert outcome.failed == 0, module.__name__
        run += outcome.attempted
    assert run >= 4


def test_documents_have_examples_in_python() -> None:
    wanted = {
        "README.md",
        "docs/guides/python.md",
        "docs/guides/line-pc.md",
        "docs/concepts/leave-one-out.md",
    }
    assert set(_IN_PYTHON) >= wanted


@pytest.mark.slow
@pytest.mark.parametrize("document", _IN_PYTHON)
def test_python_blocks_of_a_document(
    document: str, folder: Path, small_model: Padim, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run one after another; what a line prints is what its comment says, where that is a result."""
    # What the shell has made before.
    small_model.export(folder / "flange.onnx")
    names: dict[str, object] = {}
    for text in blocks(document, "python"):
        exec(compile(text, document, "exec"), names)
        expected = re.findall(r"^print\(.*\)\s+# (\d+ of \d+)$", text, re.M)
        printed = capsys.readouterr().out.splitlines()
        assert [line for line in printed if re.fullmatch(r"\d+ of \d+", line)] == expected


def commands() -> list[str]:
    """The lines of the documents that call the command."""
    texts = [text for document in _DOCUMENTS for text in blocks(document, "", "bash")]
    lines = [line.split(" #")[0].strip() for text in texts for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith(("python -m padim ", "padim "))))


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_documents_are_ones_that_the_program_knows(line: str) -> None:
    """Each is parsed to the last option; what they do is tested with the commands themselves."""
    words = shlex.split(line.partition(" > ")[0])
    words = words[3:] if words[0] == "python" else words[1:]
    group = typer.main.get_command(app)
    while words[0].startswith("-"):  # common options, which may stand before the command
        assert words.pop(0) in _options(group)
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    if hasattr(command, "commands"):  # a group, such as ``models list``
        words.pop(0)
        command = command.commands[words[0]]
    own = words[1 : words.index("--")] if "--" in words else words[1:]  # behind -- they are Streamlit's
    given = {word.split("=")[0] for word in own if word.startswith("-") and len(word) > 1}
    assert given <= _options(command)


def _options(command: Any) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.slow
def test_the_first_model_is_made_as_the_guide_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands on the sample, run in order, and the figures that the guide names."""
    document = "docs/guides/first-model.md"
    (text,) = (text for text in blocks(document, "bash") if "python -m padim fit sample_data" in text)
    monkeypatch.setenv("COLUMNS", "200")
    said = ""
    for line in text.splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[3:])
        assert done.exit_code == 0, (line, done.output)
        said += done.output
    for name in ("flange.padim/manifest.json", "results/results.csv", "flange.onnx"):
        assert (folder / name).is_file()
    plain = " ".join(said.split())
    (shown,) = (text for text in blocks(document, "text"))
    for line in shown.splitlines():
        assert " ".join(line.split()) in plain
    guide = " ".join((ROOT / document).read_text(encoding="utf-8").split())
    assert "1 of 20 unseen good parts rejected" in guide
    assert "false rejects (overkill) 1 of 20" in plain
    assert "12 of the 30 defects missed" in guide
    assert "missed defects (escapes) 12 of 30" in plain
