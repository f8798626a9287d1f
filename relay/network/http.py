"""Key node to key node: trusted nodes as processes of their own, over mutual TLS.

Every node serves ``POST /network/v1/{link,frame,assign}`` to other nodes and to nobody else: the caller is
the KME ID of its certificate. Bodies are msgpack (:mod:`relay.network.process`); a refusal is status 409 with
a fault that names the link. Nodes find each other by a file that each writes when it listens.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Set
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from qcall.wire.vouched import Untrusted, VouchedConnector, expiry
from relay.config import cannot_listen, chosen_by
from relay.errors import LocalFault, RelayError, StorageError
from relay.kme.commit import GroupCommit
from relay.kme.http import KmeServer, serve_kme
from relay.kme.keystore import SqliteKeyStore
from relay.kme.service import DEFAULT_LIMITS, KeyService, Limits
from relay.pki import serial_of
from relay.recurring import Recurring
from relay.storage import write
from relay.trust import Trust, reached_at

from .memory import MemoryFile
from .process import NodeProcess
from .supply import StockedSupply
from .topology import Topology, kme_id
from .wire import Fault, PeerFailed

PREFIX = "/network/v1/"
TEND_SECONDS = 0.25
MAX_BODY = 1 << 20
CONNECT_TIMEOUT = 1.0
CONNECTIONS = 4
"""Towards one neighbour: each is taken until the rest of the path has answered, and costs a handshake."""
KEEP_ALIVE = 3600.0
ADDRESS_FILE = "node.url"

log = logging.getLogger("relay.network")


class HttpPeers:
    """The way to other nodes; ``address_of`` gives a node's URL, or None while it is not known.

    A node whose certificate is among those that ``revoked`` tells is sent nothing, on no connection.
    """

    def __init__(
        self,
        name: str,
        context: ssl.SSLContext,
        address_of: Callable[[str], str | None],
        revoked: Callable[[], Set[int]],
    ) -> None:
        self._name = name
        self._context = context
        self._address_of = address_of
        self._revoked = revoked
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, node: str, action: str, body: bytes, *, timeout: float) -> bytes:
        if self._session is None:
            connector = VouchedConnector(
                self._objection, limit_per_host=CONNECTIONS, keepalive_timeout=KEEP_ALIVE
            )
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector)
        address = self._address_of(node)
        if address is None:
            raise PeerFailed(Fault("node-down", f"node {node} is not running", self._name, node))
        try:
            async with self._session.post(
                address + PREFIX + action,
                data=body,
                ssl=self._context,
                server_hostname=kme_id(node),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT),
            ) as response:
                answer = await response.read()
                if response.status == HTTPStatus.OK:
                    return answer
                raise PeerFailed(_fault(answer, self._name, node))
        except Untrusted as objection:
            raise PeerFailed(Fault("not-trusted", f"node {node}: {objection}", self._name, node)) from None
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise PeerFailed(Fault("node-down", f"node {node} does not answer", self._name, node)) from None

    def _objection(self, serial: int) -> str | None:
        try:
            return "its certificate is revoked" if serial in self._revoked() else None
        except StorageError as error:
            return str(error)

    async def close(self) -> None:
        """Drop all connections."""
        if self._session is not None:
            await self._session.close()


class TrustedNode:
    """A running node: its server towards other nodes and, at an access site, its key node for SAEs."""

    def __init__(
        self, process: NodeProcess, peers: HttpPeers, revoked: Callable[[], Set[int]], serial: int
    ) -> None:
        self.process = process
        self.kme: KmeServer | None = None
        self.store: SqliteKeyStore | None = None
        self.url = ""
        self._commit = GroupCommit({})
        self._peers = peers
        self._revoked = revoked
        self._serial = serial
        self._runner: web.ServerRunner | None = None
        self._tending: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        name: str,
        topology: Topology,
        *,
        authority: Trust,
        directory: Path,
        node_key: bytes,
        host: str,
        port: int = 0,
        kme_host: str | None = None,
        kme_port: int = 0,
        entropy: Callable[[int], bytes],
        limits: Limits = DEFAULT_LIMITS,
    ) -> TrustedNode:
        """Start the node ``name``; ``directory`` holds the files of all key nodes of this machine.
        Where ``authority`` has no private key, the node's certificate has to be among them.

        Raises :class:`UsageError` for a name that is not in the topology, AddressInUse and StorageError.
        Nothing is left running when this fails.
        """
        topology.known(name)
        kme = kme_id(name)
        kme_host = kme_host or host
        files = authority.kme_files(directory / kme, kme, reached_at(host, kme_host))
        store = SqliteKeyStore(directory / kme / "keys.db", node_key) if name in topology.sites else None
        peers = HttpPeers(name, authority.client_context(*files), _addresses(directory), authority.revoked)
        memory = MemoryFile(directory / kme)
        process = NodeProcess(
            name, topology, peers, clock=time.monotonic, unix=time.time, entropy=entropy, store=store,
            memory=memory.load(), remember=memory.save,
        )  # fmt: skip
        node = cls(process, peers, authority.revoked, serial_of(files[0].read_bytes()))
        node.store = store
        if store is not None:
            node._commit = GroupCommit({kme: store})
        context = authority.server_context(*files)
        try:
            with chosen_by("--listen"):
                await node._listen(host, port, context)
            if store is not None:
                supply = StockedSupply(store, process, entropy=entropy)
                service = KeyService(
                    kme,
                    name,
                    store,
                    supply,
                    home_of=authority.home_of,
                    entropy=entropy,
                    limits=limits,
                    saw=process.saw,
                    reservations=process.reservations,
                )

                async def upkeep(now: float) -> bool:
                    store.expire(now)
                    return await supply.top_up(now)

                with chosen_by("--kme"):
                    node.kme = await serve_kme(
                        service,
                        host=kme_host,
                        port=kme_port,
                        context=context,
                        revoked=authority.revoked,
                        upkeep=upkeep,
                        commit=node._commit,
                    )
            write(directory / kme / ADDRESS_FILE, node.url.encode())
        except BaseException:
            await node.close()
            raise
        node._tending = asyncio.create_task(node._tend())
        return node

    async def close(self) -> None:
        """Stop serving and close the store."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        if self.kme is not None:
            await self.kme.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._peers.close()
        if self.store is not None:
            self.store.close()

    async def _listen(self, host: str, port: int, context: ssl.SSLContext) -> None:
        server = web.Server(self._handle, access_log=None, keepalive_timeout=KEEP_ALIVE)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=context).start()
        except OSError as error:
            raise cannot_listen(error, host, port) from None
        bound = self._runner.addresses[0]
        self.url = f"https://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"https://{bound[0]}:{bound[1]}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            peer = self._authenticate(request)
            if request.method != "POST" or not request.path.startswith(PREFIX):
                raise PeerFailed(Fault("bad-request", "nodes POST to /network/v1/"))
            if (request.content_length or 0) > MAX_BODY:
                raise PeerFailed(Fault("bad-request", "the body is too long"))
            answer = await self.process.handle(peer, request.path.removeprefix(PREFIX), await request.read())
            await self._commit()
        except PeerFailed as failed:
            return web.Response(status=HTTPStatus.CONFLICT, body=msgspec.msgpack.encode(failed.fault))
        except RelayError as error:
            log.error("%s", error)
            fault = Fault(error.code, "a node has an internal fault")
            return web.Response(status=HTTPStatus.CONFLICT, body=msgspec.msgpack.encode(fault))
        return web.Response(body=answer)

    def _authenticate(self, request: web.BaseRequest) -> str:
        """The node that calls, by its certificate."""
        peer: dict[str, Any] = (request.get_extra_info("peercert") if request.transport else None) or {}
        uris = [name for kind, name in peer.get("subjectAltName", ()) if kind == "URI"]
        names = [value for part in peer.get("subject", ()) for key, value in part if key == "commonName"]
        if uris != [f"urn:qkd:kme:{name}" for name in names]:
            raise PeerFailed(Fault("not-a-node", "the certificate is not that of a key node"))
        if time.time() > expiry(peer["notAfter"]):  # TLS looked when the connection was made
            raise PeerFailed(Fault("not-a-node", "the certificate has expired"))
        if int(peer["serialNumber"], 16) in self._revoked():
            raise PeerFailed(Fault("not-a-node", "the certificate is revoked"))
        return str(names[0]).removeprefix(kme_id(""))

    async def _tend(self) -> None:
        tending = Recurring(f"the tending of {kme_id(self.process.node.name)}", log)
        while True:
            with tending.turn():
                await self.process.tend()
                if self._serial in self._revoked():
                    kme = kme_id(self.process.node.name)
                    raise LocalFault(f"the certificate of {kme} is revoked; start the node again for another")
            await asyncio.sleep(TEND_SECONDS)


def _addresses(directory: Path) -> Callable[[str], str | None]:
    def address_of(node: str) -> str | None:
        try:
            return (directory / kme_id(node) / ADDRESS_FILE).read_text()
        except (OSError, UnicodeDecodeError):
            return None

    return address_of


def _fault(answer: bytes, here: str, there: str) -> Fault:
    try:
        return msgspec.msgpack.decode(answer, type=Fault)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Fault("node-down", f"node {there} answered nonsense", here, there)
