"""One call through every fault of the laboratory: what becomes of its keys and voice, and what a spy holds.

A trusted node is compromised before the call begins; then a fibre of the route is cut, an eavesdropper sits
down on the detour, the pools of what is left run dry, and all is mended. Every line holds what the programs
told: the phones' events, the relay's status, and an attacker who is given the recording and what the
compromised node saw.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table

from .report import Failure, show_verdict
from .stage import BIN, Event, Program, Stage, StageError, stage

SPY = "tianjin"
"""On the route that the call begins with."""
STEPS = 5
SITES = {"alice": "beijing", "bob": "hefei"}
REKEY = "5"
PATIENCE = 25.0
LOOK = 0.5
"""Seconds between two looks at what the hops have carried."""
Fits: TypeAlias = Callable[[Event], bool]
"""Whether an event of a phone is the one that is waited for."""
ATTACKS = (("", "what the node saw"), ("classical,mlkem", "the same, X25519 and ML-KEM broken: the control"))


@dataclass
class Step:
    """One fault, and what both phones and the relay told of it."""

    what: str
    keys: str
    voice: str
    seconds: float


@dataclass
class Trial:
    """The whole call."""

    steps: list[Step] = field(default_factory=list)
    captured: int = 0
    used: int = 0
    """End keys of this call among them."""
    attacks: list[tuple[str, int, int]] = field(default_factory=list)
    """What was given, packets opened, packets recorded."""
    ended: dict[str, Event] = field(default_factory=dict)
    """What each phone told at the end."""
    lost: dict[str, int] = field(default_factory=dict)
    """Packets that the modelled fibres lost in all on the way to each phone."""

    @property
    def proved(self) -> bool:
        """Whether every step came about, and the spy opened nothing, where the control opened something."""
        return not self.failures

    @property
    def failures(self) -> list[Failure]:
        """The checks that failed."""
        (_, opened, packets), (_, controlled, _) = self.attacks
        checks = (
            (len(self.steps) == STEPS, Failure("steps that came about", f"{len(self.steps)}", f"{STEPS}")),
            (self.captured > 0, Failure(f"end keys that {SPY} wrote down", f"{self.captured}", "above 0")),
            (opened == 0, Failure("packets that the spy opened", f"{opened} of {packets}", "0")),
            (
                0 < controlled <= packets,
                Failure("packets that the control opened", f"{controlled} of {packets}", "above 0"),
            ),
        )
        return [failure for held, failure in checks if not held]

    def summary(self) -> dict[str, Any]:
        """The result for other programs."""
        return {
            "steps": [vars(step) for step in self.steps],
            "compromised": {"node": SPY, "end_keys": self.captured, "of_this_call": self.used},
            "attacks": [
                {"given": given, "opened": opened, "packets": n} for given, opened, n in self.attacks
            ],
            "quality": {name: ended["quality"] for name, ended in self.ended.items()},
            "lost_by_fibres": self.lost,
            "proved": self.proved,
            "failures": [str(failure) for failure in self.failures],
        }


class Laboratory:
    """The running relay and the two phones of one call."""

    def __init__(self, theatre: Stage, alice: Program, bob: Program, say: Console) -> None:
        self.theatre = theatre
        self.phones = alice, bob
        self.trial = Trial()
        self._say = say

    async def disturb(self, *arguments: str) -> None:
        """``relay fault``."""
        command = (BIN / "relay", "--home", self.theatre.relay_home, "fault", *arguments)
        await self.theatre.run("relay fault", *command)

    async def status(self) -> Event:
        """``relay status``."""
        command = (BIN / "relay", "--home", self.theatre.relay_home, "status", "--json")
        return await (await self.theatre.run("relay status", *command)).event("status")

    async def step(self, what: str, faults: list[tuple[str, ...]], seen: Fits, keyed: Fits) -> None:
        """Do it, and wait until both phones have ``seen`` all of it and have rekeyed as expected.

        Between two faults a phone may see the first alone: that is not what this step is about.
        """
        began, since = time.monotonic(), [len(phone.events) for phone in self.phones]
        before = await self.status()
        for fault in faults:
            await self.disturb(*fault)
        told = []
        for phone, start in zip(self.phones, since, strict=True):
            told.append(await tells(phone, start, "qkd-outlook", seen))
            told.append(await tells(phone, start, "rekeyed", keyed))
        after, (outlook, rekeyed) = await self.status(), told[:2]
        await asyncio.sleep(LOOK)
        now = await self.status()
        keys = f"{spoken(outlook)}; epoch {rekeyed['epoch']}: {rekeyed['line'].split('  ')[3]}"
        step = Step(what, keys, voice(before, after, now), time.monotonic() - began)
        self.trial.steps.append(step)
        self._say.print(f"[dim]{what}: {keys}; {step.voice}[/]")


async def tells(phone: Program, since: int, kind: str, fits: Fits) -> Event:
    """The first event of this kind that fits, of those after ``since``."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        for event in phone.events[since:]:
            if event["event"] == kind and fits(event):
                return event
        await asyncio.sleep(0.05)
    raise StageError(f"{phone.name} did not tell '{kind}' as it should{phone.account()}")


