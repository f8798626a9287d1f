"""Who may know that whom is online. Pure.

Presence is mutual: the relay tells A of B only while each of them names the other. Nobody can watch a
stranger, nor a contact who has taken them out; and who switches presence off (names nobody) tells nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from qcall.wire.signalling import Availability

ONLINE: Final = "online"
BUSY: Final = "busy"
OFFLINE: Final = "offline"
Notice = tuple[str, dict[str, Availability]]
"""Whom to tell, and of whom what."""


class Watchers:
    """The names that every phone which is online watches."""

    def __init__(self) -> None:
        self._named: dict[str, frozenset[str]] = {}
        self._busy: dict[str, bool] = {}

    def watch(self, name: str, names: Iterable[str], busy: bool) -> list[Notice]:
        """The phone of ``name`` says whom it names, in the place of those before, and if it is busy."""
        before, known = self._named.get(name, frozenset()), self._busy.get(name)
        named = self._named[name] = frozenset(names) - {name}
        self._busy[name] = busy
        fresh = [other for other in sorted(named) if self._mutual(name, other)]
        told = [other for other in fresh if other not in before or busy is not known]
        left = [other for other in sorted(before - named) if name in self._named.get(other, ())]
        notices = [(other, {name: self._state(name)}) for other in told]
        notices += [(other, {name: OFFLINE}) for other in left]
        # Whoever is named and does not name back looks the same as one who is away.
        states: dict[str, Availability] = {
            other: self._state(other) if other in fresh else OFFLINE for other in sorted(named)
        }
        if states and (named != before or known is None):
            notices.append((name, states))
        return notices

    def leave(self, name: str) -> list[Notice]:
        """The phone of ``name`` is gone."""
        named = self._named.pop(name, frozenset())
        self._busy.pop(name, None)
        return [(other, {name: OFFLINE}) for other in sorted(named) if name in self._named.get(other, ())]

    def _mutual(self, name: str, other: str) -> bool:
        return name in self._named.get(other, ()) and other in self._named.get(name, ())

    def _state(self, name: str) -> Availability:
        return BUSY if self._busy.get(name) else ONLINE

    @property
    def named(self) -> Mapping[str, frozenset[str]]:
        """Who names whom."""
        return self._named
