"""Settings: from the environment and a file, with defaults; misspelled names and bad values are refused."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from padim import settings
from padim.errors import PadimError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace without a file of settings, and an environment without settings."""
    for name in list(os.environ):
        if name.startswith("PADIM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, text: str) -> Path:
    path = home / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    # A second write within one tick of the clock has another size or another time.
    os.utime(path, ns=(0, hash(text) % 10**15))
    return path


def test_the_environment_takes_precedence_over_the_file_and_the_file_over_defaults(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.current().threads == 0
    write(home, "threads: 3\nkeep_hours: 1\nlog_names: true\nfolders: [/a, ~/b]\nproviders: cpu\n")
    found = settings.current()
    assert (found.threads, found.keep_hours, found.log_names) == (3, 1.0, True)
    assert found.folders == (Path("/a"), Path("~/b").expanduser())
    assert found.providers == ("cpu",)
    monkeypatch.setenv("PADIM_THREADS", " 2 ")
    monkeypatch.setenv("PADIM_KEEP_HOURS", " ")
    monkeypatch.setenv("PADIM_FOLDERS", os.pathsep.join(["/c", "", "/d"]))
    monkeypatch.setenv("PADIM_LOG_NAMES", "0")
    found = settings.current()
    assert (found.threads, found.keep_hours, found.log_names) == (2, 1.0, False)
    assert found.folders == (Path("/c"), Path("/d"))
    assert found.max_megapixels == 25


def test_another_file_can_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "threads: 3")
    other = home / "other.yaml"
    monkeypatch.setenv("PADIM_SETTINGS", str(other))
    with pytest.raises(PadimError, match=r"other\.yaml: there is no such file.* PADIM_SETTINGS"):
        settings.current()
    other.write_text("", encoding="utf-8")
    assert settings.current().threads == 0


@pytest.mark.parametrize(
    "variable", ["PADIM_THREDS", "PADIM_MAX_MEGAPIXEL", "PADIM_LIBRARYLIMIT", "PADIM_DATABSE_URL"]
)
def test_a_misspelled_variable_is_refused_with_the_nearest(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "2")
    near = {"THREDS": "THREADS", "MAX_MEGAPIXEL": "MAX_MEGAPIXELS", "LIBRARYLIMIT": "LIBRARY_LIMIT"}
    right = near.get(variable.removeprefix("PADIM_"), "DATABASE_URL")
    with pytest.raises(PadimError, match=f"{variable} is not a setting; did you mean PADIM_{right}"):
        settings.current()


def test_a_variable_of_something_else_is_listed_and_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_MQTT_PASSWORD", "x")
    monkeypatch.setenv("PADIM_TEST_THING", "x")
    settings.current()
    assert settings.unknown_variables() == ["PADIM_MQTT_PASSWORD"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_megapixel: 3",
            r"settings\.yaml: max_megapixel is not a setting; did you mean max_megapixels",
        ),
        ("PADIM_THREADS: 3", "PADIM_THREADS is not a setting; did you mean threads"),
        ("home: /a", "home cannot be set in a file.* set PADIM_HOME"),
        ("- 3", "must be a list of 'name: value' lines"),
        ("threads: {", "not valid YAML"),
        ("threads: two", r"settings\.yaml: threads must be a whole number of threads.*, got 'two'"),
        ("keep_hours: 900", r"keep_hours must be a number of hours from 0 to 720, got '900'"),
        ("keep_hours: .nan", r"keep_hours must be .*, got 'nan'"),
        ("folders: 3", "folders must be folders, separated by"),
        ("threads: [1]\nlog_format: xml", "threads must be .*; .*log_format must be text or json, got 'xml'"),
    ],
)
def test_a_bad_file_is_refused(home: Path, text: str, message: str) -> None:
    write(home, text)
    with pytest.raises(PadimError, match=message):
        settings.current()


def test_a_bad_secret_is_not_repeated(home: Path) -> None:
    write(home, "database_url: [hush]")
    with pytest.raises(PadimError, match="database_url must be postgresql") as caught:
        settings.current()
    assert "hush" not in str(caught.value)
    write(home, "database_url: postgresql://a:hush@b/c")
    assert "hush" not in repr(settings.current())


def test_a_file_that_turns_bad_leaves_the_former_settings_in_force(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(home, "threads: 3")
    assert settings.current().threads == 3
    write(home, "threads: three")
    with caplog.at_level(logging.ERROR):
        assert settings.current().threads == 3
        assert settings.current().threads == 3
    assert len(caplog.records) == 1
    assert "threads must be a whole number" in settings.problem()
    write(home, "threads: 4")
    assert settings.current().threads == 4
    assert settings.problem() == ""
    (home / "settings.yaml").unlink()
    assert settings.current().threads == 0


def test_every_setting_says_what_it_is() -> None:
    for name, field in settings.Settings.model_fields.items():
        about = settings.about(name)
        assert field.description, name
        assert field.description.endswith("."), name
        assert about.must_be, name
        empty = field.default is None or field.default == ()
        assert not empty or about.unset, f"{name}: what holds where it is not set"
