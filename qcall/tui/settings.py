"""Settings: sound with a test, policy, alerts, looks; what is changed goes into ``config.toml`` at once."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Label, Select, Static, Switch

from qcall.errors import QcallError
from qcall.session.snapshot import QUIET, Snapshot

from . import draw
from .draw import FAIR, GOOD, MUTED
from .strips import SecurityStrip, TitleBar
from .theme import NAMES

POLICIES = (
    ("require quantum keys", "require"),
    ("prefer quantum keys", "prefer"),
    ("do without quantum keys", "off"),
)
SYSTEM = ("the system's own choice", "")


class Row(Horizontal):
    """A label, a control, and what it means."""

    def __init__(self, label: str, control: Any, hint: str = "") -> None:
        super().__init__(classes="row")
        self._label = label
        self._control = control
        self._hint = hint

    def compose(self) -> ComposeResult:
        """Side by side."""
        yield Label(self._label, classes="label")
        yield self._control
        yield Label(self._hint, classes="hint", markup=False)


class SettingsScreen(Screen[None]):
    """Everything of ``config.toml`` that a screen can change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,s", "app.pop_screen", "Back"),
        Binding("p", "test", "Play a test tone"),
    ]
    AUTO_FOCUS = "#qkd"

    def compose(self) -> ComposeResult:
        """One row a setting."""
        settings = self.app.settings  # type: ignore[attr-defined]
        yield TitleBar(id="title")
        yield SecurityStrip(id="security")
        with VerticalScroll(classes="page", can_focus=False):
            yield Static(Content.styled("Calls", "bold $accent"), classes="heading")
            policies = Select(POLICIES, value=settings.qkd, allow_blank=False, id="qkd", compact=True)
            yield Row("policy", policies, "the stricter of both phones holds")
            yield Row(
                "presence", Switch(settings.presence, id="presence"), "tell mutual contacts when online"
            )
            yield Static(Content.styled("Sound", "bold $accent"), classes="heading")
            for id, value in (("microphone", settings.microphone), ("speaker", settings.speaker)):
                names = [SYSTEM] + ([(value, value)] if value else [])
                yield Row(id, Select(names, value=value, allow_blank=False, id=id, compact=True))
            with Horizontal(classes="row"):
                yield Label("test", classes="label")
                yield Button("p  Test tone and level", id="test", compact=True)
                yield Static("", id="level")
            yield Row("bell", Switch(settings.bell, id="bell"), "the terminal's bell for a call")
            yield Row("notify", Switch(settings.notify, id="notify"), "desktop notification for a call")
            yield Static(Content.styled("Looks", "bold $accent"), classes="heading")
            themes = [(name.removeprefix("qcall-"), name) for name in NAMES]
            yield Row(
                "theme", Select(themes, value=settings.theme, allow_blank=False, id="theme", compact=True)
            )
            yield Row("still", Switch(settings.reduced_motion, id="reduced_motion"), "no animation")
            yield Static(
                Content.styled("Keys are remapped in config.toml under [keys]; F1 lists them", MUTED)
            )
        yield Static(Content.styled("Tab next   Enter changes   p test tone   Esc back", MUTED), id="prompt")

    def on_mount(self) -> None:
        """Look for sound cards."""
        self.show(self.app.snapshot)  # type: ignore[attr-defined]
        self.run_worker(self._list_cards(), exit_on_error=False)

    def show(self, snapshot: Snapshot) -> None:
        """The first two lines."""
        for pane in self.query("TitleBar, SecurityStrip"):
            pane.show(snapshot)  # type: ignore[attr-defined]

    async def _list_cards(self) -> None:
        try:
            cards = await asyncio.to_thread(self.app.sound_test.cards)  # type: ignore[attr-defined]
        except QcallError as error:
            self.query_one("#level", Static).update(Content.styled(str(error), FAIR))
            return
        settings = self.app.settings  # type: ignore[attr-defined]
        for id, found in (("microphone", cards[0]), ("speaker", cards[1])):
            value = getattr(settings, id)
            names = [SYSTEM, *((name, name) for name in dict.fromkeys((*found, *([value] if value else ()))))]
            select = self.query_one(f"#{id}", Select)
            select.set_options(names)
            select.value = value

    @on(Select.Changed)
    def selected(self, event: Select.Changed) -> None:
        """Keep the choice."""
        if event.select.id and event.value is not Select.NULL:
            self.app.choose(event.select.id, event.value)  # type: ignore[attr-defined]

    @on(Switch.Changed)
    def switched(self, event: Switch.Changed) -> None:
        """Keep the choice."""
        if event.switch.id:
            self.app.choose(event.switch.id, event.value)  # type: ignore[attr-defined]

    @on(Button.Pressed, "#test")
    def action_test(self) -> None:
        """Play a tone, listen for a moment, show the level."""
        self.run_worker(self._test(), exclusive=True, group="test", exit_on_error=False)

    async def _test(self) -> None:
        shown = self.query_one("#level", Static)
        if self.app.talk is not None:  # type: ignore[attr-defined]
            shown.update(Content.styled("not during a call: the levels of the call say it", FAIR))
            return
        shown.update(Content.styled("a tone, then speak …", MUTED))
        settings = self.app.settings  # type: ignore[attr-defined]
        try:
            level = await asyncio.to_thread(
                self.app.sound_test.run, settings.microphone, settings.speaker  # type: ignore[attr-defined]
            )  # fmt: skip
        except QcallError as error:
            shown.update(Content.styled(str(error), FAIR))
            return
        word = "nothing was heard: is the microphone off?" if level <= QUIET + 20 else "it works"
        colour = FAIR if level <= QUIET + 20 else GOOD
        shown.update(Content.assemble(draw.meter(level, 12), f" {draw.loudness(level)}  ", (word, colour)))
