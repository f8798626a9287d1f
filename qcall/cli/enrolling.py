"""Setting a phone up."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from qcall.config import Home
from qcall.session.event import Event

from .app import app, next_steps
from .lines import json_line
from .options import Json
from .running import run_briefly


@app.command()
def init(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name others will call you by.")],
    relay: Annotated[str, typer.Option(help="Address of the relay, such as ws://127.0.0.1:7480.")],
    invite: Annotated[str, typer.Option(help="The code that the relay's operator gave you.")],
    as_json: Json = False,
) -> None:
    """Make an identity and enrol it at a relay."""
    home: Home = context.obj

    def prepare() -> Callable[[], Awaitable[int]]:
        from .passphrases import first

        passphrase = first(home)
        return lambda: work(passphrase)

    async def work(passphrase: str | None) -> int:
        from qcall.session.enrolment import enrol

        account = await enrol(home, name, relay, invite, passphrase)
        if as_json:
            fields = {"name": account.name, "site": account.site, "sae_id": account.sae_id}
            json_line(Event("enrolled", time.monotonic(), fields))
        else:
            typer.echo(f"{account.name} is enrolled at {account.site}; {next_steps(context)}")
        return 0

    run_briefly(prepare)
