"""The main screen: contacts, the call, its route, its quality, text and log; breakpoints decide."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from qcall.session.snapshot import Snapshot

from .keybar import KeyBar
from .lists import LogPane, PeoplePane, TalkPane
from .panes import CallPane, QualityPane, RoutePane
from .strips import SecurityStrip, TitleBar

WIDTHS = [(0, "-slim"), (76, "-narrow"), (100, "-wide"), (160, "-huge")]
HEIGHTS = [(0, "-low"), (23, "-short"), (34, "-tall")]
"""Cells from which on a screen has a class, for the style sheet."""
PANES = (TitleBar, SecurityStrip, PeoplePane, CallPane, RoutePane, QualityPane, TalkPane, LogPane, KeyBar)


class MainScreen(Screen[None]):
    """What stays on the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next pane", show=False),
        Binding("shift+tab", "app.focus_previous", "Pane before", show=False),
    ]
    AUTO_FOCUS = "PeoplePane"

    def __init__(self) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS, self.VERTICAL_BREAKPOINTS = WIDTHS, HEIGHTS

    def compose(self) -> ComposeResult:
        """The parts."""
        yield TitleBar(id="title")
        yield SecurityStrip(id="security")
        with Horizontal(id="body"):
            yield PeoplePane(id="people")
            with Vertical(id="centre"):
                yield CallPane(id="call")
                yield RoutePane(id="route")
                yield QualityPane(id="quality")
                with Horizontal(id="lines"):
                    yield TalkPane(id="talk")
                    yield LogPane(id="log")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        """What the application knows by now."""
        self.show(self.app.snapshot)  # type: ignore[attr-defined]

    def on_screen_resume(self) -> None:
        """A page was left, or the program has begun."""
        self.app.page_left()  # type: ignore[attr-defined]

    def show(self, snapshot: Snapshot) -> None:
        """Hand the snapshot to the parts."""
        self.set_class(not snapshot.calls, "-idle")
        call = snapshot.call
        self.set_class(call is not None and bool(call.messages), "-texting")
        for pane in self.query("*"):
            if isinstance(pane, PANES):
                pane.show(snapshot)
