"""SAEs that ask key nodes as fast as they are answered: plain ETSI GS QKD 014 on kept-alive mutual TLS.

Each SAE has one connection and one request under way. The client is a protocol over a socket and parses no
more than it must, so that what is measured is the server.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from qcall.net.kme import sae_key_and_request
from qcall.wire import etsi014
from relay.network.topology import kme_id
from relay.pki import Authority

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class LoadError(Exception):
    """A server gave an answer that it should not."""


class Sae(asyncio.Protocol):
    """One SAE on one warm connection."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.bodies: list[bytes] = []
        self.lost = False
        self._buffer = b""
        self._expected = 0
        self._asked = b""
        self._asked_at = 0.0
        self._until = 0.0
        self._idle: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._stop()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._expected:
            head, found, _ = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self.bodies.append(self._buffer)
                self.lost = True
                self._stop()
                return
            length = LENGTH.search(head)
            assert length is not None
            self._expected = len(head) + 4 + int(length[1])
        if len(self._buffer) < self._expected:
            return
        now = time.perf_counter()
        self.latencies.append(now - self._asked_at)
        self.bodies.append(self._buffer[self._buffer.index(b"\r\n\r\n") + 4 :])
        self._buffer, self._expected = b"", 0
        if now < self._until:
            self._ask(now)
        else:
            self._stop()

    async def ask(self, request: bytes, seconds: float) -> None:
        """Send ``request`` again and again for so long; at least once."""
        self._asked = request
        now = time.perf_counter()
        self._until = now + seconds
        self._idle = asyncio.get_running_loop().create_future()
        self._ask(now)
        await self._idle

    def close(self) -> None:
        """Drop the connection."""
        self._transport.close()

    def _ask(self, now: float) -> None:
        self._asked_at = now
        self._transport.write(self._asked)

    def _stop(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """One HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: kme\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def name_of(index: int, role: str) -> str:
    """The SAE ID of the ``index``-th master or slave."""
    return f"sae-{role}-{index}"


def enrol(directory: Path, count: int, homes: dict[str, str]) -> None:
    """Certificates for ``count`` SAEs of each role; ``homes`` maps a role to its site."""
    authority = Authority.open_or_create(directory / "ca")
    for role, site in homes.items():
        for index in range(count):
            key, csr = sae_key_and_request()
            name = name_of(index, role)
            (directory / f"{name}.key").write_bytes(key)
            (directory / f"{name}.pem").write_bytes(authority.sign_sae_csr(csr, name, kme_id(site)))


async def connect(directory: Path, role: str, count: int, port: int, site: str) -> list[Sae]:
    """``count`` SAEs, their TLS handshakes done."""
    loop = asyncio.get_running_loop()
    ca = (directory / "ca" / "ca.pem").read_text()
    made = []
    for index in range(count):
        context = ssl.create_default_context(cadata=ca)
        name = name_of(index, role)
        context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
        _, sae = await loop.create_connection(
            Sae, "127.0.0.1", port, ssl=context, server_hostname=kme_id(site)
        )
        made.append(sae)
    return made


async def enc_keys(saes: Sequence[Sae], role: str, seconds: float) -> dict[str, float]:
    """Every master asks for one key at a time; requests a second, and latencies in milliseconds.

    Raises :class:`LoadError` when a server refuses or hangs up.
    """
    for sae in saes:
        sae.latencies.clear()
        sae.bodies.clear()
    began = time.perf_counter()
    slaves = (etsi014.path(name_of(index, role), "enc_keys") for index in range(len(saes)))
    await asyncio.gather(
        *(
            sae.ask(request("POST", path, b'{"number":1}'), seconds)
            for sae, path in zip(saes, slaves, strict=True)
        )
    )
    spent = time.perf_counter() - began
    for sae in saes:
        if sae.lost:
            raise LoadError(f"a server refused or hung up; its last answer: {sae.bodies[-1:]!r}")
    times = np.concatenate([sae.latencies for sae in saes])
    return {
        "rate": len(times) / spent,
        "p50": 1000 * float(np.percentile(times, 50)),
        "p99": 1000 * float(np.percentile(times, 99)),
    }


def keys_of(bodies: Sequence[bytes]) -> dict[str, str]:
    """The keys in key containers, by ID."""
    containers = (msgspec.json.decode(body, type=etsi014.KeyContainer) for body in bodies)
    return {key.key_id: key.key for container in containers for key in container.keys}


async def fetch(slave: Sae, master: str, key_ids: Sequence[str], batch: int = 64) -> dict[str, str]:
    """What the slave gets for ``key_ids``, each asked for once."""
    slave.bodies.clear()
    for start in range(0, len(key_ids), batch):
        wanted = etsi014.KeyIds(
            key_ids=tuple(etsi014.KeyId(key_id=each) for each in key_ids[start : start + batch])
        )
        await slave.ask(request("POST", etsi014.path(master, "dec_keys"), etsi014.encode(wanted)), 0.0)
        if slave.lost:
            raise LoadError(f"a key that was acknowledged is gone: {slave.bodies[-1]!r}")
    return keys_of(slave.bodies)
