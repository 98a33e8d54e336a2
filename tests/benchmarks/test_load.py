"""The benchmarks of many sessions and of a long time, in their short forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import load, soak
from padim import PadimConfig

SHORT = ["--sessions", "3", "--seconds", "3", "--uploads", "8", "--side", "256"]
AT_ONCE = ["--settle", "0", "--grace", "1", "--rest", "0", "--json"]


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


@pytest.mark.slow
def test_sessions_under_load_see_their_own_images_and_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    # How long it takes depends on the machine: the check of time can only fail here.
    assert load.main([*SHORT, *AT_ONCE, "--check", "--target", "switch_p95_seconds=0"]) == 1
    found = last_line(capsys)
    assert "load.switch_p95_seconds" in found["missed"]
    values = found["values"]
    assert values["load.names_of_others"] == values["load.faults"] == values["load.tracebacks"] == 0, found
    assert values["load.switches"] >= 1
    assert values["load.polls"] > 0
    assert values["load.uploads_listed_seconds"] > 0


def test_names_of_another_sessions_images_are_noticed() -> None:
    session = load.Session(3)
    session.here = ("inspect", "run")
    session.heard(b'{"name": "mark-03-001.jpg"}')
    assert not session.others
    session.heard(b'{"name": "mark-07-001.jpg"}')
    assert session.others == {"07 on inspect/run"}
    session.here = ("records", "records")  # which shows everybody's
    session.heard(b"mark-08-001.jpg")
    assert len(session.others) == 1


def test_the_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert load.percentile(values, 0.95) == 95
    assert load.percentile(values, 1.0) == 100
    assert load.percentile([7.0], 0.95) == 7


def test_a_short_soak_keeps_no_file_and_records_every_image(
    capsys: pytest.CaptureFixture[str], small_config: PadimConfig
) -> None:
    soak.main(["--real", "100", "--recorded", "1000", "--json"], small_config)
    values = last_line(capsys)["values"]
    assert values["real.not_recorded"] == values["recorded.not_recorded"] == 0
    assert values["real.handles_growth"] <= 2
    assert values["recorded.handles_growth"] <= 2
    assert 100 < values["recorded.bytes_each"] < 5000
