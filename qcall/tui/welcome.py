"""The first start, in three steps: a name, relay and invite, a sound test; after it the phone can call."""

from __future__ import annotations

import asyncio
import re
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, ContentSwitcher, Input, Label, Static

from qcall.errors import QcallError, UsageError
from qcall.net.address import RelayAddress
from qcall.wire.signalling import NAME

from . import draw
from .app import Enrol
from .draw import FAIR, GOOD, MUTED, POOR
from .keys import DIALOG
from .link import SoundTester

STEPS = ("name", "relay", "sound")
HOW = {
    "name": "Enter goes on   ^q leaves   F1 helps",
    "relay": "Enter goes on   Esc goes back   ^q leaves   F1 helps",
    "sound": "Tab chooses   Enter takes it   ^q leaves   F1 helps",
}
"""The keys of each step."""
LONGEST = 32
"""Characters of a name."""
NO_CARD = "plug one in and test again, or go on without"
UNUSABLE = re.compile(r"[^a-z0-9._-]")
MENDED_IN = {
    "invite": ("relay", "invite"),
    "name-taken": ("name", "who"),
    "bad-name": ("name", "who"),
}
"""Step and field in which a refusal is mended, by its code; all others have to do with the address."""


def problem_of_name(name: str) -> str:
    """What is wrong with a name, and what to do; empty when nothing is."""
    if NAME.fullmatch(name) is not None:
        return ""
    if not name:
        return "type a name first, such as alice"
    if len(name) > LONGEST:
        return f"that name has {len(name)} characters; use at most {LONGEST}"
    shown = name if name.isprintable() else ascii(name)[1:-1]
    better = UNUSABLE.sub("", name.lower().replace(" ", "-")).lstrip("._-")
    return f"{shown} cannot be a name; use a-z, 0-9 and . _ -" + (f": {better}, perhaps" if better else "")


class WelcomeScreen(ModalScreen[bool]):
    """Gives true once the phone is enrolled. Modal: the keys of a phone do nothing where there is none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *DIALOG,
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, enrol: Enrol, sound: SoundTester) -> None:
        super().__init__()
        self._enrol = enrol
        self._sound = sound
        self._enrolled = False

    def compose(self) -> ComposeResult:
        """The steps."""
        with Vertical(classes="dialog welcome") as box:
            box.border_title = "Welcome to qcall"
            yield Static("", id="steps")
            with ContentSwitcher(initial="name"):
                with Vertical(id="name"):
                    yield Static("What shall others call you by?")
                    yield Input(placeholder="such as alice", id="who")
                    yield Label(
                        "the name your invite was made for: 1 to 32 of a-z, 0-9 and . _ -", classes="hint"
                    )
                with Vertical(id="relay"):
                    yield Static("The address of your relay, and the invite its operator gave you.")
                    yield Input(placeholder="such as wss://relay.example:7480", id="url")
                    yield Input(placeholder="the invite code, good once", id="invite")
                    yield Label("your keys are made now and never leave this machine", classes="hint")
                with Vertical(id="sound"):
                    yield Static(
                        "Try loudspeaker and microphone. Without a sound card calls work, in silence."
                    )
                    with Horizontal(classes="answers"):
                        yield Button("Test", id="test", variant="primary")
                        yield Button("Finish", id="finish", variant="success")
                    yield Static("", id="level")
            yield Static("", id="problem", markup=False)
            yield Label("", id="how", classes="hint")

    def on_mount(self) -> None:
        """Begin with the name."""
        self._go("name")

    def _go(self, step: str) -> None:
        self.query_one(ContentSwitcher).current = step
        index = STEPS.index(step)
        labels = ("Your name", "Relay and invite", "Sound")
        parts: list[tuple[str, str]] = []
        for number, label in enumerate(labels):
            done = number < index
            style = GOOD if done else "bold $accent" if number == index else MUTED
            parts.append((f"{draw.TICK if done else number + 1} {label}    ", style))
        self.query_one("#steps", Static).update(Content.assemble(*parts))
        self._problem("")
        self.query_one("#how", Label).update(HOW[step])
        self.query_one({"name": "#who", "relay": "#url", "sound": "#test"}[step]).focus()

    def _problem(self, text: str, colour: str = POOR) -> None:
        self.query_one("#problem", Static).update(Content.styled(text, colour))

    def action_back(self) -> None:
        """The step before; a phone that is enrolled stays so."""
        step = self.query_one(ContentSwitcher).current
        if step == "relay":
            self._go("name")

    @on(Input.Changed)
    def typed(self) -> None:
        """What was wrong is being mended."""
        self._problem("")

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        value = event.value.strip()
        match event.input.id:
            case "who":
                self._named(value)
            case "url":
                self._addressed(value)
            case "invite":
                self.run_worker(self._try(), exclusive=True, exit_on_error=False)

    def _named(self, name: str) -> None:
        if problem := problem_of_name(name):
            self._problem(problem)
        else:
            self._go("relay")

    def _addressed(self, url: str) -> None:
        try:
            RelayAddress.parse(url)
        except UsageError as error:
            self._problem(str(error) if url else "the address comes first; whoever runs the relay knows it")
        else:
            self.query_one("#invite").focus()

    async def _try(self) -> None:
        who, url, invite = (self.query_one(f"#{id}", Input).value.strip() for id in ("who", "url", "invite"))
        if not url or not invite:
            self._problem(f"both are needed; at the relay, relay invite {who} --site SITE makes an invite")
            return
        self._problem("making keys, enrolling …", MUTED)
        try:
            where = await self._enrol(who, url, invite)
        except QcallError as error:
            step, field = MENDED_IN.get(error.code, ("relay", "url"))
            self._go(step)
            self.query_one(f"#{field}").focus()
            self._problem(str(error))
            return
        self._enrolled = True
        self._go("sound")
        self._problem(f"{who} is enrolled at {where}", GOOD)

    @on(Button.Pressed, "#test")
    async def test(self, event: Button.Pressed) -> None:
        """The sound test."""
        event.stop()
        self.run_worker(self._listen(), exclusive=True, exit_on_error=False)

    async def _listen(self) -> None:
        shown = self.query_one("#level", Static)
        shown.update(Content.styled("a tone, then speak …", MUTED))
        try:
            level = await asyncio.to_thread(self._sound.run, "", "")
        except QcallError as error:
            shown.update(Content.styled(draw.on_screen(str(error), error.code, NO_CARD), FAIR))
        else:
            shown.update(Content.assemble(draw.meter(level, 20), f"  {draw.loudness(level)}"))
        self.query_one("#finish").focus()

    @on(Button.Pressed, "#finish")
    def finish(self, event: Button.Pressed) -> None:
        """Done."""
        event.stop()
        self.dismiss(self._enrolled)
