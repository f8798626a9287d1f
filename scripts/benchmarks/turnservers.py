"""The servers of ``scripts/bench relay``: ours, Debian's coturn and the floor, each on one core."""

from __future__ import annotations

import contextlib
import json
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.turn.credentials import SharedSecret

from .turnload import Client, Login, allocate_all, source_host, udp

ALLOCATIONS = 10_000
SITES = ("beijing", "hefei")
BIN = Path(sys.executable).parent


@dataclass
class Server:
    """A running server. ``said``: its last words, once it has ended."""

    name: str
    pid: int
    address: tuple[str, int]
    login: Callable[[int], Login]
    said: dict[str, Any] = field(default_factory=dict)
    control: Path | None = None
    """The socket that tells how it is, where there is one."""

    def clients(self, count: int) -> list[Client]:
        """Clients with allocations, in turns at the two sites."""
        made = [Client(self.address, self.login(number), source_host(number)) for number in range(count)]
        allocate_all(made)
        return made


@contextlib.contextmanager
def running(name: str, core: int, command: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A program pinned to one core, ended at the end."""
    pinned = ["taskset", "--cpu-list", str(core), *map(str, command)]
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


@contextlib.contextmanager
def ours(core: int) -> Iterator[Server]:
    """``relay turn`` with the modelled path."""
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as directory:
        file, control = Path(directory) / "secret", Path(directory) / "control.sock"
        file.write_text(secret)
        command = [BIN / "relay", "--home", directory, "turn", "--listen", "127.0.0.1:0", "--json"]
        command += ["--secret", file, "--path", "beijing-hefei", "--jitter", "0"]
        command += ["--allow-peer", "127.0.0.0/8", "--control", control]
        with running("ours", core, command) as process:
            assert process.stdout is not None
            host, port = json.loads(process.stdout.readline())["turn"].split(":")
            shared = SharedSecret(secret.encode())

            def login(number: int) -> Login:
                return Login(*shared.mint(f"user{number}", SITES[number % 2], time.time(), 3600.0))

            server = Server("ours", process.pid, (host, int(port)), login, control=control)
            yield server
            process.send_signal(signal.SIGINT)
            server.said = json.loads(process.stdout.readline())["turn"]


@contextlib.contextmanager
def coturn(core: int) -> Iterator[Server]:
    """Debian's coturn as it comes, with one relay thread and loopback peers allowed."""
    with contextlib.closing(udp("127.0.0.1")) as found:
        port = found.getsockname()[1]
    options = ["--lt-cred-mech", "--user=alice:wonderland", "--realm=relay", "--allow-loopback-peers"]
    options += ["--no-cli", "--no-tls", "--no-dtls", "--relay-threads=1", "--log-file=/dev/null"]
    options += [
        "--no-stdout-log",
        "--pidfile=/dev/null",
        "--listening-ip=127.0.0.1",
        f"--listening-port={port}",
    ]
    with running("coturn", core, ["turnserver", "-n", *options]) as process:
        time.sleep(1.0)  # it says nothing when it is ready
        yield Server("coturn", process.pid, ("127.0.0.1", port), lambda _: Login("alice", "wonderland"))


@contextlib.contextmanager
def floor(core: int) -> Iterator[Server]:
    """The bare loop."""
    with running("floor", core, [sys.executable, "-m", f"{__package__}.floor"]) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Server("floor", process.pid, ("127.0.0.1", port), lambda _: Login("", ""))


SERVERS = {"ours": ours, "coturn": coturn, "floor": floor}


def lift_descriptor_limit() -> None:
    """Let this program and the servers open what they need: coturn takes two for an allocation."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):  # only root may raise the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, max(most, 4 * ALLOCATIONS)))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
