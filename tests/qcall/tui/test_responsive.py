"""The screen's thread never waits: no file, socket, program or sleep on its way from a key to the screen."""

from __future__ import annotations

import sys
import threading

import pytest

from qcall.tui.keys import DTMF, KEYS
from tests.qcall.tui.phones import IN_CALL, RINGING, WAITING

BLOCKING = (
    "open",
    "time.sleep",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "sqlite3.connect",
)
watched: dict[int, list[str]] = {}
"""What threads under watch have done. An audit hook cannot be taken away again (PEP 578), so there is one."""


def note(event: str, arguments: tuple[object, ...]) -> None:
    found = watched.get(threading.get_ident())
    if found is not None and event in BLOCKING:
        found.append(f"{event} {arguments[:1]}")


@pytest.fixture
def waits():
    """Everything this thread has waited for since."""
    if not getattr(sys, "_qcall_audited", False):
        sys.addaudithook(note)
        sys._qcall_audited = True
    found = watched[threading.get_ident()] = []
    yield found
    del watched[threading.get_ident()]


def test_the_watch_sees_what_waits(waits, tmp_path):
    (tmp_path / "file").write_text("x")
    assert waits


@pytest.mark.parametrize(
    "key", [*(key.key.split(",")[0] for key in KEYS if key.id != "quit"), *DTMF.values()]
)
async def test_no_key_waits_for_anything(running, waits, key):
    async with running(IN_CALL) as (_, _link, pilot):
        # Once to import what the key needs, once under watch.
        for _ in range(2):
            await pilot.press(key)
            await pilot.pause()
            await pilot.press("escape")
            await pilot.pause()
            waits[:], seen = [], list(waits)
        assert seen == []


async def test_no_snapshot_waits_for_anything(running, waits):
    async with running(IN_CALL) as (_, link, pilot):
        for snapshot in (RINGING, WAITING, IN_CALL) * 2:
            link.show(snapshot)
            await pilot.pause()
            waits[:], seen = [], list(waits)
        assert seen == []
