"""The budget that threads share: never exceeded, first come first served, left when nobody waits any more."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim.data import decode_limits
from padim.data.decode_budget import Budget, memory_budget
from padim.errors import Cancelled, PadimError


@given(amounts=st.lists(st.integers(0, 10), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_it_is_never_exceeded_and_everyone_is_served(amounts: list[int]) -> None:
    budget = Budget(10)
    seen: list[int] = []

    def work(amount: int) -> None:
        with budget.holding(amount):
            seen.append(budget.held)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, amounts))
    assert len(seen) == len(amounts)
    assert max(seen) <= 10
    assert (budget.held, budget.waiting) == (0, 0)


def test_a_large_request_is_not_overtaken() -> None:
    budget = Budget(10)
    order: list[str] = []

    def want(name: str, amount: int) -> threading.Thread:
        before = budget.waiting

        def work() -> None:
            with budget.holding(amount):
                order.append(name)

        thread = threading.Thread(target=work)
        thread.start()
        while budget.waiting == before:
            pass
        return thread

    with budget.holding(5):
        threads = [want("large", 10), want("small", 1)]
        assert order == []
    for thread in threads:
        thread.join()
    assert order == ["large", "small"]


def test_who_does_not_want_it_any_more_leaves_the_queue() -> None:
    budget = Budget(10)
    stop = threading.Event()

    def work() -> str:
        try:
            with budget.holding(10, stop.is_set):
                return "had it"
        except Cancelled:
            return "left"

    with budget.holding(1), ThreadPoolExecutor(1) as pool:
        found = pool.submit(work)
        while not budget.waiting:
            pass
        stop.set()
        assert found.result() == "left"
        assert (budget.held, budget.waiting) == (1, 0)
        with budget.holding(9):  # the way is free
            pass


def test_errors_give_everything_back() -> None:
    budget = Budget(10)
    with pytest.raises(ZeroDivisionError), budget.holding(7):
        raise ZeroDivisionError
    assert budget.held == 0
    for amount in (11, -1):
        with pytest.raises(ValueError, match="amount must be 0 to 10"), budget.holding(amount):
            pass
    with budget.holding(10):
        pass


def test_there_is_one_for_the_process() -> None:
    assert memory_budget(123_456) is memory_budget(123_456)


# --- the settings ---


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("PADIM_MAX_MEGAPIXELS", "61.5", "pixels", 61_500_000),
        ("PADIM_DECODE_MEMORY", "3000", "memory", 3_000_000_000),
        ("PADIM_DECODE_SECONDS", "0.5", "seconds", 0.5),
    ],
)
def test_settings(monkeypatch: pytest.MonkeyPatch, name: str, text: str, attribute: str, value: Any) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(decode_limits.current(), attribute) == value
    for wrong in ("many", "0", "-5", "nan", "inf", "1e99"):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(PadimError, match=f"{name} must be a positive number of .*, got '{wrong}'"):
            decode_limits.current()
    monkeypatch.setenv(name, " ")
    decode_limits.current()


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (decode_limits.MEGAPIXELS, decode_limits.MEMORY, decode_limits.SECONDS):
        monkeypatch.delenv(name, raising=False)
    limits = decode_limits.current()
    assert limits.pixels == 25_000_000
    assert decode_limits.LEAST_MEMORY <= limits.memory <= decode_limits.MOST_MEMORY
    assert limits.seconds == 20


@pytest.mark.parametrize(
    ("free", "memory"), [(None, 800), (1_000, 800), (4_000, 1_000), (64_000, 2_000)], ids=str
)
def test_memory_follows_what_is_free(monkeypatch: pytest.MonkeyPatch, free: int | None, memory: int) -> None:
    monkeypatch.setattr(decode_limits, "available_memory", lambda: free and free * decode_limits.MB)
    decode_limits.default_memory.cache_clear()
    try:
        assert decode_limits.default_memory() == memory * decode_limits.MB
    finally:
        decode_limits.default_memory.cache_clear()


def test_free_memory_is_that_of_this_machine() -> None:
    import psutil

    free = decode_limits.available_memory()
    assert free is not None
    assert 0 < free < psutil.virtual_memory().total
