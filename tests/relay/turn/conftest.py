"""A TURN server without sockets: clients and peers hand datagrams to the machine in virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest

from relay.path.routes import Routes
from relay.turn.allocating import Opened
from relay.turn.allocation import Quotas
from relay.turn.attributes import (
    CHANNEL_NUMBER,
    DATA,
    ERROR_CODE,
    LIFETIME,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    REQUESTED_TRANSPORT,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    Address,
    Value,
)
from relay.turn.credentials import Credentials, StaticUsers, long_term_key
from relay.turn.effects import CloseRelay, Effect, FiveTuple, OpenRelay, Send, SendFromRelay
from relay.turn.machine import Settings, TurnMachine
from relay.turn.message import (
    Integrity,
    Message,
    MessageClass,
    Method,
    encode,
    encode_channel_data,
    is_channel_data,
    parse,
    parse_channel_data,
)

REALM_NAME = "relay"
SERVER: Address = ("203.0.113.1", 3478)
PEER: Address = ("9.9.9.9", 7000)
UNIX = 1_700_000_000.0


@dataclass
class World:
    """The machine with what it has sent, and the sockets that it has open."""

    machine: TurnMachine
    now: float = 1000.0
    to_clients: list[Send] = field(default_factory=list)
    to_peers: list[SendFromRelay] = field(default_factory=list)
    open: set[Address] = field(default_factory=set)
    ports_left: int = 10_000
    next_ports_are_taken: bool = False
    _port: Iterable[int] = field(default_factory=lambda: itertools.count(50_001))
    _tokens: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def receive(self, data: bytes, five_tuple: FiveTuple) -> None:
        self.run(self.machine.receive(data, five_tuple, self.now))

    def from_peer(self, relayed: Address, peer: Address, data: bytes) -> None:
        self.run(self.machine.from_peer(relayed, peer, data, self.now))

    def advance(self, seconds: float) -> None:
        """Let time pass, waking the machine whenever it wants."""
        end = self.now + seconds
        while (deadline := self.machine.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.run(self.machine.timer(self.now))
        self.now = end

    def run(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.to_clients.append(effect)
            elif isinstance(effect, SendFromRelay):
                assert effect.relayed in self.open
                self.to_peers.append(effect)
            elif isinstance(effect, CloseRelay):
                self.open.remove(effect.relayed)
            else:
                self._bind(effect)

    def _bind(self, effect: OpenRelay) -> None:
        relayed: list[Address] = []
        reserved: Address | None = None
        for host in effect.hosts:
            if self.ports_left <= 0:
                break
            self.ports_left -= 1
            port = next(self._port)
            if effect.even:
                port += port % 2
                self._port = itertools.count(port + 2)
            relayed.append((host, port))
            if effect.reserve and reserved is None and not self.next_ports_are_taken:
                reserved = (host, port + 1)
        self.open |= {*relayed, *([reserved] if reserved else [])}
        token = next(self._tokens).to_bytes(8, "big")
        opened = Opened(tuple(relayed), reserved)
        self.run(self.machine.opened(effect.five_tuple, opened, token, self.now))


@dataclass
class Client:
    """A TURN client as RFC 8656 describes it; answers are parsed, data is kept in ``heard``."""

    world: World
    address: Address
    username: str
    password: str
    sha256: bool = False
    transport: str = "udp"
    nonce: bytes | None = None
    relayed: Address = ("", 0)
    heard: list[tuple[int | Address, bytes]] = field(default_factory=list)
    _transactions: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def five_tuple(self) -> FiveTuple:
        return FiveTuple(self.transport, self.address, SERVER)

    @property
    def integrity(self) -> Integrity:
        key = long_term_key(self.username, REALM_NAME, self.password, sha256=self.sha256)
        return Integrity(key, sha256=self.sha256)

    def credentials(self) -> list[Value]:
        values = [USERNAME(self.username), REALM(REALM_NAME), NONCE(self.nonce or b"")]
        if self.sha256:
            values += [PASSWORD_ALGORITHMS((2, 1)), PASSWORD_ALGORITHM((2,))]
        return values

    def transaction_id(self) -> bytes:
        return next(self._transactions).to_bytes(12, "big")

    def send(self, data: bytes) -> list[bytes]:
        """Hand one datagram to the server; returns what it sent back to this client meanwhile."""
        self.world.receive(data, self.five_tuple)
        return self.answers()

    def answers(self) -> list[bytes]:
        """What the server has sent to this client beside application data, which is taken in."""
        self.listen()
        answers = [sent for sent in self.world.to_clients if sent.to == self.five_tuple]
        self.world.to_clients[:] = [sent for sent in self.world.to_clients if sent not in answers]
        return [sent.data for sent in answers]

    def listen(self) -> list[tuple[int | Address, bytes]]:
        """Take in application data that was sent to this client; returns all that was heard."""
        for sent in list(self.world.to_clients):
            if sent.to != self.five_tuple:
                continue
            if is_channel_data(sent.data):
                self.heard.append(parse_channel_data(sent.data))
            elif (message := parse(sent.data)).method == Method.DATA:
                self.heard.append((message.get(XOR_PEER_ADDRESS), message.get(DATA)))
            else:
                continue
            self.world.to_clients.remove(sent)
        return self.heard

    def ask(self, method: Method, *values: Value, transaction_id: bytes | None = None) -> Message:
        """One authenticated request; the answer's integrity is checked, as a client would."""
        if self.nonce is None:
            self.challenge()
        transaction_id = transaction_id or self.transaction_id()
        (response,) = self.send(self.request(method, *values, transaction_id=transaction_id))
        answer = parse(response)
        assert answer.transaction_id == transaction_id
        error = answer.get(ERROR_CODE)
        if error is None or error.code not in (401, 438, 400):
            assert answer.is_authentic(self.integrity)
        return answer

    def request(self, method: Method, *values: Value, transaction_id: bytes | None = None) -> bytes:
        """An authenticated request."""
        return encode(
            method,
            MessageClass.REQUEST,
            transaction_id or self.transaction_id(),
            [*values, *self.credentials()],
            integrity=self.integrity,
            fingerprint=True,
        )

    def challenge(self) -> Message:
        """Ask without credentials and keep the nonce."""
        bare = encode(Method.ALLOCATE, MessageClass.REQUEST, self.transaction_id(), [REQUESTED_TRANSPORT(17)])
        (response,) = self.send(bare)
        answer = parse(response)
        self.nonce = answer.get(NONCE)
        return answer

    def allocate(self, *values: Value, transaction_id: bytes | None = None) -> Message:
        answer = self.ask(Method.ALLOCATE, REQUESTED_TRANSPORT(17), *values, transaction_id=transaction_id)
        self.relayed = answer.get(XOR_RELAYED_ADDRESS) or self.relayed
        return answer

    def refresh(self, lifetime: int | None = None) -> Message:
        return self.ask(Method.REFRESH, *([] if lifetime is None else [LIFETIME(lifetime)]))

    def permit(self, *hosts: str) -> Message:
        return self.ask(Method.CREATE_PERMISSION, *(XOR_PEER_ADDRESS((host, 0)) for host in hosts))

    def bind(self, number: int, peer: Address) -> Message:
        return self.ask(Method.CHANNEL_BIND, CHANNEL_NUMBER(number), XOR_PEER_ADDRESS(peer))

    def say(self, number: int, data: bytes) -> None:
        self.send(encode_channel_data(number, data))

    def indicate(self, peer: Address, data: bytes, *values: Value) -> None:
        self.send(self.indication(peer, data, *values))

    def indication(self, peer: Address, data: bytes, *values: Value) -> bytes:
        indication = [XOR_PEER_ADDRESS(peer), DATA(data), *values]
        return encode(Method.SEND, MessageClass.INDICATION, self.transaction_id(), indication)


