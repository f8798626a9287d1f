"""Turns what happens and what is measured into the next snapshot. Pure: every function returns a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qcall.agreement.peer import ContactStatus
from qcall.call.events import Reason

from .event import Event
from .report import lately, security_line
from .snapshot import (
    LOG_LINES,
    MESSAGES,
    TRACE_LINES,
    Call,
    Hop,
    Levels,
    Link,
    LogLine,
    Message,
    Phase,
    Presence,
    Quality,
    Route,
    Snapshot,
    TraceLine,
)
from .wording import is_grave, line_of

UNANSWERED = frozenset({Reason.CANCELLED, Reason.NO_ANSWER})
"""How a call ends that nobody here took."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a conversation says of itself when it is asked."""

    phase: Phase
    muted: bool = False
    held: bool = False
    held_by_peer: bool = False
    recording: str = ""


def after(board: Snapshot, event: Event, unix: float) -> Snapshot:
    """The board after ``event``, which happened at ``unix`` seconds."""
    board = replace(board, at=max(board.at, event.at), unix=unix)
    change = PHONE_EVENTS.get(event.kind)
    if change is not None:
        board = change(board, event.fields)
    elif (id := event.fields.get("call")) is not None:
        board = on_call(board, str(id), event)
    if event.kind != "trace" and (text := line_of(event)):
        line = LogLine(unix, text, is_grave(event))
        board = replace(board, log=(*board.log[-(LOG_LINES - 1) :], line))
    return board


def on_registered(board: Snapshot, fields: Mapping[str, Any]) -> Snapshot:
    return replace(
        board,
        name=fields["name"],
        site=fields["site"],
        relay=fields["relay"],
        link=Link.ONLINE,
        trouble="",
    )


def on_relay(board: Snapshot, fields: Mapping[str, Any]) -> Snapshot:
    if fields["connected"]:
        return replace(board, link=Link.ONLINE, trouble="")
    people = tuple(replace(person, presence=Presence.UNKNOWN) for person in board.people)
    return replace(board, link=Link.AWAY, people=people)


def on_presence(board: Snapshot, fields: Mapping[str, Any]) -> Snapshot:
    seen = {name: Presence(word) for name, word in fields["people"].items()}
    people = (replace(person, presence=seen.get(person.name, person.presence)) for person in board.people)
    return replace(board, people=tuple(people))


def on_sound(board: Snapshot, fields: Mapping[str, Any]) -> Snapshot:
    if not fields["missing"]:
        return board
    return replace(board, sound=str(fields["message"]), sound_code=str(fields["code"]))


PHONE_EVENTS: dict[str, Callable[[Snapshot, Mapping[str, Any]], Snapshot]] = {
    "registered": on_registered,
    "relay": on_relay,
    "gone": lambda board, fields: replace(board, link=Link.FAILED, trouble=str(fields["message"])),
    "presence": on_presence,
    "sound": on_sound,
}
"""Events of the phone as a whole; all others belong to the call that they name."""


def on_call(board: Snapshot, id: str, event: Event) -> Snapshot:
    """The board after something happened to one call."""
    known = next((call for call in board.calls if call.id == id), None)
    if known is None:
        known = begun(id, event)
        # Who calls meanwhile waits behind the call that is up.
        waits = bool(board.live) and not known.outgoing
        if not board.live:
            board = replace(board, sound="", sound_code="")  # its devices are looked for anew
        board = replace(board, calls=(*board.live, known) if waits else (known, *board.live))
        if known.outgoing:
            board = replace(board, last_dialled=known.contact)
    board = put(board, changed(known, event, board.unix))
    if event.kind == "ended" and board.live:
        board = focused(board, board.live[0].id)
    missed = event.kind == "ended" and not known.outgoing and event.fields["reason"] in UNANSWERED
    return replace(board, missed=board.missed + missed)


def begun(id: str, event: Event) -> Call:
    """A call that the board had not heard of."""
    fields = event.fields
    outgoing = bool(fields.get("outgoing", event.kind == "dialling"))
    contact = str(fields.get("peer") or fields.get("contact", ""))
    phase = Phase.DIALLING if outgoing else Phase.INVITED
    return Call(id, contact, outgoing, phase, event.at)


