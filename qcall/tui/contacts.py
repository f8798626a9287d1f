"""The address book: search, add, edit, remove, import and export as vCard."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, DataTable, Input, Label, Static

from qcall.session import commands
from qcall.session.snapshot import Person, Snapshot, Trust

from . import draw
from .dialogs import Ask, Question
from .draw import MUTED
from .panes import SecurityStrip, TitleBar


def matches(person: Person, wanted: str) -> bool:
    """Whether a person is one that the user looks for."""
    return wanted.casefold() in f"{person.name} {person.shown} {person.note} {person.trust}".casefold()


class EditScreen(ModalScreen[tuple[str, str, str] | None]):
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


class ContactsScreen(Screen[None]):
    """A table, and what is known of the person that is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f", "back", "Back"),
        Binding("slash", "search", "Search"),
        Binding("n", "add", "New"),
        Binding("e", "edit", "Edit"),
        Binding("delete,x", "remove", "Remove"),
        Binding("i", "import", "Import"),
        Binding("o", "export", "Export"),
        Binding("k", "changed", "Changed identity"),
    ]
    AUTO_FOCUS = "DataTable"

    def compose(self) -> ComposeResult:
        """Search, table, detail."""
        yield TitleBar(id="title")
        yield SecurityStrip(id="security")
        yield Input(placeholder="search in names and notes", classes="search")
        yield DataTable(cursor_type="row", classes="page")
        yield Static("", id="detail", classes="detail")
        keys = "Enter call  / search  n new  e edit  x remove  i import  o export  Esc back"
        yield Static(Content.styled(keys, MUTED), id="prompt")

    def on_mount(self) -> None:
        """Columns, and who there is."""
        self._people: tuple[Person, ...] | None = None
        self._listed: list[Person] = []
        table = self.query_one(DataTable)
        for label, width in (("name", 16), ("calls as", 14), ("presence", 9), ("identity", 9), ("note", 16)):
            table.add_column(label, width=width)
        self.show(self.app.snapshot)  # type: ignore[attr-defined]

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        for pane in self.query("TitleBar, SecurityStrip"):
            pane.show(snapshot)  # type: ignore[attr-defined]
        if snapshot.people != self._people:
            self._people = snapshot.people
            self._list()

    def _list(self) -> None:
        table = self.query_one(DataTable)
        row = table.cursor_row
        wanted = self.query_one(Input).value
        self._listed = [person for person in self._people or () if matches(person, wanted)]
        table.clear()
        for person in self._listed:
            mark, colour = draw.PRESENCE[person.presence]
            table.add_row(
                person.label,
                person.name,
                Content.assemble((f"{mark} ", colour), str(person.presence)),
                Content.styled(str(person.trust), draw.TRUST[person.trust]),
                person.note,
            )
        if self._listed:
            table.move_cursor(row=min(max(0, row), len(self._listed) - 1))
        else:
            self.query_one("#detail", Static).update(Content.styled("nobody; n adds somebody", MUTED))

    @property
    def _chosen(self) -> Person | None:
        row = self.query_one(DataTable).cursor_row
        return self._listed[row] if 0 <= row < len(self._listed) else None

    @on(DataTable.RowHighlighted)
    def chosen(self, event: DataTable.RowHighlighted) -> None:
        """What is known."""
        if (person := self._chosen) is None:
            return
        lines = [Content.assemble((person.label, "bold"), (f"  {person.note}", MUTED))]
        known = person.fingerprint or "not met yet: the identity is pinned in the first call"
        lines.append(Content.assemble(("identity  ", MUTED), known))
        if person.trust is Trust.CHANGED:
            lines.append(
                Content.assemble(("offered   ", MUTED), (person.offered, "$error"), "  k says what to do")
            )
        self.query_one("#detail", Static).update(Content("\n").join(lines))

    @on(DataTable.RowSelected)
    def call(self, event: DataTable.RowSelected) -> None:
        """Enter calls."""
        event.stop()
        if (person := self._chosen) is not None:
            self.app.pop_screen()
            self.app.dial(person.name)  # type: ignore[attr-defined]

    def action_search(self) -> None:
        """Open the search."""
        search = self.query_one(Input)
        search.add_class("-open")
        search.focus()

    @on(Input.Changed)
    def search(self) -> None:
        """List who matches."""
        self._list()

    @on(Input.Submitted)
    def found(self, event: Input.Submitted) -> None:
        """Back to the table."""
        event.stop()
        self.query_one(DataTable).focus()

    def action_back(self) -> None:
        """Close the search, else the screen."""
        search = self.query_one(Input)
        if search.has_class("-open"):
            search.value = ""
            search.remove_class("-open")
            self.query_one(DataTable).focus()
        else:
            self.app.pop_screen()

    def action_add(self) -> None:
        """A new entry."""
        self.app.push_screen(EditScreen(None), self._saved)

    def action_edit(self) -> None:
        """Change the entry."""
        if (person := self._chosen) is not None:
            self.app.push_screen(EditScreen(person), self._saved)

    def _saved(self, fields: tuple[str, str, str] | None) -> None:
        if fields is not None:
            name, shown, note = fields
            self._tell(commands.Save(name, shown, note))

    def action_remove(self) -> None:
        """Take the entry out, after a question."""
        if (person := self._chosen) is None:
            return
        answers = [("k", "Keep", False, "primary"), ("r", "Remove", True, "error")]
        text = f"Take {person.label} out of the address book? A pinned identity stays."

        def answered(sure: bool | None) -> None:
            if sure:
                self._tell(commands.Remove(person.name))

        self.app.push_screen(Question("Remove", text, answers), answered)

    def action_changed(self) -> None:
        """What a changed identity means."""
        if (person := self._chosen) is not None:
            self.app.ask_about(person.name)  # type: ignore[attr-defined]

    def action_import(self) -> None:
        """Ask for a vCard file to read."""

        def named(file: str | None) -> None:
            if file:
                self._tell(commands.Import(file))

        self.app.push_screen(Ask("Import", "a vCard file (.vcf)", value=""), named)

    def action_export(self) -> None:
        """Ask for a vCard file to write."""

        def named(file: str | None) -> None:
            if file:
                self._tell(commands.Export(file))

        self.app.push_screen(Ask("Export", "a vCard file for the address book", value="contacts.vcf"), named)

    def _tell(self, command: Any) -> None:
        self.run_worker(self._ask(command), exit_on_error=False)

    async def _ask(self, command: Any) -> None:
        answer = await self.app.fetch(command)  # type: ignore[attr-defined]
        if isinstance(answer, dict) and isinstance(command, commands.Import | commands.Export):
            done, count = next(iter(answer.items()))
            self.notify(f"{count} {done}", markup=False)
