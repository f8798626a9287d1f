"""Media workers: one TURN server for each core, and both phones of a call at the same one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qcall.wire.signalling import share
from relay.config import RelayHome, host_port
from relay.control import ask
from relay.turn.attributes import LIFETIME
from relay.turn.credentials import SharedSecret
from relay.turn.message import Method
from scripts.benchmarks.turnload import Client, Login, between_clients
from scripts.demonstration.stage import BIN, Stage


@contextlib.asynccontextmanager
async def clients(stage: Stage, address: str) -> AsyncIterator[list[Client]]:
    """A client of each site with an allocation at the worker there."""
    secret = SharedSecret(RelayHome(stage.relay_home).secret("turn").hex().encode())
    with contextlib.ExitStack() as stack:
        made = []
        for name, site in (("alice", "beijing"), ("bob", "hefei")):
            login = Login(*secret.mint(name, site, time.time(), 600.0))
            made.append(Client(host_port(address, "--turn"), login))
            stack.callback(made[-1].socket.close)
            await asyncio.to_thread(made[-1].allocate)
        yield made


async def workers(stage: Stage) -> list[dict[str, object]]:
    """What ``relay status`` says of each."""
    status = await ask(RelayHome(stage.relay_home).control, "status")
    found: list[dict[str, object]] = status["workers"]
    return found


async def crossing(pair: list[Client]) -> int:
    """How many packets between two clients arrive."""
    load = await asyncio.to_thread(between_clients, pair)
    return (await asyncio.to_thread(load.paced, 0.5, 100.0)).received


async def until(stage: Stage, *states: str) -> None:
    """Wait until the workers are in these states."""
    async with asyncio.timeout(20):
        while [row["state"] for row in await workers(stage)] != list(states):
            await asyncio.sleep(0.05)  # a relay tells of its workers only when it is asked


async def test_a_call_goes_through_one_worker(homes: Stage) -> None:
    await homes.serve("--workers", "2")
    assert len(set(homes.ready["workers"])) == 2
    await homes.listen("bob", "--auto-answer", "--once", "--input", "tone", "--output", "null")
    alice = await homes.call("alice", "bob", "--input", "tone", "--output", "null", "--duration", "3")
    await alice.event("media")
    async with asyncio.timeout(10):
        while sorted(row["flows"] for row in await workers(homes)) != [0, 2]:
            pass
    assert await alice.ended() == 0, alice.account()


async def test_a_cut_fibre_meets_every_worker(homes: Stage) -> None:
    await homes.serve("--workers", "2")
    control = RelayHome(homes.relay_home).control
    for neighbour in ("langfang", "zhuozhou"):  # both ways out of the city
        await ask(control, "fault", action="cut", names=["beijing", neighbour])
    for address in homes.ready["workers"]:
        async with clients(homes, address) as pair:
            assert await crossing(pair) == 0
    await ask(control, "fault", action="restore")
    for address in homes.ready["workers"]:
        async with clients(homes, address) as pair:
            assert await crossing(pair) > 0


async def test_a_worker_that_ends_is_there_again(homes: Stage) -> None:
    await homes.serve("--workers", "2")
    first, second = homes.ready["workers"]
    async with clients(homes, second) as others:
        os.kill(process_at(first), signal.SIGKILL)
        await until(homes, "down", "up")
        await until(homes, "up", "up")
        assert [row["turn"] for row in await workers(homes)] == [first, second]
        async with clients(homes, first) as pair:
            assert await crossing(pair) > 0
        assert await crossing(others) > 0


async def test_who_is_turned_out_is_so_at_every_worker_also_once_it_was_started_again(homes: Stage) -> None:
    await homes.serve("--workers", "2")
    first, second = homes.ready["workers"]
    async with clients(homes, first) as (alice, bob):
        await ask(RelayHome(homes.relay_home).control, "expel", name="alice")
        with pytest.raises(RuntimeError, match="REFRESH"):
            await asyncio.to_thread(alice.request, Method.REFRESH)
        await asyncio.to_thread(bob.request, Method.REFRESH)
    os.kill(process_at(first), signal.SIGKILL)
    await until(homes, "down", "up")
    await until(homes, "up", "up")
    for address in (first, second):
        with pytest.raises(RuntimeError, match="ALLOCATE"):
            async with clients(homes, address):
                pass


async def test_a_worker_that_was_started_again_knows_what_is_cut(homes: Stage) -> None:
    await homes.serve("--workers", "2")
    control, (first, _) = RelayHome(homes.relay_home).control, homes.ready["workers"]
    for neighbour in ("langfang", "zhuozhou"):
        await ask(control, "fault", action="cut", names=["beijing", neighbour])
    os.kill(process_at(first), signal.SIGKILL)
    await until(homes, "down", "up")
    await until(homes, "up", "up")
    async with clients(homes, first) as pair:
        assert await crossing(pair) == 0
    await ask(control, "fault", action="restore")
    async with clients(homes, first) as pair:
        assert await crossing(pair) > 0


async def test_draining_waits_for_every_worker(homes: Stage) -> None:
    relay = await homes.serve("--workers", "2")
    processes = [process_at(address) for address in homes.ready["workers"]]
    async with clients(homes, homes.ready["workers"][1]) as pair:
        relay.process.terminate()
        async with asyncio.timeout(10):
            while running(processes[0]):
                await asyncio.sleep(0.01)
        assert relay.process.returncode is None
        for client in pair:
            await asyncio.to_thread(client.request, Method.REFRESH, LIFETIME(0))
    assert await relay.ended() == 0
    assert not running(processes[1])


async def test_workers_end_with_a_relay_that_is_killed(homes: Stage) -> None:
    relay = await homes.serve("--workers", "2")
    processes = [process_at(address) for address in homes.ready["workers"]]
    relay.process.kill()
    async with asyncio.timeout(10):
        while any(map(running, processes)):
            await asyncio.sleep(0.01)


async def test_a_wiretap_needs_one_process(homes: Stage, tmp_path: Path) -> None:
    command = (BIN / "relay", "--home", homes.relay_home, "serve", "--listen", "127.0.0.1:0")
    options = ("--turn", "127.0.0.1:0", "--workers", "2", "--record", tmp_path / "tap")
    program = await homes.run("relay serve", *command, *options, code=2)
    assert "leave --workers out" in program.stderr


def process_at(address: str) -> int:
    """The process that has a UDP socket there."""
    port = int(address.rpartition(":")[2])
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]
        if int(line.split()[1].partition(":")[2], 16) == port
    }
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            files = os.listdir(f"/proc/{process}/fd")
        except OSError:
            continue
        for each in files:
            with contextlib.suppress(OSError):  # one that was closed since says nothing about the others
                if os.readlink(f"/proc/{process}/fd/{each}").removeprefix("socket:").strip("[]") in inodes:
                    return int(process)
    raise AssertionError(f"nothing listens at {address}")


def running(process: int) -> bool:
    """Whether there is such a process, which nobody has buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_call_names_its_worker() -> None:
    places = [share(bytes([number]) * 32, 4) for number in range(256)]
    assert {places.count(place) for place in range(4)} == {64}
