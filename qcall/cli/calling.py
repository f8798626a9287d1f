"""Placing and receiving calls without the terminal interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qcall.errors import UsageError

from .app import app
from .completion import contacts as complete_contacts
from .groups import grouped
from .options import Json, PhoneOptions, ScriptOptions

if TYPE_CHECKING:
    import asyncio

    from qcall.session.phone import Phone
    from qcall.session.script import Script


@app.command()
@grouped
def call(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(help="Who to call.", autocompletion=complete_contacts)],
    options: PhoneOptions,
    doing: ScriptOptions,
    allow_less: Annotated[
        bool, typer.Option("--allow-less", help="This call may have fewer layers than earlier ones had.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Place a call."""
    from qcall.headless import call as place_call

    from .online import with_phone

    script = script_of(doing)

    async def talk(phone: Phone, stop: asyncio.Event) -> int:
        return await place_call(phone, contact, doing.duration, stop, allow_less=allow_less, script=script)

    with_phone(context.obj, options, as_json, script.check, talk)


@app.command()
@grouped
def listen(
    context: typer.Context,
    *,
    auto_answer: Annotated[bool, typer.Option("--auto-answer", help="Answer every call at once.")] = False,
    after: Annotated[
        float,
        typer.Option("--after", min=0.0, metavar="SECONDS", help="Let it ring before --auto-answer answers."),
    ] = 0.0,
    decline: Annotated[bool, typer.Option("--decline", help="Decline every call.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Leave after one call.")] = False,
    options: PhoneOptions,
    doing: ScriptOptions,
    as_json: Json = False,
) -> None:
    """Wait for calls."""
    from qcall.headless import listen as wait_for_calls

    from .online import with_phone

    script, duration = script_of(doing), doing.duration
    accept = True if auto_answer else False if decline else None

    def check() -> None:
        if auto_answer and decline:
            raise UsageError("--auto-answer and --decline exclude each other; give one of them")
        script.check()

    async def wait(phone: Phone, stop: asyncio.Event) -> int:
        return await wait_for_calls(
            phone, stop, accept=accept, after=after, once=once, duration=duration, script=script
        )

    with_phone(context.obj, options, as_json, check, wait)


def script_of(doing: ScriptOptions) -> Script:
    """What is done in a call."""
    from qcall.session.script import Script

    return Script(
        record=doing.record, sides=doing.record_sides, text=doing.text, digits=doing.dtmf, stats=doing.stats
    )
