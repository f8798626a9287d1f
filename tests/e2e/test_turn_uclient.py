"""coturn's test client, ``turnutils_uclient``, against our server in its modes, all at once.

Its output is the judge: every message that it sent through the relay came back to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import re
import shutil
import socket
import ssl
import tempfile
from dataclasses import dataclass
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.turn.counters import Counters
from relay.turn.credentials import StaticUsers
from relay.turn.udp import TurnServer

LIMIT = 60.0
MESSAGES = 10
TO_PEER = ("-e", "127.0.0.1")
MODES: dict[str, tuple[str, ...]] = {
    "channels to a peer": ("-c", *TO_PEER),
    "indications to a peer": ("-c", "-s", *TO_PEER),
    "RTP and RTCP ports to a peer": TO_PEER,
    "channels between clients": ("-c", "-y"),
    "indications between clients": ("-c", "-s", "-y"),
    "RTP and RTCP ports between clients": ("-y",),
    "IPv6 relayed": ("-x", "-y"),
    "IPv4 asked for": ("-X", "-y"),
    "don't fragment": ("-c", "-s", "-g", *TO_PEER),
    "padded channels": ("-c", "-D", *TO_PEER),
    "extra requests": ("-c", "-G", *TO_PEER),
    "mobility asked for": ("-c", "-M", "-y"),
    "both families": ("-Z", "-y"),
    "wrong requests beside right ones": ("-N", "-c", "-y"),
    "TCP to a peer": ("-t", "-c", *TO_PEER),
    "TCP between clients": ("-t", "-y"),
    "TCP indications between clients": ("-t", "-s", "-y"),
    "TLS to a peer": ("-t", "-S", "-c", *TO_PEER),
    "TLS between clients": ("-t", "-S", "-y"),
}
AFTER_GARBLING = "a right client after wrong ones"

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("turnutils_uclient") and shutil.which("turnutils_peer")),
        reason="turnutils_uclient is not installed; on Debian: apt-get install coturn",
    ),
]


@dataclass
class Run:
    """What the client printed, and what the server counted."""

    output: str
    counters: Counters

    def number(self, pattern: str) -> int:
        found = re.findall(pattern, self.output)
        assert found, self.output
        return int(found[-1])


def tls_context() -> ssl.SSLContext:
    """A server context with a certificate made now; the client verifies none."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    encoding = serialization.Encoding.PEM
    no_encryption = serialization.NoEncryption()
    pem = builder.sign(key, hashes.SHA256()).public_bytes(encoding)
    pem += key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_encryption)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def start_server(batches: bool) -> TurnServer:
    return await TurnServer.start(
        "127.0.0.1",
        0,
        realm="relay",
        credentials=StaticUsers({"alice": "wonderland"}),
        allow_peers=[ip_network("127.0.0.0/8")],
        relay_hosts=("127.0.0.1", "::1"),
        challenges_per_second=100.0,
        tls=(0, tls_context()),
        batches=batches,
    )


async def run_client(server: TurnServer, flags: tuple[str, ...], peer_port: int, limit: float) -> str:
    """What one client prints; it is stopped at the limit."""
    _, port = server.tls_address if "-S" in flags else server.address
    client = await asyncio.create_subprocess_exec(
        "turnutils_uclient", "-u", "alice", "-w", "wonderland", "-p", str(port),
        "-r", str(peer_port), "-n", str(MESSAGES), *flags, "127.0.0.1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(client.communicate(), limit)
    except TimeoutError:
        return ""
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    return output.decode(errors="replace")


async def run_mode(flags: tuple[str, ...], peer_port: int, batches: bool) -> Run:
    server = await start_server(batches)
    try:
        return Run(await run_client(server, flags, peer_port, LIMIT), server.counters)
    finally:
        await server.close()


async def run_after_garbling(peer_port: int, batches: bool) -> Run:
    server = await start_server(batches)
    try:
        garbling = (run_client(server, ("-R", "-c", "-y"), peer_port, 3.0) for _ in range(4))
        await asyncio.gather(*garbling)
        return Run(await run_client(server, ("-c", "-y"), peer_port, LIMIT), server.counters)
    finally:
        await server.close()


def free_ports() -> int:
    """A port that is free together with its successor, where the client expects RTCP's echo."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as next_one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError):
                next_one.bind(("127.0.0.1", port + 1))
                return port


async def run_all(batches: bool) -> dict[str, Run]:
    """Every mode at once: the client spends its time waiting, not working."""
    port = free_ports()
    peer = await asyncio.create_subprocess_exec(
        "turnutils_peer", "-L", "127.0.0.1", "-p", str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        modes = (run_mode(flags, port, batches) for flags in MODES.values())
        results = await asyncio.gather(*modes, run_after_garbling(port, batches))
    finally:
        peer.kill()
        await peer.wait()
    return dict(zip([*MODES, AFTER_GARBLING], results, strict=True))


@pytest.fixture(scope="module")
def all_runs() -> dict[bool, dict[str, Run]]:
    """Every mode, through the fast path and without it."""

    async def both() -> dict[bool, dict[str, Run]]:
        return dict(zip((True, False), await asyncio.gather(run_all(True), run_all(False)), strict=True))

    return asyncio.run(both())


@pytest.fixture(params=[True, False], ids=["batches", "one-by-one"])
def runs(request: pytest.FixtureRequest, all_runs: dict[bool, dict[str, Run]]) -> dict[str, Run]:
    """Every mode, one way."""
    return all_runs[request.param]


@pytest.mark.parametrize("mode", MODES)
def test_every_message_comes_back(runs, mode):
    run = runs[mode]
    sent, received = run.number(r"tot_send_msgs=(\d+)"), run.number(r"tot_recv_msgs=(\d+)")
    assert sent == received >= MESSAGES
    assert run.number(r"Total lost packets (\d+)") == 0


@pytest.mark.parametrize("mode", [mode for mode, flags in MODES.items() if "-y" in flags])
def test_clients_meet_inside_the_relay(runs, mode):
    assert runs[mode].counters.peer_packets_out == 0
    assert runs[mode].counters.hairpinned >= MESSAGES


@pytest.mark.parametrize("mode", [mode for mode, flags in MODES.items() if "-y" not in flags])
def test_peers_are_reached_outside(runs, mode):
    assert runs[mode].counters.peer_packets_out >= MESSAGES
    assert runs[mode].counters.hairpinned == 0


def test_a_client_that_garbles_its_messages_does_no_harm(runs):
    """``-R`` flips random bytes; that client gives up, and the server serves the next one."""
    run = runs[AFTER_GARBLING]
    assert run.counters.drops["malformed"] > 0
    assert run.number(r"tot_recv_msgs=(\d+)") == 2 * MESSAGES
