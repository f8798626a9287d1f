"""Who this phone knows, and how far their identity is known."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qcall.config import Home
from qcall.errors import LocalFault, UsageError
from qcall.session.event import Event
from qcall.session.wording import doubt_line

from .app import app
from .completion import blocked
from .completion import contacts as complete_contacts
from .lines import json_line
from .options import Json
from .running import report, with_records

if TYPE_CHECKING:
    from qcall.records.store import Records

contacts = typer.Typer(invoke_without_command=True, help="Everyone this phone knows; accept a changed one.")
app.add_typer(contacts, name="contacts")


@contacts.callback()
def list_contacts(context: typer.Context, as_json: Json = False) -> None:
    """Everyone this phone has talked to or has in its address book, and how far their identity is known."""
    home: Home = context.find_root().obj

    def show(records: Records) -> None:
        from qcall.agreement.peer import judge
        from qcall.crypto.identity import Fingerprint
        from qcall.records.addressbook import AddressBook

        known = records.contacts()
        met = {each.name for each in known}
        written = [entry for entry in AddressBook(home.address_book).entries if entry.name not in met]
        if not known and not written and not as_json:
            typer.echo("nobody yet: an identity is pinned in the first call; run: qcall call NAME")
        for each in known:
            status = str(judge(each, Fingerprint(each.fingerprint)))
            fingerprint = str(Fingerprint(each.fingerprint))
            offered = str(Fingerprint(each.offered)) if each.offered is not None else None
            if as_json:
                fields = {"name": each.name, "fingerprint": fingerprint, "status": status}
                changes = {"changed": offered is not None, "offered": offered}
                json_line(Event("contact", time.monotonic(), fields | changes))
                continue
            typer.echo(f"{each.name:16}{status:14}{fingerprint}")
            if each.doubted:
                typer.echo(f"{'':16}{doubt_line(each.name)}")
            if offered is not None:
                accept = f"BLOCKED until you run: qcall contacts accept-new-key {each.name}"
                typer.echo(f"{'':16}{'claims':14}{offered}   {accept}")

        for entry in written:
            if as_json:
                unmet = {"fingerprint": None, "status": "new", "changed": False, "offered": None}
                json_line(Event("contact", time.monotonic(), {"name": entry.name, **unmet}))
            else:
                typer.echo(f"{entry.name:16}{'new':14}an identity is pinned in the first call")

    if context.invoked_subcommand is None:
        with_records(context.obj, show)


@contacts.command("accept-new-key")
def accept_new_key(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(help="Whose identity changed.", autocompletion=blocked)],
) -> None:
    """Trust the new identity of a contact whose calls are blocked because it changed. Ask them first."""

    def accept(records: Records) -> None:
        from qcall.crypto.identity import Fingerprint

        known = records.contact(contact)
        accepted = records.accept_offered(contact)
        if known is None or accepted is None:
            raise UsageError(f"no new identity of {contact} waits; see: qcall contacts")
        typer.echo(f"{contact} was    {Fingerprint(known.fingerprint)}")
        typer.echo(f"{contact} is now {Fingerprint(accepted.fingerprint)}; verify the words in the next call")

    with_records(context.obj, accept)


@app.command()
def fingerprint(context: typer.Context) -> None:
    """Show this phone's own fingerprint, for others to compare with what their phones show of it."""
    home: Home = context.obj

    def show() -> int:
        from .passphrases import unlock

        name = home.account().name
        own = str(unlock(home).fingerprint)
        draw(own)
        typer.echo(f"fingerprint of {name}: {own}")
        return 0

    report(show)


@app.command()
def verify(
    context: typer.Context,
    contact: Annotated[
        str, typer.Argument(help="Whose words were compared.", autocompletion=complete_contacts)
    ],
    same: Annotated[
        bool | None, typer.Option("--same/--different", help="The answer, for scripts; asked for otherwise.")
    ] = None,
) -> None:
    """Show the words of the call that is up, else of the last one, and the contact's fingerprint.

    Remembers whether both read the same.
    """
    home: Home = context.obj

    def compare(records: Records) -> None:
        from qcall.crypto.identity import Fingerprint

        from .passphrases import at_terminal

        known = records.contact(contact)
        running = call_that_is_up(asked_of_phone(home, {"command": "status"}), contact)
        ended = (call.security for call in records.calls_with(contact) if "words" in call.security)
        security = running or next(ended, None)
        if known is None or security is None:
            raise UsageError(f"there has been no call with {contact} yet; call, then compare the words")
        fingerprint = str(Fingerprint(known.fingerprint))
        if security["fingerprint"] != fingerprint:
            raise UsageError(f"{contact} has another identity since the last call; call, then compare")
        draw(fingerprint)
        typer.echo(f"fingerprint of {contact}: {fingerprint}")
        which = "the last call" if running is None else "the call that is up"
        typer.echo(f"words of {which}: {' '.join(security['words'])}")
        if same is None and not at_terminal():
            raise UsageError("there is no terminal to ask at; answer with --same or --different")
        answer = typer.confirm(f"Does {contact}'s phone show the same words?") if same is None else same
        told = {"command": "verify", "contact": contact, "same": answer}
        if running is None or asked_of_phone(home, told) is None:
            records.set_verified(contact, answer)
        typer.echo(
            f"{contact} is verified" if answer else f"{contact} is NOT verified\n{doubt_line(contact)}"
        )

    with_records(home, compare)


def draw(fingerprint: str) -> None:
    """A fingerprint as a QR code."""
    from rich.console import Console

    from .fingerprint import qr_code

    Console().print(qr_code(fingerprint, color=sys.stdout.isatty()), highlight=False)


def asked_of_phone(home: Home, command: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the phone that runs in ``home`` answers; ``None`` when none runs there."""
    import asyncio

    from qcall.session.control import ask
    from qcall.wire.local import NOT_RUNNING

    try:
        answer: dict[str, Any] = asyncio.run(ask(home.control, command))
    except LocalFault as fault:
        if fault.code != NOT_RUNNING:
            raise
        return None
    return answer


def call_that_is_up(status: Mapping[str, Any] | None, contact: str) -> Mapping[str, Any] | None:
    """What protects the call with ``contact`` that is up, by the ``status`` of the phone; ``None`` for none.

    Raises ``UsageError`` when it has no words yet: those of the call before would be the wrong ones.
    """
    from qcall.session.snapshot import Phase

    for call in () if status is None else status["calls"]:
        if call["contact"] == contact and call["state"] != Phase.ENDED:
            if "words" not in call["security"]:
                raise UsageError(
                    f"the call with {contact} is being set up and has no words yet; try again in a moment"
                )
            return dict(call["security"])
    return None
