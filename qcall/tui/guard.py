"""Dialogs that come by themselves, and must not be answered by who is typing something else."""

from __future__ import annotations

from typing import Any, TypeVar

from textual import events
from textual.timer import Timer

from .backdrop import Over

T = TypeVar("T")
GUARD = 0.6
"""Seconds without typing before a key counts: who is typing must not answer with the next letter."""


class Guarded(Over[T]):
    """A dialog whose keys count once nobody has typed for ``guard`` seconds; ``ready`` says whether."""

    def __init__(self, *, guard: float, **options: Any) -> None:
        super().__init__(**options)
        self.ready = guard == 0
        self._guard = guard
        self._arming: Timer | None = None

    async def on_mount(self) -> None:
        """Keys count after a moment."""
        if not self.ready:
            self._arming = self.set_timer(self._guard, self._arm)

    def on_key(self, event: events.Key) -> None:
        """A key that means nothing here: somebody types on, and has not seen the dialog yet."""
        if self._arming is not None and event.key not in self.active_bindings:
            self._arming.reset()

    def _arm(self) -> None:
        self.ready, self._arming = True, None
