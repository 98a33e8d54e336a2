"""``benchmarks/bombs.py`` measures what it says, and ``--check`` can fail."""

from __future__ import annotations

import json

import pytest

from benchmarks import bombs


@pytest.mark.slow
def test_a_few_of_the_files_within_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    """For real, each in a process of its own, and some of them at once; the limits of time are not CI's."""
    arguments = ["--quick", "--only", "files,crowd", "--check", "--json", "--target", "longest_seconds=600"]
    assert bombs.main(arguments) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["missed"] == []
    assert document["values"]["files.peak_mb"] > 50
    assert "run-length" in document["details"]["run length 4.bmp"]["outcome"]
    assert "scans" in document["details"]["5000 scans.jpg"]["outcome"]
    assert document["details"]["uniform 34 bytes.webp"]["outcome"] == "5000 x 5000"


def test_what_was_left_out_or_missed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("one_by_one", "crowd"):
        monkeypatch.setattr(bombs, part, lambda *given: None)
    assert bombs.main(["--quick", "--only", "files,crowd", "--check", "--json"]) == 1
    missed = json.loads(capsys.readouterr().out.splitlines()[-1])["missed"]
    assert missed == ["files.longest_seconds", "files.peak_mb", "crowd.peak_mb"]
    with pytest.raises(SystemExit):
        bombs.main(["--only", "file"])
