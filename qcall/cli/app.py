"""The program ``qcall``, and what holds for every command."""

from __future__ import annotations

import os
import shlex
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
        Path | None,
        typer.Option(
            envvar="QCALL_HOME",
            metavar="DIR",
            help="Directory of this phone; one per phone.",
            show_default=str(default_home({})),
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command; without a command, the terminal interface."""
    context.obj = Home(home.expanduser() if home else default_home(os.environ))
    if context.invoked_subcommand is None:
        from .interactive import start

        raise typer.Exit(start(context.obj))


def next_steps(context: typer.Context) -> str:
    """What to run once a phone is set up: in the home that was named, if one was."""
    source = context.find_root().get_parameter_source("home")
    named = source is not None and source.name == "COMMANDLINE"
    program = f"qcall --home {shlex.quote(str(context.obj.directory))}" if named else "qcall"
    return f"now run: {program} listen, or {program} call NAME"
