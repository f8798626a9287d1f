"""Every screen as a picture, at 80x24 and 120x40, with frozen clock and measurements.

``pytest tests/qcall/tui/test_pictures.py --snapshot-update`` draws them anew. The README shows one of them.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from qcall.config import Settings
from qcall.errors import LocalFault
from qcall.session.snapshot import Link, Phase, Quality, Route
from tests.qcall.tui.phones import (
    IDLE,
    IN_CALL,
    INCOMING,
    OTHER,
    PEOPLE,
    RINGING,
    TALKING,
    WAITING,
)

SIZES = [(80, 24), (120, 40)]
CHANGED = replace(IDLE, people=(replace(PEOPLE[0], offered=OTHER), *PEOPLE[1:]))
SETTING_UP = replace(TALKING, phase=Phase.DIALLING, talking_at=None, security={}, messages=())
DIALLING = replace(IDLE, calls=(replace(SETTING_UP, route=Route(), quality=Quality()),))
ENDED = replace(
    IDLE,
    calls=(replace(TALKING, phase=Phase.ENDED, ended_at=100.0, reason="declined",
                   failure="bob declined the call", messages=()),),
)  # fmt: skip
MISSED = replace(INCOMING, phase=Phase.ENDED, ended_at=100.0, reason="cancelled")
AWAY = replace(IDLE, link=Link.AWAY)
WARNED = replace(
    IN_CALL, calls=(replace(TALKING, network="quantum network: jinan–taian cut; keys go over 17 hops"),)
)
MUTED = replace(IN_CALL, calls=(replace(TALKING, muted=True, held_by_peer=True, digits="17#"),))
ABSENT = {"state": "absent", "reason": "qkd-depleted"}
PLAIN = replace(
    IN_CALL,
    calls=(replace(TALKING, security={**TALKING.security, "qkd": ABSENT,
                                      "line": "SECURED  classical ✓  ML-KEM ✓  QKD ✗ PQC only  epoch 7  NEW"},
                   route=replace(TALKING.route, nodes=(), hops=())),),
)  # fmt: skip
SCREENS = {
    "idle": (IDLE, []),
    "away": (AWAY, []),
    "dialling": (DIALLING, []),
    "call": (IN_CALL, []),
    "muted": (MUTED, []),
    "warned": (WARNED, []),
    "plain": (PLAIN, []),
    "waiting": (WAITING, ["escape"]),
    "ended": (ENDED, []),
    "incoming": (RINGING, []),
    "second-call": (WAITING, []),
    "verify": (IN_CALL, ["v"]),
    "different": (IN_CALL, ["v", "n"]),
    "changed": (CHANGED, []),
    "dial": (IDLE, ["d", "b"]),
    "text": (IN_CALL, ["t"]),
    "quit": (IN_CALL, ["q"]),
    "history": (IDLE, ["c"]),
    "contacts": (IDLE, ["f"]),
    "edit": (IDLE, ["f", "e"]),
    "trace": (IN_CALL, ["l"]),
    "log": (IN_CALL, ["l", "tab"]),
    "settings": (IDLE, ["s"]),
    "choice": (IDLE, ["s", "enter"]),
    "help": (IDLE, ["f1"]),
    "help-ringing": (RINGING, ["f1"]),
    "command": (IN_CALL, ["colon", "d", "i"]),
    "palette": (IDLE, ["ctrl+p"]),
    "record": (IN_CALL, ["R"]),
    "refusing": (RINGING, ["t"]),
    "remove": (IDLE, ["f", "x"]),
    "import": (IDLE, ["f", "i"]),
    "export": (IDLE, ["c", "e"]),
    "search": (IDLE, ["f", "slash", "h"]),
    "complaint": (IDLE, ["v"]),
    "nobody": (replace(IDLE, people=()), []),
    "missed": (replace(IDLE, missed=2, calls=(MISSED,)), []),
}
HALVES = {
    "call": (IN_CALL, []),
    "idle": (IDLE, []),
    "incoming": (RINGING, []),
    "verify": (IN_CALL, ["v"]),
    "changed": (CHANGED, []),
    "history": (IDLE, ["c"]),
    "contacts": (IDLE, ["f"]),
    "trace": (IN_CALL, ["l"]),
    "settings": (IDLE, ["s"]),
    "help": (IDLE, ["f1"]),
}
"""What a phone looks like in half a terminal of 120 columns."""


def drawn(make, first, keys, **options):
    """An application, and what to do before the picture is taken."""
    app, link = make(IDLE, **options)

    async def prepare(pilot):
        await pilot.pause()
        link.show(first)
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
        for blinking in app.screen.query("Input"):
            blinking.cursor_blink = False
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()

    return app, prepare


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_screen(snap_compare, make, name, size):
    first, keys = SCREENS[name]
    app, prepare = drawn(make, first, keys)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("theme", ["qcall-day", "qcall-contrast", "qcall-plain"])
def test_theme(snap_compare, make, theme):
    app, prepare = drawn(make, IN_CALL, [], settings=Settings(theme=theme, reduced_motion=True))
    assert snap_compare(app, terminal_size=(120, 40), run_before=prepare)


@pytest.mark.parametrize("name", HALVES)
def test_half(snap_compare, make, name):
    first, keys = HALVES[name]
    app, prepare = drawn(make, first, keys)
    assert snap_compare(app, terminal_size=(59, 39), run_before=prepare)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_passphrase(snap_compare, make, size):
    """What a protected identity asks for before anything else."""
    app, link = make(IDLE)

    async def prepare(pilot):
        await pilot.pause()
        link.fail(LocalFault("the identity is protected; type its passphrase", code="passphrase"))
        await pilot.pause()
        app.screen.query_one("Input").cursor_blink = False
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("step", [0, 1, 2])
def test_welcome(snap_compare, make, step, size):
    async def enrol(name, relay, invite):
        return "beijing"

    keys = [*"alice", "enter", *"wss://relay:7480", "enter", *"code", "enter"]
    app, prepare = drawn(make, IDLE, keys[: (0, 6, len(keys))[step]], enrol=enrol)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


def test_readme_picture(snap_compare, make):
    """The picture at the top of the README."""
    app, prepare = drawn(make, IN_CALL, [])
    assert snap_compare(app, terminal_size=(120, 36), run_before=prepare)


def test_full_screen(snap_compare, make):
    app, prepare = drawn(make, IN_CALL, [])
    assert snap_compare(app, terminal_size=(190, 50), run_before=prepare)


def drawn_text(app):
    """All that is on the screen, without what only fills it."""
    return re.sub(r"\s+", " ", "\n".join(strip.text for strip in app.screen._compositor.render_strips()))


def test_without_colour_nothing_is_lost(make, monkeypatch):
    """The picture in colour and the one without have the same text."""

    async def text(app, link):
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            link.show(IN_CALL)
            shown, before = drawn_text(app), ""
            while shown != before:
                await pilot.pause()
                shown, before = drawn_text(app), shown
            return shown

    import asyncio

    coloured = asyncio.run(text(*make()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert asyncio.run(text(*make())) == coloured
