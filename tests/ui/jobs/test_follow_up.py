"""Calls that follow a job's own work: in order, all of them, never too many at once."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from ui.jobs.follow_up import FollowUp


def test_calls_are_made_in_order_and_the_block_waits_for_them() -> None:
    made: list[int] = []
    with FollowUp(3) as follow_up:
        for number in range(50):
            follow_up.do(partial(made.append, number))
    assert made == list(range(50))


def test_no_more_than_the_given_number_wait() -> None:
    go, handed = threading.Event(), []

    def hand_over() -> None:
        with FollowUp(2) as follow_up:
            for number in range(6):
                follow_up.do(go.wait)  # type: ignore[arg-type]
                handed.append(number)

    thread = threading.Thread(target=hand_over)
    thread.start()
    while len(handed) < 2:
        thread.join(0.01)
    thread.join(0.1)
    assert len(handed) == 2
    go.set()
    thread.join(60)
    assert len(handed) == 6


def test_what_was_handed_over_is_done_when_the_block_fails() -> None:
    made: list[int] = []

    def hand_over() -> None:
        with FollowUp(8) as follow_up:
            for number in range(5):
                follow_up.do(partial(made.append, number))
            raise KeyError

    with pytest.raises(KeyError):
        hand_over()
    assert made == list(range(5))


def test_a_call_that_fails_ends_the_block_and_those_after_it_are_not_made() -> None:
    made: list[int] = []

    def fail() -> None:
        raise ValueError("no")

    def hand_over() -> None:
        with FollowUp(4) as follow_up:
            for number in range(100):
                follow_up.do(fail if number == 3 else partial(made.append, number))

    with pytest.raises(ValueError, match="no"):
        hand_over()
    assert made == [0, 1, 2]
