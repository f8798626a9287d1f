"""Quantum keys for this phone: from its key node over ETSI GS QKD 014, or from another source.

:class:`QkdSource` is the seam: a phone that was charged with keys at its site beforehand (a quantum SIM
card) would be another source. :class:`KeyNode` asks a key node over mutual TLS on a connection kept warm, and
takes keys only sealed: each request carries a one-time HPKE public key, so a recording of the classical
TLS below opens no key, whatever computers come.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM1024P384PrivateKey, Suite
from cryptography.x509.oid import NameOID
from yarl import URL

from qcall.crypto.secret import Secret
from qcall.errors import NotSetUp, RelayRefused, Unavailable
from qcall.wire import etsi014
from qcall.wire.etsi014 import BadFormat, KeyContainer, KeyId, KeyIds, KeyRequest, Status
from qcall.wire.vouched import Untrusted, VouchedConnector

from .authority import UNTRUSTED, KnownAuthority

KEY_BYTES = 32
TIMEOUT = 5.0
KEEP_WARM = 3600.0
"""Seconds that an idle connection is kept."""
MAX_ANSWER = 1 << 20

SHORTAGES = {
    "no-capacity": "qkd-no-capacity",
    "fair-share": "qkd-fair-share",
    "quota": "qkd-quota",
}
"""Why a key node that has keys gives none: what it says, and our code for it."""

_SUITE = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)


@dataclass(frozen=True)
class QkdKey:
    """One quantum key of 32 bytes and where it came along; ``extension`` is the key node's own account."""

    key_id: str
    key: Secret
    path: tuple[str, ...] = ()
    extension: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkFault:
    """A link of the usual route that makes or holds no key."""

    link: tuple[str, str]
    condition: str
    """``cut``, ``alarm`` (an eavesdropper), ``no-key``, ``empty`` or ``down``."""


@dataclass(frozen=True)
class Outlook:
    """What a key node says of the keys to come, towards one SAE."""

    keys_left: int
    keys_per_second: float
    calls: int
    """That share them, this one included once it has drawn a key."""
    path: tuple[str, ...] = ()
    """The nodes that a key would pass now; empty when there is no way."""
    faults: tuple[LinkFault, ...] = ()

    def minutes(self, rekey: float) -> float | None:
        """For how long the keys last when every call rekeys each ``rekey`` seconds; ``None``: for ever."""
        drain = max(self.calls, 1) / rekey - self.keys_per_second
        return None if drain <= 0 else self.keys_left / drain / 60


class QkdSource(Protocol):
    """Where quantum keys come from. Raises :class:`Unavailable` and :class:`RelayRefused`."""

    async def enc_keys(self, slave_sae_id: str, *, number: int = 1) -> list[QkdKey]:
        """Fresh keys shared with ``slave_sae_id``."""

    async def dec_keys(self, master_sae_id: str, key_ids: Sequence[str]) -> list[QkdKey]:
        """The keys that ``master_sae_id`` named, in the order of ``key_ids``; each is given out once."""

    async def outlook(self, slave_sae_id: str) -> Outlook | None:
        """What keys are to come; ``None`` from a source that does not know."""

    async def close(self) -> None:
        """Give up connections."""


class _LinkFault(msgspec.Struct, frozen=True):
    link: tuple[str, str]
    condition: str


class _StatusExtension(msgspec.Struct, frozen=True):
    """The vendor extensions of our own key nodes (see :mod:`qcall.wire.etsi014`)."""

    qcall_keys_left: int
    qcall_keys_per_second: float = 0.0
    qcall_calls: int = 0
    qcall_route: tuple[str, ...] = ()
    qcall_faults: tuple[_LinkFault, ...] = ()


