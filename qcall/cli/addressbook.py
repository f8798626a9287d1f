"""The address book: what people are called, kept as vCards; identities are pinned elsewhere, by calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qcall.config import Home
from qcall.errors import UsageError
from qcall.records.vcard import Entry
from qcall.session.event import Event

from .completion import contacts as complete_contacts
from .completion import entries
from .lines import json_line
from .options import Json
from .people import contacts
from .running import report

if TYPE_CHECKING:
    from qcall.records.addressbook import AddressBook

Name = Annotated[
    str, typer.Argument(help="The name the relay knows them by.", autocompletion=complete_contacts)
]
Known = Annotated[str, typer.Argument(help="The name the relay knows them by.", autocompletion=entries)]


def with_book(context: typer.Context, work: Callable[[AddressBook], None]) -> None:
    """Do ``work`` with the address book of the phone."""
    home: Home = context.find_root().obj

    def do() -> int:
        from qcall.records.addressbook import AddressBook

        home.account()
        work(AddressBook(home.address_book))
        return 0

    report(do)


@contacts.command()
def add(
    context: typer.Context,
    name: Name,
    shown: Annotated[str, typer.Option(help="What you call them.")] = "",
    note: Annotated[str, typer.Option(help="A note.")] = "",
) -> None:
    """Write somebody into the address book; an entry of that name is replaced."""

    def write(book: AddressBook) -> None:
        known = any(entry.name == name for entry in book.entries)
        book.save(Entry(name, shown, note))
        typer.echo(f"{name} is {'changed' if known else 'added'}; call them: qcall call {name}")

    with_book(context, write)


@contacts.command()
def edit(
    context: typer.Context,
    name: Known,
    shown: Annotated[str | None, typer.Option(help="What you call them.")] = None,
    note: Annotated[str | None, typer.Option(help="A note.")] = None,
) -> None:
    """Change an entry; what is not given stays."""

    def change(book: AddressBook) -> None:
        known = next((entry for entry in book.entries if entry.name == name), None)
        if known is None:
            raise UsageError(f"{name} is not in the address book; add them: qcall contacts add {name}")
        kept = Entry(name, known.shown if shown is None else shown, known.note if note is None else note)
        book.save(kept)
        typer.echo(f"{name} is changed")

    with_book(context, change)


@contacts.command()
def remove(context: typer.Context, name: Known) -> None:
    """Take somebody out of the address book; a pinned identity stays."""

    def take_out(book: AddressBook) -> None:
        if not book.remove(name):
            raise UsageError(f"{name} is not in the address book; see who is: qcall contacts search")
        typer.echo(f"{name} is taken out; a pinned identity stays")

    with_book(context, take_out)


@contacts.command()
def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Part of a name or a note; nothing lists everyone.")] = "",
    as_json: Json = False,
) -> None:
    """Find entries by name or note, in any case."""

    def show(book: AddressBook) -> None:
        found = book.find(text)
        if not found and not as_json:
            typer.echo(f"nobody with {text!r} in it" if text else "nobody yet; run: qcall contacts add NAME")
        for entry in found:
            if as_json:
                fields = {"name": entry.name, "shown": entry.shown, "note": entry.note}
                json_line(Event("entry", 0.0, fields))
            else:
                typer.echo(f"{entry.name:20}{entry.shown:24}{entry.note}")

    with_book(context, show)


@contacts.command("import")
def import_cards(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="A vCard file (.vcf).")]
) -> None:
    """Add the entries of a vCard file; those without a qcall: address are left out."""

    def take(book: AddressBook) -> None:
        from qcall.records.addressbook import read

        cards = read(file)
        book.save(*cards.entries)
        others = f", {cards.left_out} left out: no qcall: address" if cards.left_out else ""
        typer.echo(f"{len(cards.entries)} imported{others}")

    with_book(context, take)


@contacts.command("export")
def export_cards(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="A vCard file (.vcf) to write.")]
) -> None:
    """Write the address book to a vCard file."""

    with_book(context, lambda book: typer.echo(f"{book.export(file)} exported"))
