"""Something that happened, as plain data for screens, ``--json`` and control sockets. It imports little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened, with the fields that ``--json`` prints.

    ``at`` is in seconds on the system's monotonic clock, which all programs of one machine share, so that
    the events of two phones can be laid beside each other.
    """

    kind: str
    at: float
    fields: Mapping[str, Any] = field(default_factory=dict)

    def as_line(self) -> dict[str, Any]:
        """The object of one JSON line."""
        return {"event": self.kind, "at": round(self.at, 6), **self.fields}
