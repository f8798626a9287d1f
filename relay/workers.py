"""Media workers: TURN servers in processes of their own, one for each core.

A worker is ``relay turn`` on a port of its own. Both phones of a call go to the same one, which its call ID
names, so that the call is relayed inside that process. A worker that ends is started again where it was; what
it carried is lost. It ends with its relay, however that ends: it notices when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qcall.wire.local import ANSWER_LIMIT
from qcall.wire.signalling import share
from relay.config import host_port, spelt
from relay.control import ask
from relay.errors import LocalFault, RelayError, failure
from relay.media import Media, Report, Rows, hops_used, paths_used, together
from relay.network.faults import FaultRequest
from relay.path.routes import Routes, Ways
from relay.turn.attributes import Address

LOOK_EVERY = 0.5
"""Seconds between looks at each worker."""
LOOK_LIMIT = 2.0
START_LIMIT = 30.0
END_LIMIT = 5.0
PAUSE = 1.0
"""Seconds before a worker that ended is started again."""

log = logging.getLogger(__name__)

Options = Callable[[int], Sequence[str]]
"""The options of the worker at that place, except where it listens and how it is spoken to."""


@dataclass
class _Worker:
    """One of them. ``report`` is None while it does not answer."""

    place: int
    control: Path
    address: Address
    tls_address: Address | None = None
    process: asyncio.subprocess.Process | None = None
    report: Report | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.returncode is None


class Workers(Media):
    """All workers of one relay; made by ``start``. ``routes``: what its signalling goes over."""

    def __init__(
        self, home: Path, workers: Sequence[_Worker], options: Options, secret: bytes, routes: Routes
    ) -> None:
        self._home = home
        self._workers = workers
        self._options = options
        self._secret = secret
        self._routes = routes
        self._draining = False
        self._expelled: dict[str, float] = {}
        """Users, and until when: a worker that is started again has to know."""
        self._dark: dict[frozenset[str], FaultRequest] = {}
        """The cuts that were not mended, by their link: the same."""
        self._keeping: list[asyncio.Task[None]] = []

    @classmethod
    async def start(
        cls,
        home: Path,
        count: int,
        *,
        listen: Address,
        options: Options,
        secret: bytes,
        routes: Routes,
    ) -> Workers:
        """Start ``count`` workers from ``listen`` on, a port each; 0: any free ports.

        ``secret``: a line of text that TURN credentials are minted under. Raises ``LocalFault``, and leaves
        nothing running then.
        """
        host, port = listen
        workers = [
            _Worker(place, home / f"worker{place}.sock", (host, port + place if port else 0))
            for place in range(count)
        ]
        made = cls(home, workers, options, secret, routes)
        try:
            await asyncio.gather(*(made._begin(worker) for worker in workers))
            await asyncio.gather(*(made._look(worker) for worker in workers))
        except BaseException:
            await made.close()
            raise
        made._keeping = [asyncio.create_task(made._keep(worker)) for worker in workers]
        return made

    @property
    def addresses(self) -> Sequence[Address]:
        return [worker.address for worker in self._workers]

    @property
    def tls_address(self) -> Address | None:
        return self._workers[0].tls_address

    @property
    def workers(self) -> Rows:
        return [
            {
                "turn": spelt(worker.address),
                "state": "up" if worker.report is not None else "down",
                "allocations": worker.report.counters.allocations if worker.report else 0,
                "flows": worker.report.flows if worker.report else 0,
                "busy": round(worker.report.busy, 3) if worker.report else 0.0,
                "full": worker.report.full if worker.report else True,
            }
            for worker in self._workers
        ]

    def report(self) -> Report:
        reports = [worker.report for worker in self._workers if worker.report is not None]
        return together(reports, paths_used(self._routes), hops_used(self._routes))

    def takes(self, call_id: bytes) -> bool:
        report = self._workers[share(call_id, len(self._workers))].report
        return report is not None and not report.full

    async def expel(self, user: str, until: float) -> None:
        self._expelled[user] = until
        await asyncio.gather(*(self._tell(worker, user, until) for worker in self._workers))

    def drain(self) -> None:
        self._draining = True
        self._signal(signal.SIGTERM)

    async def emptied(self) -> None:
        await asyncio.gather(*(worker.process.wait() for worker in self._workers if worker.process))

    async def close(self) -> None:
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self._signal(signal.SIGINT)
        for worker in self._workers:
            if worker.process is None:
                continue
            try:
                async with asyncio.timeout(END_LIMIT):
                    await worker.process.wait()
            except TimeoutError:
                worker.process.kill()
                await worker.process.wait()

    async def disturb(self, request: FaultRequest) -> Ways:
        """Do to the path of every worker what a fault does to the fibres."""
        link = frozenset(request.names)
        if request.action == "cut":
            self._dark[link] = request
        elif request.action == "restore" and not link:
            self._dark.clear()
        elif request.action == "restore":
            self._dark.pop(link, None)
        answers = await asyncio.gather(*(self._disturb(worker, request) for worker in self._workers))
        told = (Ways(each["detours"], tuple(map(tuple, each["cut_off"]))) for each in answers if each)
        return max(told, key=lambda ways: (len(ways.cut_off), ways.detours), default=Ways(0))

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(number)

    async def _begin(self, worker: _Worker) -> None:
        """Start a worker, on a core of its own as far as there are any."""
        where = ("--listen", spelt(worker.address), "--secret", "-", "--control", str(worker.control))
        command = ("--home", str(self._home), "turn", *where, *self._options(worker.place))
        worker.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay.cli", *command, "--attached", "--json",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert worker.process.stdin is not None
        assert worker.process.stdout is not None
        worker.process.stdin.write(self._secret + b"\n")
        try:
            async with asyncio.timeout(START_LIMIT):
                ready = json.loads(await worker.process.stdout.readline())
        except (TimeoutError, ValueError):
            at = spelt(worker.address)
            raise LocalFault(f"the media worker at {at} did not start; leave --workers out") from None
        if (failed := failure(ready)) is not None:
            raise failed
        worker.address = host_port(ready["turn"], "--turn")
        if "turns" in ready:
            worker.tls_address = host_port(ready["turns"], "--tls-port")
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            with contextlib.suppress(OSError):  # it has ended already, or may not be moved
                os.sched_setaffinity(worker.process.pid, {cores[worker.place % len(cores)]})

    async def _keep(self, worker: _Worker) -> None:
        """See how a worker is, and that it is."""
        while True:
            while worker.runs:
                await self._look(worker)
                await asyncio.sleep(LOOK_EVERY)
            worker.report = None
            if self._draining:
                return
            log.error("the media worker at %s has ended; starting it again", spelt(worker.address))
            await asyncio.sleep(PAUSE)
            with contextlib.suppress(LocalFault):
                await self._begin(worker)
                for user, until in self._expelled.items():
                    await self._tell(worker, user, until)
                for link, cut in list(self._dark.items()):
                    if link in self._dark:  # it may have been mended while the worker heard of others
                        await self._disturb(worker, cut)

    async def _look(self, worker: _Worker) -> None:
        answer = await self._ask(worker, LOOK_LIMIT, "status")
        worker.report = None if answer is None else Report.from_json(answer)

    async def _tell(self, worker: _Worker, user: str, until: float) -> None:
        await self._ask(worker, LOOK_LIMIT, "expel", user=user, until=until)

    async def _disturb(self, worker: _Worker, request: FaultRequest) -> dict[str, Any] | None:
        arguments = {"action": request.action, "names": list(request.names), "share": request.share}
        return await self._ask(worker, ANSWER_LIMIT, "fault", **arguments)

    async def _ask(
        self, worker: _Worker, limit: float, command: str, **arguments: Any
    ) -> dict[str, Any] | None:
        """What a worker answers; None where it does not, within ``limit`` seconds."""
        try:
            async with asyncio.timeout(limit):
                answer: dict[str, Any] = await ask(worker.control, command, **arguments)
        except (RelayError, TimeoutError):
            return None
        return answer