def put(board: Snapshot, call: Call) -> Snapshot:
    """The board with ``call`` in the place it had."""
    return replace(board, calls=tuple(call if each.id == call.id else each for each in board.calls))


def changed(call: Call, event: Event, unix: float) -> Call:
    """The call after ``event``."""
    fields = event.fields
    match event.kind:
        case "ringing" | "incoming" | "secured" | "rekeyed":
            return replace(call, security=secured(fields), route=route(call.route, fields), warning="")
        case "qkd-failed":
            return replace(call, warning=f"no quantum keys: {fields['message']}")
        case "qkd-outlook":
            trouble = fields["faults"] or fields["low"] or not fields["path"]
            return replace(call, network=line_of(event) if trouble else "")
        case "rekey-failing":
            return replace(call, warning=line_of(event))
        case "unopened":
            return replace(call, warning=line_of(event) if fields["failing"] else "")
        case "silent":
            return replace(call, silent=not fields["connected"])
        case "text":
            sender, own = str(fields["sender"]), bool(fields["own"])
            message = Message(sender, str(fields["text"]), unix, own)
            return replace(call, messages=(*call.messages[-(MESSAGES - 1) :], message))
        case "digits" if fields["own"]:
            return replace(call, digits=(call.digits + str(fields["digits"]))[-32:])
        case "trace":
            return replace(call, trace=(*call.trace[-(TRACE_LINES - 1) :], traced(call, event)))
        case "ended":
            return ended(call, event)
    return call


def ended(call: Call, event: Event) -> Call:
    """The call when it is over: its last security and statistics stay."""
    fields = event.fields
    quality = replace(call.quality, totals=dict(fields.get("quality") or {}))
    return replace(
        call,
        phase=Phase.ENDED,
        ended_at=event.at,
        reason=str(fields["reason"]),
        failure=str(fields.get("failure", "")),
        security=dict(fields.get("security") or call.security),
        quality=quality,
        levels=Levels(),
        warning="",
        network="",
    )


