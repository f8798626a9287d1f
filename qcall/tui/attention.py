"""What comes to the front by itself: a call that rings, an identity that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcall.session.snapshot import Person, Phase, Snapshot

from .incoming import IncomingScreen
from .verify import ChangedScreen

if TYPE_CHECKING:
    from .actions import Actions


class Attention:
    """Watches the snapshots of ``app``'s phone for what its user has to decide."""

    def __init__(self, app: Actions) -> None:
        self._app = app
        self._asked_about: set[str] = set()

    def after(self, before: Snapshot, now: Snapshot) -> None:
        """What changed between two snapshots."""
        self._incoming(before, now)
        for person in now.people:
            known = before.person(person.name)
            fresh = person.offered and (known is None or known.offered != person.offered)
            # Once for every identity that is offered.
            if fresh and person.offered not in self._asked_about and not self._app.has(ChangedScreen):
                self._asked_about.add(person.offered)
                self.ask_about(person)

    def _incoming(self, before: Snapshot, now: Snapshot) -> None:
        call = now.incoming
        known = {each.id for each in before.calls if each.phase is Phase.INCOMING}
        if call is not None and call.id not in known and not self._app.has(IncomingScreen):
            self._app.push_screen(IncomingScreen(now, call, guard=self._app.guard))

    def ask_about(self, person: Person) -> None:
        """Show what changed about a contact's identity, and what to do; it blocks the screen."""

        def answered(trust: bool | None) -> None:
            if trust:
                self._app.command("accept-new-key", contact=person.name)

        self._app.push_screen(ChangedScreen(person), answered)
