"""Calls without the terminal interface: for scripts, for tests, and for plain terminals.

With ``--json`` every line on standard output is one JSON object with an ``event`` field; without it, one line
of text. Errors are one line on standard error, and an exit code: 0 when the call was set up and ended
normally, 1 when it was not or when the words with that contact differ, 2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from qcall.call.events import Reason
from qcall.call.machine import State
from qcall.errors import AgreementFailed, QcallError
from qcall.keyboard import typed
from qcall.session.conversation import Conversation
from qcall.session.phone import Phone
from qcall.session.script import Script
from qcall.session.stopping import Stop, first
from qcall.session.wording import doubt_line

NORMAL = frozenset({Reason.HANGUP, Reason.REMOTE_HANGUP})
"""How a call ends that was a success."""
MISSED = frozenset({Reason.CANCELLED, Reason.NO_ANSWER})
"""How a call to this phone ends that is missed and no fault; its event says so."""
ASK = "type a to answer or d to decline, then Enter\n"
KEYS = "keys: a answer, d decline, h hang up (or decline), m mute, ? these; then Enter. Ctrl-C leaves\n"
WORDS = {"answer": "a", "decline": "d", "hang up": "h", "hangup": "h", "mute": "m", "help": "?"}
"""What may be typed in the place of a key."""
RINGING = (State.ALERTING, State.ALERTING_SECURED)


async def call(
    phone: Phone, contact: str, duration: float | None, stop: Stop, *, allow_less: bool, script: Script
) -> int:
    """Dial ``contact`` and talk for ``duration`` seconds, or until either side hangs up. The exit code."""
    if stop.is_set():
        return 1
    if phone.gone.done():
        raise phone.gone.result()
    conversation = phone.dial(contact, allow_less=allow_less)
    return await attend(conversation, duration, stop, script)


async def listen(
    phone: Phone,
    stop: Stop,
    *,
    accept: bool | None,
    after: float,
    once: bool,
    duration: float | None,
    script: Script,
) -> int:
    """Wait for calls; answer (``accept`` true), decline (false) or only ring (``None``). The exit code.

    A call that is answered has rung for ``after`` seconds. Raises the relay's reason when it will not have
    this phone any more; a call that is up goes on until it ends.
    """
    waiting: asyncio.Queue[Conversation] = asyncio.Queue()
    phone.on_call = waiting.put_nowait
    with typed(lambda line: say(obey(phone.conversation, line))) as say:
        if accept is None:
            phone.on_incoming = lambda conversation: say(ASK)
        else:
            phone.on_incoming = lambda conversation: react(conversation, accept, after)
        say(KEYS)
        return await attend_all(
            phone, waiting, stop, accept=accept, once=once, duration=duration, script=script
        )


async def attend_all(
    phone: Phone,
    waiting: asyncio.Queue[Conversation],
    stop: Stop,
    *,
    accept: bool | None,
    once: bool,
    duration: float | None,
    script: Script,
) -> int:
    """Stay with one call after the other."""
    while not stop.is_set():
        conversation = await first(called_or_gone(waiting, phone.gone), stop)
        if conversation is None:
            break
        try:
            code = await attend(conversation, duration, stop, script, declining=accept is False)
        except QcallError as error:
            if once:
                raise
            if error.code not in MISSED:
                sys.stderr.write(f"qcall: {error}\n")
            continue
        if once:
            return code
    return 0


def obey(call: Conversation | None, line: str) -> str:
    """Do with the call what the user typed; what there is to say about it, if anything."""
    word = line.strip().lower()
    key = WORDS.get(word, word)
    if key in ("", "?"):
        return KEYS if key else ""
    if key not in WORDS.values():
        return f"{word!r} is none of the {KEYS}"
    if call is None or (key in ("a", "d") and call.state not in RINGING):
        return "no call waits for an answer\n" if key in ("a", "d") else "there is no call\n"
    match key:
        case "a":
            call.answer()
        case "m":
            call.mute(not call.muted)
        case _:
            call.hang_up()
    return ""


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


def react(conversation: Conversation, accept: bool, after: float) -> None:
    """Do with a ringing call what the user asked for beforehand."""
    if not accept:
        conversation.hang_up()
    elif after > 0:
        asyncio.get_running_loop().call_later(after, conversation.answer)
    else:
        conversation.answer()


async def attend(
    conversation: Conversation,
    duration: float | None,
    stop: Stop,
    script: Script,
    *,
    declining: bool = False,
) -> int:
    """Stay with a call until it is over, hanging up at ``duration`` seconds of talk or at ``stop``."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def talking() -> None:
        nonlocal timer
        if duration is not None:
            timer = loop.call_later(duration, conversation.hang_up)
        script.begin(conversation)

    conversation.on_talking = talking
    try:
        reason = await first(asyncio.shield(conversation.ended), stop)
        if reason is None:
            conversation.hang_up()
            reason = await conversation.ended
    finally:
        if timer is not None:
            timer.cancel()
    if declining and reason == Reason.DECLINED:
        return 0
    if conversation.failure is not None:
        raise conversation.failure
    if conversation.doubted:
        raise AgreementFailed(doubt_line(conversation.contact), code="words-differ")
    return 0 if conversation.talked and reason in NORMAL else 1
