"""Who this phone knows, and how far their identity is known."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from qcall.crypto.identity import Fingerprint
from qcall.errors import UsageError
from qcall.headless import json_lines
from qcall.records.store import Records
from qcall.session.report import Event

from .app import app
from .options import Json
from .running import with_records


@app.command()
def contacts(context: typer.Context, as_json: Json = False) -> None:
    """Everyone this phone has talked to, and how far their identity is known."""

    def show(records: Records) -> None:
        for each in records.contacts():
            status = "verified" if each.verified else "pinned"
            changed = each.offered is not None
            fields = {"name": each.name, "fingerprint": str(Fingerprint(each.fingerprint)), "status": status}
            if as_json:
                json_lines(Event("contact", time.monotonic(), {**fields, "changed": changed}))
                continue
            note = f"   CHANGED: qcall accept-new-key {each.name}" if changed else ""
            typer.echo(f"{each.name:16}{status:10}{fields['fingerprint']}{note}")

    with_records(context.obj, show)


@app.command()
def verify(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(help="Whose words were compared.")],
    same: Annotated[
        bool | None, typer.Option("--same/--different", help="The answer, for scripts; asked for otherwise.")
    ] = None,
) -> None:
    """Show the words of the last call, and remember whether both of you read the same."""

    def compare(records: Records) -> None:
        last = next((call for call in records.calls() if call.contact == contact and call.security), None)
        if records.contact(contact) is None or last is None:
            raise UsageError(f"there has been no call with {contact} yet; call, then compare the words")
        typer.echo(f"words of the last call: {' '.join(last.security['words'])}")
        answer = typer.confirm("Does the other phone show the same?") if same is None else same
        records.set_verified(contact, answer)
        typer.echo(
            f"{contact} is verified" if answer else f"{contact} is NOT verified: somebody may be between you"
        )

    with_records(context.obj, compare)


@app.command("accept-new-key")
def accept_new_key(
    context: typer.Context, contact: Annotated[str, typer.Argument(help="Whose identity changed.")]
) -> None:
    """Trust the new identity of a contact whose calls are blocked because it changed. Ask them first."""

    def accept(records: Records) -> None:
        accepted = records.accept_offered(contact)
        if accepted is None:
            raise UsageError(f"no new identity of {contact} waits; see: qcall contacts")
        typer.echo(f"{contact} is now {Fingerprint(accepted.fingerprint)}; verify the words in the next call")

    with_records(context.obj, accept)
