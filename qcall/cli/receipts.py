"""The receipt of a call for people: what was agreed, what each epoch rested on, and who signed that."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from qcall.agreement.peer import ContactStatus, judge
from qcall.agreement.policy import QkdState
from qcall.agreement.receipt import EpochRecord, Receipt, SignedReceipt, compare, load
from qcall.agreement.suites import SECOND_KEMS, STANDARD
from qcall.errors import StorageError, UsageError
from qcall.records.store import CallRecord, Records
from qcall.session.books import counted
from qcall.session.event import Event
from qcall.session.report import CROSS, TICK
from qcall.session.wording import harmless, reason_line

from .lines import json_line

LABEL = 10
"""Cells of what stands before each line."""
KNOWN = {
    ContactStatus.NEW: "an identity that is not known here (any more)",
    ContactStatus.PINNED: "the identity that is pinned here; the words were never compared",
    ContactStatus.VERIFIED: "the identity that is pinned here, verified by the words",
    ContactStatus.DOUBTED: "the identity that is pinned here, but WORDS DIFFERED",
    ContactStatus.CHANGED: "NOT the identity that is pinned here today",
}


def own_receipt(call: CallRecord) -> SignedReceipt:
    """What this phone kept. UsageError when the call ended before there was anything to sign."""
    kept = call.security.get("receipt")
    if kept is None:
        raise UsageError("this call left no receipt: it ended before both phones had confirmed the keys")
    return load(str(kept).encode())


def other_receipt(file: Path) -> SignedReceipt:
    """The other phone's, in a file that the user named. StorageError, UsageError when it is none."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from None
    try:
        return load(data)
    except UsageError as error:
        hint = "give what qcall history --receipt CALL --json printed on the other phone"
        raise UsageError(f"{file}: {error}; {hint}") from None


def show(call: CallRecord, signed: SignedReceipt, records: Records) -> int:
    """Print the receipt of ``call``; 0 when both phones signed it and the peer is who is pinned."""
    receipt, name = signed.receipt, call.call_id.hex()
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(call.began_at))
    talked = call.security.get("talked", call.ended_at - call.began_at)
    ended = reason_line(call.reason, outgoing=call.outgoing)
    say("call", name)
    say("when", f"{when}, {talked:.0f} s; {ended}")
    status = identity_of_peer(call, signed, records)
    for role, pair in (("caller", signed.caller), ("callee", signed.callee)):
        party = getattr(receipt, role)
        right = pair is not None and receipt.signed_by(party, pair)
        mark = (
            f"signed {TICK}"
            if right
            else f"did not sign {CROSS}"
            if pair is None
            else f"WRONG signature {CROSS}"
        )
        who = KNOWN[status] if (role == "callee") is call.outgoing else "this phone"
        say(role, harmless(f"{party.name}  {mark}  {who}"))
    say("suite", f"{receipt.suite}: {algorithms(receipt)}")
    say("policy", f"quantum keys: {receipt.policy}")
    for line in epochs(receipt.epochs):
        say("epoch", line)
    found = problems(signed, status, call.contact)
    if found:
        say("NOT PROVED", "; ".join(map(harmless, found)))
    else:
        say("proved", f"{receipt.caller.name} and {receipt.callee.name} both signed exactly this")
    short = name[:8]
    say(
        "compare",
        f"qcall history --receipt {short} --json > {short}.json; give the file to {call.contact}, who runs",
    )
    say("", f"qcall history --receipt {short} --verify {short}.json")
    return 1 if found else 0


def say(label: str, text: str) -> None:
    """One line of the receipt."""
    typer.echo(f"{label:{LABEL}}  {text}")


def algorithms(receipt: Receipt) -> str:
    """What a suite consists of."""
    plain, _, _ = receipt.suite.partition("+")
    kems = [kem.name for suite in STANDARD if suite.name == plain for kem in suite.kems]
    kems += [kem for kem, name in SECOND_KEMS.items() if name == receipt.suite]
    return f"X25519, {', '.join(kems)}; signed with Ed25519 and {receipt.scheme}"


def epochs(records: Sequence[EpochRecord]) -> Iterator[str]:
    """A line for every run of epochs that rested on the same layers and the same way."""
    numbered = enumerate(records)
    for _, group in itertools.groupby(numbered, key=lambda each: (each[1].qkd, each[1].reason, each[1].path)):
        run = list(group)
        first, last = run[0][0], run[-1][0]
        numbers = str(first) if first == last else f"{first}–{last}"
        yield f"{numbers:6}classical {TICK}  ML-KEM {TICK}  {quantum([epoch for _, epoch in run])}"


def quantum(run: Sequence[EpochRecord]) -> str:
    """The quantum layer of epochs in a row that had the same."""
    first = run[0]
    if first.qkd is not QkdState.PRESENT:
        return f"QKD {CROSS} {first.reason or 'by policy'}"
    keys = sum(len(epoch.key_ids) for epoch in run)
    rates = [qber for epoch in run for qber in epoch.qber]
    worst = f", QBER {100 * max(rates):.1f} % at most" if rates else ""
    hops = counted(len(first.path) - 1, "hop")
    way = f"{first.path[0]} to {first.path[-1]}, {hops}" if first.path else "way unknown"
    return f"QKD {TICK} {counted(keys, 'key')}, {way}{worst}"


def identity_of_peer(call: CallRecord, signed: SignedReceipt, records: Records) -> ContactStatus:
    """How the other party's identity relates to what is remembered of that contact today."""
    caller, callee = signed.fingerprints()
    contact = records.contact(call.contact)
    return judge(contact, callee if call.outgoing else caller)


def problems(signed: SignedReceipt, status: ContactStatus, contact: str) -> list[str]:
    """Why a receipt does not prove the call with ``contact``; empty when it does."""
    found = signed.problems()
    if status in (ContactStatus.NEW, ContactStatus.CHANGED):
        found.append(f"the identity of {contact} in this receipt is not the one pinned today")
    return found


def verify(
    call: CallRecord, own: SignedReceipt, other: SignedReceipt, records: Records, as_json: bool
) -> int:
    """Say whether two receipts prove one and the same call with that contact; the exit code."""
    status = identity_of_peer(call, own, records)
    found = compare(own, other)
    found += [each for each in problems(own, status, call.contact) if each not in own.problems()]
    name, receipt = call.call_id.hex(), own.receipt
    if as_json:
        fields = {"call_id": name, "equal": not found, "problems": found}
        json_line(Event("receipt", time.monotonic(), fields))
    elif found:
        for each in found:
            typer.echo(harmless(f"NOT PROVED: {each}"))
    else:
        same = f"say the same about its suite, policy and {counted(len(receipt.epochs), 'epoch')}"
        signers = f"{receipt.caller.name} and {receipt.callee.name} both signed that"
        typer.echo(
            f"PROVED: both phones' receipts of call {name[:8]} {same}; {signers}, and {call.contact} has"
            f" {KNOWN[status]}"
        )
    return 1 if found else 0
