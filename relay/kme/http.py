"""The mutual-TLS server of one key node (ETSI GS QKD 014 clause 5).

The SAE ID is the common name of the client's certificate. TLS admits only certificates of our authority;
one that was revoked, or is a key node's, gets 401, so that every refusal after the handshake has a JSON
body. Every request leaves a line in the audit log (:mod:`relay.kme.audit`): who asked what, with which key
IDs; never key bytes.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Set
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from qcall.wire.vouched import expiry
from relay.config import cannot_listen
from relay.errors import StorageError
from relay.recurring import Recurring

from .audit import NAME as AUDIT
from .commit import GroupCommit
from .exchange import KmeRefusal, Reply, Request
from .service import KeyService

MAX_BODY = 64 * 1024
KEEP_ALIVE = 3600.0
"""Seconds that an idle connection is kept, so that a phone's next rekey finds it warm."""
UPKEEP_SECONDS = 0.25
AFTER_ANSWER = 0.01
"""Seconds that upkeep waits after a key went out, so that the answers of a call's setup go first."""
TEXT_TYPE = "application/json"

log = logging.getLogger("relay.kme")
audit = logging.getLogger(AUDIT)


class KmeServer:
    """A listening key node. ``upkeep`` is called with unix time soon after a key
    went out and regularly, again and again until it says that there is nothing more to do."""

    def __init__(
        self,
        service: KeyService,
        revoked: Callable[[], Set[int]],
        upkeep: Callable[[float], Awaitable[bool]],
        commit: GroupCommit,
    ) -> None:
        self._service = service
        self._commit = commit
        self._revoked = revoked
        self._upkeep = upkeep
        self._keys_went_out = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.ServerRunner | None = None
        self.host = ""
        self.port = 0
        self.tap: Callable[[str, str, str, bytes], None] | None = None
        """Sees ("in" or "out", SAE ID, path, body) of every request: what the node's owner sees."""

    @property
    def url(self) -> str:
        """Where SAEs find it, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    async def listen(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Begin to serve; port 0 takes a free one. Raises ``AddressInUse`` and ``AddressUnusable``."""
        server = _Server(self._handle, self._refuse)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_listen(error, host, port) from None
        self.host, self.port = self._runner.addresses[0][:2]
        self._tasks.append(asyncio.create_task(self._keep_up()))

    async def close(self) -> None:
        """Stop listening, let running answers finish."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        sae_id, reply = "", Reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"")
        path, _, query = request.raw_path.partition("?")
        try:
            sae_id = self._authenticate(request)
            body = await _body(request)
            self._saw("in", sae_id, request.raw_path, body)
            reply = await self._service.respond(
                Request(request.method, path, query, body, sae_id), time.time()
            )
            await self._commit()
        except StorageError as error:
            reply = KmeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"code": error.code}).reply()
        except KmeRefusal as refusal:
            reply = refusal.reply()
        except Exception as fault:
            log.error("request failed: %s", type(fault).__name__)
            reply = KmeRefusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error of the KME").reply()
        self._saw("out", sae_id, request.raw_path, reply.body)
        self._audit(sae_id, request, path, reply)
        if reply.key_ids:
            self._keys_went_out.set()
        if reply.delay > 0:
            await asyncio.sleep(reply.delay)
        return web.Response(
            status=reply.status, body=reply.body, content_type=TEXT_TYPE, headers=dict(reply.headers)
        )

    def _refuse(self, request: web.BaseRequest, status: int, reason: str) -> web.Response:
        """The answer to what never became a request."""
        try:
            sae_id = self._authenticate(request)
        except KmeRefusal:
            sae_id = ""
        reply = KmeRefusal(HTTPStatus(status), reason).reply()
        self._saw("out", sae_id, request.raw_path, reply.body)
        self._audit(sae_id, request, request.raw_path, reply)
        return web.Response(status=status, body=reply.body, content_type=TEXT_TYPE)

    def _saw(self, direction: str, sae_id: str, path: str, body: bytes) -> None:
        if self.tap is not None:
            self.tap(direction, sae_id, path, body)

    def _authenticate(self, request: web.BaseRequest) -> str:
        """The SAE ID of the caller's certificate; raises :class:`KmeRefusal` with 401."""
        peer: dict[str, Any] = (request.get_extra_info("peercert") if request.transport else None) or {}
        if not any(
            uri.startswith("urn:qkd:sae:") for kind, uri in peer.get("subjectAltName", ()) if kind == "URI"
        ):
            raise KmeRefusal(HTTPStatus.UNAUTHORIZED, "the client certificate is not that of an SAE")
        if time.time() > expiry(peer["notAfter"]):  # TLS looked when the connection was made
            raise KmeRefusal(HTTPStatus.UNAUTHORIZED, "the client certificate has expired; enrol again")
        try:
            revoked = int(peer["serialNumber"], 16) in self._revoked()
        except StorageError as error:
            log.error("%s", error)
            text = "the KME cannot tell which certificates are revoked; its log says why"
            raise KmeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, text) from None
        if revoked:
            raise KmeRefusal(HTTPStatus.UNAUTHORIZED, "the client certificate is revoked; enrol again")
        names = [value for part in peer["subject"] for name, value in part if name == "commonName"]
        return str(names[0])

    def _audit(self, sae_id: str, request: web.BaseRequest, path: str, reply: Reply) -> None:
        entry = {
            "time": time.time(), "kme": self._service.kme_id, "sae": sae_id, "method": request.method,
            "path": path[:512], "status": int(reply.status), "key_ids": reply.key_ids,
        }  # fmt: skip
        audit.info("%s", msgspec.json.encode(entry).decode())

    async def _keep_up(self) -> None:
        upkeep = Recurring(f"the upkeep of {self._service.kme_id}", log)
        while True:
            self._keys_went_out.clear()
            with upkeep.turn():
                more = True
                while more:
                    more = await self._upkeep(time.time())
                    await self._commit()
                    await asyncio.sleep(0)  # whoever else has something to do goes first
            try:
                async with asyncio.timeout(UPKEEP_SECONDS):
                    await self._keys_went_out.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(AFTER_ANSWER)


