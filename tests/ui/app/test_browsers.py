"""What is kept for a browser: who shares it, who takes it over, and when it is forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ui.app import browsers, cookie
from ui.app.browsers import Browsers
from ui.app.cookie import BrowserCookie


@dataclass(eq=False)
class Kept:
    """A state that holds bytes and has something of one page."""

    size: int = 0
    released: bool = False
    pages: int = 0
    words: list[str] = field(default_factory=list)

    def held_bytes(self) -> int:
        return self.size

    def release(self) -> None:
        self.released = True

    def begin_page(self) -> None:
        self.pages += 1


class World:
    """A registry with a simulated clock, and sessions that connect and disconnect."""

    def __init__(self, away: int = 3, away_bytes: int = 100) -> None:
        self.now, self.connected = 0.0, set[str]()
        self.forgotten: list[str] = []
        self.registry = Browsers(
            self.connected.__contains__, 2.0, away=away, away_bytes=away_bytes, clock=lambda: self.now
        )
        self.registry.at_end.append(self.forgotten.append)

    def page(self, name: str, session: str) -> browsers.Browser:
        self.connected.add(session)
        return self.registry.get(name, session)

    def close(self, session: str) -> None:
        self.connected.discard(session)
        self.registry.leave(session)


def test_pages_of_one_browser_share_and_others_do_not() -> None:
    world = World()
    one = world.registry.shared(world.page("a", "1"), Kept)
    assert world.registry.shared(world.page("a", "2"), Kept) is one
    assert world.registry.shared(world.page("b", "3"), Kept) is not one


def test_a_page_takes_over_what_a_closed_one_left() -> None:
    world = World()
    browser = world.page("a", "1")
    first = world.registry.owned(browser, Kept, "1")
    world.page("a", "2")
    second = world.registry.owned(browser, Kept, "2")
    assert second is not first, "a page that is open at the same time has its own"
    assert world.registry.owned(browser, Kept, "1") is first
    # The page is loaded again: its former session has lost its connection, but has not ended yet.
    world.connected.discard("1")
    world.page("a", "3")
    assert world.registry.owned(browser, Kept, "3") is first
    assert (first.pages, second.pages) == (1, 0)
    world.page("a", "4")
    assert world.registry.owned(browser, Kept, "4") not in (first, second)


def test_what_nobody_takes_over_is_dropped() -> None:
    world = World()
    browser = world.page("a", "0")
    states = []
    for number in range(8):
        session = str(number)
        world.page("a", session)
        states.append(world.registry.owned(browser, Kept, session))
    for number in range(8):
        world.connected.discard(str(number))
    world.page("a", "next")
    world.registry.owned(browser, Kept, "next")
    assert [one.released for one in states] == [True] * 3 + [False] * 5


def test_a_browser_is_forgotten_after_its_time() -> None:
    world = World()
    owner = world.page("a", "1").owner
    kept = world.registry.shared(world.page("a", "1"), Kept)
    world.now = 1e6
    assert world.registry.forget_expired() == 0, "its page is open"
    world.close("1")
    world.now += 2 * 3600 - 1
    assert world.registry.forget_expired() == 0
    world.now += 1
    assert world.registry.forget_expired() == 1
    assert (world.forgotten, kept.released, len(world.registry)) == ([owner], True, 0)


def test_those_that_hold_too_much_or_are_too_many_go_first() -> None:
    world = World(away=3, away_bytes=100)
    held = {}
    for name, size in (("a", 30), ("b", 30), ("c", 10), ("d", 10), ("open", 500)):
        held[name] = world.registry.shared(world.page(name, name), Kept)
        held[name].size = size
    for name in ("a", "b", "c", "d"):
        world.now += 1
        world.close(name)
    assert world.registry.forget_expired() == 1, "one more than three"
    assert held["a"].released
    held["c"].size = 90
    assert world.registry.forget_expired() == 1, "d and c hold 100 bytes together, b is beyond"
    assert [held[name].released for name in ("b", "c", "d", "open")] == [True, False, False, False]


def test_the_hours_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, hours in (("", 12.0), ("3", 3.0), ("0", 0.0), ("720", 720.0)):
        monkeypatch.setenv("PADIM_KEEP_HOURS", given)
        assert browsers.keep_hours() == hours


def test_the_cookie_comes_back_as_it_was() -> None:
    issued = BrowserCookie.issued()
    header = cookie.to_header(issued, "/app", secure=True)
    assert header.endswith("; Path=/app; HttpOnly; SameSite=Lax; Secure")
    assert "Secure" not in cookie.to_header(issued, "/", secure=False)
    value = header.partition(";")[0]
    assert cookie.of_header(f"other=1; {value}; more=2") == issued
    assert BrowserCookie.issued(issued).name == issued.name
    assert BrowserCookie.issued().name != issued.name


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "abc",
        "0" * 43,
        f"{'0' * 8}.1.{'a' * 42}",
        f"{'0' * 8}.1.{'a' * 43}\n",
        "../" * 20,
        "a" * 9999,
    ],
)
def test_what_this_app_has_not_written_is_no_cookie(value: str) -> None:
    assert BrowserCookie.parsed(value) is None
    value = value.replace("\n", "%0A")
    assert cookie.of_header(f"{cookie.COOKIE}={value}") is None


def test_a_browser_of_a_former_server_is_known_once() -> None:
    former = BrowserCookie("n" * 43, "0" * 8, BrowserCookie.issued().minute - 30)
    renewed = cookie.renewed(former, 12.0)
    assert (renewed.name, renewed.start) == (former.name, cookie.START)
    assert cookie.came_back(former.name)
    assert not cookie.came_back(former.name)
    cookie.renewed(former, 0.25)
    assert not cookie.came_back(former.name), "it was away for so long that it expects nothing"
    cookie.renewed(renewed, 12.0)
    assert not cookie.came_back(former.name), "it is known here"
