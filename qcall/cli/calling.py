"""Placing and receiving calls without the terminal interface."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from qcall.errors import UsageError
from qcall.headless import call as place_call
from qcall.headless import listen as wait_for_calls
from qcall.media.sides import Sides
from qcall.session.phone import Phone
from qcall.session.script import Script
from qcall.session.sound import Wishes

from .app import app
from .completion import contacts as complete_contacts
from .groups import grouped
from .online import with_phone
from .options import (
    Bitrate,
    Cleaning,
    Copies,
    Digits,
    Duration,
    FrameMs,
    Input,
    Json,
    KemOption,
    KmeUrl,
    Microphone,
    OnOff,
    Output,
    QkdOption,
    Record,
    RecordSides,
    Rekey,
    RingTones,
    Speaker,
    Stats,
    SuiteOption,
    Text,
)

Talk = Callable[[Phone, asyncio.Event], Awaitable[int]]
SETTINGS = ("qkd", "suite", "kem", "bitrate", "copies", "frame_ms", "rekey")
"""Options that are settings, for this once."""


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """What a call can be told, whoever places it."""

    input: Input = None
    output: Output = None
    microphone: Microphone = None
    speaker: Speaker = None
    ring_tones: RingTones = OnOff.AUTO
    processing: Cleaning = OnOff.AUTO
    record: Record = None
    record_sides: RecordSides = Sides.BOTH
    text: Text = ""
    dtmf: Digits = ""
    stats: Stats = None
    duration: Duration = None
    qkd: QkdOption = None
    suite: SuiteOption = None
    kem: KemOption = None
    bitrate: Bitrate = None
    copies: Copies = None
    frame_ms: FrameMs = None
    rekey: Rekey = None
    kme: KmeUrl = None

    @property
    def wishes(self) -> Wishes:
        """The options on sound."""
        return Wishes(
            spoken=self.input,
            heard=self.output,
            microphone=self.microphone,
            speaker=self.speaker,
            tones=self.ring_tones.value,
            processing=self.processing.value,
        )

    @property
    def script(self) -> Script:
        """The options on what is done in the call."""
        return Script(
            record=self.record, sides=self.record_sides, text=self.text, digits=self.dtmf, stats=self.stats
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The options that are settings."""
        return {name: getattr(self, name) for name in SETTINGS}


@app.command()
@grouped
def call(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(help="Who to call.", autocompletion=complete_contacts)],
    options: CallOptions,
    allow_less: Annotated[
        bool, typer.Option("--allow-less", help="This call may have fewer layers than earlier ones had.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Place a call."""
    script = options.script

    async def talk(phone: Phone, stop: asyncio.Event) -> int:
        return await place_call(phone, contact, options.duration, stop, allow_less=allow_less, script=script)

    with_phone(context.obj, options.settings, options.wishes, options.kme, as_json, checked(script, talk))


@app.command()
@grouped
def listen(
    context: typer.Context,
    *,
    auto_answer: Annotated[bool, typer.Option("--auto-answer", help="Answer every call at once.")] = False,
    after: Annotated[
        float, typer.Option("--after", min=0.0, help="Seconds to let it ring before --auto-answer.")
    ] = 0.0,
    decline: Annotated[bool, typer.Option("--decline", help="Decline every call.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Leave after one call.")] = False,
    options: CallOptions,
    as_json: Json = False,
) -> None:
    """Wait for calls."""
    script, duration = options.script, options.duration
    accept = True if auto_answer else False if decline else None

    async def wait(phone: Phone, stop: asyncio.Event) -> int:
        if auto_answer and decline:
            raise UsageError("--auto-answer and --decline exclude each other; give one of them")
        return await wait_for_calls(
            phone, stop, accept=accept, after=after, once=once, duration=duration, script=script
        )

    with_phone(context.obj, options.settings, options.wishes, options.kme, as_json, checked(script, wait))


def checked(script: Script, work: Talk) -> Talk:
    """``work``, unless ``script`` cannot be done."""

    async def do(phone: Phone, stop: asyncio.Event) -> int:
        script.check()
        return await work(phone, stop)

    return do
