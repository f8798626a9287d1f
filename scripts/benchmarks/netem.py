"""Linux netem on a veth pair between two network namespaces of this benchmark's own.

Where the kernel has no netem, a kernel that has is started as an ordinary program: Debian's User-mode Linux,
which shares this machine's files and needs nothing of its network. A packet carries when it was sent, and the
kernel says when it came; what sockets and kernel take is measured with a delay that does not vary.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent.parent
UML = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
NEEDED = ("kernel/drivers/net/veth.ko", "kernel/net/sched/sch_netem.ko")
FINIT_MODULE = 313
"""The number of finit_module(2) on x86-64."""
MEMORY = "512M"
NAMES = ("qcall-path-a", "qcall-path-b")
ADDRESSES = ("10.199.0.1", "10.199.0.2")
PORT = 7000
PAYLOAD = 200
ON_LINE = PAYLOAD + 8 + 20 + 14
"""Bytes that netem counts: with UDP, IP and Ethernet headers."""
RECEIVE_BUFFER = 64 << 20
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
PATIENCE = 600.0


@dataclass(frozen=True)
class Sending:
    """What is asked of netem, and when packets are sent. ``gaps``: seconds before each packet."""

    netem: Sequence[str]
    gaps: Sequence[float]


@dataclass(frozen=True)
class Crossing:
    """What became of packets. ``entered`` and ``left``: seconds by packet, NaN for what was lost."""

    entered: NDArray[np.float64]
    left: NDArray[np.float64]
    order: NDArray[np.intp]
    """The packets that came, in the order in which they did."""


class NoNetem(Exception):
    """This machine has none; the text says why."""


def measure(
    sendings: Mapping[str, Sending], tables: Mapping[str, Sequence[int]]
) -> tuple[str, dict[str, Crossing]]:
    """Which kernel's netem did what to each; ``tables``: distributions by name, as tc(8) reads them.

    Raises :class:`NoNetem`.
    """
    try:
        return platform.release(), here(sendings, tables)
    except OSError as error:
        if shutil.which(UML) is None:
            raise NoNetem(f"{error}; with Debian's user-mode-linux there would be one") from None
        return f"User-mode Linux {guest_release()}", in_guest(sendings, tables)


def here(sendings: Mapping[str, Sending], tables: Mapping[str, Sequence[int]]) -> dict[str, Crossing]:
    """The same with this kernel; raises ``OSError`` where it has no netem."""
    with tempfile.TemporaryDirectory() as directory:
        for name, steps in tables.items():
            (Path(directory) / f"{name}.dist").write_text("\n".join(map(str, steps)) + "\n")
        return {name: cross(sending, directory) for name, sending in sendings.items()}


def cross(sending: Sending, tables: str) -> Crossing:
    """Send everything over one veth pair."""
    with namespaces(sending.netem, tables), tempfile.TemporaryDirectory() as directory:
        gaps = Path(directory) / "gaps"
        np.array(sending.gaps).tofile(gaps)
        inside, program = ("ip", "netns", "exec"), (sys.executable, "-m", __spec__.name)
        count = str(len(sending.gaps))
        with subprocess.Popen(
            [*inside, NAMES[1], *program, "hear", count], stdout=subprocess.PIPE, cwd=ROOT
        ) as ear:
            assert ear.stdout is not None
            ear.stdout.read(1)  # it listens
            said = subprocess.run(
                [*inside, NAMES[0], *program, "say", str(gaps)], check=True, stdout=subprocess.PIPE, cwd=ROOT
            )
            came, _ = ear.communicate()
    entered = np.frombuffer(said.stdout, np.float64)
    heard = np.frombuffer(came, np.float64).reshape(-1, 2)
    order = heard[:, 0].astype(np.intp)
    left = np.full(len(entered), np.nan)
    left[order] = heard[:, 1]
    return Crossing(entered, left, order)


def run_tool(*command: str, tables: str = "") -> None:
    """Run a system tool; its complaint is the error. ``tables``: where tc finds its distributions."""
    surroundings = {**os.environ, "TC_LIB_DIR": tables} if tables else None
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def namespaces(netem: Sequence[str], tables: str) -> Iterator[None]:
    """Two namespaces joined by a veth pair, with netem on the way from the first to the second."""
    first, second = NAMES
    try:
        for name in NAMES:
            run_tool("ip", "netns", "add", name)
        pair = ("type", "veth", "peer", "name", "qp1", "netns", second)
        run_tool("ip", "link", "add", "qp0", "netns", first, *pair)
        for name, link, address in zip(NAMES, ("qp0", "qp1"), ADDRESSES, strict=True):
            run_tool("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
            run_tool("ip", "-n", name, "link", "set", link, "up")
        run_tool("tc", "-n", first, "qdisc", "add", "dev", "qp0", "root", "netem", *netem, tables=tables)
        yield
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def say(gaps: str) -> None:
    """In the first namespace: send numbered packets by the clock; write down when each was sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.connect((ADDRESSES[1], PORT))
        times = np.cumsum(np.fromfile(gaps)).tolist()
        opened.send(b"hello")  # so that no packet that counts waits for ARP
        time.sleep(0.1)
        sent, started = [], time.monotonic()
        for number, at in enumerate(times):
            if (wait := started + at - time.monotonic()) > 0:
                time.sleep(wait)
            sent.append(time.time())
            opened.send(number.to_bytes(8, "little").ljust(PAYLOAD, b"\0"))
    sys.stdout.buffer.write(np.array(sent).tobytes())


