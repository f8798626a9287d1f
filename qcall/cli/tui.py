"""The terminal interface with options of its own; without them it is ``qcall`` alone."""

from __future__ import annotations

import typer

from .app import app
from .interactive import start
from .options import Bitrate, FrameMs, Input, KmeUrl, Output, QkdOption, Rekey, SuiteOption


@app.command()
def tui(
    context: typer.Context,
    input: Input = None,
    output: Output = None,
    qkd: QkdOption = None,
    suite: SuiteOption = None,
    bitrate: Bitrate = None,
    frame_ms: FrameMs = None,
    rekey: Rekey = None,
    kme: KmeUrl = None,
) -> None:
    """The terminal softphone, as without a command, with options."""
    flags = {"qkd": qkd, "suite": suite, "bitrate": bitrate, "frame_ms": frame_ms, "rekey": rekey}
    raise typer.Exit(start(context.obj, flags, (input, output), kme))