def secured(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """What protects the call, out of an event that tells it."""
    return {name: value for name, value in fields.items() if name not in ("call", "outgoing")}


def traced(call: Call, event: Event) -> TraceLine:
    fields = event.fields
    return TraceLine(
        after=event.at - call.began_at,
        sent=fields.get("sent"),
        peer=str(fields["peer"]),
        what=str(fields["what"]),
        size=int(fields.get("bytes", 0)),
        note=str(fields.get("note", "")),
    )


def route(before: Route, fields: Mapping[str, Any]) -> Route:
    """The chain that the latest quantum key passed; what was known of the same links stays."""
    qkd = fields.get("qkd") or {}
    nodes = tuple(qkd.get("path") or ())
    if not nodes:
        return Route()
    qbers, ages = tuple(qkd.get("qber") or ()), tuple(qkd.get("age") or ())
    old = before.hops if before.nodes == nodes else ()
    hops = tuple(
        replace(
            old[i] if i < len(old) else Hop(),
            qber=qbers[i] if i < len(qbers) else None,
            age=ages[i] if i < len(ages) else None,
        )
        for i in range(len(nodes) - 1)
    )
    return replace(before, nodes=nodes, hops=hops, now=before.now if before.now != nodes else ())


# What is measured


def stated(board: Snapshot, id: str, facts: Facts) -> Snapshot:
    """The board when a conversation has been asked how it is."""
    call = next((call for call in board.calls if call.id == id), None)
    if call is None or not call.alive:
        return board
    began = call.talking_at
    if began is None and facts.phase is Phase.TALKING:
        began = board.at
    new = replace(
        call,
        phase=facts.phase if facts.phase is not Phase.ENDED else call.phase,
        talking_at=began,
        muted=facts.muted,
        held=facts.held,
        held_by_peer=facts.held_by_peer,
        recording=facts.recording,
    )
    return board if new == call else put(board, new)


def levelled(board: Snapshot, id: str, spoken: float, heard: float) -> Snapshot:
    """The board with new levels, in whole decibels: what no meter can show is no change."""
    call = next((call for call in board.calls if call.id == id), None)
    levels = Levels(float(round(spoken)), float(round(heard)))
    if call is None or not call.alive or call.levels == levels:
        return board
    return put(board, replace(call, levels=levels))


def measured(board: Snapshot, id: str, stats: Mapping[str, Any]) -> Snapshot:
    """The board with what the last second of a call was like, from its latest webrtc-stats."""
    call = next((call for call in board.calls if call.id == id), None)
    if call is None or not call.alive or not stats.get("packetsExpected"):
        return board  # Nothing has been heard yet.
    before = call.quality
    now = lately(stats, before.totals)
    expected = stats["packetsExpected"] - before.totals.get("packetsExpected", 0)
    lost = stats["packetsLost"] - before.totals.get("packetsLost", 0)
    quality = Quality(
        delay=before.delay.then(float(now["oneWayDelay"])) if "oneWayDelay" in now else before.delay,
        loss=before.loss.then(min(1.0, max(0.0, lost / expected)) if expected > 0 else 0.0),
        jitter=before.jitter.then(float(stats["jitter"])),
        mos=before.mos.then(float(now["mos"])) if now else before.mos,
        totals=dict(stats),
    )
    return put(board, replace(call, quality=quality))


def supplied(board: Snapshot, id: str, extension: Mapping[str, Any]) -> Snapshot:
    """The board with what the key node tells of its stock and of the links on the way.

    ``extension`` is the status extension of ETSI GS QKD 014, clause 6.1, as our own key nodes fill it. Keys
    go another way once a link of the chain is at fault: what is left to tell of that link is its fault.
    """
    call = next((call for call in board.calls if call.id == id), None)
    if call is None or not call.alive:
        return board
    faults = extension.get("qcall_faults", ())
    told = {frozenset(fault["link"]): {"state": fault["condition"]} for fault in faults}
    told |= {frozenset((hop["a"], hop["b"])): hop for hop in extension.get("qcall_hops", ())}
    old = call.route
    pairs = zip(old.nodes, old.nodes[1:], old.hops, strict=False)
    hops = tuple(live(hop, told.get(frozenset((a, b)), {})) for a, b, hop in pairs)
    left, rate = extension.get("qcall_keys_left"), extension.get("qcall_keys_per_second")
    way = tuple(extension.get("qcall_route", ()))
    if way[:1] != old.nodes[:1]:  # A key node counts from its own site, and the chain from the caller's.
        way = way[::-1]
    now = way if way != old.nodes else ()
    new = replace(old, hops=hops, keys_left=left, keys_per_second=rate, now=now)
    return board if new == old else put(board, replace(call, route=new))


def live(hop: Hop, told: Mapping[str, Any]) -> Hop:
    """The hop with what the key node told about it; what it did not tell is not known any more."""
    capacity = told.get("capacity")
    return replace(
        hop,
        pool=told["pool"] / capacity if capacity else None,
        rate=told.get("rate"),
        qber=told.get("qber", hop.qber),
        km=told.get("km", hop.km),
        state=str(told.get("state", "")),
    )


def verified(board: Snapshot, contact: str, same: bool) -> Snapshot:
    """The board when the words of ``contact`` were compared: the calls with them say so at once."""
    for call in board.calls:
        if call.contact == contact and call.security:
            told = {**call.security, "trust": str(ContactStatus.VERIFIED if same else ContactStatus.DOUBTED)}
            board = put(board, replace(call, security={**told, "line": security_line(told)}))
    return board


def focused(board: Snapshot, id: str) -> Snapshot:
    """The board with another call in front."""
    front = [call for call in board.calls if call.id == id]
    return replace(board, calls=(*front, *(call for call in board.calls if call.id != id)))


def cleared(board: Snapshot) -> Snapshot:
    """The board without the call that has ended."""
    return replace(board, calls=board.live)
