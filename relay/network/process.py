"""A trusted node as a process of its own: what it says to its neighbours, and what it knows of the rest.

It relays over the same :class:`~relay.network.node.Node` and link pools as the network in one process; only
the way from node to node differs. The source names the whole path; every node answers when the rest of the
path has answered, so a failure comes back with the link it happened on, and the source takes another way.

A link is opened by its first node (``a`` in the topology), which draws the link secret and hands it to the
other: that hand-over stands in for the quantum channel, and is where the simulation is. A session is never
taken up again: when either side has lost it a new secret is drawn, so no crash can bring bits back.
"""

from __future__ import annotations

import functools
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec

from relay.errors import LocalFault, NoKeyMaterial, Refused
from relay.kme.keys import (
    Assignment,
    EndKey,
    Fresh,
    KeyStore,
    NotHeld,
    Outlook,
    TooManyWaiting,
    Wish,
)
from relay.kme.reservations import WayLink

from .faults import FaultRequest
from .key_relay import HopReport, Message, join, split
from .link import SECRET_BYTES, LinkEnd
from .memory import Disturbance, Memory
from .network import ATTEMPTS, CAPTURE_LIMIT, WARM_SECONDS
from .node import Adjacency, Arrival, Gathering, Node
from .report import link_row
from .routing import choose
from .supply import ASSIGNED_LIFETIME, STOCK_LIFETIME, room
from .topology import Link, Topology, kme_id
from .vantage import Vantage
from .wire import Ack, Fault, LinkAnswer, LinkOffer, PeerFailed, Peers, decode, encode

PASSING = frozenset({"replay", "block-ahead"})
"""What befalls one frame and says nothing of the link, unless it befalls the next one of a request too."""
SILENT_SECONDS = 2.0
"""After which a neighbour that should have asked for its link counts as gone."""
HOP_TIMEOUT = 0.25
"""Seconds that a node gives the next one, and again for every hop behind it: the nearest gives up first."""


