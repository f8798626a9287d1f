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


WARNED = "-warned"
"""The class of a security strip of two lines."""


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
            said = f"  {POLICIES[self.snapshot.policy]}"
            more = "; nothing is ever sent unencrypted"
            if len(word) + 2 + len(said + more) <= self.room:
                said += more
            return Content.assemble(
                (f" {word} ", f"bold {FAIR}" if setting_up else "bold"), (said, MUTED)
            ).truncate(self.room, ellipsis=True)
        if call.phase is Phase.ENDED:
            words, gap = fitting(call.line.replace("SECURED", "ENDED", 1), self.room - 1)
            return Content.styled(f" {gap.join(words)}", MUTED)
        line = Content.assemble(" ", *self._words(*fitting(call.line, self.room - 1)))
        if not (warning := self._warning()):
            return line.truncate(self.room, ellipsis=True)
        below = Content.styled(warning, f"bold {FAIR}")
        lines = [line, below] if self.has_class(WARNED) else [Content(" ").join([line, below])]
        return Content("\n").join([each.truncate(self.room, ellipsis=True) for each in lines])

    def changed(self) -> None:
        """A warning gets a line of its own where it does not fit behind the rest."""
        self._lay_out()
        super().changed()

    def on_resize(self) -> None:
        """There is more room, or less."""
        self._lay_out()

    def _lay_out(self) -> None:
        call, warning = self.snapshot.call, self._warning()
        room = 0 if call is None else self.room - len(call.line) - len(warning) - 3
        self.set_class(bool(warning) and room < 0, WARNED)

    def _warning(self) -> str:
        call = self.snapshot.call
        warnings = "; ".join(call.warnings) if call is not None and call.alive else ""
        return f" WARNING {warnings}" if warnings else ""

    @staticmethod
    def _words(words: Sequence[str], gap: str) -> Sequence[tuple[str, str]]:
        parts = []
        for index, word in enumerate(words):
            colour = GOOD if index == 0 or draw.TICK in word else POOR if draw.CROSS in word else ""
            if word == "VERIFIED":
                colour = f"bold {GOOD}"
            elif word == "WORDS DIFFER":
                colour = f"bold {POOR}"
            elif word in ("NEW", "CHANGED"):
                colour = f"bold {FAIR}"
            parts.append((word, f"bold {colour}" if index == 0 else colour))
            parts.append((gap, ""))
        return parts[:-1]


def fitting(line: str, width: int) -> tuple[Sequence[str], str]:
    """The words of a security line, and what parts them.

    Where it is too long, how often keys were renewed is left out, which protects nobody, and then space.
    """
    words = line.split("  ")
    if len(line) > width:
        words = [word for word in words if not word.startswith("epoch")]
    return words, "  " if len("  ".join(words)) <= width else " "


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
