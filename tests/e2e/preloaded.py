"""Programs from an interpreter that has read in their libraries: started in 5 ms of a core instead of 600.

The interpreter, ``python -m tests.e2e.preloaded FD``, forks for each program. What was forked takes the
command's arguments, environment and files, and then runs the console script as Python does: it is a process
of its own with signals and an exit code, only that ``import`` finds the libraries there. The commands
themselves, ``qcall.cli`` and ``relay.cli``, are read in by each program. What is no script is executed.
QCALL_TEST_PROFILE=nightly starts every program in full, as do the tests that are about starting.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts.demonstration.stage import BIN, Process

LIBRARIES = (
    "typer.core",
    "typer.main",
    "rich.table",
    "uvloop",
    "qcall.headless",
    "relay.serve",
    "relay.standalone",
)
SCRIPTS = {str(BIN / "qcall"), str(BIN / "relay")}
MESSAGE = 150_000
"""Bytes of an order, at most; an environment takes a few thousand."""
PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).parent.parent.parent


class Pipe(asyncio.StreamReaderProtocol):
    """The reading end of a pipe, which tells when it was closed after what came last."""

    def __init__(self) -> None:
        self.stream = asyncio.StreamReader()
        super().__init__(self.stream)
        self.closed = asyncio.Event()

    @classmethod
    async def open(cls, file: int) -> Pipe:
        """Read from ``file``."""
        made = cls()
        await asyncio.get_running_loop().connect_read_pipe(lambda: made, os.fdopen(file, "rb", 0))
        return made

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.closed.set()


class Forked:
    """A program that the interpreter forked; a ``Process``."""

    def __init__(self, pid: int, stdout: Pipe, stderr: Pipe, code: Pipe) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = stdout.stream
        self.stderr = stderr.stream
        self._over = asyncio.create_task(self._end(code, stdout, stderr))

    async def _end(self, code: Pipe, *others: Pipe) -> int:
        self.returncode = int(await code.stream.readline())
        for pipe in (code, *others):
            await pipe.closed.wait()
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._over)

    def send_signal(self, signal: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Interpreter:
    """The interpreter as the tests see it; a ``Begin``, by which a ``Stage`` starts programs."""

    def __init__(self, control: socket.socket, niceness: int = 0) -> None:
        self._control = control
        self._niceness = niceness

    def giving_way(self, niceness: int) -> Interpreter:
        """The same, for programs that are that much nicer to others."""
        return Interpreter(self._control, niceness)

    async def __call__(self, command: Sequence[str], env: Mapping[str, str] | None, stdin: int) -> Process:
        order = {
            "words": list(command),
            "niceness": self._niceness,
            "env": dict(os.environ if env is None else env),
            "cwd": os.getcwd(),
        }
        pipes = [os.pipe() for _ in range(3)]
        with open(os.devnull, "rb") as nothing:
            given = nothing.fileno() if stdin == asyncio.subprocess.DEVNULL else stdin
            ends = [given, *(writing for _, writing in pipes)]
            socket.send_fds(self._control, [json.dumps(order).encode()], ends)
            pid = int(self._control.recv(64))
        for _, writing in pipes:
            os.close(writing)
        return Forked(pid, *[await Pipe.open(reading) for reading, _ in pipes])


@contextlib.contextmanager
def interpreter() -> Iterator[Interpreter]:
    """How to start programs from one interpreter, which ends with this context or with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = (sys.executable, "-m", "tests.e2e.preloaded", str(theirs.fileno()))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with (
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            cwd=ROOT, env=environment,
        ) as process,
        ours,
    ):  # fmt: skip
        theirs.close()
        yield Interpreter(ours)
        ours.close()
        process.wait()


def obey(control: socket.socket) -> list[str] | None:
    """Fork for each order until nobody gives any more; in what was forked, the words to run."""
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    server = os.getpid()
    prctl = ctypes.CDLL(None).prctl
    while True:
        for ready, _ in poll.poll():
            if ready != control.fileno():
                poll.unregister(ready)
                pid, tell = running.pop(ready)
                _, status = os.waitpid(pid, 0)
                os.close(ready)
                with contextlib.suppress(BrokenPipeError):
                    os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
                os.close(tell)
                continue
            message, files, _, _ = socket.recv_fds(control, MESSAGE, 4)
            if not message:
                return None
            pid = os.fork()
            if pid:
                for file in files[:3]:
                    os.close(file)
                pidfd = os.pidfd_open(pid)
                running[pidfd] = pid, files[3]
                poll.register(pidfd, select.POLLIN)
                control.send(b"%d" % pid)
                continue
            prctl(PR_SET_PDEATHSIG, signal.SIGINT)
            if os.getppid() != server:
                return None
            control.close()
            for others, tell in running.items():
                os.close(others)
                os.close(tell[1])
            order = json.loads(message)
            for number, file in enumerate(files[:3]):
                os.dup2(file, number)
            for file in files:
                os.close(file)
            os.nice(order["niceness"])
            os.chdir(order["cwd"])
            os.environ.clear()
            os.environ.update(order["env"])
            words: list[str] = order["words"]
            return words


def run(words: Sequence[str]) -> None:
    """Become what the command line ``words`` asks for."""
    if words[0] == sys.executable and words[1].endswith(".py"):
        words = words[1:]
    elif words[0] not in SCRIPTS:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as Python does for what it executes
        os.execvp(words[0], words)
    sys.argv = list(words)
    runpy.run_path(words[0], run_name="__main__")


def main() -> None:
    """The interpreter, and each program that it became."""
    for library in LIBRARIES:
        with contextlib.suppress(ModuleNotFoundError):  # uvloop is not there everywhere
            importlib.import_module(library)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who give orders
    words = obey(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(words)


if __name__ == "__main__":
    main()
