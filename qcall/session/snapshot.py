"""What a screen shows of a phone: frozen and complete, so that a screen asks nobody anything.

Times are seconds on the monotonic clock unless they say unix; no secrets, as in every report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from qcall.call.machine import State

HISTORY = 120
"""Samples that a series keeps: two minutes at one a second."""
LOG_LINES = 500
TRACE_LINES = 400
MESSAGES = 200
QUIET = -96.0
"""Decibels below full scale of no sound at all."""


class Link(StrEnum):
    """How this phone stands with its relay."""

    STARTING = "starting"
    ONLINE = "online"
    AWAY = "relay away"
    FAILED = "offline"


class Presence(StrEnum):
    """Whether somebody can be called."""

    ONLINE = "online"
    BUSY = "busy"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


class Trust(StrEnum):
    """How far somebody's identity is known."""

    NEW = "new"
    PINNED = "pinned"
    VERIFIED = "verified"
    DOUBTED = "WORDS DIFFER"
    CHANGED = "CHANGED"


class Phase(StrEnum):
    """Where a call is, in the user's words."""

    DIALLING = "dialling"
    RINGING = "ringing"
    INVITED = "checking who calls"
    INCOMING = "incoming"
    ANSWERING = "connecting"
    TALKING = "talking"
    ENDED = "ended"


PHASES = {
    State.IDLE: Phase.DIALLING,
    State.DIALLING: Phase.DIALLING,
    State.RINGING: Phase.RINGING,
    State.RINGING_SECURED: Phase.RINGING,
    State.INVITED: Phase.INVITED,
    State.ALERTING: Phase.INCOMING,
    State.ALERTING_SECURED: Phase.INCOMING,
    State.ANSWERING: Phase.ANSWERING,
    State.TALKING: Phase.TALKING,
    State.ENDED: Phase.ENDED,
}
OWN_RECORDING = "you record"
"""How a call's ``recording`` begins while this phone makes one."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the address book, or with a pinned identity, or both."""

    name: str
    """What the relay knows them by."""
    shown: str = ""
    """What the user calls them; empty: as the relay does."""
    presence: Presence = Presence.UNKNOWN
    trust: Trust = Trust.NEW
    fingerprint: str = ""
    offered: str = ""
    """The fingerprint of another identity that claimed this name and was blocked."""
    note: str = ""

    @property
    def label(self) -> str:
        """The name to show."""
        return self.shown or self.name


@dataclass(frozen=True, slots=True)
class Hop:
    """One quantum link of the route, as far as the key node tells."""

    qber: float | None = None
    """Quantum bit error rate, 0 to 1."""
    age: float | None = None
    """Seconds since the key bits that carried this call's key were made."""
    pool: float | None = None
    """How full the link's key pool is, 0 to 1."""
    rate: float | None = None
    """Secret bits a second that the link makes."""
    km: float | None = None
    state: str = ""
    """``up``, or what is wrong with it, in the key node's word."""


@dataclass(frozen=True, slots=True)
class Route:
    """The chain of trusted nodes that this call's quantum key passed. The quantum links are simulated."""

    nodes: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    keys_left: int | None = None
    """End keys that stock and links could give now."""
    keys_per_second: float | None = None
    now: tuple[str, ...] = ()
    """The nodes that the next keys go over, where that is another way."""


@dataclass(frozen=True, slots=True)
class Series:
    """One measurement over time: the newest sample last. ``None`` where there was none to take."""

    samples: tuple[float, ...] = ()

    def then(self, sample: float) -> Series:
        """With one sample more; the oldest falls out."""
        return Series((*self.samples[-(HISTORY - 1) :], sample))

    @property
    def last(self) -> float | None:
        """The newest sample."""
        return self.samples[-1] if self.samples else None


@dataclass(frozen=True, slots=True)
class Quality:
    """How the call sounds: delay and jitter in seconds, loss as a share of the last second's packets."""

    delay: Series = Series()
    loss: Series = Series()
    jitter: Series = Series()
    mos: Series = Series()
    totals: Mapping[str, Any] = field(default_factory=dict)
    """The latest webrtc-stats of the call."""


@dataclass(frozen=True, slots=True)
class Message:
    """A line of text in a call; ``unix`` seconds."""

    sender: str
    text: str
    unix: float
    own: bool


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One message of the handshake or of a rekey, or a question to the key node.

    ``sent`` is ``None`` for what happened inside this phone. ``after`` counts seconds from the first message.
    """

    after: float
    sent: bool | None
    peer: str
    what: str
    size: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Levels:
    """Loudness spoken and heard, in decibels relative to full scale."""

    spoken: float = QUIET
    heard: float = QUIET


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    id: str
    contact: str
    outgoing: bool
    phase: Phase
    began_at: float
    talking_at: float | None = None
    ended_at: float | None = None
    muted: bool = False
    held: bool = False
    held_by_peer: bool = False
    silent: bool = False
    """Nothing is heard of the far phone."""
    warning: str = ""
    """What the user has to know while it lasts, such as a rekey that fails."""
    network: str = ""
    """What is wrong with the quantum network, for as long as it is: no rekey ends it."""
    security: Mapping[str, Any] = field(default_factory=dict)
    route: Route = Route()
    quality: Quality = Quality()
    levels: Levels = Levels()
    messages: tuple[Message, ...] = ()
    trace: tuple[TraceLine, ...] = ()
    digits: str = ""
    recording: str = ""
    """Who records it at the moment, in words; empty when nobody does."""
    reason: str = ""
    failure: str = ""

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.phase is not Phase.ENDED

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to warn of, the more urgent first."""
        return tuple(filter(None, (self.warning, self.network)))

    @property
    def words(self) -> tuple[str, ...]:
        """The short authentication string; empty before the keys are agreed."""
        return tuple(self.security.get("words", ()))

    @property
    def line(self) -> str:
        """The security line; empty before the keys are agreed."""
        return str(self.security.get("line", ""))

    def talked(self, now: float) -> float:
        """Seconds of talk up to ``now``, or up to the end."""
        return 0.0 if self.talking_at is None else (self.ended_at or now) - self.talking_at


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that happened, in words; ``unix`` seconds."""

    unix: float
    text: str
    grave: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole phone at one moment. ``at`` is monotonic, ``unix`` the same moment by the wall clock."""

    at: float = 0.0
    unix: float = 0.0
    name: str = ""
    site: str = ""
    relay: str = ""
    link: Link = Link.STARTING
    trouble: str = ""
    """Why the phone is not online; what to do."""
    key_node: str = ""
    calls: tuple[Call, ...] = ()
    """Those that live, and the last one that ended; the one in focus comes first."""
    people: tuple[Person, ...] = ()
    log: tuple[LogLine, ...] = ()
    sound: str = ""
    """What is wrong with microphone or loudspeaker; empty when nothing is."""
    sound_code: str = ""
    """The code of that error."""
    last_dialled: str = ""
    missed: int = 0
    policy: str = "prefer"

    @property
    def call(self) -> Call | None:
        """The call in focus."""
        return self.calls[0] if self.calls else None

    @property
    def incoming(self) -> Call | None:
        """The call that waits for an answer."""
        return next((call for call in self.calls if call.phase is Phase.INCOMING), None)

    @property
    def live(self) -> tuple[Call, ...]:
        """The calls that have not ended."""
        return tuple(call for call in self.calls if call.alive)

    def person(self, name: str) -> Person | None:
        """The person the relay calls ``name``."""
        return next((person for person in self.people if person.name == name), None)