def spoken(outlook: Event) -> str:
    """An outlook in a few words."""
    faults = ", ".join(f"{'–'.join(each['link'])} {each['condition']}" for each in outlook["faults"])
    way = f"way of {outlook['hops']} hops" if outlook["path"] else "no way"
    alarm = "ALARM, " if outlook["alarm"] else ""
    return f"{alarm}{faults or 'all well'}; {way}, {outlook['keys_left']} keys left"


def voice(before: Event, after: Event, now: Event) -> str:
    """What a fault did to the voice, and which way it goes ``now``, by the counters of the modelled hops."""
    lost = ", ".join(
        f"{lost_to(after, site) - lost_to(before, site)} to {who}" for who, site in SITES.items()
    )
    passed = {(hop["from"], hop["to"], hop["hop"]): hop["passed"] for hop in after["hops"]}
    carrying = {
        frozenset(hop["hop"].split("–"))
        for hop in now["hops"]
        if hop["passed"] > passed.get((hop["from"], hop["to"], hop["hop"]), 0)
    }
    return f"goes over {len(carrying)} hops; packets lost: {lost}"


def lost_to(status: Event, site: str) -> int:
    """Packets, of voice and its control, that the modelled fibres lost on the way to ``site`` by now."""
    return sum(int(hop["lost"]) for hop in status["hops"] if hop["to"] == site)


async def perform(directory: Path, speech: Path, say: Console) -> Trial:
    """The whole play."""
    recording, secrets = directory / "recording.jsonl", directory / "secrets.json"
    async with stage(directory) as theatre:
        say.print("[dim]relay, two phones, one call that rekeys every 5 s …[/]")
        await theatre.serve("--record", recording)
        for name, site in SITES.items():
            await theatre.enrol(name, site)
        sound = ("--input", speech, "--output", "null", "--rekey", REKEY)
        bob = await theatre.listen("bob", "--auto-answer", "--once", *sound)
        command = (BIN / "relay", "--home", theatre.relay_home, "fault", "compromise", SPY)
        await theatre.run("relay fault", *command)
        glass = (sys.executable, "-m", "scripts.demonstration.glass_phone", "--home", theatre.home("alice"))
        env = {**os.environ, "QCALL_GLASS": str(secrets)}
        alice = await Program.start("alice: qcall call", *glass, "call", "bob", "--json", *sound, env=env)
        theatre.programs.append(alice)
        lab = Laboratory(theatre, alice, bob, say)
        trial = lab.trial
        await alice.event("media")
        await play(lab)
        status = await lab.status()
        trial.captured = status["keys"]["compromised"].get(SPY, 0)
        trial.lost = {name: lost_to(status, site) for name, site in SITES.items()}
        alice.interrupt()
        if (codes := (await alice.ended(), await bob.ended())) != (0, 0):
            raise StageError(f"the call failed {codes}{alice.account()}{bob.account()}")
        trial.ended = {"alice": await alice.event("ended"), "bob": await bob.event("ended")}
        await theatre.programs[0].stop()
        used = {key_id for e in alice.events if "qkd" in e for key_id in e["qkd"]["key_ids"]}
        for given, name in ATTACKS:
            attacker = (sys.executable, "-m", "scripts.demonstration.attacker", recording, secrets)
            found = (await theatre.run("attacker", *attacker, "--give", given, "--node", SPY)).events[-1]
            trial.attacks.append((name, found["opened"], found["packets"]))
            trial.used = len(used & set(found["key_ids"]))
    return trial


