"""The last line: the keys of the moment, as many as there is room for; each can be clicked."""

from __future__ import annotations

from typing import Any

from textual.app import RenderResult
from textual.content import Content

from qcall.session.snapshot import Snapshot

from .draw import MUTED
from .keys import KEYS, Key, states
from .strips import Pane


class KeyBar(Pane):
    """Keys for the state of the phone first, the others as far as they fit."""

    def part(self, snapshot: Snapshot) -> Any:
        return states(snapshot)

    def render(self) -> RenderResult:
        now = states(self.snapshot)
        fitting = [key for key in KEYS if key.when in now]
        # What belongs to the moment comes first; help and quit are never pushed out.
        last = [key for key in fitting if key.id in ("help", "quit")]
        rest = sorted((key for key in fitting if key not in last), key=lambda key: key.when == "always")
        room = self.room - sum(self._width(key) for key in last)
        chosen = []
        for key in rest:
            if (room := room - self._width(key)) < 0:
                break
            chosen.append(key)
        parts: list[Content] = []
        for key in (*chosen, *last):
            text = Content.assemble((f" {self.key(key.id)}", "bold $accent"), (f" {key.label} ", MUTED))
            parts.append(text.stylize(f"@click=app.{key.action}"))
        return Content("").join(parts)

    def _width(self, key: Key) -> int:
        return len(self.key(key.id)) + len(key.label) + 3
