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

from .draw import FAIR, GOOD, MUTED, POOR
from .guard import GUARD, Guarded
from .keys import written

TRUST = {
    "new": ("never met before: compare the words once you talk", FAIR),
    "pinned": ("the same phone as before; the words were not compared", ""),
    "words-differ": ("WORDS DIFFER: somebody may be between you; compare the words before you talk", POOR),
    "verified": ("verified: you compared the words with them", GOOD),
}


class IncomingScreen(Guarded[None]):
    """Stays until the call is answered, refused, or over; Escape lets it ring on without the dialog."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "answer", "Answer", id="answer"),
        Binding("x", "refuse", "Refuse", id="refuse"),
        Binding("b", "refuse", "Refuse", id="hangup"),
        Binding("t", "write", "Refuse with text", id="text"),
        Binding("escape", "quiet", "Let it ring"),
    ]

    def __init__(self, snapshot: Snapshot, call: Call, *, guard: float = GUARD) -> None:
        super().__init__(guard=guard)
        self.call = call
        self._snapshot = snapshot
        self.rings = True
        """Whether it still does; a dialog below another screen goes when that is left."""

    def compose(self) -> ComposeResult:
        """Who and how, then the buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Incoming call"
            yield Static(self._text(), id="caller", markup=False)
            with Horizontal(classes="answers"):
                yield Button(self._named("answer", "Answer"), variant="success", id="answer")
                yield Button(self._named("refuse", "Refuse"), variant="error", id="refuse")
                yield Button(self._named("text", "Refuse with text"), id="write")
            yield Input(
                placeholder="why not now; Enter refuses with it, Escape goes back", id="why", max_length=500
            )

    def _named(self, id: str, label: str) -> str:
        return f"{written(self.app.chosen_keys, id)}  {label}"  # type: ignore[attr-defined]

    async def on_mount(self) -> None:
        """The line to refuse with is not asked for yet."""
        self.query_one("#why").display = False

    def on_screen_resume(self) -> None:
        """What was above it has been left."""
        self.show(self.app.snapshot)  # type: ignore[attr-defined]

    def show(self, snapshot: Snapshot) -> None:
        """Follow the call; when it does not ring any more, go."""
        call = next((each for each in snapshot.calls if each.id == self.call.id), None)
        self._snapshot = snapshot
        if call is None or call.phase is not Phase.INCOMING:
            self.rings = False
            if self.app.screen is self:  # Textual calls current what is seen behind a dialog, too.
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
        if self.ready:
            self.app.command("answer")  # type: ignore[attr-defined]

    def action_refuse(self) -> None:
        """Refuse without a word."""
        if self.ready:
            self.app.command("refuse")  # type: ignore[attr-defined]

    def action_write(self) -> None:
        """Ask for the line to refuse with."""
        if self.ready:
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
