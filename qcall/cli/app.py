"""The program ``qcall``, and what holds for every command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from qcall import __version__
from qcall.config import Home, default_home

app = typer.Typer(
    help="Calls between two terminals, encrypted with classical, post-quantum and (simulated) quantum keys.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        typer.echo(f"qcall {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(envvar="QCALL_HOME", help="Directory of this phone; one per phone.")
    ] = None,
    _version: Annotated[bool, typer.Option("--version", callback=version, is_eager=True)] = False,
) -> None:
    """Options of every command; without a command, the terminal interface."""
    context.obj = Home(home or default_home(os.environ))
    if context.invoked_subcommand is None:
        from .interactive import start

        raise typer.Exit(start(context.obj))
