"""Small questions over whatever is on the screen: a line of text, or yes and no."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widgets import Button, Input, Label, OptionList, Static

from qcall.session.snapshot import Call

from .backdrop import Over


class Ask(Over[str | None]):
    """Asks for one line; Enter takes it, Escape does not."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave")]

    def __init__(
        self,
        title: str,
        hint: str = "",
        *,
        value: str = "",
        suggestions: Sequence[str] = (),
        longest: int = 500,
        optional: bool = False,
        secret: bool = False,
    ) -> None:
        super().__init__()
        self._title = title
        self._hint = hint
        self._value = value
        self._suggestions = tuple(suggestions)
        self._longest = longest
        self._optional = optional
        self._secret = secret

    def compose(self) -> ComposeResult:
        """Title, input, hint."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            yield Input(
                self._value,
                suggester=SuggestFromList(self._suggestions, case_sensitive=False),
                max_length=self._longest,
                password=self._secret,
            )
            yield Label(self._hint, classes="hint", markup=False)

    @on(Input.Submitted)
    def take(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        value = event.value.strip()
        if value or self._optional:
            self.dismiss(value)


def recording_of(call: Call, unix: float) -> Ask:
    """Asks into which file to record ``call`` from ``unix`` seconds on."""
    at = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(unix))
    hint = "a new WAV file, both sides in stereo; the far phone is told first"
    return Ask("Record", hint, value=f"~/call-{call.contact}-{at}.wav")


class Choose(Over[int | None]):
    """One of a few: gives its index; the one that holds ``now`` is under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave")]

    def __init__(self, title: str, names: Sequence[str], now: int) -> None:
        super().__init__()
        self._title = title
        self._names = tuple(names)
        self._now = now

    def compose(self) -> ComposeResult:
        """A list."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            yield OptionList(*(Content(name) for name in self._names))

    async def on_mount(self) -> None:
        """What holds now."""
        self.query_one(OptionList).highlighted = self._now

    @on(OptionList.OptionSelected)
    def take(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        event.stop()
        self.dismiss(event.option_index)


class Question(Over[Any]):
    """A question with a few answers, each a button with a key of its own.

    ``answers`` are (key, label, value, variant); the first has the focus. Escape is none of them: ``None``.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave")]

    def __init__(
        self,
        title: str,
        text: Content | str,
        answers: Sequence[tuple[str, str, Any, str]],
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._title = title
        self._text = text
        self._answers = {key: (label, value, variant) for key, label, value, variant in answers}
        for key, (label, _, _) in self._answers.items():
            self._bindings.bind(key, f"choose('{key}')", label)

    def compose(self) -> ComposeResult:
        """Title, text, buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            yield Static(self._text, classes="question", markup=False)
            with Horizontal(classes="answers"):
                for key, (label, _, variant) in self._answers.items():
                    button = Button(f"{key}  {label}", variant=variant, id=f"answer-{key}")  # type: ignore[arg-type]
                    yield button

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter."""
        event.stop()
        self.action_choose((event.button.id or "").removeprefix("answer-"))

    def action_choose(self, key: str) -> None:
        """Take the answer of ``key``."""
        if key in self._answers:
            self.dismiss(self._answers[key][1])