def hear(count: str) -> None:
    """In the second: write down the number of every packet, and when the kernel took it in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((ADDRESSES[1], PORT))
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sys.stdout.buffer.write(b"!")
        sys.stdout.buffer.flush()
        opened.settimeout(5.0)
        with contextlib.suppress(TimeoutError):
            for _ in range(int(count) + 1):
                data, ancillary, *_ = opened.recvmsg(PAYLOAD, 64)
                if len(data) == PAYLOAD:
                    seconds, nanoseconds = np.frombuffer(ancillary[0][2], np.int64)
                    number = int.from_bytes(data[:8], "little")
                    sys.stdout.buffer.write(np.array([number, seconds + nanoseconds * 1e-9]).tobytes())


def guest_release() -> str:
    """Which kernel User-mode Linux is."""
    releases = sorted(path.name for path in MODULES.iterdir()) if MODULES.is_dir() else []
    return releases[-1] if releases else "without modules"


def in_guest(sendings: Mapping[str, Sending], tables: Mapping[str, Sequence[int]]) -> dict[str, Crossing]:
    """The same with a kernel of its own, over this machine's files."""
    with tempfile.TemporaryDirectory() as directory:
        asked = Path(directory) / "asked.json"
        asked.write_text(
            json.dumps(
                {
                    "sendings": {name: [list(s.netem), list(s.gaps)] for name, s in sendings.items()},
                    "tables": {name: list(steps) for name, steps in tables.items()},
                }
            )
        )
        first = Path(directory) / "init"
        first.write_text(
            "#!/bin/sh\n"
            "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
            "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /run\n"
            f"cd {ROOT} && {sys.executable} -m {__spec__.name} guest {directory} > {directory}/log 2>&1\n"
            "echo o > /proc/sysrq-trigger; sleep 5\n"
        )
        first.chmod(0o700)
        options = [f"mem={MEMORY}", "quiet", "rootfstype=hostfs", "rootflags=/", "rw", f"init={first}"]
        subprocess.run(
            [UML, *options, "con0=null,null", "con=null"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, cwd=directory,
        )  # fmt: skip
        log, answer = Path(directory) / "log", Path(directory) / "answer.npz"
        if not answer.exists():
            said = log.read_text().strip().splitlines() if log.exists() else []
            raise NoNetem(f"User-mode Linux {guest_release()}: {said[-1] if said else 'it did not start'}")
        with np.load(answer) as found:
            return {name: Crossing(*(found[f"{name}/{part}"] for part in PARTS)) for name in sendings}


PARTS = ("entered", "left", "order")


def guest(directory: str) -> None:
    """Inside: load what is needed, measure, and leave the answer in ``directory``."""
    for module in NEEDED:
        with open(MODULES / platform.release() / module, "rb") as file:
            if ctypes.CDLL(None, use_errno=True).syscall(FINIT_MODULE, file.fileno(), b"", 0):
                raise OSError(ctypes.get_errno(), f"cannot load {module}")
    asked = json.loads((Path(directory) / "asked.json").read_text())
    found = here({name: Sending(*each) for name, each in asked["sendings"].items()}, asked["tables"])
    arrays: dict[str, Any] = {
        f"{name}/{part}": getattr(crossing, part) for name, crossing in found.items() for part in PARTS
    }
    unfinished = Path(directory) / "unfinished.npz"
    np.savez(unfinished, **arrays)
    unfinished.rename(Path(directory) / "answer.npz")


if __name__ == "__main__":
    {"say": say, "hear": hear, "guest": guest}[sys.argv[1]](sys.argv[2])
