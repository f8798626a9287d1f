"""A call that rings is told to the desktop, by the program that is there for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qcall.tui.alerts import Alerts
from tests.qcall.tui.phones import IDLE, RINGING

STUB = """#!/bin/sh
printf '%s\\n' "$@" > "$NOTIFIED"
"""


@pytest.fixture
def notified(tmp_path, monkeypatch):
    """Where the only program on PATH, ``notify-send``, writes what it was told."""
    program = tmp_path / "notify-send"
    program.write_text(STUB)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NOTIFIED", str(tmp_path / "notified"))
    return tmp_path / "notified"


def test_a_call_that_rings_is_shown_on_the_desktop_once(notified):
    bells = []
    alerts = Alerts(bell=lambda: bells.append(1), desktop=lambda: True)
    alerts.after(IDLE, RINGING)
    alerts.after(RINGING, replace(RINGING, missed=1))
    assert alerts.shown.wait(10) == 0
    assert notified.read_text().splitlines()[-3:] == ["--", "Incoming call", RINGING.incoming.contact]
    assert bells == [1]


def test_a_desktop_that_is_not_wanted_or_not_there_is_left_alone(notified, monkeypatch):
    alerts = Alerts(bell=lambda: None, desktop=lambda: False)
    alerts.after(IDLE, RINGING)
    assert alerts.shown is None
    monkeypatch.setenv("PATH", "/nowhere")
    alerts = Alerts(bell=lambda: None, desktop=lambda: True)
    alerts.after(IDLE, RINGING)
    assert alerts.shown is None
