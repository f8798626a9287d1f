"""The terminal interface: what ``qcall`` without a command is."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from qcall.config import Home
from qcall.errors import QcallError, UsageError


def start(home: Home, flags: dict[str, Any], sound: tuple[str | None, str | None], kme: str | None) -> None:
    """Run the interface and leave with its exit code."""
    try:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                "the terminal interface needs a terminal; scripts use qcall listen, call and control"
            )
        from qcall.tui.start import run

        code = run(home, flags, sound, kme, os.environ)
    except QcallError as error:
        typer.echo(f"qcall: {error}", err=True)
        code = error.exit_code
    raise typer.Exit(code)
