"""Runs the work of a command: event loop, Ctrl-C, errors as one line, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import typer

from qcall.config import Home
from qcall.errors import QcallError
from qcall.headless import first, json_lines, text_lines
from qcall.records.store import Records
from qcall.session.enrolment import open_identity
from qcall.session.phone import Phone
from qcall.session.sound import check as check_sound
from qcall.session.sound import opener

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130
"""Exit code of what the user broke off (128 + SIGINT, as shells count)."""
PATIENCE = 1.0
"""Seconds for the second Ctrl-C to take effect, before nothing is waited for any more."""


def with_records(home: Home, work: Callable[[Records], None]) -> None:
    """Do ``work`` with the records of the phone in ``home``; it may ask the user."""

    def with_them() -> int:
        home.account()
        records = Records(home.records)
        try:
            work(records)
        finally:
            records.close()
        return 0

    report(with_them)


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
            await first(phone.online(kme_url=kme), stop)
            return await work(phone, stop)

    run(with_it)


def passphrase() -> str | None:
    """The identity's passphrase, from the environment."""
    return os.environ.get("QCALL_PASSPHRASE") or None


def run(work: Callable[[asyncio.Event], Awaitable[int]]) -> None:
    """Run ``work``; the event that it gets is set by the first Ctrl-C, the second ends it all at once."""

    async def interruptible() -> int:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.ensure_future(work(stop))

        def interrupt() -> None:
            if stop.is_set():
                # What is cut short now has nothing to say that a user could use.
                loop.set_exception_handler(lambda *_: None)
                loop.call_later(PATIENCE, os._exit, INTERRUPTED)
                task.cancel()
            stop.set()

        for number in SIGNALS:
            loop.add_signal_handler(number, interrupt)
        try:
            return await task
        finally:
            # From here to the end of the program nothing is worth a traceback.
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)

    report(lambda: loop_runner(interruptible))


def run_briefly(work: Callable[[], Awaitable[int]]) -> None:
    """Run ``work``, which the first Ctrl-C ends."""

    async def until_interrupted(stop: asyncio.Event) -> int:
        code: int | None = await first(work(), stop)
        return INTERRUPTED if code is None else code

    run(until_interrupted)


def report(work: Callable[[], int]) -> NoReturn:
    """Leave with the exit code of ``work``; an error is one line on standard error."""
    try:
        code = work()
    except QcallError as error:
        typer.echo(f"qcall: {error}", err=True)
        code = error.exit_code
    except (asyncio.CancelledError, KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    raise typer.Exit(code)


def loop_runner(work: Callable[[], Any]) -> int:
    """``asyncio.run`` on uvloop where it is available."""
    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(work()))
    return int(uvloop.run(work()))
