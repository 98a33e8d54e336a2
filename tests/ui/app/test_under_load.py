"""What keeps pages quick under load changes nothing that Streamlit says or sends."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest
from streamlit import config

from ui.app import under_load


@pytest.fixture
def former() -> Iterator[None]:
    """Put back what is replaced in this process."""
    names = ("get_option", "get_options_for_section", "set_option")
    before, turn = {name: getattr(config, name) for name in names}, sys.getswitchinterval()
    yield
    for name, function in before.items():
        setattr(config, name, function)
    sys.setswitchinterval(turn)


def test_settings_are_those_that_streamlit_reads(former: None) -> None:
    keys = [f"{option.section}.{option.name}" for option in config.get_config_options().values()]
    sections = {option.section for option in config.get_config_options().values()}
    expected = {key: config.get_option(key) for key in keys}
    by_section = {section: config.get_options_for_section(section) for section in sections}
    under_load.read_settings_without_waiting()
    assert {key: config.get_option(key) for key in keys} == expected
    for _ in range(2):  # the second time from what was kept
        assert {section: config.get_options_for_section(section) for section in sections} == by_section
    with pytest.raises(RuntimeError, match=r"no\.such"):
        config.get_option("no.such")


def test_a_changed_setting_is_seen_at_once(former: None) -> None:
    under_load.read_settings_without_waiting()
    before = config.get_options_for_section("server")["address"]
    try:
        config.set_option("server.address", "192.0.2.7")
        assert config.get_option("server.address") == "192.0.2.7"
        assert config.get_options_for_section("server")["address"] == "192.0.2.7"
    finally:
        config.set_option("server.address", before)


def test_what_a_caller_does_to_a_section_stays_with_the_caller(former: None) -> None:
    under_load.read_settings_without_waiting()
    config.get_options_for_section("theme")["font"] = "another"
    assert config.get_options_for_section("theme")["font"] != "another"


def test_the_loop_takes_every_message_of_every_thread_in_order() -> None:
    threads, each = 6, 400
    written = 0

    async def collect() -> list[tuple[int, int]]:
        nonlocal written
        loop = asyncio.get_running_loop()
        wake = loop._write_to_self  # type: ignore[attr-defined]

        def counted() -> None:
            nonlocal written
            written += 1
            wake()

        loop._write_to_self = counted  # type: ignore[attr-defined]
        under_load.wake_once(loop)
        under_load.wake_once(loop)  # a second time changes nothing
        found: list[tuple[int, int]] = []
        complete = asyncio.Event()

        def take(sender: int, number: int) -> None:
            found.append((sender, number))
            if len(found) == threads * each:
                complete.set()

        def send(sender: int) -> None:
            for number in range(each):
                loop.call_soon_threadsafe(take, sender, number)

        senders = [threading.Thread(target=send, args=(sender,)) for sender in range(threads)]
        for one in senders:
            one.start()
        await asyncio.wait_for(complete.wait(), 60)
        # A loop that has gone to sleep is still woken.
        for number in range(3):
            woken = asyncio.Event()
            threading.Timer(0.01 * number, loop.call_soon_threadsafe, (woken.set,)).start()
            await asyncio.wait_for(woken.wait(), 60)
        return found

    found = asyncio.run(collect())
    for sender in range(threads):
        assert [number for who, number in found if who == sender] == list(range(each))
    assert written < threads * each / 2


def test_a_loop_without_a_byte_to_wake_it_is_left_alone() -> None:
    class Other(asyncio.AbstractEventLoop):
        pass

    loop = Other()  # type: ignore[abstract]
    under_load.wake_once(loop)
    assert vars(loop) == {}
