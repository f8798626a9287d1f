"""What a key node holds and asks for: end keys, who may fetch them, and the two interfaces it stands on.

:class:`KeyStore` keeps keys so that each side gets one once, whatever crashes; SQLite is one implementation,
a server's database can be another. :class:`Supply` brings end keys from the quantum network, which the key
node itself knows nothing about. Times are unix seconds: they outlive the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay.errors import NoKeyMaterial, Refused

from .reservations import WayLink

UNIT_BITS = 256
"""Size of one end key as the network relays it; longer keys are made of several."""
MAX_WAITING = 1024
"""Keys of one master that may wait for slaves at one key node."""


class NotHeld(Refused):
    """A key is not here, or no longer: never assigned, voided, expired or fetched before."""

    code = "key-not-held"


class NotASlave(Refused):
    """A key is here, but its master did not name this SAE."""

    code = "not-a-slave"


class TooManyWaiting(NoKeyMaterial):
    """A slave's key node keeps no more keys of a master; nothing was assigned."""

    code = "too-many-waiting"


def fresh_key_id(entropy: Callable[[int], bytes], now: float) -> str:
    """A UUID of version 7 (RFC 9562 clause 5.7): 48 bits of unix milliseconds, then 74 random bits.

    IDs that grow keep new rows of a key store beside each other, so that a commit writes few pages.
    """
    milliseconds = int(now * 1000) & (1 << 48) - 1
    random = int.from_bytes(entropy(10), "big")
    high = milliseconds << 16 | 0x7000 | random >> 68
    low = 0b10 << 62 | random & (1 << 62) - 1
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


Fresh = Callable[[], tuple[str, bytes]]
"""Draws key ID and end key of one attempt: what an attempt showed to its nodes is never sent another way."""


@dataclass(frozen=True, slots=True)
class EndKey:
    """A key that both ends of a site pair hold, and how it came here."""

    key_id: str
    key: bytes = field(repr=False)
    paths: tuple[tuple[str, ...], ...]
    """Node names; several paths when the key is the XOR of shares."""
    qber: tuple[float, ...] = ()
    """Of every hop, all paths one after the other."""
    age: tuple[float, ...] = ()
    """Seconds that the link key of every hop had waited."""
    ready_at: float = 0.0
    """When it has arrived at this end."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Tells a slave's key node whose a key is. The key is ``units`` joined and cut to ``size`` bits."""

    key_id: str
    units: tuple[str, ...]
    size: int
    master: str
    slaves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants of its path. ``route`` names every node; ``disjoint`` counts XOR shares."""

    route: tuple[str, ...] = ()
    max_hops: int | None = None
    disjoint: int = 1


ANY_PATH = Wish()


def joined(key_id: str, units: Sequence[EndKey], size: int) -> EndKey:
    """The key of ``size`` bits that ``units`` make together; it came every way that one of them came."""
    ways: dict[tuple[tuple[str, ...], ...], EndKey] = {}
    for unit in units:
        ways.setdefault(unit.paths, unit)
    return EndKey(
        key_id,
        b"".join(unit.key for unit in units)[: size // 8],
        tuple(path for unit in ways.values() for path in unit.paths),
        tuple(qber for unit in ways.values() for qber in unit.qber),
        tuple(age for unit in ways.values() for age in unit.age),
        max(unit.ready_at for unit in units),
    )


class KeyStore(Protocol):
    """Every method does all of its work or none. Raises :class:`StorageError`.

    What was done survives a crash only once :meth:`commit` has returned: no key may leave the process before.
    """

    @property
    def pending(self) -> bool:
        """Whether something was done since the last commit."""

    def commit(self) -> None:
        """Make everything that was done durable, or undo it all and raise."""

    def add_stock(self, peer: str, keys: Sequence[EndKey], *, owned: bool, expires: float) -> None:
        """Keep unassigned end keys shared with ``peer``; only the side that owns them hands them out."""

    def take_stock(self, peer: str, number: int, now: float) -> list[EndKey]:
        """Remove up to ``number`` owned end keys, oldest first: they are the caller's, once."""

    def count_stock(self, peer: str, now: float) -> int:
        """Owned end keys in stock for ``peer``."""

    def clear_stock(self, peer: str) -> None:
        """Void the owned stock for ``peer``."""

    def void_stock(self, a: str, b: str) -> int:
        """Void the owned stock that crossed the link between two nodes; how many keys that were."""

    def contents(self) -> list[EndKey]:
        """Every key that is here, whoever's it is: what the owner of the node can read."""

    def assign(self, peer: str, keys: Sequence[Assignment], *, ready_at: float, expires: float) -> None:
        """Turn end keys that ``peer`` owns into keys waiting for slaves, all or none; raises NotHeld."""

    def hold(self, key: EndKey, master: str, slaves: Sequence[str], *, expires: float) -> None:
        """Keep a key for slaves at this key node."""

    def deliver(self, master: str, slave: str, key_ids: Sequence[str], now: float) -> list[EndKey]:
        """The keys that ``master`` shares with ``slave``, the one time that ``slave`` gets them, all or none.

        Raises :class:`NotHeld` or :class:`NotASlave`; nothing is delivered then.
        """

    def void_waiting(self, a: str, b: str) -> int:
        """Forget keys that wait for slaves and crossed the link between two nodes; how many that were."""

    def count_waiting(self, master: str, now: float) -> int:
        """Keys of ``master`` that slaves at this key node have not fetched yet; asked before every key."""

    def expire(self, now: float) -> int:
        """Remove what is past its time; how many keys that were."""


@dataclass(frozen=True, slots=True)
class LinkFault:
    """Something that is wrong with a link of the usual route."""

    a: str
    b: str
    condition: str
    """``cut``, ``alarm``, ``no-key``, ``empty`` or ``down``."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The way of end keys towards another key node, as it is now."""

    path: tuple[str, ...] = ()
    """The nodes that a key would pass now; empty when there is no way."""
    faults: tuple[LinkFault, ...] = ()
    """On the routes that a key would rather take."""
    hops: tuple[dict[str, Any], ...] = ()
    """Of the path: ``a``, ``b``, ``km``, and as far as this node knows ``pool`` and ``capacity`` in bits,
    ``rate`` in bits a second, ``qber`` and ``state``."""


class Supply(Protocol):
    """End keys towards other key nodes. ``now`` in unix seconds."""

    def stored(self, target: str, now: float) -> int:
        """End keys ready for the key node ``target``; asking puts the pair in use: it gets a stock."""

    def budget(self, target: str, now: float) -> tuple[int, float]:
        """End keys that could be had now, stock and link pools together, and how many a second come after."""

    def way(self, target: str) -> Sequence[WayLink]:
        """The links that a key would cross now, full pools or not; none when there is no way."""

    def outlook(self, target: str) -> Outlook:
        """Which way a key towards ``target`` would go now, and what is wrong on the shorter ones."""

    async def take(self, targets: Sequence[str], number: int, wish: Wish, now: float) -> list[EndKey]:
        """``number`` end keys that this key node and all ``targets`` hold, each key for this caller alone.

        Raises :class:`NoKeyMaterial`, with code ``no-route`` when no path can meet the wish.
        """

    def give_back(self, target: str, keys: Sequence[EndKey]) -> None:
        """Put keys taken for ``target`` alone, of which nobody was told, back into stock."""

    async def assign(self, target: str, keys: Sequence[Assignment], now: float) -> None:
        """Tell ``target`` whose the keys are; raises :class:`NoKeyMaterial` when it cannot be told."""
