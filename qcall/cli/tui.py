"""The terminal interface with options of its own; without them it is ``qcall`` alone."""

from __future__ import annotations

import typer

from .app import app
from .groups import grouped
from .interactive import start
from .options import PhoneOptions


@app.command()
@grouped
def tui(context: typer.Context, options: PhoneOptions) -> None:
    """The terminal softphone, as without a command, with options."""
    raise typer.Exit(start(context.obj, options.settings, options.sound, options.kme))
