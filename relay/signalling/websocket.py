"""The signalling server: WebSocket frames in and out, around the directory.

Enrolment needs the rest of the relay (certificates, key nodes, TURN): ``Services`` is what it is given. What
goes from one site to another waits on the modelled path. ``GET /ca.pem`` gives the authority's certificate,
which a phone compares with its invite before it trusts TLS, and ``GET /crl.pem`` its revocation list, which
every login and heartbeat counts; ``GET /healthz`` answers while the server runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import time
from collections.abc import Callable, Hashable
from typing import Self

from aiohttp import WSMsgType, web

from qcall.wire.signalling import (
    CA_PATH,
    CRL_PATH,
    MAX_FRAME,
    NONCE_LENGTH,
    PATH,
    Code,
    Enrol,
    Envelope,
    FromPhone,
    FromRelay,
    Heartbeat,
    HeartbeatAck,
    Login,
    Reason,
    Rejected,
    TurnCredentials,
    Watch,
    Welcome,
    encode,
)
from relay.config import cannot_listen, is_loopback
from relay.errors import RelayError, UsageError
from relay.path.routes import Routes
from relay.path.wheel import Wheel

from .accounts import Account, Accounts
from .admission import TEXTS, Admission, Rejection, Services, SiteInfo, hello, read, sae_id
from .budget import Budget, Rate, source
from .directory import Cross, Directory, Drop, Effect, Limits, Registration, Send

__all__ = ["Services", "SignallingServer", "SiteInfo", "Tap"]

log = logging.getLogger(__name__)

GREETING_LIMIT = 10.0
"""Seconds from the connection to Login or Enrol."""
CLOSING_LIMIT = 1.0
"""Seconds for a phone to take its last message."""
BACKLOG = 256
"""Messages that wait for a phone which reads too slowly."""
ATTEMPTS = Rate(per_second=2.0, burst=60.0)
"""Connections from one address: each may cost the relay two signature checks."""
ENROLMENTS = Rate(per_second=0.2, burst=20.0)
"""Enrolments tried from one address."""
HEADERS = 120
"""Bytes that a frame has on the line beside its payload: IPv4, TCP, TLS, WebSocket and our own fields."""
LEAST_TIMEOUT = 0.2
"""Seconds until TCP repeats what was lost, at least (Linux; RFC 6298 recommends 1)."""
TRANSMISSIONS = 6

Tap = Callable[[float, str, str, bytes], None]
"""Sees (time, "in" or "out", client, frame) of every frame of every phone: what the relay's owner sees."""


class Connection:
    """One WebSocket, written to by one task from a bounded queue: a slow phone holds up nobody else."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, tap: Tap | None = None
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._tap = tap
        self._client = "{}:{}".format(*(transport.get_extra_info("peername") or ("", 0))[:2])
        self._queue: asyncio.Queue[FromRelay | None] = asyncio.Queue(BACKLOG)
        self._writer = asyncio.create_task(self._write(), name="signalling writer")
        self.turn_renewal = 0.0
        """When the phone is due for fresh TURN credentials, in unix seconds."""
        self.crl = 0
        """The number of the revocation list that the phone was told of last."""

    async def receive(self) -> FromPhone | None:
        """The next message; ``None`` when the connection is over."""
        frame = await self.receive_frame()
        return None if frame is None else read(frame)

    async def receive_frame(self) -> bytes | None:
        """The next message, not decoded."""
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            raise Rejection(Code.BAD_MESSAGE)
        if message.type is not WSMsgType.BINARY:
            return None
        self._saw("in", message.data)
        return bytes(message.data)

    def send(self, message: FromRelay | None) -> None:
        """Queue ``message``; ``None``, and a rejection, end the connection once they are written."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._transport.abort()

    def reject(self, code: Code) -> None:
        """Say why, and end."""
        self.send(Rejection(code).message)

    async def _write(self) -> None:
        try:
            while message := await self._queue.get():
                frame = encode(message)
                self._saw("out", frame)
                await self._socket.send_bytes(frame)
                if isinstance(message, Rejected):
                    break
            await self._socket.close()
        except (ConnectionError, RuntimeError):
            self._transport.abort()

    def _saw(self, direction: str, frame: bytes) -> None:
        if self._tap is not None:
            self._tap(time.monotonic(), direction, self._client, frame)

    async def close(self) -> None:
        """Write what is queued, within a limit, and end."""
        self.send(None)
        done, _ = await asyncio.wait((self._writer,), timeout=CLOSING_LIMIT)
        if not done:
            self._writer.cancel()
            self._transport.abort()
            await asyncio.wait((self._writer,))