async def play(lab: Laboratory) -> None:
    """The faults, in turn."""

    def over_detour(outlook: Event) -> bool:
        return bool(outlook["path"] and outlook["faults"])

    def over(node: str) -> Callable[[Event], bool]:
        return lambda event: node in event["qkd"]["path"]

    def present(event: Event) -> bool:
        return event["qkd"]["state"] == "present"

    def without(event: Event) -> bool:
        return event["qkd"]["state"] == "absent"

    def well(outlook: Event) -> bool:
        return bool(outlook["path"]) and not outlook["faults"]

    def nowhere(outlook: Event) -> bool:
        return not outlook["path"]

    cut = "fibre cut: jinan–taian"
    await lab.step(cut, [("cut", "jinan", "taian")], over_detour, over("zhengzhou"))
    eve = "eavesdropper on all pulses: anyang–hebi"
    await lab.step(eve, [("eve", "anyang", "hebi")], nowhere, without)
    # The shortest way first: else the next keys still cross the detour, and are what is drawn next.
    mended = [("restore", "jinan", "taian"), ("restore", "anyang", "hebi")]
    await lab.step("both mended", mended, well, present)
    # A quiet eavesdropper raises no alarm and leaves no key: what is drained then stays empty.
    quiet = [("beijing", "langfang"), ("beijing", "zhuozhou")]
    drained = [("eve", *link, "--share", "0.2") for link in quiet] + [("drain", *link) for link in quiet]
    await lab.step("pools drained, and no key made: beijing–langfang, –zhuozhou", drained, nowhere, without)
    await lab.step("mended", [("restore", *link) for link in quiet], well, present)


def heard(name: str, quality: Event, lost: int) -> str:
    """What a phone missed of the other's voice, beside what the fibres lost on the way to it."""
    missed = f"{quality['packetsLost']} of {quality['packetsExpected']} packets of voice"
    return f"lost to {name}: {missed}; by the fibres {lost}, RTCP among them; MOS {quality['mos']}"


def show(trial: Trial, console: Console) -> None:
    """Print the report."""
    table = Table(title="One call through every fault (links simulated)", title_justify="left")
    for column in ("what was done", "keys, as both phones told", "voice", "s"):
        table.add_column(column, overflow="fold")
    for step in trial.steps:
        table.add_row(step.what, step.keys, step.voice, f"{step.seconds:.0f}")
    console.print(table)
    for name, ended in trial.ended.items():
        console.print(f"[bold]The call[/]  {heard(name, ended['quality'], trial.lost[name])}")
    held = f"{trial.captured} end keys, {trial.used} of them this call's"
    spy = Table(title=f"Compromised: {SPY} wrote down {held}", title_justify="left")
    spy.add_column("the attacker has the recording, and")
    spy.add_column("opened", justify="right")
    for given, opened, packets in trial.attacks:
        spy.add_row(given, f"{opened} of {packets}")
    console.print(spy)
    show_verdict("The call went on, and its spy holds nothing that opens it.", trial.failures, console)