class NodeProcess:
    """One trusted node of ``topology``. ``store`` is that of its key node, where it is an access site.

    ``clock`` is monotonic and ``unix`` the time of day, both in seconds; ``entropy`` gives n random bytes.
    It is also a :class:`~relay.network.supply.Carrier`.
    """

    def __init__(
        self,
        name: str,
        topology: Topology,
        peers: Peers,
        *,
        clock: Callable[[], float],
        unix: Callable[[], float],
        entropy: Callable[[int], bytes],
        store: KeyStore | None = None,
        warm: float = WARM_SECONDS,
        memory: Memory | None = None,
        remember: Callable[[Memory], None] = lambda _: None,
    ) -> None:
        self.node = Node(name)
        self.captured: deque[tuple[str, bytes]] | None = None
        """When the node is compromised: key IDs and end keys (or shares) that it saw since."""
        self.relayed = 0
        """End keys that this node sent on their way and that arrived."""
        self._name = name
        self._topology = topology
        self._peers = peers
        self._clock = clock
        self._unix = unix
        self._entropy = entropy
        self._store = store
        self._warm = warm
        self._sessions: dict[str, bytes] = {}
        self._asked: dict[str, float] = {}
        self._gathering = Gathering()
        self._sequence = int(unix() * 1000)  # goes on above where a process before this one stopped
        self._memory = memory or Memory()
        self._vantage = Vantage(self.node, topology, self._memory, clock=clock, unix=unix, warm=warm)
        self.reservations = self._vantage.reservations
        self._remember = remember
        if self._memory.compromised:
            self._compromise()

    async def tend(self) -> None:
        """Open the links that are this node's to open, and notice neighbours that went or came back.

        With every question goes news of the network, and with every answer. Raises :class:`LocalFault`, once
        every link was tended: one that could not be remembered, say, is as good as down until it is.
        """
        failure: LocalFault | None = None
        self._vantage.count_calls()
        for other, link in self._topology.neighbours[self._name].items():
            if link.a == self._name:
                try:
                    await self._offer(other, link)
                except PeerFailed:
                    self._settle(other, reachable=False)
                except LocalFault as error:
                    failure = error
                    self._settle(other, reachable=False)
            elif self._clock() - self._asked.get(other, math.inf) > SILENT_SECONDS:
                self._settle(other, reachable=False)
        if failure is not None:
            raise failure

    async def handle(self, peer: str, action: str, body: bytes) -> bytes:
        """Answer the node ``peer``; raises :class:`PeerFailed` with what to tell it."""
        try:
            match action:
                case "link":
                    return encode(self._answer(peer, decode(body, LinkOffer)))
                case "frame":
                    return encode(await self._take(peer, body))
                case "assign":
                    self._assigned(peer, decode(body, tuple[Assignment, ...]))
                    return encode(Ack(()))
        except PeerFailed:
            raise
        except (Refused, NoKeyMaterial) as error:
            raise PeerFailed(Fault(error.code, str(error), peer, self._name)) from None
        raise PeerFailed(Fault("bad-request", f"a node does not know the request {action!r}"))

    # The way of end keys

    async def carry(
        self,
        target: str,
        key_id: str,
        key: bytes,
        wish: Wish,
        entropy: Callable[[int], bytes],
        now: float,
        again: Fresh | None = None,
    ) -> EndKey:
        destination = target.removeprefix(kme_id(""))
        attempts = ATTEMPTS if again else 1
        failures: Counter[frozenset[str]] = Counter()
        for attempt in range(attempts):
            if again and attempt:
                key_id, key = again()
            shunned = {link for link, times in failures.items() if times > 1}
            cost = functools.partial(self._vantage.cost, shunned=shunned)
            paths = choose(self._topology.neighbours, self._name, destination, cost, wish)
            shares = [key] if wish.disjoint == 1 else split(key, wish.disjoint, entropy)
            try:
                hops = await self._send(key_id, shares, paths)
            except PeerFailed as failed:
                if not failed.fault.a:
                    raise
                failures[frozenset((failed.fault.a, failed.fault.b))] += 1
                if failed.code not in PASSING:
                    self._vantage.block(failed.fault.a, failed.fault.b)
                continue
            self.relayed += 1
            delay = max(map(self._topology.delay, paths))
            return EndKey(key_id, key, tuple(paths), *_columns(hops), now + delay)
        raise NoKeyMaterial(f"no key could be relayed to {target}: {attempts} paths failed")

    async def assign(self, target: str, keys: Sequence[Assignment], now: float) -> None:
        destination = target.removeprefix(kme_id(""))
        try:
            await self._peers.ask(destination, "assign", encode(tuple(keys)), timeout=HOP_TIMEOUT * 4)
        except PeerFailed as failed:
            if failed.code == NotHeld.code:
                raise NotHeld(str(failed)) from None
            if failed.code == TooManyWaiting.code:
                raise TooManyWaiting(str(failed)) from None
            raise

    def budget(self, target: str) -> tuple[int, float]:
        return self._vantage.budget(target.removeprefix(kme_id("")))

    def way(self, target: str) -> tuple[WayLink, ...]:
        return self._vantage.way(target.removeprefix(kme_id("")))

    def outlook(self, target: str) -> Outlook:
        return self._vantage.outlook(target.removeprefix(kme_id("")))

    # Links

    async def _offer(self, other: str, link: Link) -> None:
        session = self._sessions.get(other)
        if session is not None:
            if (await self._ask_link(other, LinkOffer(session))).stands:
                self._settle(other)
                return
            del self._sessions[other], self.node.links[other]
        warm = other not in self._memory.opened
        fresh = LinkOffer(self._entropy(16), self._entropy(SECRET_BYTES), warm)
        if (await self._ask_link(other, fresh)).stands:
            self._open(other, link, fresh)

    async def _ask_link(self, other: str, offer: LinkOffer) -> LinkAnswer:
        desk = self._vantage.news
        self._vantage.publish()
        told = desk.untold(other)
        body = encode(msgspec.structs.replace(offer, news=told))
        came = await self._peers.ask(other, "link", body, timeout=HOP_TIMEOUT * 4)
        answer: LinkAnswer = self._understood(other, came, LinkAnswer)
        desk.heard(told, other)
        desk.take(answer.news, other)
        return answer

    def _answer(self, peer: str, offer: LinkOffer) -> LinkAnswer:
        desk = self._vantage.news
        desk.take(offer.news, peer)
        self._vantage.publish()
        told = desk.untold(peer)
        desk.heard(told, peer)  # an answer that is lost is made good by what is published next
        return LinkAnswer(self._accept(peer, offer), told)

    def _accept(self, peer: str, offer: LinkOffer) -> bool:
        link = self._topology.neighbours[self._name].get(peer)
        if link is None or link.a != peer:
            raise Refused(f"the link {peer}–{self._name} is not for {peer} to open", code="bad-link")
        self._asked[peer] = self._clock()
        if not offer.secret:
            self._settle(peer)
            return self._sessions.get(peer) == offer.session
        if len(offer.secret) != SECRET_BYTES:
            raise Refused("a link secret has 32 bytes", code="bad-link")
        if self._sessions.get(peer) != offer.session:  # the same offer again must not rewind the link
            self._open(peer, link, offer)
        return True

    def _open(self, other: str, link: Link, offer: LinkOffer) -> None:
        if other not in self._memory.opened:  # a link that is used and not remembered would start warm again
            self._memory.opened.add(other)
            try:
                self._remember(self._memory)
            except LocalFault:
                self._memory.opened.remove(other)
                raise
        at = link.quality()
        side: Literal[0, 1] = 0 if link.a == self._name else 1
        level = at.rate * self._warm if offer.warm else 0.0
        end = LinkEnd(offer.secret, side, rate=at.rate, now=self._clock(), level=level)
        self.node.links[other] = Adjacency(end, at.qber)
        self._sessions[other] = offer.session
        self._settle(other)

    # Faults

    def disturb(self, request: FaultRequest) -> None:
        """Do to this node, and to its ends of links, what is asked; the other ends are asked themselves."""
        names = set(request.names)
        for other in self._topology.neighbours[self._name]:
            if names and names != {self._name, other}:
                continue
            done = self._memory.disturbances.setdefault(other, Disturbance())
            if request.action == "cut":
                done.cut = True
            elif request.action == "eve":
                link = self._topology.link(self._name, other)
                alarmed, done.eve = link.quality(eve=done.eve).alarm, request.share
                if link.quality(eve=done.eve).alarm and not alarmed and other in self.node.links:
                    self.node.links[other].end.drain(self._clock())
            elif request.action == "restore":
                done.cut, done.eve = False, 0.0
            elif request.action == "drain" and other in self.node.links:
                self.node.links[other].end.drain(self._clock())
            self._settle(other)
        if request.action == "compromise" and names == {self._name} and self.captured is None:
            self._compromise()
        elif request.action == "restore" and (not names or names == {self._name}):
            self.captured, self.node.observer = None, None
        self._memory.compromised = self.captured is not None
        self._remember(self._memory)

    def _compromise(self) -> None:
        self.captured = deque(maxlen=CAPTURE_LIMIT)
        self.node.observer = self._capture
        if self._store is not None:
            self.captured += [(held.key_id, held.key) for held in self._store.contents()]

    def report(self) -> list[dict[str, Any]]:
        """This node's links, as :func:`relay.network.report.link_row` shows them."""
        rows = []
        for other, adjacency in self.node.links.items():
            link = self._topology.link(self._name, other)
            done = self._memory.disturbances.get(other, Disturbance())
            at = link.quality(eve=done.eve)
            rows.append(
                link_row(link, adjacency.end, at, self._vantage.condition(link), done.eve, self._clock())
            )
        return rows

    def _settle(self, other: str, *, reachable: bool = True) -> None:
        """Let a link be what was done to it."""
        adjacency = self.node.links.get(other)
        if adjacency is None:
            return
        done = self._memory.disturbances.get(other, Disturbance())
        at = self._topology.link(self._name, other).quality(eve=done.eve)
        good = not done.cut and not at.alarm
        adjacency.end.set_rate(at.rate if good else 0.0, self._clock())
        adjacency.qber, adjacency.usable = at.qber, good and reachable

    def saw(self, key_id: str, key: bytes) -> None:
        """An end key is here: when the node is compromised, it writes it down."""
        if self.captured is not None:
            self.captured.append((key_id, key))

    def _capture(self, node: str, key_id: str, key: bytes) -> None:
        self.saw(key_id, key)

    # Frames

    async def _send(
        self, key_id: str, shares: Sequence[bytes], paths: Sequence[tuple[str, ...]]
    ) -> list[HopReport]:
        """Send every share on its path; what its hops were like. Raises :class:`PeerFailed`."""
        hops: list[HopReport] = []
        attempt = self._sequence + 1
        for share, (part, path) in enumerate(zip(shares, paths, strict=True)):
            self._sequence += 1
            message = Message(key_id, self._sequence, path, share=share, shares=len(shares), attempt=attempt)
            ack = await self._onward(message, part)
            hops += ack.hops
            for (a, b), level in zip(pairwise(path), ack.levels, strict=False):
                self._vantage.met(a, b, level)
        return hops

    async def _onward(self, message: Message, key: bytes) -> Ack:
        """Put a key on its next hop and wait for the rest of the path."""
        to, left = message.next_node, len(message.path) - 1 - message.position
        try:
            step = self.node.send(message, key, self._clock())
        except NoKeyMaterial as error:
            raise PeerFailed(Fault(error.code, str(error), self._name, to)) from None
        level = self.node.links[to].end.level(self._clock())
        answer = await self._peers.ask(to, "frame", step.frame, timeout=HOP_TIMEOUT * (left + 1))
        ack: Ack = self._understood(to, answer, Ack)
        return Ack(ack.hops, (level, *ack.levels))

    def _understood(self, other: str, answer: bytes, kind: Any) -> Any:
        """What the node ``other`` answered; raises :class:`PeerFailed` for what is no such answer."""
        try:
            return decode(answer, kind)
        except Refused:
            text = f"node {other} answered nonsense"
            raise PeerFailed(Fault("bad-answer", text, self._name, other)) from None

    async def _take(self, peer: str, frame: bytes) -> Ack:
        opened = self.node.open(peer, frame, self._clock())
        if not isinstance(opened, Arrival):
            return await self._onward(*opened)
        self._keep(opened)
        return Ack(opened.message.hops)

    def _keep(self, arrival: Arrival) -> None:
        """Put an end key that is whole into the store, as stock of the key node that sent it."""
        if self._store is None:
            raise Refused(f"{self._name} is no access site and keeps no keys", code="no-site")
        if (shares := self._gathering.add(arrival)) is None:
            return
        now = self._unix()
        paths = tuple(each.message.path for each in shares)
        columns = _columns([hop for each in shares for hop in each.message.hops])
        key = EndKey(
            arrival.message.key_id,
            join([each.key for each in shares]),
            paths,
            *columns,
            now + max(map(self._topology.delay, paths)),
        )
        source = kme_id(arrival.message.path[0])
        self._store.add_stock(source, [key], owned=False, expires=now + STOCK_LIFETIME)

    def _assigned(self, peer: str, keys: Sequence[Assignment]) -> None:
        if self._store is None:
            raise Refused(f"{self._name} is no access site and keeps no keys", code="no-site")
        now = self._unix()
        room(self._store, keys, now)
        arrives = now + self._topology.delay(self._topology.path(peer, self._name))
        self._store.assign(kme_id(peer), keys, ready_at=arrives, expires=now + ASSIGNED_LIFETIME)


def _columns(hops: Sequence[HopReport]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(hop.qber for hop in hops), tuple(hop.age for hop in hops)
