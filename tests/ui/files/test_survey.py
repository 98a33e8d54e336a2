"""The survey of images: unusable files are named, and a cancelled survey ends at once."""

from __future__ import annotations

import threading

import numpy as np

from padim.data.decode_pool import shared_pool
from padim.data.sources import UploadSource
from padim.data.survey import Survey
from tests import bombs, hostile
from ui.files.survey import survey
from ui.jobs.jobs import Job


def test_files_that_would_cost_too_much_are_named_and_the_others_seen() -> None:
    good = hostile.encode(np.full((30, 20, 3), 90, np.uint8))
    files = [
        ("a.png", good),
        ("b.bmp", bombs.bmp_run_length(40, 30)),
        ("c.jpg", bombs.jpeg_of_scans(60, 64, 64)),
        ("d.png", hostile.png_header_bomb(5000, 5000)),
        ("e.webp", bombs.webp_uniform(50, 40)),
    ]
    job: Job[Survey] = Job("look", "Looking", lambda job: survey(UploadSource(files), job))
    job.run()
    assert [(one.name, one.original_size) for one in job.result.seen] == [
        ("a.png", (30, 20)),
        ("e.webp", (40, 50)),
    ]
    assert [error.name for error in job.result.failed] == ["b.bmp", "c.jpg", "d.png"]


def test_a_cancelled_look_ends_the_decoding_it_waits_for() -> None:
    slow = bombs.jpeg_of_scans(49, 4000, 4000)
    job: Job[Survey] = Job("look", "Looking", lambda job: survey(UploadSource([("slow.jpg", slow)]), job))
    thread = threading.Thread(target=job.run)
    thread.start()
    while job.running and not shared_pool()._busy:
        pass
    job.cancel()
    thread.join()
    assert job.state == "cancelled"
    assert not shared_pool()._busy
