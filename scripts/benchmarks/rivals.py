"""Places a call through the product and its twin over aiortc's stock audio path, on the same packets."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from scripts.benchmarks.calls import CALLEE, CALLER, Placed
from scripts.demonstration.stage import Program, StageError

VERSIONS = {"stock": f"aiortc {version('aiortc')} with PyAV {version('av')}, over loopback"}


@dataclass(frozen=True)
class Heard:
    """What one end heard of the other, on one clock: ``began`` are moments of the first samples."""

    file: Path
    spoke_from: float
    heard_from: float


def ours(placed: Placed, listener: str, speaker: str) -> Heard:
    """What ``listener`` heard in a call of the product."""
    return Heard(
        placed.heard[listener],
        placed.moment(speaker, "capture_started_at"),
        placed.moment(listener, "playout_started_at"),
    )


@dataclass(frozen=True)
class StockCall:
    """What both ends heard, and the share of a core that both took together."""

    heard: Mapping[str, Heard]
    cpu: float
    sent: float
    """Bytes a second of RTP payload, in the mean of both."""


async def stock(placed: Placed, speech: Mapping[str, Path], seconds: float, directory: Path) -> StockCall:
    """The call ``placed`` once more, over aiortc's own path."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {name: directory / f"heard-by-{name}.wav" for name in (CALLER, CALLEE)}
    plan = {
        name: {"speech": str(speech[name]), "heard": str(files[name]), "fates": placed.fates[name]}
        for name in files
    }
    call = directory / "call.json"
    call.write_text(json.dumps({**plan, "seconds": seconds}))
    program = await Program.start("stock aiortc", sys.executable, "-m", "scripts.benchmarks.stock", call)
    try:
        if await program.ended(limit=seconds + 30) != 0:
            raise StageError(f"stock aiortc failed{program.account()}")
        moments = program.events[-1]["moments"]
    finally:
        await program.stop()
    spoken = {name: moments[name]["capture_started_at"] for name in files}
    heard = {
        listener: Heard(files[listener], spoken[speaker], moments[listener]["playout_started_at"])
        for listener, speaker in ((CALLER, CALLEE), (CALLEE, CALLER))
    }
    sent = program.events[-1]["sent"]
    return StockCall(heard, program.events[-1]["cpu"], sum(sent.values()) / len(sent))
