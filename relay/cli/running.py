"""Runs the work of a command: event loop, signals, errors as one line, exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import typer

from relay.errors import RelayError


def announce(as_json: bool) -> Callable[[dict[str, Any]], None]:
    """How ``ready`` is said."""

    def say(ready: dict[str, Any]) -> None:
        if as_json:
            print_json(ready)
            return
        for name in ("signalling", "turn"):
            if name in ready:
                typer.echo(f"{name:12}{ready[name]}")
        for site, url in ready.get("kme", {}).items():
            typer.echo(f"{'key node':12}{url}  ({site}, simulated)")
        if "path" in ready:
            path = ready["path"]
            length = f"{len(path['nodes'])} nodes, {path['km']:.0f} km, {path['delay_ms']:.1f} ms one way"
            typer.echo(f"{'path':12}{length}")
        typer.echo("ready; Ctrl-C ends the relay")

    return say


def print_json(line: dict[str, Any]) -> None:
    """One JSON line, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def run(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run ``work`` on uvloop where it is available; the event is set by Ctrl-C or SIGTERM."""

    async def interruptible() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.ensure_future(work(stop))

        def interrupt() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        try:
            await task
        finally:
            # What is left to do takes no time, and is not worth a traceback.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)

    code = 0
    try:
        try:
            import uvloop
        except ImportError:
            asyncio.run(interruptible())
        else:
            uvloop.run(interruptible())
    except RelayError as error:
        typer.echo(f"relay: {error}", err=True)
        code = error.exit_code
    except asyncio.CancelledError:
        code = 130
    raise typer.Exit(code)
