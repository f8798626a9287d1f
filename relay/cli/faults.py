"""The fault laboratory: what may be done to the network of a running relay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from relay.config import RelayHome

from .app import Json, app
from .completion import running_nodes
from .running import counted, print_json, run

fault_app = typer.Typer(
    help="Disturb the simulated network of the relay that runs with this home.", no_args_is_help=True
)
app.add_typer(fault_app, name="fault")

NAMED = 3
"""Pairs of sites that are called by their names."""
A = Annotated[str, typer.Argument(help="One node of the link.", autocompletion=running_nodes)]
B = Annotated[str, typer.Argument(help="The node at its other end.", autocompletion=running_nodes)]


@fault_app.command()
def cut(context: typer.Context, a: A, b: B, as_json: Json = False) -> None:
    """Cut a fibre: no keys over it, and the voice on it goes another way."""
    disturb(context, as_json, "cut", a, b)


@fault_app.command()
def eve(
    context: typer.Context,
    a: A,
    b: B,
    share: Annotated[float, typer.Option(help="Of the pulses, 0 to 1.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Put an eavesdropper on a link, who intercepts and resends a share of its pulses."""
    disturb(context, as_json, "eve", a, b, share=share)


@fault_app.command()
def drain(context: typer.Context, a: A, b: B, as_json: Json = False) -> None:
    """Empty the key pool of a link."""
    disturb(context, as_json, "drain", a, b)


@fault_app.command()
def compromise(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="A trusted node.", autocompletion=running_nodes)],
    as_json: Json = False,
) -> None:
    """Let a node write down every end key it sees."""
    disturb(context, as_json, "compromise", node)


@fault_app.command()
def restore(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="A link's two nodes, or a node.", autocompletion=running_nodes)
    ] = None,
    as_json: Json = False,
) -> None:
    """Mend a link, make a node honest again, or everything when nothing is named."""
    disturb(context, as_json, "restore", *(names or ()))


def spelt(detours: int, cut_off: Sequence[Sequence[str]]) -> str:
    """How many pairs of sites talk over a detour, and for which no way is left, if any."""
    said = ""
    if detours:
        verb = "talks" if detours == 1 else "talk"
        said += f"; {counted(detours, 'pair')} of sites {verb} over a detour"
    if cut_off:
        named = ", ".join("–".join(pair) for pair in cut_off[:NAMED])
        more = f" and {len(cut_off) - NAMED} more" if len(cut_off) > NAMED else ""
        said += f"; no way is left for {counted(len(cut_off), 'pair')} of sites: {named}{more}"
    return said


def disturb(context: typer.Context, as_json: bool, action: str, *names: str, **more: Any) -> None:
    """Ask the running relay to do it."""
    home: RelayHome = context.obj

    from relay.control import ask

    async def work(_: asyncio.Event) -> None:
        done = await ask(home.control, "fault", action=action, names=names, **more)
        if as_json:
            print_json({"event": "fault", **done, **more})
            return
        what = "–".join(names) or "everything"
        typer.echo(f"{action} {what}: done (simulated){spelt(done['detours'], done['cut_off'])}")

    run(work)
