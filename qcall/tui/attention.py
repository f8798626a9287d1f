"""What comes to the front by itself: a call that rings, an identity that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcall.session.snapshot import Person, Phase, Snapshot

from .incoming import IncomingScreen
from .verify import ChangedScreen

if TYPE_CHECKING:
    from .actions import Actions


class Attention:
    """Watches the snapshots of ``app``'s phone for what its user has to decide, one question at a time."""

    def __init__(self, app: Actions) -> None:
        self._app = app
        self._rung: set[str] = set()
        """Calls that were shown; who let one ring is not asked again."""
        self._asked_about: set[tuple[str, str]] = set()
        """Names, and the identities that were offered for them."""

    def after(self, now: Snapshot) -> None:
        """The phone looks like this now."""
        self._incoming(now)
        self._changed(now)

    def _incoming(self, now: Snapshot) -> None:
        self._rung &= {call.id for call in now.calls}
        if any(isinstance(screen, IncomingScreen) and screen.rings for screen in self._app.screen_stack):
            return
        for call in now.calls:
            if call.phase is Phase.INCOMING and call.id not in self._rung:
                self._rung.add(call.id)
                self._app.push_screen(IncomingScreen(now, call, guard=self._app.guard))
                return

    def _changed(self, now: Snapshot) -> None:
        for person in now.people:
            offer = (person.name, person.offered)
            if person.offered and offer not in self._asked_about and not self._app.has(ChangedScreen):
                self._asked_about.add(offer)
                self.ask_about(person, guard=self._app.guard)

    def ask_about(self, person: Person, *, guard: float = 0.0) -> None:
        """Show what changed about a contact's identity, and what to do; it blocks the screen.

        What comes by itself leaves keys alone for ``guard`` seconds.
        """

        def answered(trust: bool | None) -> None:
            if trust:
                self._app.command("accept-new-key", contact=person.name)
            self._app.call_later(self._changed, self._app.snapshot)

        self._app.push_screen(ChangedScreen(person, guard=guard), answered)
