"""The one desk of a phone: it keeps the board, carries out commands, and measures while there is a call.

The terminal interface, ``qcall control`` and the commands without a screen all go through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from qcall.call.machine import State
from qcall.config import Home
from qcall.errors import LocalFault, QcallError, UsageError
from qcall.media.sides import Sides
from qcall.records.addressbook import AddressBook

from . import board, commands, controls
from .books import Books
from .conversation import Conversation
from .event import Event
from .phone import Phone
from .snapshot import OWN_RECORDING, PHASES, Link, Snapshot

LEVEL_INTERVAL = 0.125
"""Seconds between two looks at the levels: as often as an eye follows a meter."""
STATS_INTERVAL = 1.0
SUPPLY_INTERVAL = 2.0
"""Seconds between two questions to the key node about stock and links."""
IDLE_INTERVAL = 30.0
"""Seconds between two looks at the clock while nothing happens."""
Follower = Callable[[Event], None]


class Desk:
    """Give ``tell`` to the phone, then ``attach`` the phone, then run ``watch`` beside it.

    ``on_snapshot`` gets every new board; ``forward`` every event, as do those who ``follow``.
    """

    def __init__(
        self,
        home: Home,
        *,
        policy: str = "prefer",
        on_snapshot: Callable[[Snapshot], None] = lambda _: None,
        forward: Follower = lambda _: None,
    ) -> None:
        self.snapshot = Snapshot(at=time.monotonic(), unix=time.time(), policy=policy)
        self._book = AddressBook(home.address_book)
        self._on_snapshot = on_snapshot
        self._followers: list[Follower] = [forward]
        self._phone: Phone | None = None
        self._stirred = asyncio.Event()
        self._refreshing = False
        self._measured_at = self._supplied_at = 0.0

    def attach(self, phone: Phone) -> None:
        """This is the phone; its contacts are on the board from now on."""
        self._phone = phone
        account = phone.account
        self.snapshot = replace(
            self.snapshot,
            name=account.name,
            site=account.site,
            relay=account.relay,
            key_node=account.kme_id,
            last_dialled=next((call.contact for call in phone.records.calls() if call.outgoing), ""),
        )
        self._list_people()

    def tell(self, event: Event) -> None:
        """Something happened."""
        self._show(board.after(self.snapshot, event, time.time()))
        if event.kind in ("ended", "secured"):
            self._list_people()
        for follower in tuple(self._followers):
            follower(event)
        self._stir()

    @contextlib.contextmanager
    def follow(self, follower: Follower) -> Any:
        """Hand every event to ``follower`` within the context."""
        self._followers.append(follower)
        try:
            yield
        finally:
            self._followers.remove(follower)

    def troubled(self, error: QcallError) -> None:
        """The phone could not be brought online, for this reason."""
        self._show(replace(self.snapshot, link=Link.FAILED, trouble=str(error)))

    async def watch(self) -> None:
        """Measure while there is a call, for ever."""
        while True:
            self._stirred.clear()
            self._refresh()
            interval = LEVEL_INTERVAL if self._conversations else IDLE_INTERVAL
            if self._conversations:
                await self._measure()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    # Levels have their own pace: what happens meanwhile is on the board already.
                    await (asyncio.sleep(interval) if self._conversations else self._stirred.wait())

    # Commands

    async def run(self, command: commands.Any) -> Any:
        """Carry out ``command``; the answer is plain data. Raises ``QcallError``."""
        match command:
            case commands.Dial(contact, allow_less):
                return await self._dial(contact, allow_less)
            case commands.Less(contact):
                self._online.allow_less(contact)
                return {"contact": contact, "allow_less": True}
            case commands.Redial():
                if not self.snapshot.last_dialled:
                    raise UsageError("nobody was called yet; dial somebody")
                return await self._dial(self.snapshot.last_dialled, False)
            case commands.Answer():
                return await self._answer()
            case commands.Refuse(text):
                return await self._refuse(text)
            case commands.Hangup():
                return self._hang_up()
            case commands.Swap():
                return await self._swap()
            case commands.Policy(qkd):
                self._online.adopt(qkd=qkd)
                self._show(replace(self.snapshot, policy=qkd))
                return {"qkd": qkd}
            case commands.Presence(state):
                self._online.adopt(presence=state == "on")
                self._stir()
                return {"presence": state == "on"}
            case commands.Subscribe():
                raise UsageError("subscribe needs a connection of its own: qcall control subscribe")
            case commands.Device(kind, name) if self._live_front() is None:
                await self._online.devices.choose(kind, name)
                return {kind: name}
            case _ if isinstance(command, controls.Control):
                answer = await controls.carry_out(command, self._front(), self._online.devices)
                if isinstance(command, commands.Device):
                    self._show(replace(self.snapshot, sound="", sound_code=""))
                self._stir()
                return answer
            case commands.Status():
                node = None if self._phone is None else self._phone.key_node
                return {**status(self.snapshot), "key_node_url": None if node is None else node.url}
            case commands.Seen():
                self._show(replace(board.cleared(self.snapshot), missed=0))
                return {}
            case commands.People():
                self._list_people()
                return [asdict(person) for person in self.snapshot.people]
        return self._keep_books(command)

    def _keep_books(self, command: commands.Any) -> Any:
        answer = self._books.run(command)
        if isinstance(command, commands.Verify):
            self._show(board.verified(self.snapshot, command.contact, command.same))
        self._list_people()
        return answer

    async def _dial(self, contact: str, allow_less: bool) -> Any:
        front = self._live_front()
        if front is not None and front.state is not State.TALKING:
            raise UsageError("a call is being set up; hang up first")
        conversation = self._online.dial(contact, allow_less=allow_less)
        if front is not None:
            await front.hold(True)
        return {"call": conversation.dialogue.hex(), "contact": contact}

    async def _answer(self) -> Any:
        ringing = self._ringing()
        for other in tuple(self._conversations.values()):
            if other is not ringing and other.state is State.TALKING:
                await other.hold(True)
        ringing.answer()
        self._focus(ringing)
        return {"contact": ringing.contact}

    async def _refuse(self, text: str) -> Any:
        ringing = self._ringing()
        if text:
            ringing.say(text)
        ringing.hang_up()
        return {"contact": ringing.contact}

    def _hang_up(self) -> Any:
        conversation = self._front()
        conversation.hang_up()
        waiting = [each for each in self._conversations.values() if each is not conversation]
        if len(waiting) == 1:
            self._focus(waiting[0])
        return {"contact": conversation.contact}

    async def _swap(self) -> Any:
        front = self._front()
        others = [each for each in self._conversations.values() if each is not front]
        if not others or others[0].state is not State.TALKING:
            raise UsageError("there is no other call to talk to")
        if front.state is State.TALKING:
            await front.hold(True)
        await others[0].hold(False)
        self._focus(others[0])
        return {"contact": others[0].contact}

    # The phone

    @property
    def _online(self) -> Phone:
        if self._phone is None:
            raise LocalFault("the phone is still starting; try again", code="starting")
        return self._phone

    @property
    def _books(self) -> Books:
        return Books(self._book, self._online.records)

    @property
    def _conversations(self) -> dict[bytes, Conversation]:
        return {} if self._phone is None else self._phone.conversations

    def _live_front(self) -> Conversation | None:
        """The conversation in front, if one lives."""
        for call in self.snapshot.calls:
            if (conversation := self._conversations.get(bytes.fromhex(call.id))) is not None:
                return conversation
        return None

    def _front(self) -> Conversation:
        if (conversation := self._live_front()) is None:
            raise UsageError("there is no call")
        return conversation

    def _ringing(self) -> Conversation:
        for conversation in self._conversations.values():
            if conversation.state in (State.ALERTING, State.ALERTING_SECURED):
                return conversation
        raise UsageError("no call waits for an answer")

    def _focus(self, conversation: Conversation) -> None:
        self._show(board.focused(self.snapshot, conversation.dialogue.hex()))

    # The board

    def _show(self, snapshot: Snapshot) -> None:
        if snapshot is not self.snapshot:
            self.snapshot = snapshot
            self._on_snapshot(snapshot)

    def _stir(self) -> None:
        """Ask the conversations how they are, as soon as what runs now has run."""
        self._stirred.set()
        if not self._refreshing:
            self._refreshing = True
            asyncio.get_running_loop().call_soon(self._refresh)

    def _refresh(self) -> None:
        self._refreshing = False
        if self._phone is not None:
            self._phone.watch(person.name for person in self.snapshot.people)
        new = replace(self.snapshot, at=time.monotonic(), unix=time.time())
        for id, conversation in self._conversations.items():
            facts = board.Facts(
                PHASES[conversation.state],
                muted=conversation.muted,
                held=conversation.held,
                held_by_peer=conversation.held_by_peer,
                recording=recorded(conversation),
            )
            new = board.stated(new, id.hex(), facts)
        if new.calls != self.snapshot.calls or int(new.unix) != int(self.snapshot.unix):
            self._show(new)

    async def _measure(self) -> None:
        now, new = time.monotonic(), self.snapshot
        take_stats = now - self._measured_at >= STATS_INTERVAL
        for id, conversation in self._conversations.items():
            new = board.levelled(new, id.hex(), *conversation.levels)
            if take_stats and conversation.state is State.TALKING:
                new = board.measured(new, id.hex(), conversation.stats())
        if take_stats:
            self._measured_at = now
        self._show(new)
        if now - self._supplied_at >= SUPPLY_INTERVAL:
            self._supplied_at = now
            await self._ask_key_node()

    async def _ask_key_node(self) -> None:
        front = self._live_front()
        node = None if self._phone is None else self._phone.key_node
        if front is None or node is None or front.peer_sae is None:
            return
        with contextlib.suppress(QcallError):
            told = await node.status(front.peer_sae)
            extension = told.status_extension or {}
            self._show(board.supplied(self.snapshot, front.dialogue.hex(), extension))

    def _list_people(self) -> None:
        if self._phone is None:
            return
        if (people := self._books.people(self.snapshot.people)) != self.snapshot.people:
            self._show(replace(self.snapshot, people=people))


def recorded(conversation: Conversation) -> str:
    """Who records the call at the moment, in words; empty when nobody does."""
    parties = []
    if conversation.recording is not None:
        parties.append(OWN_RECORDING)
    if (sides := conversation.recorded_by_peer) is not None:
        parties.append(
            f"{conversation.contact} records {'both sides' if sides is Sides.BOTH else 'their side'}"
        )
    return ", ".join(parties)


def status(snapshot: Snapshot) -> dict[str, Any]:
    """The board for programs: what changes ten times a second and what only a person reads is left out."""
    calls = [
        {
            "call": call.id,
            "contact": call.contact,
            "outgoing": call.outgoing,
            "state": str(call.phase),
            "seconds": round(call.talked(snapshot.at), 1),
            "muted": call.muted,
            "held": call.held,
            "security": dict(call.security),
            "quality": dict(call.quality.totals),
            "reason": call.reason,
        }
        for call in snapshot.calls
    ]
    phone = {name: getattr(snapshot, name) for name in ("name", "site", "relay", "trouble", "missed")}
    return {**phone, "state": str(snapshot.link), "key_node": snapshot.key_node, "calls": calls}
