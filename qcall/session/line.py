"""What one call needs of its phone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from qcall.media.peer import Relay
from qcall.net.kme import QkdSource
from qcall.records.store import Records

from .event import Event
from .sound import Sound


@dataclass(frozen=True)
class Line:
    """What a call needs of its phone.

    ``sound`` opens the devices, but for the files of those that a call on hold has kept; it raises
    ``DeviceError``.
    """

    name: str
    """What this phone's user is called."""
    send: Callable[[bytes], Awaitable[None]]
    relay: Callable[[], Relay]
    qkd: QkdSource
    records: Records
    sound: Callable[[Sound | None], Awaitable[Sound]]
    tell: Callable[[Event], None]
    frame_ms: int
    bitrate: int
    copies: bool
    kme_id: str | None
    rekey: float = 60.0
    """Seconds between two rekeys."""
