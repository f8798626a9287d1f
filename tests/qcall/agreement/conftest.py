"""Two machines, a relay that may be evil, two key nodes, DTLS, and a clock that only tests move."""

from __future__ import annotations

import hmac
import itertools
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from qcall.agreement import effects as fx
from qcall.agreement.callee import Callee
from qcall.agreement.caller import Caller
from qcall.agreement.kem_work import Worked
from qcall.agreement.machine import Agreement, Phone
from qcall.agreement.schedule import SrtpKeys
from qcall.agreement.states import State
from qcall.agreement.suites import Suite
from qcall.crypto.identity import ML_DSA_87, Identity
from qcall.crypto.kem import ML_KEM_768, ML_KEM_1024
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed
from qcall.records.store import Records

UNIX = 1_790_000_000.0
ROUTE = ("beijing", "tianjin", "jinan", "xuzhou", "hefei")
OFFER, ANSWER = "v=0\r\ns=offer\r\n", "v=0\r\ns=answer\r\n"
Relay = Callable[[str, int, bytes], list[bytes]]
TWO_KEMS = Suite("Q5+HQC-256", 6, (ML_KEM_1024, ML_KEM_768), ML_DSA_87)
"""ML-KEM-768 stands in for HQC, which only liboqs has: the cascade is the same."""


def honest(sender: str, number: int, frame: bytes) -> list[bytes]:
    return [frame]


@dataclass(frozen=True)
class Key:
    key_id: str
    key: Secret
    path: tuple[str, ...] = ROUTE
    extension: dict[str, Any] = field(
        default_factory=lambda: {"qcall_qber": [0.021, 0.019, 0.02, 0.03], "qcall_age": [1.5, 0.25, 2.0, 3.0]}
    )


