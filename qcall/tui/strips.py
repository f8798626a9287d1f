"""The two lines at the top of every screen: this phone, and what protects the call."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from typing import Any

from textual.app import RenderResult
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from qcall.session.snapshot import Link, Phase, Snapshot

from . import draw
from .draw import FAIR, GOOD, MUTED, POOR
from .keys import written

LINKS = {Link.ONLINE: GOOD, Link.STARTING: FAIR, Link.AWAY: FAIR, Link.FAILED: POOR}
POLICIES = {
    "require": "quantum keys are needed",
    "prefer": "quantum keys are wanted",
    "off": "quantum keys are off",
}


class Pane(Widget):
    """A part that shows what ``part`` picks out of the snapshot."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._shown: Any = None
        self.snapshot = Snapshot()

    @abc.abstractmethod
    def part(self, snapshot: Snapshot) -> Any:
        """What the pane shows; equal parts look equal."""

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot; draw if it matters here."""
        self.snapshot = snapshot
        part = self.part(snapshot)
        if part != self._shown:
            self._shown = part
            self.changed()

    def changed(self) -> None:
        """The part changed."""
        self.refresh()

    def key(self, id: str) -> str:
        """The key with that ID, by the user's choice."""
        return written(getattr(self.app, "chosen_keys", {}), id)

    @property
    def room(self) -> int:
        """Cells of a line."""
        return max(10, self.content_size.width)


class InTurns:
    """A screen that is put together in one turn of the event loop and drawn in the next.

    Textual asks every class of a screen, this one before its own: it would do all of that in one turn.
    """

    async def on_mount(self) -> None:
        """Made, not yet drawn."""
        await asyncio.sleep(0)

    async def on_resize(self) -> None:
        """Drawn at its first size, and told of it: Textual draws it once more."""
        await asyncio.sleep(0)


class TitleBar(Pane):
    """Who this phone is, and whether it can be called."""

    def part(self, snapshot: Snapshot) -> Any:
        who = (snapshot.name, snapshot.site, snapshot.link, snapshot.trouble)
        return (who, snapshot.missed, int(snapshot.unix // 60), snapshot.sound, self._recorded(snapshot))

    def render(self) -> RenderResult:
        snapshot = self.snapshot
        who = f"{snapshot.name}@{snapshot.site}" if snapshot.name else "no phone yet"
        left: list[str | tuple[str, str]] = [(" qcall ", "bold $accent"), (f" {who}  ", "bold")]
        mark = "●" if snapshot.link is Link.ONLINE else "○"
        left.append((f"{mark} {snapshot.link}", LINKS[snapshot.link]))
        if recorded := self._recorded(snapshot):
            left.append((f"  REC {recorded}", f"bold {POOR}"))
        if snapshot.missed:
            left.append((f"  {snapshot.missed} missed ({self.key('history')})", FAIR))
        if snapshot.trouble:
            left.append((f"  {snapshot.trouble}", POOR))
        elif snapshot.sound:
            left.append(("  no sound", FAIR))
        clock = draw.time_of_day(snapshot.unix)[:5] if snapshot.unix else ""
        text = Content.assemble(*left).truncate(max(1, self.room - len(clock) - 1), ellipsis=True)
        gap = self.room - text.cell_length - len(clock)
        return Content.assemble(text, " " * max(1, gap), (clock, MUTED))

    @staticmethod
    def _recorded(snapshot: Snapshot) -> str:
        """Who records a call, as long as it lasts; empty when nobody does."""
        return ", ".join(call.recording for call in snapshot.live if call.recording)


class SecurityStrip(Pane):
    """The one line that is always there: which layers protect the call, and with whom it is."""

    def part(self, snapshot: Snapshot) -> Any:
        call = snapshot.call
        return (
            snapshot.policy
            if call is None
            else (call.line, call.contact, call.phase, call.warnings, call.silent)
        )

    def render(self) -> RenderResult:
        call = self.snapshot.call
        if call is None or not call.line:
            setting_up = call is not None and call.alive
            word = "NOT SECURED YET" if setting_up else "NO CALL"
            return Content.assemble(
                (f" {word} ", f"bold {FAIR}" if setting_up else "bold"),
                (f"  {POLICIES[self.snapshot.policy]}; nothing is ever sent unencrypted", MUTED),
            ).truncate(self.room, ellipsis=True)
        if call.phase is Phase.ENDED:
            return Content.styled(f" ENDED  {call.line.removeprefix('SECURED').strip()}", MUTED)
        warnings = "; ".join(call.warnings)
        warning = (f"  WARNING {warnings}" if warnings else "", f"bold {FAIR}")
        line = Content.assemble(" ", *self._words(fitting(call.line, self.room - 1)), warning)
        return line.truncate(self.room, ellipsis=True)

    @staticmethod
    def _words(said: str) -> Sequence[tuple[str, str]]:
        parts = []
        for index, word in enumerate(said.split("  ")):
            colour = GOOD if index == 0 or draw.TICK in word else POOR if draw.CROSS in word else ""
            if word == "VERIFIED":
                colour = f"bold {GOOD}"
            elif word == "WORDS DIFFER":
                colour = f"bold {POOR}"
            elif word in ("NEW", "CHANGED"):
                colour = f"bold {FAIR}"
            parts.append((word, f"bold {colour}" if index == 0 else colour))
            parts.append(("  ", ""))
        return parts[:-1]


def fitting(line: str, width: int) -> str:
    """A security line; where it is too long, without how often keys were renewed, which protects nobody."""
    if len(line) <= width:
        return line
    return "  ".join(word for word in line.split("  ") if not word.startswith("epoch"))


class Headed(InTurns):
    """A screen with the two lines at its top; it covers what is below, which need not be drawn."""

    app: Any

    async def on_mount(self) -> None:
        """What the application knows by now."""
        self.show(self.app.snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        for pane in self.query(Pane):  # type: ignore[attr-defined]
            pane.show(snapshot)


class Page(Headed, Screen[None]):
    """A screen in the place of the main one."""
