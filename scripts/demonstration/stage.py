"""Runs the product as its users do: programs with command lines, speaking JSON lines.

The demonstration, the benchmarks and the end-to-end tests all use this one stage.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Event = dict[str, Any]
PATIENCE = 20.0
"""Seconds to wait for anything that a healthy program does in less than one."""
LASTING_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to whoever asks for any (net.ipv4.ip_local_port_range)."""


ENDS_WITH_PARENT = (setpriv, "--pdeathsig", "INT", "--") if (setpriv := shutil.which("setpriv")) else ()
"""What lets Linux press Ctrl-C in a program whose parent is gone, even killed. setpriv becomes the program.

The parent is a thread to Linux: only one that lasts, like that of an event loop, may start programs.
"""


class Process(Protocol):
    """What is used of an ``asyncio.subprocess.Process``."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    @property
    def stderr(self) -> asyncio.StreamReader | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, signal: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


Begin = Callable[[Sequence[str], Mapping[str, str] | None, int], Awaitable[Process]]
"""Starts a command with an environment (``None``: that of this program) and a file descriptor to read."""


async def execute(command: Sequence[str], env: Mapping[str, str] | None, stdin: int) -> Process:
    """Start ``command``; it ends when this program does, whatever ends this program."""
    return await asyncio.create_subprocess_exec(
        *ENDS_WITH_PARENT,
        *command,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )


class StageError(Exception):
    """A program did not do what it should; the text holds what it said instead."""


class Program:
    """One running command; its standard output is one JSON object a line."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self.events: list[Event] = []
        self.text = ""
        """What was printed that is not JSON."""
        self.forced = False
        """Whether the program had to be killed."""
        self.stderr = ""
        self._news = asyncio.Condition()
        self._closed = False
        self._readers = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_errors())]

    @classmethod
    async def start(
        cls,
        name: str,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: int = asyncio.subprocess.DEVNULL,
        begin: Begin = execute,
    ) -> Program:
        """Start ``command``; ``name`` is how errors call it, ``stdin`` a file descriptor."""
        return cls(name, await begin([*map(str, command)], env, stdin))

    async def until(self, condition: Callable[[list[Event]], bool], *, limit: float = PATIENCE) -> None:
        """Wait until ``condition`` holds of all events so far."""
        async with self._news:
            try:
                async with asyncio.timeout(limit):
                    await self._news.wait_for(lambda: condition(self.events))
            except TimeoutError:
                raise StageError(f"{self.name}: not within {limit} s{self.account()}") from None

    async def event(self, kind: str, *, limit: float = PATIENCE) -> Event:
        """The first event called ``kind``, past or future."""
        async with self._news:
            try:
                async with asyncio.timeout(limit):
                    await self._news.wait_for(lambda: self._find(kind) is not None or self._closed)
            except TimeoutError:
                raise StageError(f"{self.name}: no '{kind}' within {limit} s{self.account()}") from None
        found = self._find(kind)
        if found is None:
            await self.process.wait()
            raise StageError(
                f"{self.name}: ended ({self.process.returncode}) before '{kind}'{self.account()}"
            )
        return found

    async def ended(self, *, limit: float = PATIENCE) -> int:
        """The exit code."""
        try:
            async with asyncio.timeout(limit):
                await self.process.wait()
                await asyncio.gather(*self._readers)
        except TimeoutError:
            raise StageError(f"{self.name}: still running after {limit} s{self.account()}") from None
        assert self.process.returncode is not None
        return self.process.returncode

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        if (
            self.process.returncode is None
        ):  # not by send_signal, which may bury the child before asyncio does
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGINT)

    async def stop(self) -> None:
        """End the program, with force if it does not go by itself."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # A relay takes SIGTERM as time to drain.
                relay = self.name.startswith("relay")
                self.process.send_signal(signal.SIGINT if relay else signal.SIGTERM)
            try:
                await self.ended(limit=5)
            except StageError:
                self.forced = True
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
        await self.ended()

    def account(self) -> str:
        """What the program said, for error texts."""
        said = "".join(f"\n  {json.dumps(event)}" for event in self.events[-8:])
        return said + (f"\n  stderr: {self.stderr.strip()[-2000:]}" if self.stderr.strip() else "")

    def _find(self, kind: str) -> Event | None:
        return next((event for event in self.events if event.get("event") == kind), None)

    async def _read_events(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._news:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.text += line.decode(errors="replace")
                self._news.notify_all()
        async with self._news:
            self._closed = True
            self._news.notify_all()

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.stderr += line.decode(errors="replace")


BIN = Path(sys.executable).parent


class Stage:
    """A relay and its phones in one directory; leaving the context ends every program."""

    def __init__(self, directory: Path, begin: Begin = execute) -> None:
        self.directory = directory
        self._begin = begin
        self.relay_home = directory / "relay"
        self.programs: list[Program] = []
        self.ready: Event = {}

    async def start(
        self,
        name: str,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: int = asyncio.subprocess.DEVNULL,
    ) -> Program:
        """Start a program that this stage will end."""
        program = await Program.start(name, *command, env=env, stdin=stdin, begin=self._begin)
        self.programs.append(program)
        return program

    async def run(self, name: str, *command: str | Path, code: int = 0) -> Program:
        """Run a program to its end, which must come with exit code ``code``."""
        program = await self.start(name, *command)
        if await program.ended() != code:
            raise StageError(f"{name}: exit code {program.process.returncode}, not {code}{program.account()}")
        return program

    async def serve(self, *options: str | Path) -> Program:
        """Start ``relay serve`` and wait until it is ready; its address stays, once it had one."""
        listen = self.ready.get("signalling", f"ws://127.0.0.1:{lasting_port()}").removeprefix("ws://")
        addresses = ("--listen", listen, "--turn", "127.0.0.1:0")
        command = (BIN / "relay", "--home", self.relay_home, "serve", *addresses, "--json", *options)
        relay = await self.start("relay serve", *command)
        # A metropolitan network's relay issues 159 certificates first.
        self.ready = await relay.event("ready", limit=3 * PATIENCE)
        return relay

    async def enrol(self, name: str, site: str, topology: str | Path = "beijing-hefei") -> None:
        """Invite ``name`` at ``site`` and set up its phone."""
        where = ("--site", site, "--topology", topology)
        command = (BIN / "relay", "--home", self.relay_home, "invite", name, *where, "--json")
        invite = await self.run("relay invite", *command)
        code = (await invite.event("invite"))["code"]
        where = ("--relay", self.ready["signalling"], "--invite", code)
        await self.run("qcall init", *self.phone(name, "init", name, *where, "--json"))

    def home(self, name: str) -> Path:
        """The home of the phone called ``name``."""
        return self.directory / name

    def phone(self, name: str, *arguments: str | Path) -> Sequence[str | Path]:
        """The command line of a phone."""
        return (BIN / "qcall", "--home", self.home(name), *arguments)

    def check(self) -> None:
        """Complain about a program that had to be killed, or that printed what no user should see."""
        for program in self.programs:
            if program.forced:
                raise StageError(f"{program.name}: did not end by itself{program.account()}")
            if any(accident in program.stderr for accident in ACCIDENTS):
                raise StageError(f"{program.name}: had an accident{program.account()}")

    async def listen(self, name: str, *options: str | Path) -> Program:
        """Start a phone that waits for a call, and wait until the relay knows it."""
        phone = await self.start(f"{name}: qcall listen", *self.phone(name, "listen", "--json", *options))
        await phone.event("registered")
        return phone

    async def call(self, name: str, contact: str, *options: str | Path) -> Program:
        """Let the phone ``name`` dial ``contact``."""
        command = self.phone(name, "call", contact, "--json", *options)
        return await self.start(f"{name}: qcall call", *command)


ACCIDENTS = ("Traceback", "was never retrieved", "was destroyed", "never awaited")
"""What no program may print, whatever is done to it."""


def lasting_port() -> int:
    """A free TCP port that no connection is given as its own while the relay is started again."""
    for port in random.sample(LASTING_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StageError("no free port from 20000 on; end what listens there")


@contextlib.asynccontextmanager
async def stage(directory: Path, begin: Begin = execute) -> AsyncIterator[Stage]:
    """A ``Stage`` that leaves nothing running."""
    made = Stage(directory, begin)
    try:
        yield made
    finally:
        await asyncio.gather(*(program.stop() for program in reversed(made.programs)))
    made.check()
