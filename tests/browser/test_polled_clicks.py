"""A click is answered even if the page runs again by itself at that moment, as it does when a job ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg

from benchmarks import served
from tests.browser.conftest import Start, Visit


def test_a_click_that_meets_the_end_of_a_job_is_answered(start: Start, visit: Visit, home: Path) -> None:
    job = home.parent / "job"
    job.touch()
    page = Path(__file__).with_name("polled.py")
    server = start(
        command=(sys.executable, "-m", "streamlit", "run", str(page)),
        PADIM_TEST_JOB=str(job),
        PYTHONPATH=str(served.ROOT),
    )
    visitor = visit(server)
    polls: list[BackMsg] = []
    clicks: list[BackMsg] = []

    def note(frame: Any) -> None:
        if isinstance(frame, bytes):
            message = BackMsg.FromString(frame)
            (polls if message.rerun_script.is_auto_rerun else clicks).append(message)

    visitor.page.on("websocket", lambda socket: socket.on("framesent", note))
    visitor.open()
    visitor.button("Count here").wait_for()
    visitor.settle()
    visitor.button("Wait").click()
    # The page's script is busy: the next look at the job waits for it, and the click after that too.
    polls.clear()
    visitor.until(lambda: len(polls) > 1, "the page has asked for the job")
    clicks.clear()
    visitor.button("Count here").click()
    visitor.until(lambda: len(clicks) > 0, "the click has been sent")
    job.unlink()
    visitor.main.get_by_text("The job has ended.").wait_for()
    visitor.main.get_by_text("here: 1").wait_for()
