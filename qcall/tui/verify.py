"""The four words, large, with the question they are for; and what is to be done when an identity changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from qcall.session.snapshot import Call, Person

from .draw import FAIR, GOOD, MUTED, POOR
from .guard import Guarded
from .keys import DIALOG, written
from .strips import Headed, SecurityStrip, TitleBar

CELL, GAP = 32, 2
"""Cells of a large word, and between two."""
NUMBER = 2
"""Cells before a word."""
WIDTH, SHARE, EDGES = 76, 0.96, 8
"""This dialog's cells and its share of the screen, as the style sheet has them; those around the words."""

EXPLANATION = (
    "Say the first two words, let {who} say the other two. The same four words on both phones mean that "
    "nobody sits between you: they come from the keys of this call; whoever is in between would see others."
)
DIFFERENT = (
    "The words differ: somebody may be between you and {who}.\n\n"
    "1. Say nothing more that matters, and hang up ({key}).\n"
    "2. Call {who} another way, and ask whether their phone showed these words.\n"
    "3. If not, do not use this relay for this contact; tell its operator.\n\n"
    "{who} is marked WORDS DIFFER until you have compared words again and they were the same."
)


BLOCKED = (
    "Whoever called or answered under this name has other keys than before. The call was blocked; "
    "nothing was said or heard."
)
ASK = (
    "Ask {who} by another way: did you set up a new phone? If they did, and the new fingerprint is theirs, "
    "press T. Otherwise leave it blocked, and tell the relay's operator."
)


class Words(Static):
    """The words, to be read from afar: two a line where there is room, else one; spaced if that fits.

    ``width`` is how many cells there will be, as far as one knows before the first frame.
    """

    def __init__(self, words: Sequence[str], width: int, **options: Any) -> None:
        super().__init__(large(words, width), **options)
        self._words = tuple(words)

    def on_resize(self, event: events.Resize) -> None:
        """As large as there is room for."""
        self.update(large(self._words, self.content_size.width))


def large(words: Sequence[str], width: int) -> Content:
    """Words as large as ``width`` cells allow."""
    a_line = 2 if width >= 2 * CELL + GAP else 1
    cell = CELL if width >= CELL else width
    cells = []
    for number, word in enumerate(words, 1):
        spaced = " ".join(word.upper())
        shown = spaced if len(spaced) + NUMBER <= cell else word.upper()
        left = max(0, (cell - NUMBER - len(shown)) // 2) if a_line > 1 else 0
        text = Content.assemble(" " * left, (f"{number} ", MUTED), (shown, "bold $accent"))
        cells.append(text.truncate(cell, pad=True))
    lines = [Content(" " * GAP).join(cells[at : at + a_line]) for at in range(0, len(cells), a_line)]
    return Content("\n\n" if a_line > 1 else "\n").join(lines)


class VerifyScreen(Headed, ModalScreen[None]):
    """``tell`` is called with true for the same words, with false for different ones, as soon as it is said.

    What to do about different ones stays to be read; ``hang_up`` is the first of it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *DIALOG,
        Binding("y", "same", "Same"),
        Binding("n", "differ", "Different"),
        Binding("b", "hang_up", "Hang up", id="hangup"),
        Binding("escape", "dismiss(None)", "Later"),
    ]

    AUTO_FOCUS = "#later"

    def __init__(
        self, call: Call, who: str, tell: Callable[[bool], None], hang_up: Callable[[], None]
    ) -> None:
        super().__init__()
        self._call = call
        self._who = who
        self._tell = tell
        self._hang_up = hang_up
        self._differ = False

    def compose(self) -> ComposeResult:
        """Words, explanation, question."""
        with Vertical(id="heads"):
            yield TitleBar(id="title")
            yield SecurityStrip(id="security")
        with Vertical(classes="dialog verify") as box:
            box.border_title = f"Is it really {self._who}?"
            width = min(WIDTH, int(SHARE * self.app.size.width)) - EDGES
            yield Words(self._call.words, width, id="words")
            yield Static(EXPLANATION.format(who=self._who), id="explanation", markup=False)
            with Horizontal(classes="answers"):
                yield Button("y  The same", variant="success", id="same")
                yield Button("n  Different", variant="error", id="differ")
                yield Button("Esc  Later", id="later")

    def action_same(self) -> None:
        """They are the same; not after they were said to differ."""
        if not self._differ:
            self._tell(True)
            self.dismiss(None)

    def action_differ(self) -> None:
        """Remember at once, and say what to do."""
        if self._differ:
            return
        self._differ = True
        self._tell(False)
        key = written(self.app.chosen_keys, "hangup")
        self.query_one("#explanation", Static).update(
            Content.styled(DIFFERENT.format(who=self._who, key=key), f"bold {POOR}")
        )
        self.query_one("#words").display = self.query_one("#same").display = False
        self.query_one("#later", Button).label = "Esc  Back"
        button = self.query_one("#differ", Button)
        button.label = f"{key}  Hang up"
        button.focus()

    def action_hang_up(self) -> None:
        """The first thing to do when they differ."""
        if self._differ:
            self._hang_up()
            self.dismiss(None)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter."""
        event.stop()
        match event.button.id:
            case "same":
                self.action_same()
            case "differ" if self._differ:
                self.action_hang_up()
            case "differ":
                self.action_differ()
            case _:
                self.dismiss(None)


class ChangedScreen(Guarded[bool]):
    """A contact has another identity than before. Enter does not continue: trust takes a key of its own.

    Who is typing must not trust anybody with the next letter.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "choose(True)", "Trust the new identity"),
        Binding("escape", "choose(False)", "Keep it blocked"),
    ]

    def __init__(self, person: Person, *, guard: float = 0.0) -> None:
        super().__init__(guard=guard, classes="grave")
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
        if self.ready:
            self.dismiss(trust)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """The one button keeps it blocked: Enter does not continue."""
        event.stop()
        self.action_choose(False)

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
