"""The address book: search, add, edit, remove, import and export as vCard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label

from qcall.session import commands
from qcall.session.snapshot import Person, Snapshot, Trust
from qcall.session.wording import doubt_line

from . import draw
from .backdrop import Over
from .dialogs import Ask, Question
from .draw import MUTED
from .table import Column, TablePage


class EditScreen(Over[tuple[str, str, str] | None]):
    """An entry: the name to call, the name to show, a note."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave")]

    def __init__(self, person: Person | None) -> None:
        super().__init__()
        self._person = person

    def compose(self) -> ComposeResult:
        """Three fields."""
        person = self._person or Person("")
        with Vertical(classes="dialog") as box:
            box.border_title = "New contact" if self._person is None else "Contact"
            yield Label("Call name, as the relay knows it", classes="hint")
            yield Input(person.name, id="name", max_length=64, disabled=self._person is not None)
            yield Label("Shown name", classes="hint")
            yield Input(person.shown, id="shown", max_length=100)
            yield Label("Note", classes="hint")
            yield Input(person.note, id="note", max_length=500)
            with Horizontal(classes="answers"):
                yield Button("Save", variant="primary", id="save")
                yield Button("Esc  Leave", id="leave")

    def _save(self) -> None:
        name, shown, note = (
            self.query_one(f"#{field}", Input).value.strip() for field in ("name", "shown", "note")
        )
        if name:
            self.dismiss((name, shown, note))

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter goes on, and saves in the last field."""
        event.stop()
        if event.input.id == "note":
            self._save()
        else:
            self.focus_next()

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter."""
        event.stop()
        if event.button.id == "save":
            self._save()
        else:
            self.dismiss(None)


class ContactsScreen(TablePage[Person]):
    """Everybody in the address book or met in a call."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "back", "Back"),
        Binding("n", "add", "New"),
        Binding("e", "edit", "Edit"),
        Binding("delete,x", "remove", "Remove"),
        Binding("i", "import", "Import"),
        Binding("o", "export", "Export"),
        Binding("k", "changed", "Changed identity"),
    ]
    COLUMNS = (
        Column("name", 16, share=1),
        Column("calls as", 14, share=1),
        Column("presence", 9),
        Column("identity", 9),
        Column("note", 16, share=2, spare=1),
    )
    SEARCH = "search in names and notes"
    KEYS = "Enter call  / search  n new  e edit  x remove  i import  o export  Esc back"

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        super().show(snapshot)
        if snapshot.people != self._all or not self._all:
            self.put(snapshot.people)

    def matches(self, each: Person, wanted: str) -> bool:
        """By names, note and trust."""
        return wanted.casefold() in f"{each.name} {each.shown} {each.note} {each.trust}".casefold()

    def cells(self, each: Person) -> Sequence[str | Content]:
        """Who, and how they stand."""
        mark, colour = draw.PRESENCE[each.presence]
        return (
            each.label,
            each.name,
            Content.assemble((f"{mark} ", colour), str(each.presence)),
            Content.styled(str(each.trust), draw.TRUST[each.trust]),
            each.note,
        )

    def account(self, each: Person) -> Content:
        """The note and the identity."""
        lines = [Content.assemble((each.label, "bold"), (f"  {each.note}", MUTED))]
        known = each.fingerprint or "not met yet: the identity is pinned in the first call"
        lines.append(Content.assemble(("identity  ", MUTED), known))
        if each.trust is Trust.CHANGED:
            lines.append(
                Content.assemble(("offered   ", MUTED), (each.offered, "$error"), "  k says what to do")
            )
        if each.trust is Trust.DOUBTED:
            lines.append(Content.styled(doubt_line(each.name), "$error"))
        return Content("\n").join(lines)

    def contact(self, each: Person) -> str:
        """By the name that the relay knows."""
        return each.name

    def nothing(self, wanted: str) -> str:
        """An empty book, or nobody found."""
        return "nobody; n adds somebody"

    def action_add(self) -> None:
        """A new entry."""
        self.app.push_screen(EditScreen(None), self._saved)

    def action_edit(self) -> None:
        """Change the entry."""
        if (person := self.chosen) is not None:
            self.app.push_screen(EditScreen(person), self._saved)

    def _saved(self, fields: tuple[str, str, str] | None) -> None:
        if fields is not None:
            name, shown, note = fields
            self._send(commands.Save(name, shown, note))

    def action_remove(self) -> None:
        """Take the entry out, after a question."""
        if (person := self.chosen) is None:
            return
        answers = [("k", "Keep", False, "primary"), ("r", "Remove", True, "error")]
        text = f"Take {person.label} out of the address book? A pinned identity stays."

        def answered(sure: bool | None) -> None:
            if sure:
                self._send(commands.Remove(person.name))

        self.app.push_screen(Question("Remove", text, answers), answered)

    def action_changed(self) -> None:
        """What a changed identity means."""
        if (person := self.chosen) is not None:
            self.app.ask_about(person.name)

    def action_import(self) -> None:
        """Ask for a vCard file to read."""

        def named(file: str | None) -> None:
            if file:
                self._send(commands.Import(file))

        self.app.push_screen(Ask("Import", "a vCard file (.vcf)", value=""), named)

    def action_export(self) -> None:
        """Ask for a vCard file to write."""

        def named(file: str | None) -> None:
            if file:
                self._send(commands.Export(file))

        self.app.push_screen(Ask("Export", "a vCard file for the address book", value="contacts.vcf"), named)

    def _send(self, command: Any) -> None:
        self.work(self._ask(command))

    async def _ask(self, command: Any) -> None:
        answer = await self.app.fetch(command)
        if isinstance(answer, dict) and isinstance(command, commands.Import | commands.Export):
            done, count = next(iter(answer.items()))
            self.notify(f"{count} {done}", markup=False)
