"""Events in words, for every front end: what people need not know is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .event import Event

GRAVE = frozenset({"blocked", "doubted", "forgotten", "gone", "qkd-failed", "rekey-failing", "unrecorded"})
"""Events that a user should not overlook."""
REASONS = {
    "hangup": "you hung up",
    "remote-hangup": "they hung up",
    "cancelled": "given up",
    "no-answer": "no answer",
    "failed": "broken off",
    "offline": "not online",
    "version": "other version",
    "suite": "suites differ",
    "clock": "clocks differ",
    "try-later": "try later",
    "qkd-required": "QKD required",
    "qkd-fresh": "no fresh QKD",
    "identity-changed": "new identity",
    "media-lost": "line lost",
    "media-closed": "line closed",
    "no-confirmation": "not proved",
    "timeout": "too slow",
}
"""Why a call ended, at most 13 characters; what is not here is read as it is written."""
OUTGOING = {"cancelled": "you gave up", "declined": "they declined"}
INCOMING = {"cancelled": "missed", "no-answer": "missed", "declined": "you declined"}
"""The same where one knows who called."""


def reason_line(code: str, *, outgoing: bool | None = None) -> str:
    """Why a call ended, as people say it, the better where one knows who called. JSON keeps the code."""
    known = REASONS if outgoing is None else REASONS | (OUTGOING if outgoing else INCOMING)
    return known.get(code, code.replace("-", " "))


def line_of(event: Event) -> str:
    """One line of text about ``event``; empty when there is nothing to say."""
    fields = event.fields
    lines: dict[str, Callable[[], str]] = {
        "registered": lambda: f"{fields['name']} is registered at {fields['relay']} ({fields['site']})",
        "relay": lambda: relay_line(fields),
        "gone": lambda: str(fields["message"]),
        "dialling": lambda: f"calling {fields['contact']} …",
        "ringing": lambda: f"ringing   {fields['line']}",
        "incoming": lambda: f"{fields['peer']} is calling   {fields['line']}",
        "doubted": lambda: doubt_line(str(fields["contact"])),
        "refused": lambda: f"{fields['contact']} called meanwhile and was told: {fields['code']}",
        "qkd-failed": lambda: f"no quantum keys: {fields['message']}",
        "secured": lambda: f"keys confirmed; the words are: {' '.join(fields['words'])}",
        "answered": lambda: "answered",
        "rekeyed": lambda: str(fields["line"]),
        "qkd-outlook": lambda: outlook_line(fields),
        "rekey-failing": lambda: f"rekeying fails ({fields['reason']}); ends in {fields['seconds']} s",
        "unopened": lambda: unopened_line(fields),
        "held": lambda: held_line(fields),
        "text": lambda: f"{fields['sender']}: {fields['text']}",
        "digits": lambda: digits_line(fields),
        "muted": lambda: muted_line(fields),
        "recording": lambda: recording_line(fields),
        "media": lambda: "talking",
        "silent": lambda: silence_line(fields),
        "ended": lambda: ended_line(fields, event.at),
        "blocked": lambda: blocked_lines(fields),
        "sound": lambda: str(fields["message"]),
        "unrecorded": lambda: str(fields["message"]),
        "forgotten": lambda: str(fields["message"]),
    }
    line = lines.get(event.kind)
    return line() if line else ""


def doubt_line(contact: str) -> str:
    """That the words of ``contact`` were not the same on both phones, and what ends the warning."""
    return (
        f"WARNING: the words with {contact} differ: somebody may be between you; say nothing that matters "
        f"until you have compared them again (qcall verify {contact})"
    )


def harmless(text: str) -> str:
    """``text`` of somebody else, without what would command a terminal or turn the writing round."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def is_grave(event: Event) -> bool:
    """Whether the event is bad news."""
    return (
        event.kind in GRAVE
        or (event.kind == "qkd-outlook" and (event.fields["alarm"] or not event.fields["path"]))
        or (event.kind == "unopened" and event.fields["failing"])
        or (event.kind in ("silent", "relay") and not event.fields["connected"])
        or (event.kind == "recording" and event.fields["on"] and not event.fields["own"])
        or (event.kind == "ended" and "failure" in event.fields)
    )


