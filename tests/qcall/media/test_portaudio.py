"""PortAudio is used by one thread at a time and says nothing, with or without sound devices."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("pyaudio", reason="PyAudio is not installed")

from qcall.errors import DeviceError
from qcall.media import portaudio
from qcall.media.portaudio import cards, on_its_thread, settle
from qcall.media.soundcard import Microphone


def test_several_threads_may_ask_at_once() -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(cards) for _ in range(12)]
    assert all(answer.result() == answers[0].result() for answer in answers)


def test_nothing_is_printed_and_nothing_that_others_print_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    listed = threading.Event()
    printed: list[str] = []

    def draw() -> None:
        for number in itertools.count():
            printed.append(f"{number}\n")
            os.write(2, printed[-1].encode())
            if listed.wait(0.001):
                return

    drawing = threading.Thread(target=draw)
    drawing.start()
    cards()
    listed.set()
    drawing.join()
    assert len(printed) > 5
    assert capfd.readouterr() == ("", "".join(printed))


async def test_a_sound_system_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "ANSWER_LIMIT", 0.05)
    stuck = threading.Event()
    on_its_thread(stuck.wait)
    try:
        with pytest.raises(DeviceError, match="does not answer"):
            cards()
        with pytest.raises(DeviceError, match="does not answer"):
            await Microphone.open()
    finally:
        stuck.set()
        settle()