def sae_key_and_request() -> tuple[bytes, bytes]:
    """A fresh TLS key and a certificate request for it, both PEM. The key stays on this phone.

    The request names nobody: the authority chooses the name.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, request.public_bytes(pem)


class KeyNode:
    """This phone's key node ``kme_id`` at ``url``; ``certificate`` and ``key`` are PEM files of the SAE.

    TLS checks that the key node's certificate is of ``authority`` and names ``kme_id``; before every request
    ``authority`` is asked whether it has revoked it since. Raises :class:`NotSetUp` when the files cannot be
    used.
    """

    def __init__(
        self,
        url: str,
        *,
        kme_id: str,
        certificate: Path,
        key: Path,
        authority: KnownAuthority,
        timeout: float = TIMEOUT,
    ) -> None:
        self._url = url.rstrip("/")
        self._kme_id = kme_id
        self._authority = authority
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        try:
            self._context = ssl.create_default_context(cadata=authority.ca_pem.decode())
            self._context.load_cert_chain(certificate, key)
            subject = x509.load_pem_x509_certificate(certificate.read_bytes()).subject
            self.sae_id = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        except (OSError, ValueError, IndexError) as error:
            raise NotSetUp(
                f"the key-node certificate {certificate} cannot be used ({error}); run qcall init again"
            ) from None
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Warm the connection: the TLS handshake is done before the first call needs a key."""
        await self.status(self.sae_id)

    @property
    def url(self) -> str:
        """Where it is asked."""
        return self._url

    def move(self, url: str) -> None:
        """Ask at ``url`` from the next request on: a relay that starts again may put its key nodes elsewhere.

        Whoever answers there must still prove by its certificate that it is ``kme_id``.
        """
        self._url = url.rstrip("/")

    async def close(self) -> None:
        """Drop the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def status(self, slave_sae_id: str) -> Status:
        """What the key node holds towards ``slave_sae_id`` (clause 5.1)."""
        return self._decoded(await self._ask("GET", etsi014.path(slave_sae_id, "status"), None), Status)

    async def outlook(self, slave_sae_id: str) -> Outlook | None:
        told = (await self.status(slave_sae_id)).status_extension or {}
        if etsi014.KEYS_LEFT not in told:  # another vendor's key node, or both phones at one site
            return None
        try:
            known = msgspec.convert(told, _StatusExtension)
        except msgspec.ValidationError:
            raise self._nonsense("a status extension that says nothing") from None
        faults = tuple(LinkFault(fault.link, fault.condition[:16]) for fault in known.qcall_faults)
        return Outlook(
            known.qcall_keys_left, known.qcall_keys_per_second, known.qcall_calls, known.qcall_route, faults
        )

    async def enc_keys(self, slave_sae_id: str, *, number: int = 1) -> list[QkdKey]:
        opener, asked = _one_time()
        request = KeyRequest(number=number, extension_mandatory=(asked,))
        body = await self._ask("POST", etsi014.path(slave_sae_id, "enc_keys"), etsi014.encode(request))
        keys = self._opened(body, opener, master=self.sae_id, slave=slave_sae_id)
        if len(keys) != number:
            raise self._nonsense(f"{len(keys)} keys instead of {number}")
        return keys

    async def dec_keys(self, master_sae_id: str, key_ids: Sequence[str]) -> list[QkdKey]:
        opener, asked = _one_time()
        request = KeyIds(key_ids=tuple(KeyId(key_id=key_id) for key_id in key_ids), key_ids_extension=asked)
        body = await self._ask("POST", etsi014.path(master_sae_id, "dec_keys"), etsi014.encode(request))
        keys = {
            key.key_id: key for key in self._opened(body, opener, master=master_sae_id, slave=self.sae_id)
        }
        if keys.keys() != set(key_ids):
            raise self._nonsense("other keys than were asked for")
        return [keys[key_id] for key_id in key_ids]

    async def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        """The body of a 200 answer. A connection that went stale meanwhile is opened anew, once."""
        try:
            try:
                return await self._exchange(method, path, body)
            except aiohttp.ServerDisconnectedError:
                return await self._exchange(method, path, body)
        except aiohttp.ClientConnectorCertificateError as error:
            raise Unavailable(
                f"{self._url} is not the key node {self._kme_id}: {error.certificate_error}",
                code=UNTRUSTED,
            ) from None
        except Untrusted as objection:
            text = f"key node {self._kme_id} is not to be trusted: {objection}"
            raise Unavailable(text, code=UNTRUSTED) from None
        except TimeoutError:
            raise Unavailable(
                f"key node {self._kme_id} did not answer within {self._timeout:g} s; try again",
                code="qkd-timeout",
            ) from None
        except (aiohttp.ClientError, OSError):
            raise Unavailable(
                f"key node {self._kme_id} cannot be reached at {self._url}; is the relay running?",
                code="qkd-unreachable",
            ) from None

    async def _exchange(self, method: str, path: str, body: bytes | None) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=VouchedConnector(self._authority.objection, limit=4, keepalive_timeout=KEEP_WARM),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        async with self._session.request(
            method,
            URL(self._url + path, encoded=True),
            data=body,
            ssl=self._context,
            server_hostname=self._kme_id,
            allow_redirects=False,
            headers={"Content-Type": "application/json"} if body else None,
        ) as response:
            answer = b""
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise self._nonsense("an answer without end")
            if response.status != HTTPStatus.OK:
                self._refuse(response.status, answer)
            return answer

    def _refuse(self, status: int, answer: bytes) -> None:
        try:
            error = etsi014.decode(answer, etsi014.Error)
            said, details = error.message[:200], error.details or ()
        except BadFormat:
            said, details = f"HTTP status {status}", ()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            code = "qkd-depleted" if status == HTTPStatus.SERVICE_UNAVAILABLE else "qkd-failed"
            code = next(
                (SHORTAGES[str(each.get("code"))] for each in details if each.get("code") in SHORTAGES), code
            )
            raise Unavailable(f"key node {self._kme_id} has no quantum key now: {said}", code=code)
        code = "qkd-unauthorized" if status == HTTPStatus.UNAUTHORIZED else "qkd-refused"
        if said == etsi014.KEY_NOT_FOUND:
            code = "qkd-key-not-found"
        raise RelayRefused(f"key node {self._kme_id} refused: {said}", code=code)

    def _opened(
        self, body: bytes, opener: MLKEM1024P384PrivateKey, *, master: str, slave: str
    ) -> list[QkdKey]:
        """The keys of a container, unsealed; a container that is not sealed as asked is refused."""
        container = self._decoded(body, KeyContainer)
        if (container.key_container_extension or {}).get(etsi014.SEAL) != etsi014.Seal().suite():
            raise self._nonsense("keys that are not sealed")
        keys = []
        for each in container.keys:
            info = etsi014.seal_info(self._kme_id, master, slave, each.key_id)
            try:
                key = _SUITE.decrypt(base64.b64decode(each.key, validate=True), opener, info)
            except (InvalidTag, ValueError, binascii.Error):
                raise self._nonsense("a key that this phone cannot unseal") from None
            if len(key) != KEY_BYTES:
                raise self._nonsense(f"a key of {len(key)} bytes instead of {KEY_BYTES}")
            extension = each.key_extension or {}
            keys.append(QkdKey(each.key_id, Secret(key), _nodes(extension), extension))
        return keys

    def _decoded(self, body: bytes, model: type[etsi014.ModelT]) -> etsi014.ModelT:
        try:
            return etsi014.decode(body, model)
        except BadFormat:
            raise self._nonsense("an answer that is not ETSI GS QKD 014") from None

    def _nonsense(self, what: str) -> RelayRefused:
        return RelayRefused(f"key node {self._kme_id} sent {what}; do not use it", code="qkd-malformed")


def _one_time() -> tuple[MLKEM1024P384PrivateKey, etsi014.Extension]:
    """A private key for one request, and the extension that asks to seal to it."""
    lattice = mlkem.MLKEM1024PrivateKey.generate()
    curve = ec.generate_private_key(ec.SECP384R1())
    point = curve.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    public = lattice.public_key().public_bytes_raw() + point
    asked = {**etsi014.Seal().suite(), "public_key": base64.b64encode(public).decode()}
    return MLKEM1024P384PrivateKey(lattice, curve), {etsi014.SEAL: asked}


def _nodes(extension: dict[str, Any]) -> tuple[str, ...]:
    """The node path of a key: the first of several when it came in shares."""
    route = extension.get(etsi014.ROUTE)
    if isinstance(route, list) and route and isinstance(route[0], list):
        route = route[0]
    return tuple(map(str, route)) if isinstance(route, list) else ()
