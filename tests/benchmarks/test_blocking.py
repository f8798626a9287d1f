"""Time that threads wait for a processor is counted as long as anybody asks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from scripts.benchmarks.blocking import SCHEDULE, ProcessorWait


@pytest.mark.skipif(not SCHEDULE.exists(), reason="this system does not tell how long threads wait")
def test_a_thread_that_has_ended_keeps_what_it_had() -> None:
    waiting = ProcessorWait()
    thread = threading.Thread(target=waiting.follow)
    thread.start()
    task = Path(f"/proc/self/task/{thread.native_id}")
    thread.join()
    while task.exists():  # Python joins a moment before the system does
        os.sched_yield()
    before = waiting.seconds()
    assert waiting.seconds() == before
    waiting.close()
    assert waiting.seconds() == 0
