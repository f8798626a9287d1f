"""Help: what the focused part is for, and every key."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Markdown

from .helptexts import TEXTS
from .keybar import shown
from .keys import KEYS


def text_for(focused: Widget | None, screen: Widget) -> str:
    """The text of the focused widget's class, else of the screen's, else of the main screen."""
    for each in (focused, screen):
        for kind in () if each is None else type(each).__mro__:
            if kind.__name__ in TEXTS:
                return TEXTS[kind.__name__]
    return TEXTS["MainScreen"]


def table(chosen: dict[str, str]) -> str:
    """Every key as Markdown."""
    rows = ["| key | does |", "| --- | --- |"]
    for key in KEYS:
        keys = ", ".join(shown(each) for each in chosen.get(key.id, key.key).split(","))
        rows.append(f"| **{keys}** | {key.help} |")
    rows.append("| **0-9 \\* #** | keypad while you talk |")
    rows.append("| **Tab** | next pane |")
    return "\n".join(rows)


class HelpScreen(ModalScreen[None]):
    """Over whatever is on the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "dismiss(None)", "Back")]

    def compose(self) -> ComposeResult:
        """Text and keys."""
        below = self.app.screen_stack[-2] if len(self.app.screen_stack) > 1 else self.app.screen
        chosen: dict[str, str] = self.app.chosen_keys  # type: ignore[attr-defined]
        with VerticalScroll(classes="dialog") as box:
            box.border_title = "Help"
            yield Markdown(f"{text_for(below.focused, below)}\n\n## Keys\n\n{table(chosen)}")