Refuse = Callable[[web.BaseRequest, int, str], web.Response]
"""Makes the answer with this status, for this reason."""


class _Connection(web.RequestHandler):
    """A connection on which aiohttp's own refusals are ours: JSON with a message (clause 6.5)."""

    def __init__(self, server: _Server, refuse: Refuse, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer and close, without aiohttp's traceback, and without its text, which quotes the request."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed: %s", type(exc).__name__)
            reason = "internal error of the KME"
        elif isinstance(exc, LineTooLong):
            reason = "the path or a header of the request is too long"
        else:
            reason = "the request is not well-formed HTTP/1.1"
        answer = self._refuse(request, status, reason)
        answer.force_close()
        return answer

    def log_exception(self, *texts: Any, exc_info: BaseException | None = None, **others: Any) -> None:
        """What aiohttp would tell with a traceback; of a body that cannot be read, the answer has told."""
        if not isinstance(exc_info, web.RequestPayloadError):
            log.error("a connection failed: %s", type(exc_info).__name__)


class _Server(web.Server):
    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], refuse: Refuse
    ) -> None:
        super().__init__(handler)
        self._refuse = refuse

    def __call__(self) -> _Connection:
        return _Connection(self, self._refuse, keepalive_timeout=KEEP_ALIVE, access_log=None)


async def _body(request: web.BaseRequest) -> bytes:
    """The body, at most :data:`MAX_BODY` bytes; raises :class:`KmeRefusal` with 413, or 400 if garbled."""
    chunks: list[bytes] = []
    total = 0
    try:
        async for chunk in request.content.iter_any():
            total += len(chunk)
            if total > MAX_BODY:
                raise KmeRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body exceeds {MAX_BODY} bytes")
            chunks.append(chunk)
    except (web.RequestPayloadError, ConnectionError):
        raise KmeRefusal(
            HTTPStatus.BAD_REQUEST, "the body is cut short or not coded as its headers say"
        ) from None
    return b"".join(chunks)


async def serve_kme(
    service: KeyService,
    *,
    host: str,
    port: int,
    context: ssl.SSLContext,
    revoked: Callable[[], Set[int]],
    upkeep: Callable[[float], Awaitable[bool]],
    commit: GroupCommit,
) -> KmeServer:
    """A key node that is listening. ``context`` is :meth:`relay.trust.Trust.server_context`."""
    server = KmeServer(service, revoked, upkeep, commit)
    await server.listen(host, port, context)
    return server
