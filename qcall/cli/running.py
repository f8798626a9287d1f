"""Runs the work of a command: event loop, Ctrl-C, errors as one line, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import typer

from qcall.config import Home
from qcall.errors import QcallError
from qcall.headless import json_lines, text_lines
from qcall.records.store import Records
from qcall.session.enrolment import open_identity
from qcall.session.phone import Phone
from qcall.session.sound import check as check_sound
from qcall.session.sound import opener


def with_records(home: Home, work: Callable[[Records], None]) -> None:
    """Do ``work`` with the records of the phone in ``home``."""

    async def with_it(_: asyncio.Event) -> int:
        home.account()
        records = Records(home.records)
        try:
            work(records)
        finally:
            records.close()
        return 0

    run(with_it)


def with_phone(
    home: Home,
    flags: dict[str, Any],
    sound: tuple[str | None, str | None],
    kme: str | None,
    as_json: bool,
    work: Callable[[Phone, asyncio.Event], Awaitable[int]],
) -> None:
    """Bring the phone in ``home`` online, do ``work`` with it, and leave with its exit code."""
    tell = json_lines if as_json else text_lines

    async def with_it(stop: asyncio.Event) -> int:
        home.account()
        settings = home.settings(flags, os.environ)
        identity = open_identity(home, passphrase())
        check_sound(*sound)
        async with Phone(home, settings, identity, sound=opener(*sound, tell), tell=tell) as phone:
            await phone.online(kme_url=kme)
            return 0 if stop.is_set() else await work(phone, stop)

    run(with_it)


def passphrase() -> str | None:
    """The identity's passphrase, from the environment."""
    return os.environ.get("QCALL_PASSPHRASE") or None


def run(work: Callable[[asyncio.Event], Awaitable[int]]) -> None:
    """Run ``work``; the event it gets is set by the first Ctrl-C, the second one ends at once."""

    async def interruptible() -> int:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.ensure_future(work(stop))

        def interrupt() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        return await task

    try:
        code = loop_runner(interruptible)
    except QcallError as error:
        typer.echo(f"qcall: {error}", err=True)
        code = error.exit_code
    except asyncio.CancelledError:
        code = 130
    raise typer.Exit(code)


def loop_runner(work: Callable[[], Any]) -> int:
    """``asyncio.run`` on uvloop where it is available."""
    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(work()))
    return int(uvloop.run(work()))
