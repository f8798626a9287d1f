"""The calls this phone has had, and the receipts that both phones signed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qcall.errors import UsageError
from qcall.session.commands import ALL_CALLS
from qcall.session.event import Event
from qcall.session.wording import reason_line

from .app import app
from .completion import calls as complete_calls
from .completion import contacts
from .lines import json_line
from .options import Json
from .running import with_records

if TYPE_CHECKING:
    from qcall.records.store import CallRecord, Records

ID_SHOWN = 8
"""Hexadecimal digits by which a call is named in the list."""


@app.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many calls, newest first.")] = 20,
    contact: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Only calls with them.", show_default=False, autocompletion=contacts
        ),
    ] = "",
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all calls into a new file, one JSON object a line."),
    ] = None,
    receipt: Annotated[
        str | None,
        typer.Option(
            metavar="CALL",
            help="The receipt of one call; with --json as a file for the other phone.",
            autocompletion=complete_calls,
        ),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(metavar="OTHER.json", help="Compare it with the receipt that --json printed there."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The calls of this phone, and their receipts."""

    def show(records: Records) -> int:
        if verify is not None and receipt is None:
            raise UsageError("--verify compares one receipt; say of which call with --receipt CALL")
        if export is not None and receipt is not None:
            raise UsageError("--export writes all calls and --receipt is of one; give one of them")
        if receipt is None:
            found = records.calls_with(contact) if contact else records.calls(ALL_CALLS if export else limit)
            if export is not None:
                return write(export, found, as_json)
            if not found and not as_json:
                with_whom = f"with {contact} " if contact else ""
                typer.echo(f"no calls {with_whom}yet; run: qcall call NAME, or qcall listen")
            for call in found[:limit]:
                listed(call, as_json)
            return 0
        from . import receipts

        call = one_call(records.find_calls(receipt), receipt)
        own = receipts.own_receipt(call)
        if verify is not None:
            return receipts.verify(call, own, receipts.other_receipt(verify), records, as_json)
        if not as_json:
            return receipts.show(call, own, records)
        typer.echo(own.as_json())
        return 0

    with_records(context.obj, show)


def write(file: Path, calls: Sequence[CallRecord], as_json: bool) -> int:
    """Every call as a JSON object on a line of its own; a file that is there stays."""
    from qcall.session import books

    said = books.write_calls(file, [books.as_json(call) for call in calls])
    if as_json:
        json_line(Event("exported", time.monotonic(), {"file": str(file), "calls": len(calls)}))
    else:
        typer.echo(said)
    return 0


def listed(call: CallRecord, as_json: bool) -> None:
    """One line of the list."""
    security = call.security
    kept = {key: security.get(key) for key in ("suite", "policy", "qkd", "epoch", "trust")}
    if as_json:
        fields: dict[str, Any] = {
            "call_id": call.call_id.hex(),
            "with": call.contact,
            "outgoing": call.outgoing,
            "began_at": call.began_at,
            "ended_at": call.ended_at,
            "reason": call.reason,
            "seconds": security.get("talked", 0.0),
            "quality": security.get("quality", {}),
            "receipt": security.get("receipt") is not None,
            "security": kept,
        }
        json_line(Event("call", time.monotonic(), fields))
        return
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(call.began_at))
    qkd = kept["qkd"] or {}
    quantum = "QKD" if qkd.get("state") == "present" else "no QKD"
    layers = f"{kept['suite']}, {quantum}" if kept["suite"] else ""
    arrow = "→" if call.outgoing else "←"
    talked = security.get("talked")
    seconds = f"{call.ended_at - call.began_at if talked is None else talked:.0f} s"
    name = call.call_id.hex()[:ID_SHOWN] or "-"
    ended = reason_line(call.reason, outgoing=call.outgoing)
    mos = (security.get("quality") or {}).get("mos")
    quality = "" if mos is None else f"MOS {mos:.1f}"
    line = f"{name:{ID_SHOWN}}  {began}  {arrow} {call.contact:9}{seconds:>7}  {ended:14}{layers:11}{quality}"
    typer.echo(line.rstrip())


def one_call(found: Sequence[CallRecord], wanted: str) -> CallRecord:
    """The call that ``wanted`` names. UsageError when none or several do."""
    if len(found) != 1:
        number = "no call" if not found else f"{len(found)} calls"
        raise UsageError(f"{wanted} names {number}; give the digits that qcall history shows, or more")
    return found[0]
