"""Disconnected sessions: when they end, and which callbacks are called."""

from __future__ import annotations

import pytest

from ui.app import sessions
from ui.app.sessions import Sessions


class World:
    """A simulated clock, with browsers that connect and disconnect."""

    def __init__(self) -> None:
        self.now, self.connected = 0.0, {"a", "b"}
        self.ended: list[str] = []
        self.closed: list[str] = []
        self.sessions = Sessions(
            lambda session: session in self.connected, self.closed.append, 90.0, lambda: self.now
        )
        self.sessions.at_end.append(self.ended.append)
        for session in self.connected:
            self.sessions.touch(session)

    def at(self, now: float) -> list[str]:
        self.now = now
        return self.sessions.end_expired()


def test_a_session_ends_once_its_browser_has_been_away_for_long() -> None:
    world = World()
    assert world.at(1000) == []  # connected, however long nothing has run
    world.connected.discard("a")
    assert world.at(1089) == []
    assert world.at(1090) == ["a"]
    assert (world.ended, world.closed, len(world.sessions)) == (["a"], ["a"], 1)
    assert world.at(2000) == []


def test_one_that_comes_back_in_time_goes_on() -> None:
    world = World()
    world.at(10)
    world.connected.discard("a")
    assert world.at(80) == []
    world.connected.add("a")
    assert world.at(101) == []
    world.connected.discard("a")
    assert world.at(190) == []
    assert world.at(191) == ["a"]


@pytest.mark.parametrize(("given", "seconds"), [("", 90.0), ("5", 5.0), ("0", 0.0), ("115", 115.0)])
def test_the_grace_is_a_setting(monkeypatch: pytest.MonkeyPatch, given: str, seconds: float) -> None:
    monkeypatch.setenv("PADIM_SESSION_GRACE", given)
    assert sessions.grace() == seconds


def test_timers_fire_less_often_while_many_sessions_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(sessions, "_SESSIONS", world.sessions)
    assert sessions.paced(0.5) == 0.5
    for number in range(18):
        world.connected.add(f"more {number}")
        world.sessions.touch(f"more {number}")
    assert sessions.paced(0.5) == 2.5
    world.connected.clear()
    world.at(1000)
    assert sessions.paced(0.5) == 0.5
