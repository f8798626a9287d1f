"""Phones for the screens' tests: frozen snapshots, and a link that remembers what it was told."""

from __future__ import annotations

import math
from dataclasses import replace

from qcall.errors import QcallError
from qcall.session import commands
from qcall.session.snapshot import (
    Call,
    Hop,
    Levels,
    Link,
    LogLine,
    Message,
    Person,
    Phase,
    Presence,
    Quality,
    Route,
    Series,
    Snapshot,
    TraceLine,
    Trust,
)

NOON = 1_779_969_600.0
"""28 May 2026, 12:00 UTC."""
NODES = (
    "beijing", "langfang", "tianjin", "cangzhou", "dezhou", "jinan", "taian", "qufu",
    "tengzhou", "xuzhou", "suzhou", "bengbu", "chuzhou", "dingyuan", "changfeng", "hefei",
)  # fmt: skip
FINGERPRINT = "9f3c 11d0 77a2 4be8 0c5e 2f61 d8b4 a913"
OTHER = "41b7 e02c 9d15 83fa 6610 ce97 b25d 0f48"


def hops() -> tuple[Hop, ...]:
    """Fifteen links, the tenth of them poor."""
    made = []
    for index in range(15):
        pool = 0.93 - 0.02 * index if index != 9 else 0.17
        rate = 8600.0 + 310.0 * math.sin(index) if index != 9 else 2100.0
        qber = 0.0185 + 0.0007 * index if index != 9 else 0.041
        made.append(Hop(qber=qber, age=1.5, pool=pool, rate=rate, km=67.0 + index % 3, state="up"))
    return tuple(made)


ROUTE = Route(NODES, hops(), keys_left=412, keys_per_second=9.1)
SECURITY = {
    "line": "SECURED  classical ✓  ML-KEM ✓  QKD ✓ 15 hops  epoch 7  VERIFIED",
    "words": ["stagnate", "hemisphere", "acme", "adroitness"],
    "qkd": {"state": "present", "hops": 15, "path": list(NODES), "simulated": True},
    "trust": "verified",
    "policy": "prefer",
    "suite": "Q5",
    "mlkem": {"algorithm": "ML-KEM-1024"},
    "signatures": "Ed25519 + ML-DSA-87",
    "epoch": 7,
}


def series(*, base: float, swing: float, seconds: int = 100) -> Series:
    """A curve that looks measured and is the same every time."""
    return Series(
        tuple(base + swing * (0.6 * math.sin(i / 4.0) + 0.4 * math.sin(i / 1.7)) for i in range(seconds))
    )


