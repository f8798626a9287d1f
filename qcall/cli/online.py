"""Brings the phone of a home online for a command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from qcall.config import Home, Settings
from qcall.crypto.identity import Identity
from qcall.heap import settle
from qcall.session.attendance import attended
from qcall.session.desk import Desk
from qcall.session.event import Event
from qcall.session.phone import Phone
from qcall.session.sound import Opener, Wishes, wishes_of
from qcall.session.sound import check as check_sound
from qcall.session.stopping import first
from qcall.session.wording import line_of

from .lines import json_lines, put
from .options import PhoneOptions
from .passphrases import at_terminal, unlock
from .running import run


def with_phone(
    home: Home,
    options: PhoneOptions,
    as_json: bool,
    check: Callable[[], None],
    work: Callable[[Phone, asyncio.Event], Awaitable[int]],
) -> None:
    """Bring the phone in ``home`` online, do ``work`` with it, and leave with its exit code.

    ``check`` raises ``QcallError`` for what ``work`` could not do, before anything is started.
    """
    forward = json_lines if as_json else text_lines

    def prepare() -> Callable[[asyncio.Event], Awaitable[int]]:
        # Before the loop runs, because it may ask the user.
        home.account()
        settings = home.settings(options.settings, os.environ)
        wishes = wishes_of(options.sound, settings)
        check_sound(wishes)
        check()
        identity = unlock(home)
        return lambda stop: with_it(stop, settings, wishes, identity)

    async def with_it(stop: asyncio.Event, settings: Settings, wishes: Wishes, identity: Identity) -> int:
        desk = Desk(home, policy=settings.qkd, forward=forward)
        tell = desk.tell
        async with (
            Phone(home, settings, identity, sound=Opener(wishes, tell), tell=tell) as phone,
            attended(desk, phone, home),
        ):
            await first(phone.online(kme_url=options.kme), stop)
            settle()
            return await work(phone, stop)

    run(prepare)


def text_lines(event: Event) -> None:
    """Print an event for people; what they need not know is left out."""
    if line := line_of(event):
        put(line + (how_to_hang_up(event.fields) if event.kind == "media" else ""))


def how_to_hang_up(call: Mapping[str, Any]) -> str:
    """Which key does it: a phone that listens goes on listening."""
    if call["outgoing"]:
        return " (Ctrl-C hangs up)"
    return " (h and Enter hang up)" if at_terminal() else ""
