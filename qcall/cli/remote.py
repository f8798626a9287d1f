"""Driving a phone that runs, by its control socket: JSON in, JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from qcall.config import Home
from qcall.errors import QcallError

from .app import app
from .completion import contacts as complete_contacts

control = typer.Typer(
    help="Drive a phone that runs (qcall, or qcall listen): one JSON object with ok, data, error.",
    no_args_is_help=True,
)
app.add_typer(control, name="control")

Contact = Annotated[str, typer.Argument(help="Who.", autocompletion=complete_contacts)]
State = Annotated[
    str,
    typer.Argument(
        metavar="on|off|toggle", help="What it shall be.", autocompletion=lambda: ["on", "off", "toggle"]
    ),
]


def tell(context: typer.Context, command: str, **fields: Any) -> None:
    """Send a command, print the answer as JSON, leave with 0 when it was carried out."""
    import asyncio

    from qcall.session.control import ask

    home: Home = context.obj
    try:
        answer: dict[str, Any] = {
            "ok": True,
            "data": asyncio.run(ask(home.control, {"command": command, **fields})),
        }
        code = 0
    except QcallError as error:
        answer = {"ok": False, "error": {"code": error.code, "text": str(error)}}
        code = error.exit_code
    typer.echo(json.dumps(answer))
    raise typer.Exit(code)


@control.command()
def dial(
    context: typer.Context,
    contact: Contact,
    allow_less: Annotated[
        bool, typer.Option("--allow-less", help="Fewer layers than earlier are allowed.")
    ] = False,
) -> None:
    """Call somebody. A call that is up goes on hold in the terminal softphone; qcall listen has one line."""
    tell(context, "dial", contact=contact, allow_less=allow_less)


@control.command("allow-less")
def allow_less(context: typer.Context, contact: Contact) -> None:
    """Let the next call with somebody, whoever dials, have fewer layers than earlier ones had."""
    tell(context, "allow-less", contact=contact)


@control.command()
def redial(context: typer.Context) -> None:
    """Call whom this phone called last."""
    tell(context, "redial")


@control.command()
def answer(context: typer.Context) -> None:
    """Answer the call that rings."""
    tell(context, "answer")


@control.command()
def refuse(
    context: typer.Context, text: Annotated[str, typer.Option(help="A line for the caller to read.")] = ""
) -> None:
    """Refuse the call that rings."""
    tell(context, "refuse", text=text)


@control.command()
def hangup(context: typer.Context) -> None:
    """Hang up, cancel or refuse the call in front."""
    tell(context, "hangup")


@control.command()
def hold(context: typer.Context, state: State = "toggle") -> None:
    """Put the call in front on hold, or take it back."""
    tell(context, "hold", state=state)


@control.command()
def swap(context: typer.Context) -> None:
    """Talk to the other call."""
    tell(context, "swap")


@control.command()
def mute(context: typer.Context, state: State = "toggle") -> None:
    """Turn the microphone off, or on again."""
    tell(context, "mute", state=state)


@control.command()
def policy(
    context: typer.Context,
    qkd: Annotated[
        str,
        typer.Argument(
            metavar="require|prefer|off",
            help="Whether calls need them.",
            autocompletion=lambda: ["require", "prefer", "off"],
        ),
    ],
) -> None:
    """How much quantum keys matter from the next call on."""
    tell(context, "policy", qkd=qkd)


@control.command()
def presence(
    context: typer.Context,
    state: Annotated[
        str,
        typer.Argument(metavar="on|off", help="What it shall be.", autocompletion=lambda: ["on", "off"]),
    ],
) -> None:
    """Tell mutual contacts when this phone is online, or do not."""
    tell(context, "presence", state=state)


@control.command()
def dtmf(context: typer.Context, digits: Annotated[str, typer.Argument(help="0-9, *, #, A-D.")]) -> None:
    """Send keypad digits."""
    tell(context, "dtmf", digits=digits)


@control.command()
def text(context: typer.Context, line: Annotated[str, typer.Argument(help="What to say.")]) -> None:
    """Send a line of text into the call in front."""
    tell(context, "text", text=line)


@control.command()
def record(
    context: typer.Context,
    state: State = "toggle",
    file: Annotated[Path | None, typer.Argument(help="A new WAV file, to begin.")] = None,
    sides: Annotated[
        str,
        typer.Option(
            metavar="own|both", help="Whose speech is recorded.", autocompletion=lambda: ["own", "both"]
        ),
    ] = "both",
) -> None:
    """Record the call in front, once the far phone has notice of it, or end the recording."""
    tell(context, "record", state=state, file="" if file is None else str(file.absolute()), sides=sides)


@control.command()
def device(
    context: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="microphone|speaker|input|output",
            help="What to change, as the options of qcall call have it.",
            autocompletion=lambda: ["microphone", "speaker", "input", "output"],
        ),
    ],
    name: Annotated[
        str, typer.Argument(help="A part of the card's name (none: the default one), or a WAV file or null.")
    ] = "",
) -> None:
    """Change a device of the call in front, and of those to come."""
    if kind in ("input", "output") and name not in ("", "null", "tone"):
        name = str(Path(name).absolute())
    tell(context, "device", kind=kind, name=name)


@control.command()
def status(context: typer.Context) -> None:
    """What the phone does: registration, calls, security, quality."""
    tell(context, "status")


@control.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Calls at most.")] = 100,
    contact: Annotated[
        str, typer.Option(help="Only calls with them.", autocompletion=complete_contacts)
    ] = "",
) -> None:
    """The latest calls, newest first."""
    tell(context, "history", limit=limit, contact=contact)


@control.command()
def subscribe(context: typer.Context) -> None:
    """Print every event as one JSON object a line, until the phone ends or Ctrl-C."""
    import asyncio

    from qcall.session.control import events

    home: Home = context.obj

    async def follow() -> None:
        async for event in events(home.control):
            typer.echo(json.dumps(event))

    try:
        asyncio.run(follow())
        code = 0
    except KeyboardInterrupt:
        code = 130
    except QcallError as error:
        typer.echo(json.dumps({"ok": False, "error": {"code": error.code, "text": str(error)}}))
        code = error.exit_code
    raise typer.Exit(code)
