"""The phone's connection to its relay: enrolment, login, heartbeats, envelopes, and coming back.

`SignallingClient` keeps one registration alive. A connection that breaks is made again with back-off, and
envelopes the relay had not accepted are sent again; only a relay that refuses, or a login of the same name
elsewhere, ends it for good. `enrol` is a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Protocol

import aiohttp

from qcall.errors import RelayRefused, StorageError, Unavailable, UsageError
from qcall.wire.invite import BadInvite, Invite, spki_hash
from qcall.wire.signalling import (
    CA_PATH,
    HEARTBEAT_INTERVAL,
    MAX_FRAME,
    MAX_PAYLOAD,
    NAME,
    WATCH_LIMIT,
    Accepted,
    Code,
    Delivery,
    Enrol,
    Enrolled,
    Envelope,
    Failed,
    FromRelay,
    Heartbeat,
    HeartbeatAck,
    Login,
    Presence,
    TurnCredentials,
    Watch,
    Welcome,
    enrol_transcript,
    login_transcript,
)

from .address import RelayAddress
from .lane import CONNECT_LIMIT, Lane, Lost, dial, http_url, reason, unavailable, whole
from .outbox import Outbox, Seen

FIRST_DELAY, LONGEST_DELAY = 0.2, 8.0
"""Seconds before the first and between the last attempts to connect again."""
TRANSIENT = frozenset({Code.TIMEOUT, Code.BUSY, Code.FAULT})
"""Refusals that another attempt may not meet."""
WRONG_RELAY = "wrong-relay"


class Signer(Protocol):
    """The phone's identity. A private key never comes here."""

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Ed25519 over ``ed25519_message(message)``; ML-DSA-87 over ``message`` with ``SIGNING_CONTEXT``."""


class SignallingClient:
    """A registered phone; made by ``connect``.

    The callbacks are plain functions, called in the event loop: ``on_delivery`` once for every envelope that
    comes, ``on_failed`` for every one of ours that did not get there, ``on_state`` with true after every
    login and with false when the connection is gone, then once more when ``failure`` says why it will not
    come back.
    """

    def __init__(
        self,
        relay: RelayAddress,
        name: str,
        signer: Signer,
        ca_pem: bytes | None,
        on_delivery: Callable[[Delivery], None],
        on_failed: Callable[[Failed], None],
        on_state: Callable[[bool], None],
    ) -> None:
        self._relay = relay
        self._name = name
        self._signer = signer
        self._ca_pem = ca_pem
        self._ca_hash = None if ca_pem is None else _hash_of_stored(ca_pem)
        self.on_delivery = on_delivery
        self.on_failed = on_failed
        self.on_state = on_state
        self.on_presence: Callable[[Mapping[str, str]], None] = lambda _: None
        self.on_crl: Callable[[int], None] = lambda _: None
        """Told when the number of the authority's revocation list is another than ``welcome`` says."""
        self._watch: Watch | None = None
        self.connected = False
        self.failure: RelayRefused | None = None
        self.welcome: Welcome
        self.turn: TurnCredentials
        self._outbox = Outbox()
        self._seen = Seen()
        self._lane: Lane | None = None
        self._turn_to_write = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        name: str,
        signer: Signer,
        ca_pem: bytes | None = None,
        *,
        on_delivery: Callable[[Delivery], None] = lambda _: None,
        on_failed: Callable[[Failed], None] = lambda _: None,
        on_state: Callable[[bool], None] = lambda _: None,
    ) -> SignallingClient:
        """Log in as ``name`` at ``url``, trusting ``ca_pem`` alone (without it, the system's authorities).

        Raises ``UsageError``, ``Unavailable``, or ``RelayRefused`` with a `Code`, or ``wrong-relay`` when
        it is not the relay of ``ca_pem``.
        """
        client = cls(RelayAddress.parse(url), name, signer, ca_pem, on_delivery, on_failed, on_state)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        client._task = asyncio.create_task(client._stay(ready), name="signalling client")
        try:
            await asyncio.wait((client._task, ready), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await client._task
        except BaseException:
            await client._stop()
            raise
        return client

    async def send(self, to: str, call_id: bytes, seq: int, payload: bytes) -> None:
        """Have ``payload`` (at most 64 KiB) carried to the phone of ``to``; ``seq`` counts within the call.

        Survives a broken connection: what the relay does not accept within 10 s comes back through
        ``on_failed`` as ``relay-lost``. Raises ``failure`` once there is one.
        """
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"an envelope carries {MAX_PAYLOAD} bytes, not {len(payload)}")
        if self.failure is not None:
            raise self.failure
        if self._task is None or self._task.done():
            raise unavailable(self._relay)
        envelope = Envelope(to, call_id, seq, payload)
        self._outbox.put(envelope, time.monotonic())
        self._set_sweep()
        # A lane that breaks here is made again by _stay, and the envelope is sent after the next login.
        with contextlib.suppress(Lost):
            async with self._turn_to_write:
                if self._lane is not None:
                    await self._lane.send(envelope)

    async def watch(self, names: Iterable[str], *, busy: bool) -> None:
        """Name whose presence this phone wants to know; they may then know its own. Holds for every login."""
        self._watch = Watch(tuple(sorted(names))[:WATCH_LIMIT], busy)
        with contextlib.suppress(Lost):
            async with self._turn_to_write:
                if self._lane is not None:
                    await self._lane.send(self._watch)

    async def close(self) -> None:
        """Log out and leave nothing running; raises what a callback raised."""
        if (fault := await self._stop()) is not None:
            raise fault

    async def _stop(self) -> BaseException | None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        task, self._task = self._task, None
        if task is None:
            return None
        task.cancel()
        await asyncio.wait((task,))
        return None if task.cancelled() else task.exception()

    async def _stay(self, ready: asyncio.Future[None]) -> None:
        """Connect, and connect again, until the relay refuses; raises what happens before the first login."""
        delay = FIRST_DELAY
        while True:
            try:
                async with dial(self._relay, self._ca_pem) as lane:
                    async with _limited(self._relay):
                        self.welcome = await self._login(lane)
                    self.turn = self.welcome.turn
                    delay = FIRST_DELAY
                    if not ready.done():
                        ready.set_result(None)
                    await self._converse(lane)
            except RelayRefused as refused:
                if not ready.done():
                    raise
                if refused.code not in TRANSIENT:
                    self._end(refused)
                    return
            except (Lost, TimeoutError, Unavailable):
                if not ready.done():
                    raise
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _login(self, lane: Lane) -> Welcome:
        challenge = await lane.challenge(self._name)
        if self._ca_hash not in (None, challenge.relay):
            raise _not_ours(self._relay)
        transcript = login_transcript(relay=challenge.relay, nonce=challenge.nonce, name=self._name)
        await lane.send(Login(*self._signer.sign(transcript)))
        return await lane.expect(Welcome)

    async def _converse(self, lane: Lane) -> None:
        """From Welcome until the connection is over, which raises."""
        ttl = self.welcome.lease_ttl
        beating = asyncio.create_task(_beat(lane, min(HEARTBEAT_INTERVAL, ttl / 3)), name="heartbeat")
        self.connected = True
        try:
            self.on_state(True)
            async with self._turn_to_write:
                self._lane = lane
                if self._watch is not None:
                    await lane.send(self._watch)
                for envelope in self._outbox.waiting:
                    await lane.send(envelope)
            while True:
                # Every heartbeat is answered: a relay that says nothing for a whole lease is gone.
                async with asyncio.timeout(ttl):
                    message = await lane.receive()
                self._take(message)
        finally:
            self._lane, self.connected = None, False
            beating.cancel()
            await asyncio.wait((beating,))
            self.on_state(False)

    def _take(self, message: FromRelay) -> None:
        match message:
            case Delivery():
                if self._seen.first(message):
                    self.on_delivery(message)
            case Accepted(call_id, seq):
                self._outbox.settle(call_id, seq)
            case Failed(call_id, seq):
                self._outbox.settle(call_id, seq)
                self.on_failed(message)
            case HeartbeatAck(turn, crl):
                self.turn = turn or self.turn
                if crl is not None:
                    self.on_crl(crl)
            case Presence(people):
                self.on_presence(people)
            case _:
                raise Lost("the relay sent what does not belong here")

    def _end(self, refused: RelayRefused) -> None:
        self.failure = refused
        self._give_up(float("inf"))
        self.on_state(False)

    def _give_up(self, now: float) -> None:
        for failed in self._outbox.give_up(now):
            self.on_failed(failed)
        self._set_sweep()

    def _set_sweep(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if (deadline := self._outbox.deadline) is not None:
            delay = max(0.0, deadline - time.monotonic())
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(delay, lambda: self._give_up(time.monotonic()))


async def enrol(
    url: str,
    name: str,
    invite: str,
    ed25519_public: bytes,
    mldsa_public: bytes,
    csr_pem: bytes,
    signer: Signer,
) -> Enrolled:
    """Enrol ``name`` with a one-time invite; ``ca_pem`` of the result is what to trust from now on.

    The invite names the relay's CA: it is shown to no other relay. Raises ``UsageError``, ``Unavailable``, or
    ``RelayRefused`` with the code ``invite``, ``name-taken``, ``version``, ``wrong-relay`` and the like.
    """
    relay = RelayAddress.parse(url)
    if NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} cannot be a name; use up to 32 of a-z, 0-9, '.', '_' and '-'")
    try:
        ticket = Invite.parse(invite)
    except BadInvite as error:
        raise RelayRefused(
            f"{error}; check it, or ask the relay's operator for a new invite", code=Code.INVITE
        ) from None
    ca_pem = await _first_contact(relay, ticket) if relay.tls else None
    public = {"ed25519_public": ed25519_public, "mldsa_public": mldsa_public, "csr_pem": csr_pem}
    async with dial(relay, ca_pem) as lane, _limited(relay):
        challenge = await lane.challenge(name)
        if not ticket.names(challenge.relay):
            raise _not_invited(relay)
        transcript = enrol_transcript(
            relay=challenge.relay, nonce=challenge.nonce, name=name, invite=str(ticket), **public
        )
        ed25519_signature, mldsa_signature = signer.sign(transcript)
        await lane.send(
            Enrol(str(ticket), **public, ed25519_signature=ed25519_signature, mldsa_signature=mldsa_signature)
        )
        enrolled = await lane.expect(Enrolled)
    if not _is_invited(ticket, enrolled.ca_pem):
        raise _not_invited(relay)
    return enrolled


