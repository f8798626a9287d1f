"""Help: what the focused part is for, and every key. One text: a widget a line would take its time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from .helptexts import TEXTS
from .keys import DIALOG, KEYS, shown
from .strips import Headed, SecurityStrip, TitleBar

COLUMN = 11
"""Cells for the names of keys."""
WIDTH, SHARE, EDGES = 72, 0.96, 8
"""A dialog's cells and its share of the screen, as the style sheet has them; those that are not text."""


def text_for(focused: Widget | None, screen: Widget) -> str:
    """The text of the focused widget's class, else of the screen's, else of the main screen."""
    for each in (focused, screen):
        for kind in () if each is None else type(each).__mro__:
            if kind.__name__ in TEXTS:
                return TEXTS[kind.__name__]
    return TEXTS["MainScreen"]


def table(chosen: Mapping[str, str], width: int) -> Content:
    """Every key and what it does, in lines of ``width`` cells."""
    rows = [(", ".join(map(shown, chosen.get(key.id, key.key).split(","))), key.help) for key in KEYS]
    rows += [("0-9 * #", "keypad while you talk"), ("Tab", "next pane")]
    wrapped = ((keys, textwrap.wrap(does, max(COLUMN, width - COLUMN))) for keys, does in rows)
    lines = [
        Content.assemble((keys.ljust(COLUMN), "bold $accent"), ("\n" + " " * COLUMN).join(does))
        for keys, does in wrapped
    ]
    return Content("\n").join([Content.styled("Keys", "bold $accent"), Content(""), *lines])


class HelpScreen(Headed, ModalScreen[None]):
    """Over whatever is on the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *DIALOG,
        Binding("escape,q", "dismiss(None)", "Back"),
    ]

    def compose(self) -> ComposeResult:
        """Text and keys."""
        below = self.app.screen_stack[-2] if len(self.app.screen_stack) > 1 else self.app.screen
        chosen: dict[str, str] = self.app.chosen_keys
        text = Content.from_markup(text_for(below.focused, below).rstrip())
        with Vertical(id="heads"):
            yield TitleBar(id="title")
            yield SecurityStrip(id="security")
        with VerticalScroll(classes="dialog") as box:
            box.border_title = "Help"
            width = min(WIDTH, int(SHARE * self.app.size.width)) - EDGES
            yield Static(Content("\n\n").join([text, table(chosen, width)]))
