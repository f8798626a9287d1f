"""Runs the work of a command: event loop, Ctrl-C, errors as one line, exit codes."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from qcall.config import Home
from qcall.errors import QcallError
from qcall.wire.program import INTERRUPTED, system_fault

if TYPE_CHECKING:
    import asyncio

    from qcall.records.store import Records

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0
"""Seconds for the second Ctrl-C to take effect, before nothing is waited for any more."""


def with_records(home: Home, work: Callable[[Records], int | None]) -> None:
    """Do ``work`` with the records of the phone in ``home``; it may ask the user and return an exit code."""

    def with_them() -> int:
        from qcall.records.store import FORGOTTEN, Records

        home.account()
        records = Records(home.records)
        try:
            if records.fresh:
                typer.echo(f"qcall: {FORGOTTEN}", err=True)
            return work(records) or 0
        finally:
            records.close()

    report(with_them)


def run(prepare: Callable[[], Callable[[asyncio.Event], Awaitable[int]]]) -> None:
    """Run what ``prepare`` returns; the event that it gets is set by Ctrl-C, and by the terminal's end.

    The second Ctrl-C ends it all at once. Of a terminal's end both the shell and the system may tell, so
    that a second SIGHUP is not impatience; one that is ignored (nohup) stays so.
    """
    import asyncio

    async def interruptible(work: Callable[[asyncio.Event], Awaitable[int]]) -> int:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(tell_fault)
        task = asyncio.ensure_future(work(stop))

        def interrupt(number: signal.Signals) -> None:
            if stop.is_set() and number is not signal.SIGHUP:
                # What is cut short now has nothing to say that a user could use.
                loop.set_exception_handler(lambda *_: None)
                loop.call_later(PATIENCE, os._exit, INTERRUPTED)
                task.cancel()
            stop.set()

        heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        for number in heeded:
            loop.add_signal_handler(number, interrupt, number)
        try:
            return await task
        finally:
            # From here to the end of the program nothing is worth a traceback, and nothing may hold it up.
            for number in heeded:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN if number is signal.SIGHUP else signal.SIG_DFL)
            if stop.is_set():
                end_soon()

    def prepared() -> int:
        work = prepare()
        return loop_runner(lambda: interruptible(work))

    report(prepared)


def tell_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of a fault that nobody waits for, unless it is none.

    A connection that is given up during its TLS handshake is one of those to uvloop: what is still to be
    written finds its transport closed.
    """
    if not (isinstance(context.get("exception"), RuntimeError) and "SSL protocol" in context["message"]):
        loop.default_exception_handler(context)


def end_soon() -> None:
    """End the program in a moment, whatever a thread of a library still waits for."""
    import threading

    watchdog = threading.Timer(PATIENCE, os._exit, (INTERRUPTED,))
    watchdog.daemon = True
    watchdog.start()


def run_briefly(prepare: Callable[[], Callable[[], Awaitable[int]]]) -> None:
    """Run what ``prepare`` returns, which the first Ctrl-C ends."""

    def prepared() -> Callable[[asyncio.Event], Awaitable[int]]:
        work = prepare()

        from qcall.session.stopping import first

        async def until_interrupted(stop: asyncio.Event) -> int:
            code: int | None = await first(work(), stop)
            return INTERRUPTED if code is None else code

        return until_interrupted

    run(prepared)


def report(work: Callable[[], int]) -> NoReturn:
    """Leave with the exit code of ``work``; an error is one line on standard error."""
    from asyncio import CancelledError

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = work()
    except QcallError as error:
        typer.echo(f"qcall: {error}", err=True)
        code = error.exit_code
    except OSError as error:
        code = system_fault(error, "qcall")
    except (CancelledError, KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    raise typer.Exit(code)


def loop_runner(work: Callable[[], Any]) -> int:
    """``asyncio.run`` on uvloop where it is available."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(work()))
    return int(uvloop.run(work()))
