"""Calls without the terminal interface: for scripts, for tests, and for plain terminals.

With ``--json`` every line on standard output is one JSON object with an ``event`` field; without it, one line
of text. Errors are one line on standard error, and an exit code: 0 when the call was set up and ended
normally, 1 when it was not, 2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from qcall.call.events import Reason
from qcall.errors import QcallError
from qcall.session.conversation import Conversation
from qcall.session.phone import Phone
from qcall.session.report import Event
from qcall.session.wording import line_of

NORMAL = frozenset({Reason.HANGUP, Reason.REMOTE_HANGUP})
"""How a call ends that was a success."""
ASK = "\ntype a to answer or d to decline, then Enter"


class Stop(Protocol):
    """Becomes set when the user has had enough (Ctrl-C, or a signal)."""

    def is_set(self) -> bool: ...
    async def wait(self) -> Any: ...


async def call(phone: Phone, contact: str, duration: float | None, stop: Stop, *, allow_less: bool) -> int:
    """Dial ``contact`` and talk for ``duration`` seconds, or until either side hangs up. The exit code."""
    if stop.is_set():
        return 1
    conversation = phone.dial(contact, allow_less=allow_less)
    return await attend(conversation, duration, stop)


async def listen(
    phone: Phone, stop: Stop, *, accept: bool | None, after: float, once: bool, duration: float | None
) -> int:
    """Wait for calls; answer (``accept`` true), decline (false) or only ring (``None``). The exit code.

    A call that is answered has rung for ``after`` seconds. Raises the relay's reason when it will not have
    this phone any more; a call that is up goes on until it ends.
    """
    waiting: asyncio.Queue[Conversation] = asyncio.Queue()
    phone.on_incoming = lambda conversation: react(conversation, accept, after)
    phone.on_call = waiting.put_nowait
    with typed(lambda line: obey(phone.conversation, line)):
        return await attend_all(phone, waiting, stop, accept=accept, once=once, duration=duration)


async def attend_all(
    phone: Phone,
    waiting: asyncio.Queue[Conversation],
    stop: Stop,
    *,
    accept: bool | None,
    once: bool,
    duration: float | None,
) -> int:
    """Stay with one call after the other."""
    while not stop.is_set():
        conversation = await first(called_or_gone(waiting, phone.gone), stop)
        if conversation is None:
            break
        try:
            code = await attend(conversation, duration, stop, declining=accept is False)
        except QcallError as error:
            if once:
                raise
            sys.stderr.write(f"qcall: {error}\n")
            continue
        if once:
            return code
    return 0


def obey(conversation: Conversation | None, line: str) -> None:
    """Do with the call what the user typed."""
    match line.strip().lower():
        case "a" | "answer" if conversation is not None:
            conversation.answer()
        case "d" | "decline" | "h" | "hang up" if conversation is not None:
            conversation.hang_up()


def is_asked() -> bool:
    """Whether somebody sits at the terminal who could answer."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextlib.contextmanager
def typed(on_line: Callable[[str], None]) -> Iterator[None]:
    """Hand every line that is typed to ``on_line``; without a terminal, nothing."""
    if not is_asked():
        yield
        return
    loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        if line := sys.stdin.readline():
            on_line(line)
        else:
            loop.remove_reader(keyboard)

    loop.add_reader(keyboard, read)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)


async def called_or_gone(
    waiting: asyncio.Queue[Conversation], gone: asyncio.Future[QcallError]
) -> Conversation:
    """The next call. Raises why there will be none."""
    calling = asyncio.ensure_future(waiting.get())
    awaited: set[asyncio.Future[Any]] = {calling, gone}
    try:
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if calling.done():
            return calling.result()
        raise gone.result()
    finally:
        calling.cancel()


def react(conversation: Conversation, accept: bool | None, after: float) -> None:
    """Do with a ringing call what the user asked for beforehand."""
    if accept is True and after > 0:
        asyncio.get_running_loop().call_later(after, conversation.answer)
    elif accept is True:
        conversation.answer()
    elif accept is False:
        conversation.hang_up()


async def attend(
    conversation: Conversation, duration: float | None, stop: Stop, *, declining: bool = False
) -> int:
    """Stay with a call until it is over, hanging up at ``duration`` seconds of talk or at ``stop``."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def talking() -> None:
        nonlocal timer
        if duration is not None:
            timer = loop.call_later(duration, conversation.hang_up)

    conversation.on_talking = talking
    try:
        reason = await first(asyncio.shield(conversation.ended), stop)
        if reason is None:
            conversation.hang_up()
            reason = await conversation.ended
    finally:
        if timer is not None:
            timer.cancel()
    if conversation.failure is not None and not declining:
        raise conversation.failure
    return 0 if reason in NORMAL or (declining and reason == Reason.DECLINED) else 1


async def first(work: Any, stop: Stop) -> Any:
    """The result of ``work``, or ``None`` when ``stop`` came first."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for each in (working, stopping):
            each.cancel()
        await asyncio.wait({working, stopping})


def json_lines(event: Event) -> None:
    """Print an event for programs."""
    sys.stdout.write(json.dumps(event.as_line()) + "\n")
    sys.stdout.flush()


def text_lines(event: Event) -> None:
    """Print an event for people; what they need not know is left out."""
    if line := line_of(event):
        asked = event.kind == "incoming" and is_asked()
        sys.stdout.write(line + (ASK if asked else "") + "\n")
        sys.stdout.flush()
