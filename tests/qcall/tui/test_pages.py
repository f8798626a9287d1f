"""Pages are imported beside the phone, so that no key waits for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qcall.tui.pages import PAGES, page

IMPORTED = """
import asyncio, sys
from dataclasses import replace
from qcall.session.snapshot import Link
from qcall.tui.app import QcallApp
from tests.qcall.tui.phones import IDLE, ToldLink

def pages():
    return sorted(name for name in {names!r} if f"qcall.tui.{{name}}" in sys.modules)

async def main():
    starting = replace(IDLE, link=Link.STARTING)
    link = ToldLink(starting)
    app = QcallApp(link, starting)
    async with app.run_test() as pilot:
        await pilot.pause()
        print("starting", pages())
        link.show(IDLE)
        await app.workers.wait_for_complete()
        print("begun", pages())

asyncio.run(main())
"""


def test_they_are_imported_when_the_phone_has_begun_and_not_sooner():
    program = IMPORTED.format(names=[*PAGES])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["starting []", f"begun {sorted(PAGES)}"]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_a_screen_that_can_be_made(name):
    assert page(name)() is not None