QUALITY = Quality(
    delay=series(base=0.044, swing=0.009),
    loss=Series(tuple(0.02 if i in (31, 32, 70) else 0.0 for i in range(100))),
    jitter=series(base=0.0021, swing=0.0011),
    mos=series(base=4.28, swing=0.09),
    totals={"packetsReceived": 4985, "packetsLost": 3, "packetsExpected": 4988, "mos": 4.3},
)
TRACE = (
    TraceLine(0.000, True, "bob", "m1", 1702),
    TraceLine(0.021, False, "bob", "m2", 9021),
    TraceLine(0.029, None, "key node", "enc_keys", 0, "1 key in 3.2 ms"),
    TraceLine(0.071, True, "bob", "m3", 10544),
    TraceLine(0.098, False, "bob", "m4", 2310),
    TraceLine(0.160, True, "bob", "confirm", 93),
    TraceLine(0.171, False, "bob", "confirm", 93),
    TraceLine(1.402, False, "bob", "answered", 44),
    TraceLine(61.3, True, "bob", "rk1", 1683),
    TraceLine(61.4, False, "bob", "rk2", 1712),
    TraceLine(61.4, True, "bob", "rk3", 81),
)
PEOPLE = (
    Person("bob", "Bob", Presence.ONLINE, Trust.VERIFIED, FINGERPRINT, note="Hefei, second floor"),
    Person("carol", "", Presence.OFFLINE, Trust.PINNED, FINGERPRINT),
    Person("dave", "Dave M.", Presence.BUSY, Trust.NEW),
    Person("lab-hefei", "", Presence.ONLINE, Trust.PINNED, FINGERPRINT),
)
LOG = (
    LogLine(NOON - 130, "alice is registered at wss://relay.example:7480 (beijing)"),
    LogLine(NOON - 102, "calling bob …"),
    LogLine(NOON - 102, "ringing   SECURED  classical ✓  ML-KEM ✓  QKD ✓ 15 hops  epoch 0  VERIFIED"),
    LogLine(NOON - 100, "answered"),
    LogLine(NOON - 41, "SECURED  classical ✓  ML-KEM ✓  QKD ✓ 15 hops  epoch 7  VERIFIED"),
    LogLine(NOON - 12, "nothing comes from bob; waiting for the path", grave=True),
    LogLine(NOON - 9, "bob is heard again"),
)
MESSAGES = (
    Message("alice", "do you hear the train?", NOON - 60, own=True),
    Message("bob", "now that you say it. Sending you the figures", NOON - 48, own=False),
)
TALKING = Call(
    "11" * 16,
    "bob",
    outgoing=True,
    phase=Phase.TALKING,
    began_at=0.0,
    talking_at=2.0,
    security=SECURITY,
    route=ROUTE,
    quality=QUALITY,
    levels=Levels(-23.0, -18.0),
    messages=MESSAGES,
    trace=TRACE,
)
INCOMING = replace(
    TALKING,
    id="22" * 16,
    contact="carol",
    outgoing=False,
    phase=Phase.INCOMING,
    talking_at=None,
    messages=(),
    quality=Quality(),
    levels=Levels(),
    security={**SECURITY, "line": SECURITY["line"].replace("VERIFIED", "PINNED").replace("7", "0"),
              "trust": "pinned"},
)  # fmt: skip
IDLE = Snapshot(
    at=102.0,
    unix=NOON,
    name="alice",
    site="beijing",
    relay="wss://relay.example:7480",
    link=Link.ONLINE,
    key_node="kme-beijing",
    people=PEOPLE,
    log=LOG[:1],
)
IN_CALL = replace(IDLE, calls=(TALKING,), log=LOG, last_dialled="bob")
RINGING = replace(IDLE, calls=(INCOMING,))
WAITING = replace(IN_CALL, calls=(TALKING, INCOMING))
HISTORY = [
    {
        "call_id": "11" * 16, "contact": "bob", "direction": "outgoing", "began_at": NOON - 3600,
        "ended_at": NOON - 3320, "seconds": 278.0, "reason": "hangup", "security": SECURITY,
        "quality": {"mos": 4.31, "packetsLost": 3, "packetsExpected": 13900},
    },
    {
        "call_id": "22" * 16, "contact": "carol", "direction": "incoming", "began_at": NOON - 90_000,
        "ended_at": NOON - 89_970, "seconds": 0.0, "reason": "no-answer", "security": {}, "quality": {},
    },
]  # fmt: skip


class ToldLink:
    """A phone that only remembers what it was told; ``show`` makes the screen follow."""

    def __init__(self, first: Snapshot = IDLE) -> None:
        self.first = first
        self.told: list[commands.Any] = []
        self.answers: dict[type, object] = {commands.History: HISTORY}
        self.refusal: QcallError | None = None
        self.closed = False
        self.show = lambda snapshot: None
        self.fail = lambda error: None

    def start(self, on_snapshot, on_failed) -> None:
        self.show, self.fail = on_snapshot, on_failed
        on_snapshot(self.first)

    async def ask(self, command):
        if self.refusal is not None:
            raise self.refusal
        self.told.append(command)
        return self.answers.get(type(command))

    def stop(self) -> None:
        self.closed = True

    async def close(self) -> None:
        self.closed = True