async def _beat(lane: Lane, interval: float) -> None:
    with contextlib.suppress(Lost):
        while True:
            await asyncio.sleep(interval)
            await lane.send(Heartbeat())


def _hash_of_stored(ca_pem: bytes) -> bytes:
    try:
        return spki_hash(ca_pem)
    except ValueError:
        text = "the stored certificate of the relay is damaged; enrol again with a new invite: qcall init"
        raise StorageError(text) from None


async def _first_contact(relay: RelayAddress, invite: Invite) -> bytes:
    """The relay's CA, fetched without trust and then held against the invite."""
    timeout = aiohttp.ClientTimeout(total=CONNECT_LIMIT)
    try:
        # Nothing is sent that matters, and what comes is believed only if the invite names it.
        connector = aiohttp.TCPConnector(ssl=False)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            session.get(http_url(relay, CA_PATH), allow_redirects=False) as response,
        ):
            ca_pem = await whole(relay, response, MAX_FRAME)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unavailable(relay, reason(error)) from None
    if not _is_invited(invite, ca_pem):
        raise _not_invited(relay)
    return ca_pem


@contextlib.asynccontextmanager
async def _limited(relay: RelayAddress) -> AsyncIterator[None]:
    """The relay answers within a limit, or is not there."""
    try:
        async with asyncio.timeout(CONNECT_LIMIT):
            yield
    except TimeoutError:
        raise unavailable(relay, "no answer") from None
    except Lost as lost:
        raise unavailable(relay, str(lost)) from None


def _is_invited(invite: Invite, ca_pem: bytes) -> bool:
    try:
        return invite.names(spki_hash(ca_pem))
    except ValueError:
        return False


def _not_ours(relay: RelayAddress) -> RelayRefused:
    text = f"the relay at {relay} is not the one this phone enrolled at; check the URL, or enrol there"
    return RelayRefused(text, code=WRONG_RELAY)


def _not_invited(relay: RelayAddress) -> RelayRefused:
    text = f"the relay at {relay} is not the one that made this invite; check the URL and the invite"
    return RelayRefused(text, code=WRONG_RELAY)
