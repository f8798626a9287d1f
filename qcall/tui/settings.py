"""Settings: sound with a test, policy, alerts, looks; what is changed goes into ``config.toml`` at once.

One list, a line a setting: a page of one widget is open in the time of a packet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from qcall.errors import QcallError
from qcall.session.snapshot import QUIET

from . import draw
from .dialogs import Choose
from .draw import FAIR, GOOD, MUTED
from .strips import Page, SecurityStrip, TitleBar
from .theme import NAMES

Choices = Sequence[tuple[str, Any]]
"""What the user reads, and what the setting becomes."""
SYSTEM = ("the system's own choice", "")
SWITCH: Choices = (("on", True), ("off", False))
POLICIES: Choices = (
    ("require quantum keys", "require"),
    ("prefer quantum keys", "prefer"),
    ("do without quantum keys", "off"),
)
LOOKS: Choices = [(name.removeprefix("qcall-"), name) for name in NAMES]
NO_CARD = "plug one in and test again, or choose another above"
LABEL, VALUE = 12, 28
"""Cells of the first two columns."""
EDGES = 5
"""Cells of a screen's width that are no row."""


@dataclass(frozen=True, slots=True)
class Row:
    """A setting and what it can be."""

    id: str
    label: str
    choices: Choices
    hint: str = ""

    def line(self, value: Any, width: int) -> Content:
        """The row when the setting is ``value``; the hint where there is room for it."""
        names = {choice: name for name, choice in self.choices}
        shown = Content(names.get(value, str(value))).truncate(VALUE - 2, ellipsis=True, pad=True)
        hint = f"  {self.hint}" if LABEL + VALUE + len(self.hint) <= width else ""
        return Content.assemble((self.label.ljust(LABEL), MUTED), shown.stylize("bold"), (hint, MUTED))


HEADINGS = {"qkd": "Calls", "microphone": "Sound", "theme": "Looks"}
"""What stands above a row."""
ROWS = (
    Row("qkd", "policy", POLICIES, "the stricter of both phones holds"),
    Row("presence", "presence", SWITCH, "tell mutual contacts when online"),
    Row("microphone", "microphone", (SYSTEM,), "at once, in a call too"),
    Row("speaker", "speaker", (SYSTEM,), "at once, in a call too"),
    Row("bell", "bell", SWITCH, "the terminal's bell for a call"),
    Row("notify", "notify", SWITCH, "desktop notification for a call"),
    Row("theme", "theme", LOOKS),
    Row("reduced_motion", "still", SWITCH, "no animation"),
)
TEST = "test"
"""The line that plays a tone."""


class SettingsScreen(Page):
    """Everything of ``config.toml`` that a screen can change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,s", "app.pop_screen", "Back"),
        Binding("p", "test", "Play a test tone"),
        Binding("left", "step(-1)", "Choice before", show=False),
        Binding("right", "step(1)", "Next choice", show=False),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(self) -> None:
        super().__init__()
        self._rows = {row.id: row for row in ROWS}

    def compose(self) -> ComposeResult:
        """A list, and what the sound test says."""
        yield TitleBar(id="title")
        yield SecurityStrip(id="security")
        yield OptionList(*self._options(), id="rows", classes="page")
        yield Static(
            Content.styled("Keys are remapped in config.toml under [keys]; F1 lists them", MUTED), id="level"
        )
        yield Static(
            Content.styled("Enter changes   left, right: other choices   p test tone   Esc back", MUTED),
            id="prompt",
        )

    def _options(self) -> Sequence[Option]:
        options = []
        for row in self._rows.values():
            if heading := HEADINGS.get(row.id):
                text = Content.styled(heading, "bold $accent")
                options.append(Option(Content("\n").join([Content(""), text]), disabled=True))
            options.append(Option(self._line(row), id=row.id))
            if row.id == "speaker":
                name = TEST.ljust(LABEL)
                text = Content.assemble((name, MUTED), ("p", "bold $accent"), "  test tone and level")
                options.append(Option(text, id=TEST))
        return options

    def _line(self, row: Row) -> Content:
        return row.line(getattr(self.app.settings, row.id), self.app.size.width - EDGES)

    async def on_resize(self) -> None:
        """Rows get the room that there is."""
        rows = self.query_one("#rows", OptionList)
        for row in self._rows.values():
            rows.replace_option_prompt(row.id, self._line(row))

    async def on_mount(self) -> None:
        """Look for sound cards."""
        self.run_worker(self._list_cards(), exit_on_error=False)

    async def _list_cards(self) -> None:
        try:
            cards = await asyncio.to_thread(self.app.sound_test.cards)
        except QcallError as error:
            self._say(Content.styled(draw.on_screen(str(error), error.code, NO_CARD), FAIR))
            return
        settings = self.app.settings
        for id, found in zip(("microphone", "speaker"), cards, strict=True):
            value = getattr(settings, id)
            names = dict.fromkeys((*found, *([value] if value else ())))
            self._rows[id] = replace(self._rows[id], choices=[SYSTEM, *((name, name) for name in names)])

    def _say(self, text: Content) -> None:
        self.query_one("#level", Static).update(text)

    @on(OptionList.OptionSelected)
    def change(self, event: OptionList.OptionSelected) -> None:
        """The other choice; of more than two the user chooses one."""
        event.stop()
        if event.option_id == TEST:
            self.action_test()
            return
        row = self._rows[event.option_id or ""]
        if len(row.choices) == len(SWITCH):
            self.action_step(1)
            return

        def chosen(index: int | None) -> None:
            if index is not None:
                self._choose(row, row.choices[index][1])

        names = [name for name, _ in row.choices]
        self.app.push_screen(Choose(row.label, names, self._index(row)), chosen)

    def action_step(self, step: int) -> None:
        """The next choice of the row that the cursor is on, or the one before."""
        rows = self.query_one("#rows", OptionList)
        option = rows.highlighted_option
        if option is not None and (row := self._rows.get(option.id or "")) is not None:
            self._choose(row, row.choices[(self._index(row) + step) % len(row.choices)][1])

    def _index(self, row: Row) -> int:
        value = getattr(self.app.settings, row.id)
        return next((at for at, (_, each) in enumerate(row.choices) if each == value), 0)

    def _choose(self, row: Row, value: Any) -> None:
        """Keep the choice."""
        self.app.choose(row.id, value)
        self.query_one("#rows", OptionList).replace_option_prompt(row.id, self._line(row))

    def action_test(self) -> None:
        """Play a tone, listen for a moment, show the level."""
        self.run_worker(self._test(), exclusive=True, group="test", exit_on_error=False)

    async def _test(self) -> None:
        if self.app.talk is not None:
            self._say(Content.styled("not during a call: the levels of the call say it", FAIR))
            return
        self._say(Content.styled("a tone, then speak …", MUTED))
        settings = self.app.settings
        try:
            level = await asyncio.to_thread(
                self.app.sound_test.run, settings.microphone, settings.speaker
            )  # fmt: skip
        except QcallError as error:
            self._say(Content.styled(draw.on_screen(str(error), error.code, NO_CARD), FAIR))
            return
        word = "nothing was heard: is the microphone off?" if level <= QUIET + 20 else "it works"
        colour = FAIR if level <= QUIET + 20 else GOOD
        self._say(Content.assemble(draw.meter(level, 12), f" {draw.loudness(level)}  ", (word, colour)))
