"""What a shell offers for a network, a site, a node, or a phone; of a fault it is told nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from relay.config import RelayHome, default_home
from relay.errors import RelayError

PATIENCE = 0.5
"""Seconds to wait for the relay that runs: longer than that nobody waits for a word."""
USUAL = "beijing-hefei"


def home_of(context: typer.Context) -> RelayHome:
    """The home that the line names, else the usual one."""
    given = context.find_root().params.get("home")
    # A shell hands its words on as they stand, with their tildes.
    return RelayHome(Path(given).expanduser() if given else default_home(os.environ))


def presets(incomplete: str) -> list[str]:
    """The topologies that come with the program; files are the shell's to offer."""
    from relay.network.topology import presets

    return beginning(presets(), incomplete)


def sites(context: typer.Context, incomplete: str) -> list[str]:
    """The access sites of the relay that runs, else of the topology that the line names."""
    ready = told(context, "ready")
    found = ready["sites"] if ready else named(context).sites
    return beginning(found, incomplete)


def nodes(context: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the topology that the line names."""
    return beginning(named(context).nodes, incomplete)


def running_nodes(context: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the relay that runs; behind the first node of a link, its neighbours."""
    status = told(context, "status")
    links = status["links"] if status else ()
    ends = [(row["a"], row["b"]) for row in links]
    first = context.params.get("a") or next(iter(context.params.get("names") or ()), None)
    if first is None:
        return beginning({end for link in ends for end in link}, incomplete)
    return beginning({end for link in ends if first in link for end in link if end != first}, incomplete)


def phones(context: typer.Context, incomplete: str) -> list[str]:
    """Everybody who is enrolled."""
    accounts = home_of(context).accounts.absolute()
    try:
        # What does not exist is not made, and a relay that writes meanwhile is not waited for. Without one
        # there is no write-ahead log, which even a reader would make.
        log = accounts.with_name(f"{accounts.name}-wal")
        how = "mode=ro" if log.exists() else "mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(f"{accounts.as_uri()}?{how}", uri=True, timeout=0)) as db:
            return beginning([name for (name,) in db.execute("SELECT name FROM users")], incomplete)
    except sqlite3.Error:
        return []


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that may become what is being typed."""
    return sorted(name for name in names if name.startswith(incomplete))


def named(context: typer.Context) -> Any:
    """The topology that the line names, or the usual one."""
    from relay.network.topology import load

    # What stands before an option without its value is not sorted into parameters.
    unsorted = next(iter(context.args), None)
    given = context.params.get("topology") or unsorted or context.params.get("name") or USUAL
    try:
        return load(str(given))
    except RelayError:
        return load(USUAL)


def told(context: typer.Context, command: str) -> dict[str, Any] | None:
    """What the relay that runs says; ``None`` where none runs, or does not answer soon."""
    import asyncio

    from relay.control import ask

    async def soon() -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(PATIENCE):
                answer: dict[str, Any] = await ask(home_of(context).control, command)
                return answer
        except (RelayError, TimeoutError):
            return None

    return asyncio.run(soon())
