"""Whether everything a call needs is there."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from qcall.config import Home
from qcall.errors import QcallError
from qcall.session.event import Event

from .app import app
from .lines import json_line
from .options import Json
from .running import report, run_briefly

if TYPE_CHECKING:
    from qcall.crypto.identity import Identity


@app.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check relay, key node, clock, audio and terminal, and say how to mend each."""
    home: Home = context.obj

    def prepare() -> Callable[[], Awaitable[int]]:
        from .passphrases import unlock

        # Before the loop runs, because it may ask the user.
        identity: Identity | QcallError | None = None
        try:
            identity = unlock(home) if home.identity.exists() else None
        except QcallError as error:
            identity = error
        return lambda: work(identity)

    async def work(identity: Identity | QcallError | None) -> int:
        from qcall.session.doctor import examine
        from qcall.tui.keys import keymap

        sound = True
        async for finding in examine(home, identity, keymap):
            sound = sound and (finding.well or not finding.needed)
            if as_json:
                fields = {name: getattr(finding, name) for name in finding.__slots__}
                json_line(Event("finding", time.monotonic(), fields))
                continue
            word = "ok" if finding.well else "FAULT" if finding.needed else "note"
            typer.echo(f"{word:6}{finding.what:10}{finding.text}")
            if not finding.well and finding.mend:
                typer.echo(f"{'':16}{finding.mend}")
        return 0 if sound else 1

    run_briefly(prepare)


@app.command()
def devices(
    context: typer.Context,
    test: Annotated[
        bool, typer.Option("--test", help="Sound a tone, then show the microphone's level.")
    ] = False,
    microphone: Annotated[str, typer.Option(metavar="NAME", help="Part of a microphone's name.")] = "",
    speaker: Annotated[str, typer.Option(metavar="NAME", help="Part of a loudspeaker's name.")] = "",
    as_json: Json = False,
) -> None:
    """List microphones and loudspeakers, or test them."""

    def work() -> int:
        from qcall.session.soundtest import SoundTest

        tester = SoundTest()
        cards = tester.cards()
        if not any(cards) and not as_json:
            typer.echo(
                "no microphone and no loudspeaker; calls work in silence, or with --input and --output"
            )
        for kind, names in zip(("microphone", "speaker"), cards, strict=True):
            for name in names:
                if as_json:
                    json_line(Event("device", 0.0, {"kind": kind, "name": name}))
                else:
                    typer.echo(f"{kind:12}{name}")
        if test:
            level = tester.run(microphone, speaker)
            if as_json:
                json_line(Event("level", 0.0, {"dbfs": round(level, 1)}))
            else:
                typer.echo(f"level       {level:.0f} dB below full scale at the loudest")
        return 0

    report(work)
