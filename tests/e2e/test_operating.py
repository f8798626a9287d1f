"""What an operator sees and does: health, metrics, and a relay that ends without ending a call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from relay.config import RelayHome
from relay.turn.admission import LEAST_DESCRIPTORS
from relay.turn.attributes import LIFETIME
from relay.turn.credentials import SharedSecret
from relay.turn.message import Method
from scripts.benchmarks.turnload import Client, Login
from scripts.demonstration.stage import BIN, Stage

SECRET = "a secret of some length"


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


@contextlib.asynccontextmanager
async def allocation(address: str, username: str, password: str) -> AsyncIterator[Client]:
    """A client with an allocation at a running relay."""
    host, port = address.split(":")
    client = Client((host, int(port)), Login(username, password))
    with contextlib.closing(client.socket):
        await asyncio.to_thread(client.allocate)
        yield client


async def test_a_relay_tells_how_it_is(theatre: Stage) -> None:
    await theatre.serve()
    url = theatre.ready["metrics"]
    assert await get(f"{url}/healthz") == (200, "ok\n")
    assert await get(f"{url}/readyz") == (200, "ready\n")
    status, text = await get(f"{url}/metrics")
    assert status == 200
    assert "relay_turn_packets_total" in text
    assert "relay_key_pool_bits" in text


async def test_sigterm_drains_and_the_live_allocation_goes_on(theatre: Stage) -> None:
    relay = await theatre.serve()
    secret = SharedSecret(RelayHome(theatre.relay_home).secret("turn").hex().encode())
    login = secret.mint("alice", "beijing", time.time(), 600.0)
    url = theatre.ready["metrics"]
    async with allocation(theatre.ready["turn"], *login) as client:
        relay.process.terminate()
        async with asyncio.timeout(10):
            while (await get(f"{url}/readyz"))[0] == 200:
                pass
        assert await get(f"{url}/readyz") == (503, "draining\n")
        assert (await get(f"{url}/healthz"))[0] == 200
        with pytest.raises(RuntimeError, match="508"):
            async with allocation(theatre.ready["turn"], *login):
                pass
        assert relay.process.returncode is None
        assert (await relay.event("draining")) == {"event": "draining", "allocations": 1, "calls": 1}
        await asyncio.to_thread(client.request, Method.REFRESH, LIFETIME(0))
    assert await relay.ended() == 0
    assert [event["event"] for event in relay.events] == ["ready", "draining", "drained"]


async def test_a_full_relay_says_so_to_a_caller_and_lets_the_call_go_on_that_it_has(phones: Stage) -> None:
    [relay] = phones.programs
    sound = ("--input", "tone", "--output", "null")
    bob = await phones.listen("bob", "--auto-answer", *sound)
    talking = await phones.call("alice", "bob", *sound)
    await talking.event("media")
    process, usual = relay.process.pid, resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE)
    newest = max(int(name) for name in os.listdir(f"/proc/{process}/fd"))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (newest + LEAST_DESCRIPTORS, usual[1]))
    url = f"{phones.ready['metrics']}/metrics"
    async with asyncio.timeout(10):
        while "relay_full 1.0" not in (await get(url))[1]:
            pass
    await phones.enrol("carol", "hefei")
    refused = await phones.call("carol", "bob", *sound)
    assert await refused.ended() == 1
    assert "the relay takes no more calls now; try again later" in refused.stderr
    resource.prlimit(process, resource.RLIMIT_NOFILE, usual)
    talking.interrupt()
    assert await talking.ended() == 0, talking.account()
    bob.interrupt()
    await bob.ended()


async def turn_alone(theatre: Stage, *options: str):
    (theatre.directory / "secret").write_text(SECRET)
    relay = await theatre.start(
        "relay turn",
        BIN / "relay", "--home", theatre.relay_home, "turn", "--listen", "127.0.0.1:0", "--realm", "relay",
        "--secret", theatre.directory / "secret", "--path", "beijing-hefei", "--json", *options,
    )  # fmt: skip
    return relay, (await relay.event("ready"))["turn"]


async def test_a_turn_server_alone_tells_how_it_is(theatre: Stage) -> None:
    relay, _ = await turn_alone(theatre, "--metrics", "127.0.0.1:0")
    url = (await relay.event("ready"))["metrics"]
    assert await get(f"{url}/readyz") == (200, "ready\n")
    status, text = await get(f"{url}/metrics")
    assert status == 200
    assert "relay_turn_packets_total" in text


async def until_refused(address: str, username: str, password: str) -> None:
    """Allocate again and again; the signal takes a moment to arrive."""
    while True:
        async with allocation(address, username, password):
            pass


async def test_a_second_sigterm_stops_at_once(theatre: Stage) -> None:
    relay, address = await turn_alone(theatre, "--alternate", "127.0.0.1:9")
    login = SharedSecret(SECRET.encode()).mint("alice", "beijing", time.time(), 600.0)
    async with allocation(address, *login):
        relay.process.terminate()
        with pytest.raises(RuntimeError, match="300"):
            await until_refused(address, *login)
        assert relay.process.returncode is None
        relay.process.terminate()
        assert await relay.ended() == 0
    assert (await relay.event("ended"))["turn"]["errors"]["300"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "who may log in"),
        (("--user", "a:b", "--secret", "x"), "who may log in"),
        (("--secret", "missing"), "No such file"),
        (("--user", "a:b", "--path", "beijing-hefei"), "--secret"),
    ],
)
async def test_what_makes_no_sense_is_said_in_a_line(theatre: Stage, options, said) -> None:
    command = (BIN / "relay", "turn", "--listen", "127.0.0.1:0", *options)
    program = await theatre.run("relay turn", *command, code=2)
    assert said in program.stderr
    assert program.stderr.count("\n") == 1