def relay_line(fields: Mapping[str, Any]) -> str:
    """That the relay went away, or came back; of the first login ``registered`` tells."""
    if not fields["connected"]:
        return "the relay is away; trying to reach it again"
    return "the relay is back" if fields["again"] else ""


def unopened_line(fields: Mapping[str, Any]) -> str:
    """Whether what comes opens."""
    if not fields["failing"]:
        return f"packets of {fields['contact']} open again"
    return "packets come that no key of this call opens; asking for new keys"


def blocked_lines(fields: Mapping[str, Any]) -> str:
    """That a contact's identity changed: the old one, the new one, and what to do."""
    name = fields["contact"]
    return (
        f"BLOCKED: the identity of {name} has changed\n"
        f"  pinned   {fields['pinned']}\n"
        f"  offered  {fields['offered']}\n"
        f"ask {name}; if it is theirs: qcall contacts accept-new-key {name}"
    )


def held_line(fields: Mapping[str, Any]) -> str:
    """Who put the call on hold, or took it back."""
    contact, on = fields["contact"], fields["on"]
    if fields["own"]:
        return f"{contact} is on hold" if on else f"talking to {contact} again"
    return f"{contact} put the call on hold" if on else f"{contact} is back"


def outlook_line(fields: Mapping[str, Any]) -> str:
    """Which way the quantum keys go, what is wrong with the usual one, and how long they last."""
    faults = ", ".join(f"{'–'.join(fault['link'])} {fault['condition']}" for fault in fields["faults"])
    way = f"keys go over {fields['hops']} hops" if fields["path"] else "no way is left for quantum keys"
    minutes, left = fields["minutes_left"], fields["keys_left"]
    if not (faults or minutes is not None or fields["recovered"]) and fields["path"]:
        return ""
    budget = f"{left} keys ready, " + ("enough" if minutes is None else f"rekeys for {minutes:.0f} min")
    return "quantum network: " + "; ".join(part for part in (faults, way, budget) if part)


def muted_line(fields: Mapping[str, Any]) -> str:
    """Whose microphone is off, or on again."""
    whose = "your" if fields["own"] else f"{fields['contact']}'s"
    return f"{whose} microphone is {'off' if fields['on'] else 'on'}"


def digits_line(fields: Mapping[str, Any]) -> str:
    """Keys that somebody pressed."""
    return f"sent {fields['digits']}" if fields["own"] else f"{fields['contact']} pressed {fields['digits']}"


def recording_line(fields: Mapping[str, Any]) -> str:
    """Notice of a recording, for everybody whose voice may be on it."""
    contact, both = fields["contact"], fields["sides"] == "both"
    if fields["own"]:
        what = "this call" if both else "your own side"
        return f"{'recording' if fields['on'] else 'recorded'} {what} to {fields['file']}"
    if not fields["on"]:
        return f"{contact} has stopped recording"
    return (
        f"ATTENTION: {contact} records {'this call, both sides' if both else 'their own side of this call'}"
    )


def silence_line(fields: Mapping[str, Any]) -> str:
    """Whether the far phone is still heard."""
    again = f"{fields['contact']} is heard again"
    return again if fields["connected"] else f"nothing comes from {fields['contact']}; waiting for the path"


def ended_line(fields: Mapping[str, Any], at: float) -> str:
    """How it was, in one line; ``at`` is when it ended, on the clock of its ``timing``."""
    reason, contact, outgoing = str(fields["reason"]), fields["contact"], fields["outgoing"]
    rang = fields.get("timing", {}).get("ringing_at")
    seconds = "" if rang is None else f"{at - rang:.0f} s"
    match reason, outgoing:
        case "cancelled", False:
            return f"missed: {contact} called and gave up{seconds and f' after {seconds}'}"
        case "no-answer", False:
            return f"missed: {contact} called, not answered{seconds and f' in {seconds}'}"
        case "no-answer", True:
            return f"call ended: no answer from {contact}{seconds and f' in {seconds}'}"
    ended = f"call ended: {reason_line(reason, outgoing=outgoing)}"
    quality = fields["quality"]
    if "mos" not in quality:
        return ended
    lost = f"{quality['packetsLost']} of {quality['packetsExpected']} packets lost"
    return f"{ended}; {lost}, MOS {quality['mos']}"
