"""A real signalling server with a real authority, and phones that connect to it as users' phones do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from qcall.crypto.identity import Identity
from qcall.net.kme import sae_key_and_request
from qcall.net.signalling import SignallingClient, enrol
from qcall.session.enrolment import RelaySigner
from qcall.wire.invite import SECRET_LENGTH, Invite
from qcall.wire.signalling import Delivery, Enrolled, Failed, TurnCredentials
from relay.path.routes import Routes
from relay.pki import Authority
from relay.signalling.accounts import Accounts
from relay.signalling.directory import Limits
from relay.signalling.websocket import Services, SignallingServer, SiteInfo

PATIENCE = 5.0


class RelayHouse:
    """Authority and accounts in one directory; the server can be stopped and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.authority = Authority.open_or_create(home / "ca")
        self.accounts = Accounts(home / "accounts.db", self.authority.fingerprint)
        self.server: SignallingServer
        self.turn_lifetime = 3600.0
        self.served: set[str] | None = None
        """The sites that the running topology has; all there are unless set."""
        self.news = asyncio.Event()
        """Something was told to one of its phones."""

    async def start(
        self, port: int = 0, *, limits: Limits | None = None, tls: bool = False, routes: Routes | None = None
    ) -> SignallingServer:
        """Serve; ``port`` 0 is any free one."""
        context = None
        if tls:
            certificate, key = self.authority.kme_files(self.home / "server", "relay", ["127.0.0.1"])
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate, key)
        self.server = await SignallingServer.start(
            "127.0.0.1",
            port,
            accounts=self.accounts,
            services=Services(
                self.authority.sign_sae_csr, self._site, self._turn, self.authority.fresh_revocations
            ),
            ca=self.authority.ca_pem,
            ssl_context=context,
            limits=limits,
            routes=routes,
        )
        return self.server

    def invite(self, name: str, site: str = "beijing", **options: Any) -> str:
        """What an operator hands out."""
        return self.accounts.invite(name, site, time.time(), **options)

    def never_made(self) -> str:
        """An invite of this relay's that it never gave out."""
        return str(Invite.create(bytes(SECRET_LENGTH), self.authority.fingerprint))

    def _site(self, site: str) -> SiteInfo | None:
        if self.served is not None and site not in self.served:
            return None
        return SiteInfo(f"kme-{site}", "https://127.0.0.1:1", self.authority.ca_pem)

    def _turn(self, name: str, site: str) -> TurnCredentials:
        expires = time.time() + self.turn_lifetime
        return TurnCredentials("127.0.0.1", 3478, f"{expires}:{site}:{name}", "password", expires)


@contextlib.asynccontextmanager
async def open_house(home: Path, **options: Any) -> AsyncIterator[RelayHouse]:
    """A running relay that leaves nothing behind."""
    house = RelayHouse(home)
    try:
        await house.start(**options)
        try:
            yield house
        finally:
            await house.server.close()
    finally:
        house.accounts.close()


class Phone:
    """A user's phone: an identity of its own, and what it was told."""

    def __init__(self, house: RelayHouse, name: str) -> None:
        self.house = house
        self.name = name
        self.identity = Identity.create(lambda n: name.encode().ljust(n, b"."))
        self.delivered: list[Delivery] = []
        self.failed: list[Failed] = []
        self.states: list[bool] = []
        self.client: SignallingClient

    async def enrol(self, code: str, *, url: str | None = None) -> Enrolled:
        """Use an invite."""
        public = self.identity.public()
        _, request = sae_key_and_request()
        where = url or self.house.server.url
        signer = RelaySigner(self.identity)
        return await enrol(where, self.name, code, public.ed25519, public.mldsa, request, signer)

    async def connect(self, *, url: str | None = None, ca_pem: bytes | None = None) -> SignallingClient:
        """Log in."""
        self.client = await SignallingClient.connect(
            url or self.house.server.url,
            self.name,
            RelaySigner(self.identity),
            ca_pem or self.house.authority.ca_pem,
            on_delivery=self._into(self.delivered),
            on_failed=self._into(self.failed),
            on_state=self._into(self.states),
        )
        return self.client

    async def until(self, condition: Callable[[], object], *, limit: float = PATIENCE) -> None:
        """Wait until ``condition`` holds after a phone was told something."""
        async with asyncio.timeout(limit):
            while not condition():
                self.house.news.clear()
                await self.house.news.wait()

    def _into(self, told: list[Any]) -> Callable[[Any], None]:
        def tell(what: Any) -> None:
            told.append(what)
            self.house.news.set()

        return tell


@contextlib.asynccontextmanager
async def online(house: RelayHouse, name: str, site: str = "beijing") -> AsyncIterator[Phone]:
    """A phone that has enrolled and logged in."""
    phone = Phone(house, name)
    await phone.enrol(house.invite(name, site))
    await phone.connect()
    try:
        yield phone
    finally:
        await phone.client.close()
