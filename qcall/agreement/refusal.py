"""How phones say no to each other, and what users are told about it."""

from __future__ import annotations

from qcall.errors import CallRefused

from .messages import VERSION, RefuseCode

TOLD = {code.value: code for code in RefuseCode if code is not RefuseCode.QKD_FRESH}
TEXTS = {
    RefuseCode.FAILED: "the other phone broke the call off, for a reason shown there; ask, or try again",
    RefuseCode.BUSY: "the other phone is busy with a call; try again later",
    RefuseCode.DECLINED: "the call was declined",
    RefuseCode.NO_ANSWER: "nobody answered in time; try again later",
    RefuseCode.OFFLINE: "the other phone is not online; try again later",
    RefuseCode.CANCELLED: "the caller gave up",
    RefuseCode.SUITE: "the phones share no suite strong enough for both; update the older one",
    RefuseCode.CLOCK: "the other phone finds this call's time wrong; set the clocks of both phones",
    RefuseCode.TRY_LATER: "the other phone had too many call attempts; try again in a minute",
    RefuseCode.QKD_REQUIRED: "the other phone says that quantum keys are required and it got none; try again",
    RefuseCode.QKD_FRESH: "the other phone got no quantum key; try again later",
    RefuseCode.VERSION: "the other phone speaks another version of qcall; update the older one",
}

CLAIMS = {
    RefuseCode.SUITE: "no suite is strong enough for both phones",
    RefuseCode.QKD_REQUIRED: "a quantum key is required and there is none",
    RefuseCode.QKD_FRESH: "there is no quantum key on that side",
}
"""What users might lower their protection for if they took it for the other phone's word."""


def told(failure_code: str) -> RefuseCode:
    """What the peer may know of a failure: a code of its own for honest refusals, else one for all."""
    return TOLD.get(failure_code, RefuseCode.FAILED)


def refused(code: RefuseCode) -> CallRefused:
    """The peer said no."""
    return CallRefused(TEXTS[code], code=code.value)


def broken_off(word: str) -> CallRefused:
    """The peer ended a call that was up, with a `Hangup` whose reason is no ordinary one."""
    try:
        return refused(RefuseCode(word))
    except ValueError:
        return refused(RefuseCode.FAILED)


def hearsay(code: RefuseCode, peer: str) -> CallRefused:
    """Somebody said no, and nothing proves that it was ``peer``: no advice to do with less comes of it."""
    if code not in CLAIMS:
        return refused(code)
    return CallRefused(
        f"somebody on the way or {peer}'s phone says that {CLAIMS[code]}, which cannot be checked; change no"
        f" setting for it, but ask {peer} what that phone shows, or try again",
        code=code.value,
    )


def version_failure(theirs: int) -> CallRefused:
    """The peer speaks another version of the protocol: say who has to update."""
    who = "this phone" if theirs > VERSION else "the other phone"
    return CallRefused(
        f"the other phone speaks qcall/{theirs} and this one qcall/{VERSION}; update {who}",
        code=RefuseCode.VERSION,
    )
