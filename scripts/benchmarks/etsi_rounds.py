"""The ETSI part of ``scripts/bench keys``: alternating rounds against key nodes and the bare handler.

The servers have one core, the SAEs another. After each round the slaves fetch every key, so that what was
counted is also right.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from .etsi_load import LoadError, Sae, connect, enc_keys, enrol, fetch, keys_of, name_of

GROWTH = (1, 4, 16)
"""Numbers of SAEs beside the full one."""
GROWTH_SECONDS = 0.4
"""No SAE may have more than 1,024 keys waiting, however quickly it is served."""


@dataclass
class EtsiRounds:
    """What was measured: rates in requests a second, times in milliseconds."""

    OURS: ClassVar[str] = "enc_keys, one key node"
    ACROSS: ClassVar[str] = "enc_keys, both key nodes and their link on the core"
    BARE: ClassVar[str] = "a bare aiohttp + SQLite handler"
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    growth: dict[int, dict[str, float]] = field(default_factory=dict)
    fetched: int = 0
    lost: int = 0


class Server:
    """One of the two servers, as a process that can be killed."""

    def __init__(self, kind: str, directory: Path, core: int) -> None:
        self._command = ("-m", "scripts.benchmarks.etsi_programs", kind, str(directory), str(core))
        self._process: asyncio.subprocess.Process | None = None
        self.ports: dict[str, int] = {}

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._command, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.ports = json.loads(await self._process.stdout.readline())["ports"]

    async def kill(self) -> None:
        """kill -9."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await process.communicate()


async def measure(rounds: int, seconds: float, count: int) -> EtsiRounds:
    """All rounds, on two cores where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    found = EtsiRounds()
    try:
        async with AsyncExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            enrol(directory, count, {"master": "near", "slave": "near", "guest": "far"})
            kme, bare = Server("kme", directory, cores[0]), Server("bare", directory, cores[0])
            for server in (kme, bare):
                stack.push_async_callback(server.kill)
                await server.start()
            await alternate(found, kme, bare, directory, rounds, seconds, count)
            await kill(found, kme, directory, count)
    finally:
        os.sched_setaffinity(0, cores)
    return found


async def alternate(
    found: EtsiRounds, kme: Server, bare: Server, directory: Path, rounds: int, seconds: float, count: int
) -> None:
    """Ours, across a link, and the bare handler, in turn."""
    masters = await connect(directory, "master", count, kme.ports["near"], "near")
    slaves = await connect(directory, "slave", count, kme.ports["near"], "near")
    guests = await connect(directory, "guest", count, kme.ports["far"], "far")
    barely = await connect(directory, "master", count, bare.ports["near"], "near")
    for number in range(rounds + 1):  # the first one warms up
        turns: list[tuple[str, Sequence[Sae], str, Sequence[Sae]]] = [
            (found.OURS, masters, "slave", slaves),
            (found.BARE, barely, "slave", ()),
            (found.ACROSS, masters, "guest", guests),
        ]
        for name, asking, role, fetching in turns:
            result = await enc_keys(asking, role, seconds)
            if number:
                found.rounds.setdefault(name, []).append(result)
            await check(asking, fetching)
    for saes in GROWTH:
        found.growth[saes] = await enc_keys(masters[:saes], "slave", GROWTH_SECONDS)
        await check(masters[:saes], slaves[:saes])
    for sae in (*masters, *slaves, *guests, *barely):
        sae.close()


async def check(masters: Sequence[Sae], slaves: Sequence[Sae]) -> None:
    """Every slave gets every key of its master, the same bytes, once."""
    for index, (master, slave) in enumerate(zip(masters, slaves, strict=False)):
        given = keys_of(master.bodies)
        if await fetch(slave, name_of(index, "master"), list(given)) != given:
            raise LoadError("a slave was given other keys than its master")


async def kill(found: EtsiRounds, kme: Server, directory: Path, count: int) -> None:
    """kill -9 of both key nodes amid requests: what one acknowledged is at the other after the restart."""
    masters = await connect(directory, "master", count, kme.ports["near"], "near")
    asking = asyncio.ensure_future(enc_keys(masters, "guest", 60.0))
    await asyncio.sleep(1.0)
    await kme.kill()
    (ended,) = await asyncio.gather(asking, return_exceptions=True)
    if not isinstance(ended, LoadError):
        raise LoadError("the kill did not come amid requests")
    await kme.start()
    slaves = await connect(directory, "guest", count, kme.ports["far"], "far")
    for index, (master, slave) in enumerate(zip(masters, slaves, strict=True)):
        given = keys_of(master.bodies)
        got: dict[str, str] = {}
        try:
            got = await fetch(slave, name_of(index, "master"), list(given))
        except LoadError:
            got = keys_of(slave.bodies[:-1])
        found.fetched += len(got)
        found.lost += sum(got.get(key_id) != key for key_id, key in given.items())
    for sae in slaves:
        sae.close()
