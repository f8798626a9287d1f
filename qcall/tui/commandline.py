"""The command line (``:``): a command by its name, with completion of names, contacts and choices."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Input, Static

from qcall.fields import fault_of
from qcall.session import commands
from qcall.session.snapshot import Snapshot

from .backdrop import Over
from .draw import MUTED, POOR
from .keys import KEYS

SCREENS = {
    key.id: key
    for key in KEYS
    if key.id in ("contacts", "history", "log", "settings", "help", "verify", "quit")
}
"""What only the screen knows; ``verify CONTACT true`` is the phone's."""
HIDDEN = ("subscribe",)


def names() -> list[str]:
    """Everything that can be typed first."""
    return sorted({*commands.BY_NAME, *SCREENS} - {*HIDDEN})


def usage(name: str) -> str:
    """How a command is written, and what it does."""
    if name in SCREENS and name not in commands.BY_NAME:
        return f"{name}   {SCREENS[name].help}"
    kind = commands.BY_NAME.get(name)
    if kind is None:
        return ""
    fields = (
        f"[{f.name}]" if f.default is not msgspec.NODEFAULT else f.name.upper()
        for f in msgspec.structs.fields(kind)
    )
    return f"{' '.join((name, *fields))}   {(kind.__doc__ or '').splitlines()[0]}"


def completions(text: str, snapshot: Snapshot) -> list[str]:
    """Whole lines that ``text`` may become."""
    head, _, rest = text.partition(" ")
    if " " not in text:
        return [name for name in names() if name.startswith(head)]
    kind = commands.BY_NAME.get(head)
    if kind is None or " " in rest:
        return []
    fields = msgspec.structs.fields(kind)
    if not fields:
        return []
    return [f"{head} {each}" for each in choices(kind, fields[0].name, snapshot) if each.startswith(rest)]


def choices(kind: type[commands.Command], field: str, snapshot: Snapshot) -> Sequence[str]:
    """What may stand in a field."""
    if field in ("contact", "name"):
        return [person.name for person in snapshot.people]
    hint = get_type_hints(kind)[field]
    return [str(each) for each in get_args(hint)] if get_origin(hint) is Literal else []


def parse(text: str) -> Any:
    """The command in a line. Raises ``ValueError`` that says what is wrong."""
    words = shlex.split(text)
    if not words:
        raise ValueError("nothing was typed")
    kind = commands.BY_NAME.get(words[0])
    if kind is None or words[0] in HIDDEN:
        raise ValueError(f"there is no command {words[0]}; Tab shows those that there are")
    fields = [field.name for field in msgspec.structs.fields(kind)]
    given = words[1:]
    if fields and len(given) > len(fields):
        # Only the last field may have spaces: a line of text, a note.
        given = [*given[: len(fields) - 1], " ".join(given[len(fields) - 1 :])]
    if len(given) > len(fields):
        raise ValueError(f"{words[0]} takes {len(fields) or 'no'} words")
    typed = dict(zip(fields, given, strict=False))
    try:
        return msgspec.convert({"command": words[0], **typed}, kind, strict=False)
    except msgspec.ValidationError as error:
        name, what = fault_of(error, kind, typed)
        wrong = f"{name}: {what}" if name else what
        raise ValueError(f"{wrong}; write: {usage(words[0]).split('   ')[0]}") from None


class Completer(Suggester):
    """The rest of what is being typed, in grey."""

    def __init__(self, screen: CommandLine) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._screen = screen

    async def get_suggestion(self, value: str) -> str | None:
        """The first completion."""
        found = completions(value, self._screen.app.snapshot)  # type: ignore[attr-defined]
        return found[0] if found and value else None


class CommandLine(Over[None]):
    """One line at the bottom; the screen stays in sight."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Leave"),
        Binding("tab", "complete", "Complete", priority=True),
        Binding("up", "earlier", "Earlier", priority=True),
    ]
    HISTORY: ClassVar[list[str]] = []

    def compose(self) -> ComposeResult:
        """Hints above the line."""
        with Vertical(id="bottom"):
            yield Static("", id="hints")
            yield Input(
                placeholder="a command; Tab completes, Enter runs it, Esc leaves", suggester=Completer(self)
            )

    async def on_mount(self) -> None:
        """What there is."""
        self._back = 0
        self._hint("")

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Show what it may become."""
        self._hint(event.value)

    def _hint(self, text: str) -> None:
        found = completions(text, self.app.snapshot)  # type: ignore[attr-defined]
        name = found[0] if len(found) == 1 and " " not in text else text.split(" ")[0]
        line = usage(name) if name in names() else "  ".join(each.rpartition(" ")[2] for each in found)
        self.query_one("#hints", Static).update(
            Content.styled(line or "no such command", MUTED if line else POOR)
        )

    def action_complete(self) -> None:
        """Take the completion as far as it is the only one."""
        line = self.query_one(Input)
        found = completions(line.value, self.app.snapshot)  # type: ignore[attr-defined]
        if found:
            common = found[0]
            for each in found[1:]:
                while not each.startswith(common):
                    common = common[:-1]
            line.value = common + (" " if len(found) == 1 and " " not in common else "")
            line.cursor_position = len(line.value)

    def action_earlier(self) -> None:
        """What was typed before."""
        if self.HISTORY:
            self._back = min(self._back + 1, len(self.HISTORY))
            line = self.query_one(Input)
            line.value = self.HISTORY[-self._back]
            line.cursor_position = len(line.value)

    @on(Input.Submitted)
    def run_line(self, event: Input.Submitted) -> None:
        """Run it."""
        event.stop()
        text = event.value.strip()
        if not text:
            self.dismiss(None)
            return
        screen = SCREENS.get(text)
        if screen is not None and (text != "history" or text in SCREENS):
            self._remember(text)
            self.dismiss(None)
            self.app.call_later(self.app.run_action, screen.action)
            return
        try:
            command = parse(text)
        except ValueError as error:
            self.query_one("#hints", Static).update(Content.styled(str(error), POOR))
            return
        self._remember(text)
        self.dismiss(None)
        self.app.send(command)  # type: ignore[attr-defined]

    def _remember(self, text: str) -> None:
        del self.HISTORY[:-99]
        self.HISTORY.append(text)
