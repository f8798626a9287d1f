"""Runs the work of a command: event loop, signals, errors as one line, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any

import typer

from qcall.wire.program import INTERRUPTED, system_fault
from relay.errors import RelayError


def announce(as_json: bool) -> Callable[[dict[str, Any]], None]:
    """How ``ready`` is said, and later that the relay drains, and has drained.

    What the program is made of by then is left out of all later garbage collections: a full one would visit
    it for 15 ms, and every packet would wait.
    """

    def say(ready: dict[str, Any]) -> None:
        if ready["event"] == "ready":
            gc.freeze()
        if as_json:
            print_json(ready)
        elif ready["event"] == "ready":
            tell(ready)
        else:
            typer.echo(drain_line(ready))

    return say


def tell(ready: Mapping[str, Any]) -> None:
    """Every address, for people."""
    for name in ("signalling", "turn", "metrics"):
        if name in ready:
            typer.echo(f"{name:12}{ready[name]}")
    if "nodes" in ready:
        typer.echo(f"{'node':12}{ready['nodes']}  ({ready['node']}, for other nodes)")
    for site, url in ready.get("kme", {}).items():
        typer.echo(f"{'key node':12}{url}  ({site}, simulated)")
    if "path" in ready:
        path = ready["path"]
        length = f"{len(path['nodes'])} nodes, {path['km']:.0f} km, {path['delay_ms']:.1f} ms one way"
        typer.echo(f"{'path':12}{length}")
    typer.echo("ready; Ctrl-C ends the relay")


def drain_line(event: Mapping[str, Any]) -> str:
    """What still goes on in a relay that drains, or that nothing does."""
    if event["event"] == "drained":
        return "drained; the relay ends"
    if not event["allocations"]:
        return "draining: nothing is left"
    left = counted(event["allocations"], "allocation")
    if "calls" in event:
        left = f"{counted(event['calls'], 'call')} ({left})"
    return f"draining: takes nothing new and ends after the last; {left} left; Ctrl-C ends it at once"


def counted(number: int, what: str) -> str:
    """1 call, 2 calls."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def in_one_line(text: str) -> str:
    """What an error quotes, a file for one, must not reach into the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def print_json(line: dict[str, Any]) -> None:
    """One JSON line, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def attachment(stop: Stop) -> Iterator[None]:
    """Set ``stop`` when standard input is closed: whoever started this process is gone then."""
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 4096):
            stop.set()
            loop.remove_reader(descriptor)

    loop.add_reader(descriptor, readable)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)


class Stop(asyncio.Event):
    """Set when the program has to end now; ``draining`` is set when it has to end as soon as it is unused."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = asyncio.Event()

    async def drained(self) -> bool:
        """Wait for either; true when there is time to drain."""
        await _first(self.wait(), self.draining.wait())
        return not self.is_set()

    async def unless(self, finished: Coroutine[Any, Any, Any]) -> bool:
        """Wait for ``finished``, or until the program has to end now; whether it is finished."""
        await _first(self.wait(), finished)
        return not self.is_set()


async def _first(*waiting: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(each) for each in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def lift_descriptor_limit() -> None:
    """Let the process open as many sockets as it may: an allocation takes one, and 1,024 is usual."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(work: Callable[[Stop], Awaitable[None]], *, drains: bool = False, attached: bool = False) -> None:
    """Run ``work`` on uvloop where it is available; Ctrl-C and SIGTERM stop it.

    ``drains``: the first SIGTERM asks it to drain, and the second stops it. ``attached``: an error is told to
    the program that started this one, and not to people.
    """

    async def interruptible() -> None:
        loop, stop = asyncio.get_running_loop(), Stop()
        task = asyncio.ensure_future(work(stop))

        def interrupt() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        def terminate() -> None:
            if drains and not stop.draining.is_set():
                stop.draining.set()
            else:
                interrupt()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        loop.add_signal_handler(signal.SIGTERM, terminate)
        try:
            await task
        finally:
            # What is left to do takes no time, and is not worth a traceback.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)

    code = 0
    lift_descriptor_limit()
    try:
        try:
            import uvloop
        except ImportError:
            asyncio.run(interruptible())
        else:
            uvloop.run(interruptible())
    except RelayError as error:
        if attached:
            print_json(error.as_event())
        else:
            typer.echo(f"relay: {in_one_line(str(error))}", err=True)
        code = error.exit_code
    except OSError as error:
        code = system_fault(error, "relay")
    except asyncio.CancelledError:
        code = INTERRUPTED
    raise typer.Exit(code)
