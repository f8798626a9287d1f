"""The way to the phone. It runs on a thread and an event loop of its own: drawing never delays a packet.

Snapshots, which are frozen, come over in one direction and commands go in the other. Everything heavy is
imported on that thread, while the screen is already drawn.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from qcall.config import Home
from qcall.errors import LocalFault, QcallError
from qcall.session import commands
from qcall.session.snapshot import Link as State
from qcall.session.snapshot import Snapshot

if TYPE_CHECKING:
    from qcall.session.desk import Desk

FIRST_RETRY, LONGEST_RETRY = 1.0, 15.0
"""Seconds between attempts to come online, while the relay has not been reached once."""
LINES = 2
"""Calls at one time: one to talk in, one on hold or waiting."""
CLOSING_LIMIT = 5.0
"""Seconds that the calls get to say goodbye when the program ends."""


class PhoneLink(Protocol):
    """A phone, as the screens see it."""

    def start(self, on_snapshot: Callable[[Snapshot], None], on_failed: Callable[[QcallError], None]) -> None:
        """Begin; both callables are called in the loop that calls this."""

    async def ask(self, command: commands.Any) -> Any:
        """Carry out a command; its answer. Raises ``QcallError``."""

    def unlock(self, passphrase: str) -> None:
        """Begin again, with the passphrase that was missing."""

    def stop(self) -> None:
        """Begin to hang up and to end; returns at once."""

    async def close(self) -> None:
        """Hang up and end."""


class SoundTester(Protocol):
    """Tries the sound card; both block and raise ``DeviceError``."""

    def cards(self) -> tuple[Sequence[str], Sequence[str]]:
        """The names of microphones and of loudspeakers."""

    def run(self, microphone: str, speaker: str) -> float:
        """A tone, then listening; the loudest moment in decibels relative to full scale."""


class LazySoundTest:
    """Imports the sound card's libraries when they are wanted."""

    def cards(self) -> tuple[Sequence[str], Sequence[str]]:
        """As `SoundTester`."""
        from qcall.session.soundtest import SoundTest

        return SoundTest().cards()

    def run(self, microphone: str, speaker: str) -> float:
        """As `SoundTester`."""
        from qcall.session.soundtest import SoundTest

        return SoundTest().run(microphone, speaker)


class PhoneThread:
    """The real phone.

    ``flags`` are settings of the command line; ``sound`` is what else it says on sound, by the names of
    ``Wishes``; ``kme`` another address of the key node.
    """

    def __init__(
        self,
        home: Home,
        flags: Mapping[str, Any],
        sound: Mapping[str, Any],
        kme: str | None,
        passphrase: str | None,
        environment: Mapping[str, str],
    ) -> None:
        self._home = home
        self._flags = flags
        self._sound = sound
        self._kme = kme
        self._passphrase = passphrase
        self._environment = environment
        self._desk: Desk | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = self._new_thread()
        self._latest: Snapshot | None = None
        self._latest_lock = threading.Lock()

    def start(self, on_snapshot: Callable[[Snapshot], None], on_failed: Callable[[QcallError], None]) -> None:
        """Begin."""
        self._screen = asyncio.get_running_loop()
        # Textual finds its application in the context that is current.
        self._context = contextvars.copy_context()
        self._on_snapshot = on_snapshot
        self._on_failed = on_failed
        self._thread.start()

    def unlock(self, passphrase: str) -> None:
        """Begin again, with the passphrase that was missing."""
        self._passphrase = passphrase
        self._thread = self._new_thread()
        self._thread.start()

    def stop(self) -> None:
        """Begin to hang up and to end."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="phone", daemon=True)

    async def ask(self, command: commands.Any) -> Any:
        """Carry out a command on the phone's loop."""
        desk, loop = self._desk, self._loop
        if desk is None or loop is None or not self._thread.is_alive():
            raise LocalFault("the phone is still starting; try again in a moment", code="starting")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(desk.run(command), loop))

    async def close(self) -> None:
        """Hang up and end the thread."""
        self.stop()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, CLOSING_LIMIT)

    # On the phone's thread

    def _run(self) -> None:
        try:
            run_loop(self._live())
        except QcallError as error:
            self._to_screen(self._on_failed, error)
        except Exception as error:
            text = (
                f"a fault of qcall itself stopped the phone ({type(error).__name__}: {error}); start it again"
            )
            self._to_screen(self._on_failed, LocalFault(text, code="fault"))

    async def _live(self) -> None:
        from qcall.session.attendance import attended
        from qcall.session.desk import Desk
        from qcall.session.identity import open_identity
        from qcall.session.phone import Phone
        from qcall.session.sound import Opener, check, wishes_of

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        settings = self._home.settings(self._flags, self._environment)
        identity = open_identity(self._home, self._passphrase)
        desk = Desk(self._home, policy=settings.qkd, on_snapshot=self._publish)
        wishes = wishes_of(self._sound, settings)
        check(wishes)
        sound = Opener(wishes, desk.tell)
        phone = Phone(self._home, settings, identity, sound=sound, tell=desk.tell, lines=LINES)
        async with phone, attended(desk, phone, self._home):
            self._desk = desk
            await self._until_stopped(self._online(phone, desk))
            await self._stop.wait()

    async def _online(self, phone: Any, desk: Desk) -> None:
        """Register; while the relay cannot be reached, try again."""
        delay = FIRST_RETRY
        while True:
            try:
                await phone.online(kme_url=self._kme)
            except QcallError as error:
                desk.troubled(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_RETRY)
            else:
                return

    async def _until_stopped(self, work: Any) -> None:
        assert self._stop is not None
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for each in (working, stopping):
            each.cancel()
        await asyncio.wait({working, stopping})
        if not working.cancelled():
            working.result()

    def _publish(self, snapshot: Snapshot) -> None:
        """Hand the latest snapshot over; those that a slow screen did not come to see are left out."""
        with self._latest_lock:
            pending, self._latest = self._latest is not None, snapshot
        if not pending:
            self._to_screen(self._deliver)

    def _deliver(self) -> None:
        with self._latest_lock:
            latest, self._latest = self._latest, None
        if latest is not None:
            self._on_snapshot(latest)

    def _to_screen(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            self._screen.call_soon_threadsafe(callback, *arguments, context=self._context)
        except RuntimeError:
            return  # The screen is gone already.


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    """``asyncio.run``, on uvloop where it is available."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


def starting(name: str, site: str, relay: str, policy: str) -> Snapshot:
    """What to show before the phone has said anything."""
    return replace(Snapshot(), name=name, site=site, relay=relay, policy=policy, link=State.STARTING)
