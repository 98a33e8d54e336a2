"""Log lines: text or JSON, with the request's id, without names and content."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from padim.errors import ImageError
from padim.service import logs

LOGGER = logging.getLogger("padim.tests.of_logs")


@pytest.fixture
def lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], str]]:
    """What was logged since the last call."""
    for name in [name for name in os.environ if name.startswith("PADIM_LOG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    levels = {name: logging.getLogger(name).level for name in logs._OWN}
    yield lambda: capsys.readouterr().err
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, logs._ToStderr)]:
        root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_of_json_has_the_request_and_no_names(
    lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_LOG_FORMAT", "json")
    logs.configure_logs()
    logs.configure_logs()  # no second line of each
    token = logs.REQUEST_ID.set("5f0c")
    try:
        extra = {"milliseconds": 1.5, "image": "a.png", "serial": "S1", "pixels": np.zeros(9), "data": b"PNG"}
        LOGGER.info("refused: %s: damaged\nafter 3 bytes", "part 7, left.PNG", extra=extra)
        try:
            raise ImageError("C:/secret/part 7.jpeg", "cannot be read")
        except ImageError:
            LOGGER.exception("the work failed")
    finally:
        logs.REQUEST_ID.reset(token)
    logged = lines()
    first, second = (json.loads(line) for line in logged.splitlines())
    assert first["message"] == "refused: <name>: damaged\nafter 3 bytes"
    assert (first["level"], first["request_id"], first["milliseconds"]) == ("info", "5f0c", 1.5)
    assert not {"image", "serial", "pixels", "data"} & set(first)
    assert second["error"].startswith("Traceback")
    assert "part 7" not in logged
    assert "secret" not in logged


def test_names_are_there_when_told(lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_LOG_NAMES", "1")
    logs.configure_logs()
    LOGGER.warning("%s: cannot be read", "part 7.png", extra={"request_id": "ab"})
    line = lines()
    assert line.endswith("Z WARNING padim.tests.of_logs: part 7.png: cannot be read [ab]\n")
    assert line.count("\n") == 1


def test_the_level_is_a_setting(lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_LOG_LEVEL", "error")
    logs.configure_logs()
    LOGGER.warning("not wanted")
    assert lines() == ""
    monkeypatch.setenv("PADIM_LOG_LEVEL", "debug")
    logs.configure_logs(quiet=True)
    LOGGER.info("not wanted either")
    logging.getLogger("another.library").info("of others only warnings")
    LOGGER.warning("wanted")
    assert lines().count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("part 7.png: cannot be read", "<name>: cannot be read"),
        ("the group failed: /data/line 1/part 7.tif", "the group failed: <name>"),
        ("“Ärger (2).bmp” is not an image", "“<name>” is not an image"),
        ("cannot read part 7.png because of a fault", "<name> because of a fault"),
        ("2 of 3 images in 4.5 s", "2 of 3 images in 4.5 s"),
        ('File "/usr/padim/decode.py", line 3', 'File "/usr/padim/decode.py", line 3'),
    ],
)
def test_names_are_found_in_sentences(text: str, expected: str) -> None:
    assert logs.without_names(text) == expected
