"""A real signalling server on loopback, and a phone that speaks the wire format by hand, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from qcall.wire import signalling as wire
from qcall.wire.revocation import RevocationList
from relay.errors import Refused
from relay.signalling.accounts import Accounts
from relay.signalling.websocket import Services, SignallingServer, SiteInfo

FINGERPRINT = bytes(range(32))
CA = b"-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n"
NOBODY_REVOKED = RevocationList(1, 0.0, float("inf"), frozenset(), b"simulated")
M = TypeVar("M")


def sign_csr(csr: bytes, sae_id: str, kme_id: str) -> bytes:
    """Stands in for the authority: refuses what is no request, names both IDs in the certificate."""
    if not csr.startswith(b"-----BEGIN CERTIFICATE REQUEST-----"):
        raise Refused("the certificate request is malformed", code="bad-csr")
    return f"certificate of {sae_id} at {kme_id}".encode()


def services(turn_lifetime: float = 3600.0) -> Services:
    """The rest of the relay."""

    def turn(name: str, site: str) -> wire.TurnCredentials:
        expires = time.time() + turn_lifetime
        return wire.TurnCredentials("127.0.0.1", 3478, f"{expires}:{site}:{name}", "password", expires)

    def site_info(site: str) -> SiteInfo:
        return SiteInfo(f"kme-{site}", f"https://127.0.0.1/{site}", CA)

    return Services(sign_csr, site_info, turn, lambda: NOBODY_REVOKED)


@contextlib.asynccontextmanager
async def serving(
    home: Path, *, turn_lifetime: float = 3600.0, **options: Any
) -> AsyncIterator[SignallingServer]:
    """A server with accounts in ``home``, on a free port unless ``port`` is among the options."""
    port = options.pop("port", 0)
    with Accounts(home / "accounts.db", FINGERPRINT) as accounts:
        server = await SignallingServer.start(
            "127.0.0.1", port, accounts=accounts, services=services(turn_lifetime), ca=CA, **options
        )
        try:
            yield server
        finally:
            await server.close()


class Identity:
    """Both keys of a phone."""

    def __init__(self) -> None:
        self._ed25519 = Ed25519PrivateKey.generate()
        self._mldsa = MLDSA87PrivateKey.generate()
        self.ed25519 = self._ed25519.public_key().public_bytes_raw()
        self.mldsa = self._mldsa.public_key().public_bytes_raw()

    def sign(self, transcript: bytes) -> tuple[bytes, bytes]:
        """(Ed25519, ML-DSA-87), as the wire format wants them."""
        return (
            self._ed25519.sign(wire.ed25519_message(transcript)),
            self._mldsa.sign(transcript, wire.SIGNING_CONTEXT),
        )


@dataclass
class Phone:
    """One WebSocket to ``url``."""

    url: str
    name: str
    identity: Identity = field(default_factory=Identity)
    socket: Any = None
    session: Any = None

    async def __aenter__(self) -> Phone:
        self.session = aiohttp.ClientSession()
        try:
            self.socket = await self.session.ws_connect(self.url + wire.PATH)
        except BaseException:
            await self.session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self.session.close()

    async def send(self, message: wire.FromPhone | bytes) -> None:
        """One frame."""
        await self.socket.send_bytes(message if isinstance(message, bytes) else wire.encode(message))

    async def receive(self, kind: type[M]) -> M:
        """The next message, which must be a ``kind``."""
        frame = await self.frame()
        assert frame is not None, "the relay ended the connection"
        message = wire.decode_from_relay(frame)
        assert isinstance(message, kind), message
        return message

    async def frame(self) -> bytes | None:
        """The next frame; ``None`` at the end."""
        async with asyncio.timeout(5):
            message = await self.socket.receive()
        return message.data if message.type is aiohttp.WSMsgType.BINARY else None

    async def rejection(self) -> wire.Code:
        """Why the relay ends the connection; after that there must be nothing."""
        rejected = await self.receive(wire.Rejected)
        assert rejected.text
        assert await self.frame() is None
        return rejected.code

    async def greet(self, *, name: str | None = None) -> wire.Challenge:
        """Hello and Challenge."""
        await self.send(wire.Hello(wire.VERSION, name or self.name))
        return await self.receive(wire.Challenge)

    def login(self, challenge: wire.Challenge, **change: Any) -> wire.Login:
        """The right answer to ``challenge``, but for ``change``."""
        asked = {"relay": challenge.relay, "nonce": challenge.nonce, "name": self.name} | change
        return wire.Login(*self.identity.sign(wire.login_transcript(**asked)))

    def enrol(self, challenge: wire.Challenge, code: str, /, **change: Any) -> wire.Enrol:
        """The right enrolment, but for ``change`` made after signing."""
        asked: dict[str, Any] = {
            "invite": code,
            "ed25519_public": self.identity.ed25519,
            "mldsa_public": self.identity.mldsa,
            "csr_pem": b"-----BEGIN CERTIFICATE REQUEST-----",
        } | change.pop("request", {})
        transcript = wire.enrol_transcript(
            relay=challenge.relay, nonce=challenge.nonce, name=self.name, **asked
        )
        signatures = dict(
            zip(("ed25519_signature", "mldsa_signature"), self.identity.sign(transcript), strict=True)
        )
        return wire.Enrol(**(asked | signatures | change))

    async def log_in(self) -> wire.Welcome:
        """From Hello to Welcome."""
        await self.send(self.login(await self.greet()))
        return await self.receive(wire.Welcome)


async def enrolled(server: SignallingServer, name: str, site: str) -> Identity:
    """Invite and enrol ``name``."""
    async with Phone(server.url, name) as phone:
        code = server.accounts.invite(name, site, time.time())
        await phone.send(phone.enrol(await phone.greet(), code))
        await phone.receive(wire.Enrolled)
        return phone.identity
