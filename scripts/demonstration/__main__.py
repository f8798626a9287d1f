"""Places one real call between two phones and shows what it was made of.

Four programs: the relay, two phones, and an attacker who is given everything that the relay and all trusted
nodes saw. The report holds only what those programs printed and what the two WAV files hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from . import faults, side_by_side
from .hearing import Hearing, compare, load
from .report import Attack, Result, show
from .stage import BIN, Program, Stage, StageError, stage

SPEECH = Path(__file__).parent.parent.parent / "tests" / "data" / "speech"
LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)
ATTACKS = (
    ("", False),
    ("classical,mlkem", True),
    ("classical", False),
    ("mlkem", False),
    ("classical,mlkem", False),
)
"""Which layers the attacker has broken, and whether all nodes were honest; the last is the control."""


async def attack(theatre: Stage, recording: Path, secrets: Path, broken: str, honest: bool) -> Attack:
    """Run the attacker as a program of its own."""
    command = (sys.executable, "-m", "scripts.demonstration.attacker", recording, secrets, "--give", broken)
    program = await theatre.run("attacker", *command, *(("--honest-nodes",) if honest else ()))
    found = program.events[-1]
    counts = found["packets"], found["end_keys"], found["opened"]
    return Attack(tuple(found["given"]), found["honest_nodes"], *counts)


def heard(said: Path, heard_in: Path, speaker: Program, listener: Program) -> Hearing:
    """What the listener's file holds of the speaker's."""

    def moment(program: Program, name: str) -> float:
        (ended,) = (event for event in program.events if event["event"] == "ended")
        return float(ended["timing"][name])

    at = moment(speaker, "capture_started_at"), moment(listener, "playout_started_at")
    return compare(load(said), at[0], load(heard_in), at[1])


async def perform(directory: Path, seconds: float, topology: str, say: Console) -> Result:
    """The whole play; what it makes stays in ``directory``."""
    began = time.monotonic()
    recording, secrets = directory / "recording.jsonl", directory / "secrets.json"
    said = {"alice": SPEECH / "F1_harvard_phrases.wav", "bob": SPEECH / "M1_harvard_phrases.wav"}
    files = {name: directory / f"heard-by-{name}.wav" for name in said}
    async with stage(directory) as theatre:
        say.print("[dim]relay: signalling, TURN, key nodes and the chain of trusted nodes …[/]")
        await theatre.serve("--topology", topology, "--record", recording)
        sites = theatre.ready["sites"]
        say.print(f"[dim]phones: alice at {sites[0]}, bob at {sites[-1]} …[/]")
        await theatre.enrol("alice", sites[0])
        await theatre.enrol("bob", sites[-1])
        say.print(f"[dim]alice calls bob: {seconds:g} s of speech both ways …[/]")
        # One epoch for the whole call: the attacker's control is given the secrets of one.
        keys = ("--qkd", "require", "--rekey", "300")
        sound = {name: ("--input", said[name], "--output", files[name], *keys) for name in said}
        bob = await theatre.listen("bob", "--auto-answer", "--after", "1", "--once", *sound["bob"])
        glass = (sys.executable, "-m", "scripts.demonstration.glass_phone", "--home", theatre.home("alice"))
        command = ("call", "bob", "--json", "--duration", str(seconds), *sound["alice"])
        env = {**os.environ, "QCALL_GLASS": str(secrets)}
        alice = await Program.start("alice: qcall call", *glass, *command, env=env)
        theatre.programs.append(alice)
        codes = await alice.ended(limit=seconds + 20), await bob.ended()
        if codes != (0, 0):
            raise StageError(f"the call failed {codes}{alice.account()}{bob.account()}")
        status = await theatre.run("relay topology", BIN / "relay", "topology", "show", topology, "--json")
        await theatre.programs[0].stop()
        say.print("[dim]attacker: everything that the relay and the trusted nodes saw …[/]")
        attacks = [await attack(theatre, recording, secrets, *each) for each in ATTACKS]
        return Result(
            ready=theatre.ready,
            route=status.events[-1],
            caller=await alice.event("ended"),
            callee=await bob.event("ended"),
            at_callee=heard(said["alice"], files["bob"], alice, bob),
            at_caller=heard(said["bob"], files["alice"], bob, alice),
            attacks=attacks,
            seconds=time.monotonic() - began,
        )


def show_faults(directory: Path, as_json: bool, say: Console) -> int:
    """``--faults``."""
    trial = asyncio.run(faults.perform(directory, SPEECH / "F1_harvard_phrases.wav", say))
    if as_json:
        print(json.dumps(trial.summary()))
    else:
        faults.show(trial, say)
    return 0 if trial.proved else 1


def empty(directory: Path) -> bool:
    """Whether ``directory`` is one with nothing in it, or could be made."""
    return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))


def interrupt(_: int, __: FrameType | None) -> None:
    """Whoever ends this program otherwise than by Ctrl-C wants nothing left running either.

    A terminal that closes says so more than once, and must not cut short what ends the rest.
    """
    for number in LIKE_CTRL_C:
        signal.signal(number, signal.SIG_IGN)
    signal.raise_signal(signal.SIGINT)


def main() -> int:
    """The command line of ``scripts/demo``."""
    for number in LIKE_CTRL_C:
        signal.signal(number, interrupt)
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the call (default 10)")
    parser.add_argument("--topology", default="beijing-hefei", help="see: relay topology list")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep homes, recording and WAV files here")
    parser.add_argument(
        "--faults",
        action="store_true",
        help="one call through a cut, an eavesdropper, drained pools, a spy",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--tui", action="store_true", help="open two phones in one tmux instead")
    options = parser.parse_args()
    if not 2 <= options.seconds <= 3000:
        parser.error("--seconds: between 2 and 3000")
    if options.keep is not None and not empty(options.keep):
        parser.error(f"--keep {options.keep}: give a directory that is empty or not there yet")
    if options.tui and not (sys.stdin.isatty() and sys.stdout.isatty()):
        parser.exit(2, f"demo: {side_by_side.NO_TERMINAL}\n")
    say = Console(stderr=options.json)
    with tempfile.TemporaryDirectory(prefix="qcall-demo-") as scratch:
        directory = options.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            if options.tui:
                return asyncio.run(side_by_side.perform(directory, options.topology))
            if options.faults:
                return show_faults(directory, options.json, say)
            result = asyncio.run(perform(directory, options.seconds, options.topology, say))
        except StageError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    if options.json:
        summary: dict[str, Any] = result.summary()
        print(json.dumps(summary))
    else:
        show(result, say)
    return 0 if result.proved else 1


if __name__ == "__main__":
    sys.exit(main())
