"""Many headless phones at once, in pairs, on one relay: what each takes of a core, by proc(5)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from relay.signalling.websocket import ENROLMENTS
from scripts.benchmarks.calls import processor_time
from scripts.demonstration.stage import Program, StageError, stage


@dataclass(frozen=True)
class Crowd:
    """What ``phones`` took while all of them talked."""

    phones: int
    share: float
    """Of one core, for one phone that speaks and listens, in the mean."""
    relay: float
    """Of one core, for the relay and its key nodes."""
    mos: float
    """The worst that the E-model says of what one of them heard."""

    @property
    def per_core(self) -> float:
        """Phones that one core would carry at this price."""
        return 1 / self.share


async def gather(directory: Path, phones: int, seconds: float, speech: Path) -> Crowd:
    """Let ``phones`` (even, two at least) talk in pairs for ``seconds``, all at once.

    They are fewer where the relay, which shares their cores, says before that it takes no more calls.
    """
    if phones < 2 or phones % 2:
        raise ValueError("phones talk in pairs; give an even number")
    pairs = [(f"caller-{number}", f"callee-{number}") for number in range(phones // 2)]
    sound = ("--input", speech, "--output", "null")
    async with stage(directory) as theatre:
        relay = await theatre.serve()
        sites = theatre.ready["sites"]
        for number, name in enumerate(chain(*pairs)):
            if number >= ENROLMENTS.burst:  # from there on the relay takes them slowly
                await asyncio.sleep(1 / ENROLMENTS.per_second)
            await theatre.enrol(name, sites[-(number % 2)])
        programs: dict[str, Program] = {"relay": relay}
        for caller, callee in pairs:
            # Those who came first wait for the last: the price is that of all of them at once.
            length = str(seconds + 2 * len(pairs))
            listening = await theatre.listen(callee, "--auto-answer", "--once", *sound)
            placed = await theatre.call(caller, callee, "--duration", length, *sound)
            if await refused(placed):
                await listening.stop()
                break
            programs |= {caller: placed, callee: listening}
        if len(programs) < 3:
            raise StageError("the relay took none of the calls")
        used = await processor_time(programs, seconds)
        ends = [program.ended(limit=seconds + 60) for name, program in programs.items() if name != "relay"]
        if any(await asyncio.gather(*ends)):
            raise StageError("a call of the crowd failed")
        heard = [
            (await program.event("ended"))["quality"]["mos"]
            for name, program in programs.items()
            if name != "relay"
        ]
        await relay.stop()
    share = float(np.mean([each for name, each in used.items() if name != "relay"]))
    return Crowd(len(programs) - 1, share, used["relay"], min(heard))


async def refused(placed: Program) -> bool:
    """Whether the relay is full; otherwise the call is up. Raises StageError for any other end."""
    await placed.until(lambda events: any(each["event"] in ("media", "ended") for each in events))
    ended = [each["reason"] for each in placed.events if each["event"] == "ended"]
    if ended not in ([], ["busy-relay"]):
        raise StageError(f"a call of the crowd failed{placed.account()}")
    return bool(ended)
