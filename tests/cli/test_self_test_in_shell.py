"""``score`` and ``info``: what they say of the self-test of a saved model."""

from __future__ import annotations

from pathlib import Path

from tests.altered import expecting, hotter, one_level
from tests.cli.conftest import Done, Run, write
from tests.parts import normals


def scored(own_model: Path, run: Run, tmp_path: Path, *options: str) -> Done:
    write(tmp_path / "images", normals(1))
    return run("score", own_model, tmp_path / "images", "-o", tmp_path / "out", *options)


def test_the_shell_says_nothing_a_note_or_no(own_model: Path, run: Run, tmp_path: Path) -> None:
    assert "self-test" not in scored(own_model, run, tmp_path).err
    assert run("info", own_model, "--json").json["self_test"]["state"] == "equal"
    expecting(own_model, one_level)
    done = scored(own_model, run, tmp_path, "--force")
    assert done.code == 0
    assert "self-test of the model: 3 reference images score within one level" in " ".join(done.err.split())
    expecting(own_model, hotter)
    assert (
        "the self-test of the model failed, nothing is scored"
        in scored(own_model, run, tmp_path, "--force").err
    )
    found = run("info", own_model, "--json")
    assert found.code == 0
    assert found.json["self_test"]["state"] == "refused"
    assert "the self-test failed" in " ".join(found.err.split())
