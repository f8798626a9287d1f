"""A phone that is registered at its relay: dials, is called, has as many conversations as it has lines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from qcall.agreement.callee import Callee
from qcall.agreement.caller import Caller
from qcall.agreement.machine import Phone as AgreementPhone
from qcall.agreement.messages import Kind, Refuse, RefuseCode, frame
from qcall.agreement.policy import AttemptLimit, QkdPolicy
from qcall.call.machine import State
from qcall.config import Account, Home, Settings
from qcall.crypto.identity import Identity
from qcall.errors import LocalFault, QcallError, RelayRefused, UsageError
from qcall.media.peer import Relay
from qcall.net.address import RelayAddress
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode, QkdSource
from qcall.net.signalling import SignallingClient
from qcall.records.store import FORGOTTEN, Records
from qcall.wire.signalling import NAME, Delivery, Failed, Reason

from .conversation import Conversation
from .enrolment import RelaySigner
from .event import Event
from .line import Line
from .sound import Opener
from .suites import offered

REFUSED_KEPT = 64
"""Dialogues that are remembered as refused: each gets one answer."""
ENDING_LIMIT = 8.0
"""Seconds for every call to take its leave: more than all limits of its own together."""
GREETING_LIMIT = 0.5
"""Seconds to let what is under way with relay and key node finish when the phone is closed."""
T = TypeVar("T")

log = logging.getLogger(__name__)


class Phone:
    """Made by ``online``; an asynchronous context manager that ends every call and connection.

    ``on_call`` is called with each conversation that somebody else begins, ``on_incoming`` when it begins to
    ring, that is when its caller is authenticated; ``tell`` with every event. ``gone`` is done, with the
    reason, when the relay will not have this phone any more: another took its name, or its enrolment ended.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        identity: Identity,
        *,
        sound: Opener,
        tell: Callable[[Event], None],
        lines: int = 1,
    ) -> None:
        self.account: Account = home.account()
        self._kems, self._suites = offered(settings, os.environ, Path.home())
        self.conversations: dict[bytes, Conversation] = {}
        """Every conversation that has not ended, by its dialogue."""
        self.lines = lines
        """Conversations at one time; whoever calls beyond them is told that this phone is busy."""
        self.on_call: Callable[[Conversation], None] = lambda conversation: None
        self.on_incoming: Callable[[Conversation], None] = lambda conversation: None
        self.records = Records(home.records)
        self.gone: asyncio.Future[QcallError] = asyncio.get_running_loop().create_future()
        self._home = home
        self._settings = settings
        self._identity = identity
        self.devices = sound
        self._tell = tell
        self._attempts = AttemptLimit()
        self._sequence: dict[bytes, int] = {}
        self._signalling: SignallingClient | None = None
        self._qkd: QkdSource | None = None
        self.key_node: KeyNode | None = None
        self._authority: KnownAuthority
        self._catching_up: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: list[bytes] = []
        self._closing = False
        self._less: set[str] = set()
        """Contacts whose next call may have fewer layers."""
        self._watched: tuple[frozenset[str], bool] | None = None
        self._kme_url: str | None = None
        self._was_away = False

    async def online(self, *, kme_url: str | None = None) -> Self:
        """Register at the relay and greet the key node, whose address ``kme_url`` overrides.

        Raises ``Unavailable`` and ``RelayRefused``. A key node that is away is not an error here: whether a
        call needs it is the policy's to say.
        """
        home, account = self._home, self.account
        if self.records.fresh:
            self._say("forgotten", message=FORGOTTEN)
        ca_pem = home.ca()
        self._kme_url = kme_url
        self._authority = KnownAuthority(ca_pem, home.revocations)
        self._signalling = await SignallingClient.connect(
            account.relay,
            account.name,
            RelaySigner(self._identity),
            ca_pem,
            on_delivery=self._guarded(self._on_delivery),
            on_failed=self._guarded(self._on_failed),
            on_state=self._guarded(self._on_relay),
        )
        self._signalling.on_presence = self._guarded(self._on_presence)
        self._signalling.on_crl = self._guarded(lambda number: self._start(self._follow_authority(number)))
        self.key_node = node = KeyNode(
            kme_url or self._signalling.welcome.kme_url,
            kme_id=account.kme_id,
            certificate=home.sae_certificate,
            key=home.sae_key,
            authority=self._authority,
        )
        self._qkd = node
        await self._follow_authority(self._signalling.welcome.crl)
        self._start(greet(node))
        self._say("registered", name=account.name, site=account.site, relay=account.relay)
        return self

    def dial(self, contact: str, *, allow_less: bool = False) -> Conversation:
        """Call ``contact``. Raises ``UsageError`` when that cannot be, or a call is in progress."""
        if NAME.fullmatch(contact) is None:
            raise UsageError(f"{contact!r} cannot be a name; a relay knows 1 to 32 of a-z, 0-9 and . _ -")
        if contact == self.account.name:
            raise UsageError("this phone cannot call itself; give the name of somebody else")
        if self.busy:
            raise UsageError("a call is in progress; hang up first")
        dialogue = os.urandom(16)
        now = time.monotonic()
        agreement = self._agreement(allow_less or contact in self._less)
        caller = Caller(agreement, peer_name=contact, now=now, unix=time.time())
        conversation = self._begin(Conversation(self._line(contact, dialogue), caller, dialogue))
        conversation.dial()
        return conversation

    def adopt(self, *, qkd: str | None = None, presence: bool | None = None) -> None:
        """Hold to another policy from the next call on, or tell of this phone's presence or not."""
        changed = {"qkd": qkd, "presence": presence}
        chosen = {name: value for name, value in changed.items() if value is not None}
        self._settings = msgspec.structs.replace(self._settings, **chosen)

    def allow_less(self, contact: str) -> None:
        """Let the next call with ``contact`` that is answered have less than earlier ones had."""
        self._less.add(contact)

    @property
    def conversation(self) -> Conversation | None:
        """The latest conversation that has not ended."""
        return next(reversed(self.conversations.values()), None)

    @property
    def busy(self) -> bool:
        """Whether every line has a conversation."""
        return len(self.conversations) >= self.lines

    async def close(self) -> None:
        """Hang up and disconnect. May be called at any time, and twice."""
        self._closing = True
        async with contextlib.AsyncExitStack() as ending:
            ending.callback(self.records.close)
            if self._signalling is not None:
                ending.push_async_callback(self._signalling.close)
            if self._qkd is not None:
                ending.push_async_callback(self._qkd.close)
            ending.push_async_callback(self._stop_tasks)
            conversations = tuple(self.conversations.values())
            for conversation in conversations:
                conversation.hang_up()
            if conversations:
                await asyncio.wait({each.ended for each in conversations}, timeout=ENDING_LIMIT)

    async def _stop_tasks(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
        if self._tasks:
            # A TLS handshake that is cut short makes a noise; it is over in milliseconds.
            await asyncio.wait(self._tasks, timeout=GREETING_LIMIT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _agreement(self, allow_less: bool = False) -> AgreementPhone:
        return AgreementPhone(
            name=self.account.name,
            identity=self._identity,
            memory=self.records,
            entropy=os.urandom,
            policy=QkdPolicy(self._settings.qkd),
            sae_id=self.account.sae_id,
            kme_id=self.account.kme_id,
            suites=self._suites,
            kems=self._kems,
            allow_less=allow_less,
            rekey_interval=self._settings.rekey,
        )

    def _line(self, contact: str, dialogue: bytes) -> Line:
        assert self._signalling is not None
        assert self._qkd is not None
        signalling = self._signalling

        async def send(payload: bytes) -> None:
            sequence = self._sequence[dialogue] = self._sequence.get(dialogue, -1) + 1
            await signalling.send(contact, dialogue, sequence, payload)

        def relay() -> Relay:
            turn = signalling.turn
            return Relay(turn.host, turn.port_of(dialogue), turn.username, turn.password)

        return Line(
            name=self.account.name,
            send=send,
            relay=relay,
            qkd=self._qkd,
            records=self.records,
            sound=self.devices,
            tell=self._tell,
            frame_ms=self._settings.frame_ms,
            bitrate=self._settings.bitrate,
            copies=self._settings.copies,
            kme_id=self.account.kme_id,
            rekey=self._settings.rekey,
        )

    def _begin(self, conversation: Conversation) -> Conversation:
        self.conversations[conversation.dialogue] = conversation
        conversation.ended.add_done_callback(lambda _: self._over(conversation.dialogue))
        return conversation

    def _over(self, dialogue: bytes) -> None:
        ended = self.conversations.pop(dialogue)
        if ended.talked:
            self._less.discard(ended.contact)
        self._sequence.pop(dialogue, None)

    def _on_delivery(self, delivery: Delivery) -> None:
        current = self.conversations.get(delivery.call_id)
        if current is not None:
            if current.contact == delivery.sender:
                current.receive(delivery.payload)
            return
        if delivery.payload[1:2] != bytes([Kind.M1]):
            return  # The rest of a call that is over.
        if self.busy or not self._attempts.allow(delivery.sender, time.monotonic()):
            code = RefuseCode.BUSY if self.busy else RefuseCode.TRY_LATER
            self._refuse(delivery, code)
            return
        self._invited(delivery)

    def _invited(self, delivery: Delivery) -> None:
        now = time.monotonic()
        agreement = self._agreement(delivery.sender in self._less)
        callee = Callee(agreement, peer_name=delivery.sender, now=now, unix=time.time())
        line = self._line(delivery.sender, delivery.call_id)
        conversation = self._begin(Conversation(line, callee, delivery.call_id))
        conversation.on_ring = lambda: self._rings(conversation)
        self.on_call(conversation)
        conversation.invited()
        conversation.receive(delivery.payload)

    def _rings(self, conversation: Conversation) -> None:
        self._attempts.completed(conversation.contact)
        self.on_incoming(conversation)

    def _refuse(self, delivery: Delivery, code: RefuseCode) -> None:
        """Say no to a call that gets no conversation."""
        assert self._signalling is not None
        if delivery.call_id in self._refused:
            return
        self._refused = [*self._refused[-REFUSED_KEPT:], delivery.call_id]
        refusal = frame(Kind.REFUSE, Refuse(code))
        self._say("refused", contact=delivery.sender, code=str(code))
        self._start(self._signalling.send(delivery.sender, delivery.call_id, 0, refusal))

    def _on_relay(self, connected: bool) -> None:
        failure = None if self._signalling is None else self._signalling.failure
        if failure is not None:
            self._give_up(failure)
            return
        if connected:
            self._follow_key_node()
        if not self._closing:
            self._say("relay", connected=connected, again=connected and self._was_away)
            self._was_away = not connected

    def _follow_key_node(self) -> None:
        """Every login names the key node's address anew."""
        if self._signalling is None or self.key_node is None:
            return  # The first login, which ``online`` waits for.
        if self._kme_url is None:
            self.key_node.move(self._signalling.welcome.kme_url)
        self._start(self._meet(self.key_node, self._signalling.welcome.crl))

    async def _meet(self, node: KeyNode, crl: int) -> None:
        await self._follow_authority(crl)
        await greet(node)

    async def _follow_authority(self, crl: int) -> None:
        """Have the revocation list with this number before the key node is asked again."""
        relay = RelayAddress.parse(self.account.relay)
        await self._authority.follow(relay, crl)
        if self._authority.is_behind and (self._catching_up is None or self._catching_up.done()):
            self._catching_up = self._start(self._authority.catch_up(relay))

    def _give_up(self, failure: QcallError) -> None:
        """This phone cannot be called any more."""
        if not self.gone.done():
            self.gone.set_result(failure)
            self._say("gone", code=failure.code, message=str(failure))

    def _guarded(self, callback: Callable[[T], object]) -> Callable[[T], None]:
        """``callback`` for signalling to call: what it raises ends this phone's service, and is said."""

        def run(what: T) -> None:
            try:
                callback(what)
            except QcallError as error:
                self._give_up(error)
            except Exception as error:
                log.error("a fault of qcall itself ended its service", exc_info=error)
                text = "a fault of qcall itself took this phone out of service; please report it"
                self._give_up(LocalFault(text, code="fault"))

        return run

    def watch(self, names: Iterable[str]) -> None:
        """Let the relay tell of the presence of ``names``, and them of ours if they name this phone.

        Without presence it is told that there is nobody to watch, so that it tells nobody of this phone.
        """
        if self._signalling is None or self._closing:
            return
        if self._settings.presence or self._watched is not None:
            seen = frozenset(names) if self._settings.presence else frozenset()
            if (wanted := (seen, bool(self.conversations))) != self._watched:
                self._watched = wanted
                self._start(self._signalling.watch(seen, busy=wanted[1]))

    def _on_presence(self, people: Mapping[str, str]) -> None:
        self._say("presence", people=dict(people))

    def _on_failed(self, failed: Failed) -> None:
        current = self.conversations.get(failed.call_id)
        if current is None or current.state is State.ENDED:
            return
        current.undeliverable(undeliverable(current.contact, failed.reason))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _say(self, kind: str, **fields: object) -> None:
        self._tell(Event(kind, time.monotonic(), fields))


async def greet(node: KeyNode) -> None:
    """Do the TLS handshake before a call waits for it; a node that is away is met again when it is needed."""
    with contextlib.suppress(QcallError):
        await node.connect()


def undeliverable(contact: str, reason: Reason) -> QcallError:
    """What the relay's verdict on an envelope means for a call."""
    texts = {
        Reason.UNKNOWN_CONTACT: f"the relay knows nobody called {contact}; check the name",
        Reason.OFFLINE: f"{contact} is not online; try again later",
        Reason.RATE_LIMITED: "this phone has placed too many calls in a minute; wait a little",
        Reason.NO_PATH: f"there is no path to {contact}'s site now; try again later",
        Reason.BUSY_RELAY: "the relay takes no more calls now; try again later",
        Reason.RELAY_LOST: "the relay does not answer any more; is it running?",
    }
    return RelayRefused(texts[reason], code=reason)