class KeyNodes:
    """The key nodes of both sites: each key once to each side. Key IDs are drawn from ``seed``."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._stored: dict[tuple[str, str], bytes] = {}
        self.asked: list[str] = []
        self.enc_failure: str | None = None
        self.dec_failure: str | None = None
        self.spoil = False

    def enc(self, slave_sae: str, number: int) -> list[Key]:
        self.asked.append(f"enc {slave_sae}")
        keys = []
        for _ in range(number):
            key_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
            raw = self._random.randbytes(32)
            self._stored[slave_sae, key_id] = bytes(reversed(raw)) if self.spoil else raw
            keys.append(Key(key_id, Secret(raw)))
        return keys

    def dec(self, slave_sae: str, key_ids: tuple[str, ...]) -> list[Key]:
        self.asked.append(f"dec {slave_sae}")
        return [Key(key_id, Secret(self._stored.pop((slave_sae, key_id)))) for key_id in key_ids]


@dataclass
class Side:
    """One phone's end of the line."""

    phone: Phone
    machine: Any = None
    frames: list[bytes] = field(default_factory=list)
    effects: list[fx.Effect] = field(default_factory=list)
    srtp: SrtpKeys | None = None
    epochs: dict[int, SrtpKeys] = field(default_factory=dict)
    sending: int = 0
    control: list[bytes] = field(default_factory=list)

    def had(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def agreed(self) -> bool:
        return bool(self.had(fx.Agreed))

    @property
    def confirmed(self) -> bool:
        return bool(self.had(fx.Confirmed))

    @property
    def failure(self) -> Any:
        aborts = self.had(fx.Abort)
        assert len(aborts) <= 1
        return aborts[0].failure if aborts else None


class Line:
    """Carries everything between two phones until nothing moves any more."""

    def __init__(
        self, alice: Phone, bob: Phone, *, relay: Relay = honest, nodes: KeyNodes | None = None
    ) -> None:
        self.sides = {"alice": Side(alice), "bob": Side(bob)}
        self.alice, self.bob = self.sides["alice"], self.sides["bob"]
        self.relay = relay
        self.nodes = nodes or KeyNodes()
        self.now = 100.0
        self.dialled, self.announced = "bob", "alice"
        self.callee_unix = UNIX
        self.dtls = {"alice": b"one connection", "bob": b"one connection"}
        self.exporter_bits = {"alice": 0, "bob": 0}
        self.hold: set[type] = set()
        self._queue: deque[tuple[str, bytes]] = deque()

    def dial(self) -> Line:
        self.alice.machine = Caller(self.alice.phone, peer_name=self.dialled, now=self.now, unix=UNIX)
        self._run("alice", self.alice.machine.start(self.now))
        self._carry()
        return self

    def deliver(self, to: str, frame: bytes) -> None:
        """A frame reaches ``to``, however it came about."""
        side = self.sides[to]
        if side.machine is None:
            side.machine = Callee(side.phone, peer_name=self.announced, now=self.now, unix=self.callee_unix)
        self._run(to, side.machine.receive(frame, self.now))

    def connect(self) -> Line:
        """DTLS comes up on both ends, then the data channel."""
        for name, side in self.sides.items():
            if side.machine is not None and side.machine.state is State.AGREED:
                context = side.machine.exporter_context
                exporter = bytearray(hmac.digest(self.dtls[name], context, "sha384"))
                exporter[0] ^= self.exporter_bits[name]
                side.srtp = side.machine.exporter(Secret(exporter), self.now)
                side.epochs[0] = side.srtp
        for name, side in self.sides.items():
            if side.machine is not None and side.machine.state is State.CONFIRMING:
                self._run(name, side.machine.channel_open(self.now))
        self._carry()
        return self

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for name, side in self.sides.items():
            if side.machine is not None:
                self._run(name, side.machine.timer(self.now))
        self._carry()

    def media(self) -> None:
        """Packets have crossed in both directions, and each phone tells its machine what it saw."""
        for name, side in self.sides.items():
            seen = self.sides[other(name)].sending
            self._run(name, side.machine.epochs_in_use(side.sending, seen, self.now))

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Talk for a while."""
        until = self.now + seconds
        while self.now < until:
            self.wait(min(step, until - self.now))
            self.media()

    def run(self, name: str, effects: fx.Effects) -> None:
        self._run(name, effects)
        self._carry()

    def finish(self, name: str) -> None:
        """The KEM work that ``name`` has wanted last and ``hold`` kept from it is done now."""
        side = self.sides[name]
        self.run(name, self._compute(side.machine, side.had(fx.Compute)[-1].job))

    def _carry(self) -> None:
        while self._queue:
            sender, frame = self._queue.popleft()
            for each in self.relay(sender, len(self.sides[sender].frames) - 1, frame):
                self.deliver(other(sender), each)

    def _run(self, name: str, effects: fx.Effects) -> None:
        side = self.sides[name]
        side.effects += effects
        for effect in effects:
            if type(effect) in self.hold:
                continue
            match effect:
                case fx.Send(frame):
                    side.frames.append(frame)
                    self._queue.append((name, frame))
                case fx.SendControl(data):
                    side.control.append(data)
                    peer = self.sides[other(name)].machine
                    if peer is not None:
                        self._run(other(name), peer.control_received(data, self.now))
                case fx.StageEpoch(keys):
                    side.epochs[keys.epoch] = keys
                case fx.SwitchEpoch(epoch):
                    side.sending = epoch
                case fx.RetireEpoch(epoch):
                    side.epochs = {e: keys for e, keys in side.epochs.items() if e > epoch}
                case fx.NeedOffer():
                    self._run(name, side.machine.offer(OFFER, self.now))
                case fx.NeedAnswer(offer):
                    assert offer == OFFER
                    self._run(name, side.machine.answer(ANSWER, self.now))
                case fx.Compute(job):
                    self._run(name, self._compute(side.machine, job))
                case fx.FetchEncKeys(slave, number):
                    self._fetch(name, lambda s=slave, n=number: self.nodes.enc(s, n), self.nodes.enc_failure)
                case fx.FetchDecKeys(_, key_ids):
                    own = side.phone.sae_id
                    self._fetch(name, lambda s=own, k=key_ids: self.nodes.dec(s, k), self.nodes.dec_failure)

    def _compute(self, machine: Agreement, job: Callable[[], Worked]) -> fx.Effects:
        try:
            return machine.computed(job(), self.now)
        except AgreementFailed as failure:
            return machine.abort(failure)

    def _fetch(self, name: str, get: Callable[[], list[Key]], failure: str | None) -> None:
        machine = self.sides[name].machine
        if failure is None:
            self._run(name, machine.qkd_keys(get(), self.now))
        else:
            self._run(name, machine.qkd_failed(failure, self.now))


def other(name: str) -> str:
    return "bob" if name == "alice" else "alice"


IDENTITIES = {
    name: Identity.create(random.Random(seed).randbytes)
    for seed, name in enumerate(("alice", "bob", "mallory"), 1)
}


@pytest.fixture
def phones(tmp_path: Path) -> Iterator[Callable[..., Phone]]:
    """Makes phones. A name has one memory; ``restart`` closes it first and opens its file again."""
    opened: dict[str, Records] = {}
    made = itertools.count()

    def make(who: str, *, restart: bool = False, **changes: Any) -> Phone:
        if restart and who in opened:
            opened.pop(who).close()
        if who not in opened:
            opened[who] = Records(tmp_path / f"{who}.db")
        phone = Phone(
            name=who,
            identity=IDENTITIES[who],
            memory=opened[who],
            entropy=random.Random(f"{who} {next(made)}").randbytes,
            sae_id=f"sae-{who}",
            kme_id="kme-beijing" if who == "alice" else "kme-hefei",
        )
        return replace(phone, **changes)

    yield make
    for memory in opened.values():
        memory.close()


@pytest.fixture
def line(phones: Callable[..., Phone]) -> Callable[..., Line]:
    """Makes lines between alice and bob; ``alice`` and ``bob`` change the phones."""
    nodes = KeyNodes()

    def make(
        *, alice: dict[str, Any] | None = None, bob: dict[str, Any] | None = None, **options: Any
    ) -> Line:
        options.setdefault("nodes", nodes)
        return Line(phones("alice", **(alice or {})), phones("bob", **(bob or {})), **options)

    return make


def states(line: Line) -> tuple[State, State]:
    machines: list[Agreement] = [side.machine for side in line.sides.values()]
    return machines[0].state, machines[1].state
