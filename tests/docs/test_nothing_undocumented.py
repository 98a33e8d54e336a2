"""A command, page, setting, method, network, column or key that no document explains is a failed test."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from padim import Padim, settings
from padim.cli.app import app
from padim.decision.guard_band import Guard, Repeatability
from padim.methods.catalogue import METHODS
from padim.network import registry
from padim.output.export import export_npz, metadata
from padim.output.results import CSV_COLUMNS, MORE_COLUMNS
from padim.records.exports.columns import COLUMNS
from padim.storage.bundle import Bundle
from tests.parts import defects
from ui.app.pages import PAGES

ROOT = Path(__file__).resolve().parents[2]
_CODE = re.compile(r"`([^`\n]+)`")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code(document: str) -> set[str]:
    """What a document sets in code, word by word."""
    return {word for found in _CODE.findall(document) for word in re.split(r"[\s,;:=]+", found)}


def test_every_command_is_in_the_guide_to_the_shell() -> None:
    named = set(re.findall(r"^python -m padim ([\w-]+)", text("docs/guides/shell.md"), re.M))
    assert named >= set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_every_page_is_described_and_no_other() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", text("docs/reference/pages.md"), re.M)
    assert rows == [page.label for page in PAGES]


def test_no_document_sends_a_reader_to_a_page_of_former_versions() -> None:
    former = "Home|Region|Checks|Evaluate|Sensitivity|Robustness"
    wrong = re.compile(
        rf"\*\*({former})\*\*|\b({former}) page\b|\b[Oo]n \*{{0,2}}({former})\b|\*({former}) →"
    )
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        found = wrong.search(file.read_text(encoding="utf-8"))
        assert found is None, f"{file.relative_to(ROOT)}: {found[0] if found else ''}"


def test_every_setting_of_the_environment_is_described() -> None:
    files = (file for folder in ("padim", "ui") for file in (ROOT / folder).rglob("*.py"))
    read = {name for file in files for name in re.findall(r"\bPADIM_[A-Z_]+\b", file.read_text("utf-8"))}
    described = set(re.findall(r"^\| `(PADIM_[A-Z_]+)` \|", text("docs/reference/settings.md"), re.M))
    variables = {settings.variable_of(name) for name in settings.Settings.model_fields}
    assert described == variables
    # PADIM_KEY is a caller's own variable in the example that the page Line shows.
    others = {"PADIM_DATA", "PADIM_CHROMIUM", "PADIM_ENGINE_VALUES", "PADIM_TEST_CACHE", "PADIM_KEY"}
    assert read <= variables | others


def test_the_environment_is_read_in_one_place() -> None:
    """Only the settings know its variables; where the workspace is, is needed to find the settings."""
    allowed = {"padim/settings/fields.py", "padim/settings/reading.py", "padim/installation.py"}
    # Those that pass the environment, or options of the shell, on to what reads it.
    allowed |= {"padim/cli/command.py"}
    found = set()
    for folder in ("padim", "ui", "pages"):
        for file in (ROOT / folder).rglob("*.py"):
            if re.search(r"(environ(\.get)?\W|getenv\W)\W*PADIM_", file.read_text("utf-8")):
                found.add(str(file.relative_to(ROOT)))
    assert found <= allowed


def test_the_document_says_the_defaults_and_what_is_accepted() -> None:
    rows = {
        name: (described, default)
        for name, described, default in re.findall(
            r"^\| `PADIM_([A-Z_]+)` \| (.+) \| (.+) \|$", text("docs/reference/settings.md"), re.M
        )
    }
    for name, field in settings.Settings.model_fields.items():
        described, default = rows[name.upper()]
        about = settings.about(name)
        if about.unset:
            assert default, name
        else:
            value = str(field.default)
            shown = {"True": "1", "False": "0"}.get(value, value.removesuffix(".0"))
            assert default.replace(",", "") == shown, name
        assert len(described) > 20, name


def test_the_servers_settings_are_those_that_are_described() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    section = text("docs/reference/settings.md").partition("## The server")[2]
    for key, value in re.findall(r"^\| `(\w+\.\w+)` \| `?([^|`]+?)`? \|", section, re.M):
        group, name = key.split(".")
        if " " in value:  # "not set" and the like
            assert name not in settings[group]
        else:
            assert json.dumps(settings[group][name]).strip('"') == value


def test_every_method_is_in_the_guide() -> None:
    guide = code(text("docs/guides/which-method.md"))
    for name in METHODS:
        assert name in guide or name == "ensemble"  # written as members joined by +
    assert "padim+patchcore" in guide


def test_what_is_known_of_every_network_is_said() -> None:
    measured = code(text("docs/reference/measurements.md").partition("## Networks")[2].partition("\n## ")[0])
    assert measured >= set(registry.REGISTRY)


def test_every_column_of_the_results_is_described() -> None:
    described = code(text("docs/reference/file-formats.md").partition("## Results")[2].partition("\n## ")[0])
    assert described >= {*CSV_COLUMNS, *MORE_COLUMNS}


def test_every_column_of_the_records_is_described() -> None:
    assert section_of_formats("Records") >= {column.name for column in COLUMNS}


def test_every_key_of_the_results_is_described(saved_model: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name, content in defects(1):
        (tmp_path / "parts" / name).write_bytes(bytes(content))
    score = ["score", str(saved_model), str(tmp_path / "parts"), "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(app, score).exit_code == 0
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    (row,) = document["images"]
    assert row["regions"], "the defect was not found"
    assert section_of_formats("Results") >= {*document, *row, *row["regions"][0]}


def section_of_formats(title: str) -> set[str]:
    return code(text("docs/reference/file-formats.md").partition(f"## {title}\n")[2].partition("\n## ")[0])


def test_every_key_of_an_exported_scorer_is_described(saved_model: Path) -> None:
    model = Padim.load(saved_model)
    model.set_guard(Guard.of(Repeatability(0.05, 9, 10, 1)))
    keys = set(metadata(model, "a name")) | {"warning", "data_file", "data_sha256", "sha256"}
    assert section_of_formats("ONNX scorer") >= keys


def test_every_bare_array_is_described(saved_model: Path, tmp_path: Path) -> None:
    model = Padim.load(saved_model)
    roi = np.ones((64, 64), bool)
    roi[:8] = False
    model.set_roi(roi)
    with np.load(export_npz(model, tmp_path / "a.npz")) as arrays:
        assert section_of_formats("Bare arrays (npz)") >= set(arrays)


def test_every_part_of_a_saved_model_is_described(saved_model: Path, tmp_path: Path) -> None:
    model = Padim.load(saved_model)
    model.set_roi(np.arange(64 * 64).reshape(64, 64) > 64)
    manifest = Bundle(model.save(tmp_path / "model")).manifest
    described = section_of_formats("Saved model")
    # What the method fitted has names of its own.
    fitted = model.state.fitted.detector.files()
    own = {"created", "method", "seal", "files", "threshold", "n_features_asked"}
    assert described >= set(manifest) - own
    assert described >= {name.partition(".")[0] for name in manifest["files"] if name not in fitted}
    assert (
        str(manifest["version"])
        in text("docs/reference/file-formats.md").partition("`padim-bundle`, `version` ")[2][:3]
    )


@pytest.mark.parametrize(
    "name", ["docs/guides/shell.md", "docs/guides/which-method.md", "docs/reference/settings.md"]
)
def test_examples_of_settings_files_are_read(name: str) -> None:
    """Every block of YAML is a configuration or a study's plan."""
    from padim.config import PadimConfig
    from padim.study.plan import StudyPlan

    blocks = re.findall(r"^```yaml\n(.*?)^```", text(name), re.M | re.S)
    assert blocks
    for block in blocks:
        keys = yaml.safe_load(block)
        if set(keys) <= set(StudyPlan.model_fields):
            StudyPlan.of(keys)
        else:
            PadimConfig.from_yaml(block)


def test_hooks_before_a_commit_run_the_linters_of_make() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0][
        "hooks"
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()[1:]]
    assert [hook["entry"] for hook in hooks] == commands


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "docs/guides/first-model.md", "docs/guides/server.md"]
)
def test_targets_of_make_that_documents_name_exist(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", text(name), re.M)) <= targets