class SignallingServer:
    """A running server; made by ``start``."""

    def __init__(
        self,
        accounts: Accounts,
        services: Services,
        ca: bytes,
        routes: Routes | None,
        limits: Limits | None,
        tap: Tap | None,
        busy: Callable[[bytes], bool],
    ) -> None:
        self.accounts = accounts
        self._services = services
        self._admission = Admission(accounts, services)
        self._ca = ca
        self._routes = routes
        self._tap = tap
        self.directory = Directory(
            lambda name: accounts.find(name) is not None, first_epoch=time.time_ns(), limits=limits
        )
        self.counters = self.directory.counters
        self._busy = busy
        self.address = ("", 0)
        self.url = ""
        self._attempts = Budget(ATTEMPTS)
        self._enrolments = Budget(ENROLMENTS)
        self._connections: dict[int, Connection] = {}
        self._open: set[Connection] = set()
        self._path: Wheel[Cross] = Wheel()
        self._wake: asyncio.TimerHandle | None = None
        self._runner: web.AppRunner | None = None

    @classmethod
    async def start(
        cls,
        host: str,
        port: int,
        *,
        accounts: Accounts,
        services: Services,
        ca: bytes,
        routes: Routes | None = None,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        tap: Tap | None = None,
        busy: Callable[[bytes], bool] = lambda _: False,
    ) -> Self:
        """Serve on ``host`` (an IP address) and ``port`` (0: any free one, see ``address``).

        ``ca`` is the PEM of the authority. Raises ``AddressInUse``, and ``UsageError`` for an address that is
        not ours or that others can reach while there is no ``ssl_context``. ``busy``: whether a
        new call, given by its ID, would find no room.
        """
        if ssl_context is None and not is_loopback(host):
            raise UsageError(f"{host} can be reached from outside: signalling there needs TLS")
        server = cls(accounts, services, ca, routes, limits, tap, busy)
        app = web.Application()
        app.router.add_get(PATH, server._signal)
        app.router.add_get(CA_PATH, server._show_ca)
        app.router.add_get(CRL_PATH, server._show_crl)
        app.router.add_get("/healthz", server._show_health)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_LIMIT)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
        except OSError as error:
            await runner.cleanup()
            raise cannot_listen(error, host, port) from None
        server._runner = runner
        server.address = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        server.url = f"{'wss' if ssl_context else 'ws'}://{shown}:{server.address[1]}"
        return server

    async def close(self) -> None:
        """Tell every phone that the relay closes, and leave nothing running."""
        for connection in self._open:
            connection.send(None)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._wake is not None:
            self._wake.cancel()

    def expel(self, name: str) -> bool:
        """End the login of ``name``, whose account is gone; whether there was one."""
        effects = self.directory.expel(name)
        self._run(effects)
        return bool(effects)

    async def _show_ca(self, _: web.Request) -> web.Response:
        return web.Response(body=self._ca, content_type="application/x-pem-file")

    async def _show_crl(self, _: web.Request) -> web.Response:
        try:
            return web.Response(body=self._services.revocations().pem, content_type="application/x-pem-file")
        except RelayError as fault:
            log.error("signalling: %s", fault)
            return web.Response(status=503, text=TEXTS[Code.FAULT] + "\n")

    async def _show_health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _signal(self, request: web.Request) -> web.StreamResponse:
        origin = source(request.remote or "::")
        if not self._attempts.spend(origin, time.monotonic()):
            self.counters["connections-refused-rate-limited"] += 1
            return web.Response(status=429, text=TEXTS[Code.BUSY] + "\n")
        socket = web.WebSocketResponse(max_msg_size=MAX_FRAME, compress=False, timeout=CLOSING_LIMIT)
        await socket.prepare(request)
        assert request.transport is not None
        connection = Connection(socket, request.transport, self._tap)
        self._open.add(connection)
        self.counters["connections"] += 1
        registration = None
        try:
            async with asyncio.timeout(GREETING_LIMIT):
                registration = await self._greet(connection, origin)
            if registration is not None:
                await self._converse(connection, registration)
        except Rejection as rejection:
            self.counters[f"connections-rejected-{rejection.code}"] += 1
            connection.send(rejection.message)
        except TimeoutError:
            connection.reject(Code.TIMEOUT)
        except RelayError as fault:
            log.error("signalling: %s", fault)
            connection.reject(Code.FAULT)
        finally:
            if registration is not None:
                self._connections.pop(registration.epoch, None)
                self._run(self.directory.leave(registration.epoch))
            await connection.close()
            self._open.discard(connection)
        return socket

    async def _greet(self, connection: Connection, origin: Hashable) -> Registration | None:
        """From Hello to Welcome; ``None`` after an enrolment and when the phone hangs up."""
        frame = await connection.receive_frame()
        if frame is None:
            return None
        name = hello(frame)
        challenge = self._admission.challenge(secrets.token_bytes(NONCE_LENGTH))
        connection.send(challenge)
        match await connection.receive():
            case Login() as login:
                return self._welcome(connection, self._admission.login(name, challenge, login))
            case Enrol() as enrol:
                if not self._enrolments.spend(origin, time.monotonic()):
                    raise Rejection(Code.BUSY)
                connection.send(self._admission.enrol(name, challenge, enrol, time.time()))
                self.counters["enrolments"] += 1
                return None
            case None:
                return None
            case _:
                raise Rejection(Code.BAD_MESSAGE)

    def _welcome(self, connection: Connection, account: Account) -> Registration:
        info = self._admission.site_info(account.site)
        turn = self._turn(connection, account.name, account.site)
        connection.crl = self._services.revocations().number
        registration, effects = self.directory.login(account.name, account.site, time.monotonic())
        self._run(effects)
        self._connections[registration.epoch] = connection
        connection.send(
            Welcome(
                self.directory.limits.ttl,
                registration.epoch,
                account.site,
                sae_id(account.name),
                info.kme_id,
                info.kme_url,
                turn,
                connection.crl,
            )
        )
        return registration

    def _turn(self, connection: Connection, name: str, site: str) -> TurnCredentials:
        """Fresh credentials, to be renewed when half of their time is over."""
        turn = self._services.turn_credentials(name, site)
        connection.turn_renewal = (time.time() + turn.expires) / 2
        return turn

    def _crl(self, connection: Connection) -> int | None:
        """The number of the revocation list, if the phone was not told of it yet."""
        told = connection.crl
        with contextlib.suppress(RelayError):  # which the next login tells of; this phone can stay
            connection.crl = self._services.revocations().number
        return None if connection.crl == told else connection.crl

    async def _converse(self, connection: Connection, registration: Registration) -> None:
        epoch, name, site = registration.epoch, registration.name, registration.site
        while (message := await connection.receive()) is not None:
            now = time.monotonic()
            match message:
                case Heartbeat():
                    if self.directory.heartbeat(epoch, now):
                        due = time.time() >= connection.turn_renewal
                        turn = self._turn(connection, name, site) if due else None
                        connection.send(HeartbeatAck(turn, self._crl(connection)))
                case Envelope():
                    self.directory.busy = self._busy(message.call_id)
                    self._run(self.directory.route(epoch, message, now))
                case Watch():
                    self._run(self.directory.watch(epoch, message, now))
                case _:
                    raise Rejection(Code.BAD_MESSAGE)

    def _run(self, effects: tuple[Effect, ...]) -> None:
        """Carry out ``effects`` and what follows from them."""
        for effect in effects:
            match effect:
                case Send(epoch, message):
                    if (connection := self._connections.get(epoch)) is not None:
                        connection.send(message)
                case Drop(epoch, code):
                    if (connection := self._connections.pop(epoch, None)) is not None:
                        connection.reject(code)
                case Cross():
                    self._run(self._cross(effect))
        self._set_timer()

    def _cross(self, crossing: Cross) -> tuple[Effect, ...]:
        """Send a delivery over the modelled path, as TCP would: what is lost is sent again."""
        now = time.monotonic()
        delivery = crossing.delivery
        path = self._routes.between(crossing.source, crossing.target) if self._routes else None
        if path is None:
            return self.directory.arrive(crossing)
        flow = ("signalling", delivery.sender, crossing.to)
        for attempt in range(TRANSMISSIONS):
            sent = now + attempt * max(LEAST_TIMEOUT, 3 * path.propagation)
            at = path.release(flow, len(delivery.payload) + HEADERS, sent)
            if at is not None:
                self._path.schedule(at, crossing)
                return ()
        return self.directory.lost(crossing, Reason.NO_PATH)

    def _set_timer(self) -> None:
        times = [time for time in (self.directory.deadline, self._path.deadline) if time is not None]
        if not times:
            return
        if self._wake is not None:
            self._wake.cancel()
        delay = max(0.0, min(times) - time.monotonic())
        self._wake = asyncio.get_running_loop().call_later(delay, self._timer)

    def _timer(self) -> None:
        now = time.monotonic()
        for crossing in self._path.due(now):
            self._run(self.directory.arrive(crossing))
        self._run(self.directory.timer(now))
