"""Somebody calls: who, how far they are known, what protects the call; answer, refuse, refuse with a text."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from qcall.session.snapshot import Call, Phase, Snapshot

from .backdrop import Over
from .draw import FAIR, GOOD, MUTED, POOR

GUARD = 0.6
"""Seconds before a key counts: who is typing must not answer a call with the next letter."""
TRUST = {
    "new": ("never met before: compare the words once you talk", FAIR),
    "pinned": ("the same phone as before; the words were not compared", ""),
    "words-differ": ("WORDS DIFFER: somebody may be between you; compare the words before you talk", POOR),
    "verified": ("verified: you compared the words with them", GOOD),
}
QUICK = ("I call you back", "In a meeting", "")


class IncomingScreen(Over[None]):
    """Stays until the call is answered, refused, or over; Escape lets it ring on without the dialog."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "answer", "Answer"),
        Binding("x,b", "refuse", "Refuse"),
        Binding("t", "write", "Refuse with text"),
        Binding("escape", "quiet", "Let it ring"),
    ]

    def __init__(self, snapshot: Snapshot, call: Call, *, guard: float = GUARD) -> None:
        super().__init__()
        self.call = call
        self._snapshot = snapshot
        self._guard = guard
        self._ready = guard == 0

    def compose(self) -> ComposeResult:
        """Who and how, then the buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Incoming call"
            yield Static(self._text(), id="caller", markup=False)
            with Horizontal(classes="answers"):
                yield Button("a  Answer", variant="success", id="answer")
                yield Button("x  Refuse", variant="error", id="refuse")
                yield Button("t  Refuse with text", id="write")
            yield Input(
                placeholder="why not now; Enter refuses with it, Escape goes back", id="why", max_length=500
            )

    async def on_mount(self) -> None:
        """Keys count after a moment."""
        self.query_one("#why").display = False
        if not self._ready:
            self.set_timer(self._guard, self._arm)

    def _arm(self) -> None:
        self._ready = True

    def show(self, snapshot: Snapshot) -> None:
        """Follow the call; when it does not ring any more, go."""
        call = next((each for each in snapshot.calls if each.id == self.call.id), None)
        self._snapshot = snapshot
        if call is None or call.phase is not Phase.INCOMING:
            if self.is_current:
                self.dismiss()
            return
        if call.security != self.call.security:
            self.call = call
            self.query_one("#caller", Static).update(self._text())

    def _text(self) -> Content:
        call = self.call
        person = self._snapshot.person(call.contact)
        label = call.contact if person is None else person.label
        trust, colour = TRUST.get(str(call.security.get("trust", "new")), ("", ""))
        qkd = call.security.get("qkd") or {}
        present = qkd.get("state") == "present"
        policy = {"require": "both phones insist on quantum keys", "prefer": "quantum keys if there are any"}
        lines = [
            Content.assemble(
                (label, "bold"), ("" if label == call.contact else f"  ({call.contact})", MUTED)
            ),
            Content.styled(trust, colour),
            Content(""),
            Content.styled(call.line, GOOD if present else FAIR),
            Content.styled(policy.get(str(call.security.get("policy")), "no quantum keys asked for"), MUTED),
        ]
        if any(other.phase is Phase.TALKING for other in self._snapshot.calls):
            lines.append(Content.styled("answering puts the call that is up on hold", FAIR))
        if not present:
            lines.append(Content.styled(f"no quantum key: {qkd.get('reason') or 'not asked for'}", POOR))
        return Content("\n").join(lines)

    def action_answer(self) -> None:
        """Answer."""
        if self._ready:
            self.app.command("answer")  # type: ignore[attr-defined]

    def action_refuse(self) -> None:
        """Refuse without a word."""
        if self._ready:
            self.app.command("refuse")  # type: ignore[attr-defined]

    def action_write(self) -> None:
        """Ask for the line to refuse with."""
        if self._ready:
            why = self.query_one("#why", Input)
            why.display = True
            why.focus()

    def action_quiet(self) -> None:
        """Back from the line; else let it ring without the dialog."""
        why = self.query_one("#why", Input)
        if why.display:
            why.display = False
            self.query_one("#answer").focus()
        else:
            self.dismiss()

    @on(Input.Submitted, "#why")
    def refuse_with(self, event: Input.Submitted) -> None:
        """Refuse with the line."""
        event.stop()
        self.app.command("refuse", text=event.value.strip())  # type: ignore[attr-defined]

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter."""
        event.stop()
        {"answer": self.action_answer, "refuse": self.action_refuse, "write": self.action_write}[
            event.button.id or "answer"
        ]()