@pytest.fixture
def make_world():
    def make(
        credentials: Credentials | None = None,
        *,
        routes: Routes | None = None,
        allow: Sequence[str] = (),
        relay_hosts: tuple[str, ...] = ("203.0.113.1", "2001:db8::1"),
        quotas: Quotas | None = None,
        challenges_per_second: float = 10.0,
    ) -> World:
        settings = Settings(
            realm=REALM_NAME,
            relay_hosts=relay_hosts,
            listeners=(SERVER,),
            allow_peers=tuple(map(ip_network, allow)),
            quotas=quotas or Quotas(),
            challenges_per_second=challenges_per_second,
        )
        users = credentials or StaticUsers({"alice": "wonderland", "bob": "builder"})
        machine = TurnMachine(settings, users, bytes(32), routes=routes, wall_offset=UNIX - 1000.0)
        return World(machine)

    return make


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.fixture
def make_client():
    ports = itertools.count(40_000)

    def make(
        world: World,
        username: str = "alice",
        password: str = "wonderland",
        *,
        host: str = "198.51.100.7",
        **more,
    ) -> Client:
        return Client(world, (host, next(ports)), username, password, **more)

    return make


@pytest.fixture
def alice(world, make_client):
    return make_client(world)


@pytest.fixture
def bob(world, make_client):
    return make_client(world, "bob", "builder", host="198.51.100.8")
