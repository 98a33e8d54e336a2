"""The Dockerfile is read as Docker reads it, and says what the documents promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.container_root import SUITES
from scripts.dockerfile_steps import DockerfileError, Ignored, context_files, parse

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
STAGES = parse((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))


def test_steps_of_every_form() -> None:
    build, last = parse(
        "# a comment\nFROM a AS build\nRUN one \\\n # within\n && two\n\nENV A=1 B='two words'\n"
        'from build\ncopy --from=build /x /y\nCMD ["serve", "--port=1"]\nCMD ["app"]\n'
    )
    assert [(step.line, step.name, step.text) for step in build.steps[:1]] == [(3, "RUN", "one && two")]
    assert build.environment() == {"A": "1", "B": "two words"}
    assert (last.base, last.name) == ("build", "1")
    assert last.steps[0].flags == {"from": "build"}
    command = last.last("CMD")
    assert command is not None
    assert command.words == ["app"]
    assert last.last("USER") is None


@pytest.mark.parametrize(
    "text",
    ["", "RUN x", "FROM a\nADD x y", "FROM a\nRUN x \\", "FROM a b", "FROM --platform=x a", "FROM a\nENV A"],
)
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        [stage.environment() for stage in parse(text)]


def test_the_last_pattern_decides_what_is_left_out(tmp_path: Path) -> None:
    ignored = Ignored("# all\n*\n!kept\n!deep/one.txt\n**/*.pyc\n")
    names = ("kept/a.txt", "kept/b/c.txt", "kept/b/c.pyc", "other/a.txt", "deep/one.txt", "deep/two.txt", "x")
    for name in (*names, ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert sorted(path.as_posix() for path in context_files(tmp_path, ignored)) == [
        *("deep/one.txt", "kept/a.txt", "kept/b/c.txt")
    ]


def test_the_build_gets_what_the_package_is_made_of() -> None:
    """All that the build hook needs, and no test, document, secret or workspace."""
    ignored = Ignored((DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"))
    files = {path.as_posix() for path in context_files(ROOT, ignored)}
    hook = {"app.py", "home.py", ".streamlit/config.toml", "pages/inspect.py", "sample_data/make_sample.py"}
    assert {"pyproject.toml", "scripts/hatch_build.py", "padim/__init__.py", *hook} <= files
    assert "padim/network/exported/efficientnet_lite0.onnx" in files
    tops = {name.partition("/")[0] for name in files}
    assert tops.isdisjoint({"tests", "docs", "benchmarks", "workspace", ".git", ".venv", "site"})
    assert {name for name in files if name.startswith("deploy/")} == {"deploy/entrypoint.sh"}


def test_it_is_small_and_runs_as_nobody_in_particular() -> None:
    last = STAGES[-1]
    assert all(stage.base in SUITES for stage in STAGES)
    assert all(stage.base.endswith("-slim") for stage in STAGES)
    assert "torch" not in " ".join(step.text for stage in STAGES for step in stage.steps)
    assert not any("venv" in step.text or "pip" in step.text for step in last.steps if step.name == "RUN")
    words = {step.name: step.words for step in last.steps if step.name in ("USER", "VOLUME", "CMD")}
    assert words == {
        "USER": ["10001:10001"],
        "VOLUME": ["/data"],
        "CMD": ["serve", "--address", "0.0.0.0"],
    }
    health = last.last("HEALTHCHECK")
    assert health is not None
    assert "HEALTH_URL" in health.text
    assert {"interval", "timeout", "start-period", "retries"} == set(health.flags)
    environment = last.environment()
    assert environment["PADIM_HOME"].startswith("/data/")
    assert environment["PADIM_CACHE"].startswith("/data/")
