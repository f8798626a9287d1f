"""Placing and receiving calls without the terminal interface."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from qcall.errors import UsageError
from qcall.headless import call as place_call
from qcall.headless import listen as wait_for_calls
from qcall.session.phone import Phone

from .app import app
from .options import (
    Bitrate,
    Duration,
    FrameMs,
    Input,
    Json,
    KemOption,
    KmeUrl,
    Output,
    QkdOption,
    Rekey,
    SuiteOption,
)
from .running import with_phone


@app.command()
def call(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(help="Who to call.")],
    input: Input = None,
    output: Output = None,
    duration: Duration = None,
    qkd: QkdOption = None,
    suite: SuiteOption = None,
    kem: KemOption = None,
    bitrate: Bitrate = None,
    frame_ms: FrameMs = None,
    rekey: Rekey = None,
    kme: KmeUrl = None,
    allow_less: Annotated[
        bool, typer.Option("--allow-less", help="This call may have fewer layers than earlier ones had.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Place a call."""
    settings = {
        "qkd": qkd,
        "suite": suite,
        "kem": kem,
        "bitrate": bitrate,
        "frame_ms": frame_ms,
        "rekey": rekey,
    }

    async def talk(phone: Phone, stop: asyncio.Event) -> int:
        return await place_call(phone, contact, duration, stop, allow_less=allow_less)

    with_phone(context.obj, settings, (input, output), kme, as_json, talk)


@app.command()
def listen(
    context: typer.Context,
    auto_answer: Annotated[bool, typer.Option("--auto-answer", help="Answer every call at once.")] = False,
    after: Annotated[
        float, typer.Option("--after", min=0.0, help="Seconds to let it ring before --auto-answer.")
    ] = 0.0,
    decline: Annotated[bool, typer.Option("--decline", help="Decline every call.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Leave after one call.")] = False,
    input: Input = None,
    output: Output = None,
    duration: Duration = None,
    qkd: QkdOption = None,
    suite: SuiteOption = None,
    kem: KemOption = None,
    bitrate: Bitrate = None,
    frame_ms: FrameMs = None,
    rekey: Rekey = None,
    kme: KmeUrl = None,
    as_json: Json = False,
) -> None:
    """Wait for calls."""
    settings = {
        "qkd": qkd,
        "suite": suite,
        "kem": kem,
        "bitrate": bitrate,
        "frame_ms": frame_ms,
        "rekey": rekey,
    }
    accept = True if auto_answer else False if decline else None

    async def wait(phone: Phone, stop: asyncio.Event) -> int:
        if auto_answer and decline:
            raise UsageError("--auto-answer and --decline exclude each other; give one of them")
        return await wait_for_calls(phone, stop, accept=accept, after=after, once=once, duration=duration)

    with_phone(context.obj, settings, (input, output), kme, as_json, wait)
