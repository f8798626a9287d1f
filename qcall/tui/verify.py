"""The four words, large, with the question they are for; and what is to be done when an identity changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from qcall.session.snapshot import Call, Person

from .backdrop import Over
from .draw import FAIR, GOOD, MUTED, POOR
from .strips import Headed, SecurityStrip, TitleBar

CELL = 32
"""Cells of a large word."""

EXPLANATION = (
    "Say the first two words, let {who} say the other two. The same four words on both phones mean that "
    "nobody sits between you: they come from the keys of this call; whoever is in between would see others."
)
DIFFERENT = (
    "The words differ: somebody may be between you and {who}.\n\n"
    "1. Say nothing more that matters, and hang up (b).\n"
    "2. Call {who} another way, and ask whether their phone showed these words.\n"
    "3. If not, do not use this relay for this contact; tell its operator.\n\n"
    "{who} is marked WORDS DIFFER until you have compared the same words in a later call."
)


BLOCKED = (
    "Whoever called or answered under this name has other keys than before. The call was blocked; "
    "nothing was said or heard."
)
ASK = (
    "Ask {who} by another way: did you set up a new phone? If they did, and the new fingerprint is theirs, "
    "press T. Otherwise leave it blocked, and tell the relay's operator."
)


def large(words: Sequence[str]) -> Content:
    """Words to be read from afar, two a line."""
    cells = []
    for number, word in enumerate(words, 1):
        spaced = " ".join(word.upper())
        left = (CELL - 2 - len(spaced)) // 2
        text = Content.assemble(" " * left, (f"{number} ", MUTED), (spaced, "bold $accent"))
        cells.append(text.truncate(CELL, pad=True))
    lines = [Content("  ").join(cells[at : at + 2]) for at in range(0, len(cells), 2)]
    return Content("\n\n").join(lines)


class VerifyScreen(Headed, ModalScreen[bool | None]):
    """Gives true for the same words, false for different ones, nothing when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "choose(True)", "Same"),
        Binding("n", "differ", "Different"),
        Binding("escape", "dismiss(None)", "Later"),
    ]

    AUTO_FOCUS = "#later"

    def __init__(self, call: Call, who: str) -> None:
        super().__init__()
        self._call = call
        self._who = who

    def compose(self) -> ComposeResult:
        """Words, explanation, question."""
        with Vertical(id="heads"):
            yield TitleBar(id="title")
            yield SecurityStrip(id="security")
        with Vertical(classes="dialog verify") as box:
            box.border_title = f"Is it really {self._who}?"
            yield Static(large(self._call.words), id="words")
            yield Static(EXPLANATION.format(who=self._who), id="explanation", markup=False)
            with Horizontal(classes="answers"):
                yield Button("y  The same", variant="success", id="same")
                yield Button("n  Different", variant="error", id="differ")
                yield Button("Esc  Later", id="later")

    def action_choose(self, same: bool) -> None:
        """The answer."""
        self.dismiss(same)

    def action_differ(self) -> None:
        """Say what to do, and remember."""
        self.query_one("#explanation", Static).update(
            Content.styled(DIFFERENT.format(who=self._who), f"bold {POOR}")
        )
        self.query_one("#words").display = False
        self.query_one("#same").display = self.query_one("#later").display = False
        button = self.query_one("#differ", Button)
        button.label = "Enter  I understand"
        button.variant = "default"
        button.focus()
        self._bindings.bind("n,escape,enter", "choose(False)", "Understood")

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter."""
        event.stop()
        match event.button.id:
            case "same":
                self.dismiss(True)
            case "differ" if self.query_one("#words").display:
                self.action_differ()
            case "later":
                self.dismiss(None)
            case _:
                self.dismiss(False)


class ChangedScreen(Over[bool]):
    """A contact has another identity than before. Enter does not continue: trust takes a key of its own."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "choose(True)", "Trust the new identity"),
        Binding("escape", "choose(False)", "Keep it blocked"),
    ]

    def __init__(self, person: Person) -> None:
        super().__init__(classes="grave")
        self._person = person

    def compose(self) -> ComposeResult:
        """Plain words, both fingerprints, and what to do."""
        name = self._person.label
        text = Content("\n").join(self._account())
        with Vertical(classes="dialog") as box:
            box.border_title = f"The identity of {name} has changed"
            yield Static(text)
            with Horizontal(classes="answers"):
                yield Button("Esc  Keep it blocked", variant="primary", id="keep")
                yield Static(Content.styled("T  trust the new identity", FAIR), classes="aside")

    def action_choose(self, trust: bool) -> None:
        """The answer."""
        self.dismiss(trust)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """The one button keeps it blocked: Enter does not continue."""
        event.stop()
        self.dismiss(False)

    def _account(self) -> list[Content]:
        """What happened, both fingerprints, and what to do."""
        name = self._person.label
        return [
            Content.styled(f"This is not the {name} you know, or {name} has a new phone.", "bold"),
            Content(""),
            Content(BLOCKED),
            Content(""),
            Content.assemble(("known    ", MUTED), (self._person.fingerprint, GOOD)),
            Content.assemble(("offered  ", MUTED), (self._person.offered or "–", POOR)),
            Content(""),
            Content(ASK.format(who=name)),
        ]
