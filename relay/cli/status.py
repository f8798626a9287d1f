"""What a running relay is doing."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from relay.config import RelayHome
from relay.errors import UsageError

from .app import Json, app
from .running import print_json, run

SECTIONS = ("relay", "turn", "workers", "signalling", "paths", "hops", "keys", "links")


@app.command()
def status(
    context: typer.Context,
    section: Annotated[
        str,
        typer.Argument(
            metavar="[SECTION]",
            help=f"All figures of one part: {', '.join(SECTIONS)}.",
            autocompletion=lambda: list(SECTIONS),
            show_default=False,
        ),
    ] = "",
    everything: Annotated[bool, typer.Option("--all", "-a", help="All figures of every part.")] = False,
    as_json: Json = False,
) -> None:
    """Calls, media relay, signalling and key pools of the relay that runs with this home."""
    from relay.control import ask

    from .tables import show, summarise

    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        if section and section not in SECTIONS:
            raise UsageError(f"{section} is no part of a relay; there are {', '.join(SECTIONS)}")
        found = await ask(home.control, "status")
        if section:
            found = {section: found[section]}
        if as_json:
            print_json({"event": "status", **found})
        elif section or everything:
            for place, (name, figures) in enumerate(found.items()):
                if place:
                    typer.echo()
                show(name, figures)
        else:
            summarise(found)

    run(work)
