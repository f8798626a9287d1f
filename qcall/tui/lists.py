"""What grows and is scrolled: the contacts, the text in the call, the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from qcall.session.snapshot import LogLine, Person, Snapshot
from qcall.session.snapshot import Message as TextLine

from . import draw
from .draw import FAIR, MUTED
from .keys import written


class PeoplePane(OptionList):
    """Everyone who can be called."""

    BORDER_TITLE = "Contacts"

    class Called(Message):
        """Somebody was chosen to be called."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._people: tuple[Person, ...] = ()
        self._width = 0

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        if snapshot.people != self._people or not self.option_count:
            self._people = snapshot.people
            self._fill()

    def on_resize(self, event: events.Resize) -> None:
        """Names get the room that there is."""
        if self.content_size.width != self._width:
            self._width = self.content_size.width
            self._fill()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        event.stop()
        if event.option_id:
            self.post_message(self.Called(event.option_id))

    def _fill(self) -> None:
        before = self.highlighted
        self.clear_options()
        self.add_options([Option(self._line(person), id=person.name) for person in self._people])
        if not self._people:
            dial = written(self.app.chosen_keys, "dial")  # type: ignore[attr-defined]
            self.add_option(Option(Content.styled(f"nobody yet\n{dial} dials a name", MUTED), disabled=True))
        elif self._people:
            self.highlighted = min(before or 0, len(self._people) - 1)

    def _line(self, person: Person) -> Content:
        mark, colour = draw.PRESENCE[person.presence]
        width = max(10, (self.content_size.width or 20) - 2)
        alarming = person.trust in draw.ALARMING
        word = str(person.trust) if alarming else str(person.presence)
        if width >= 24 and not alarming:
            word = f"{person.trust}  {person.presence:7}"
        name = person.label[: max(4, width - len(word) - 4)]
        gap = " " * max(1, width - len(name) - len(word) - 2)
        style = draw.TRUST[person.trust] if alarming else MUTED
        return Content.assemble((f"{mark} ", colour), name, gap, (word, style))


class Lines(VerticalScroll, can_focus=True):
    """A pane of lines that stays at its end unless the user looks back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lines: tuple[Content, ...] = ()

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static()

    def put(self, lines: Sequence[Content]) -> None:
        """Show ``lines``."""
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self.query_one(Static).update(Content("\n").join(lines))
            self._to_end()

    def on_resize(self) -> None:
        """The end stays in sight."""
        self._to_end()

    def _to_end(self) -> None:
        """Follow what comes, unless somebody reads here."""
        if not self.has_focus:
            self.scroll_end(animate=False, immediate=False)


class LogPane(Lines):
    """What happened."""

    BORDER_TITLE = "Log"

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        self.put([self._line(each) for each in snapshot.log[-100:]])

    @staticmethod
    def _line(each: LogLine) -> Content:
        at = (f"{draw.time_of_day(each.unix)} ", MUTED)
        return Content.assemble(at, (each.text, FAIR if each.grave else ""))


class TalkPane(Lines):
    """Text in the call."""

    BORDER_TITLE = "Text"

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        call = snapshot.call
        if call is None or not call.messages:
            key = written(self.app.chosen_keys, "text")  # type: ignore[attr-defined]
            self.put([Content.styled(f"{key} sends a line of text, encrypted like the call", MUTED)])
            return
        self.put([self._line(each) for each in call.messages[-100:]])

    @staticmethod
    def _line(each: TextLine) -> Content:
        sender = (f"{each.sender}: ", "bold $accent" if each.own else "bold $secondary")
        return Content.assemble((f"{draw.time_of_day(each.unix)[:5]} ", MUTED), sender, each.text)
