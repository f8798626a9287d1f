"""PortAudio as far as microphones and loudspeakers see it: cards that are called back by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from qcall.media import soundcard
from qcall.media.opus import Samples
from qcall.media.playout import BLOCK


@dataclass
class Stream:
    """A stream from or to a card, as PortAudio opens it."""

    name: str
    input: bool
    callback: Callable[..., tuple[bytes | None, int]]
    closed: bool = False

    def close(self) -> None:
        """Give the card back."""
        self.closed = True

    def record(self, block: Samples) -> None:
        """The card has captured 10 ms."""
        self.callback(block.tobytes(), BLOCK)


@dataclass
class Cards:
    """All streams that were ever opened, in turn; the default devices are called as told."""

    microphone: str = "Built-in Microphone"
    loudspeaker: str = "Built-in Speakers"
    streams: list[Stream] = field(default_factory=list)

    @property
    def in_use(self) -> list[str]:
        """The names of those that are open."""
        return [stream.name for stream in self.streams if not stream.closed]

    async def open(
        self, name: str | None, *, input: bool, callback: Any, on_start: Callable[[], None]
    ) -> Stream:
        """What ``open_card`` does."""
        default = self.microphone if input else self.loudspeaker
        on_start()
        self.streams.append(Stream(name or default, input, callback))
        return self.streams[-1]


def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Cards:
    """Cards in the place of PortAudio's."""
    cards = Cards()
    monkeypatch.setattr(soundcard, "open_card", cards.open)
    return cards
