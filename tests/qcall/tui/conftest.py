"""Screens under test: no animation, no guard time, UTC."""

from __future__ import annotations

import contextlib
import time

import pytest

from qcall.config import Settings
from qcall.tui.app import QcallApp
from tests.qcall.tui.phones import IDLE, ToldLink


class QuietSound:
    """A sound card that is heard well."""

    def cards(self):
        return ["Headset", "Webcam"], ["Headset", "Speakers"]

    def run(self, microphone, speaker):
        return -20.0


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch):
    """The same clock, colours and bindings on every machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL_ANIMATIONS", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def make():
    """Make an application; its link is the second of what is returned."""

    def make(first=IDLE, **options):
        link = ToldLink(first)
        settings = options.pop("settings", Settings(reduced_motion=True))
        made = QcallApp(link, IDLE, settings=settings, guard=0, sound_test=QuietSound(), **options)
        return made, link

    return make


@pytest.fixture
def running(make):
    """A running application that shows a snapshot."""

    @contextlib.asynccontextmanager
    async def running(first=IDLE, size=(120, 40), **options):
        app, link = make(IDLE, **options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            link.show(first)
            await pilot.pause()
            yield app, link, pilot

    return running
