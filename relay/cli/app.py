"""The program ``relay``, and what holds for every command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from relay.config import RelayHome, default_home

from .completion import presets

app = typer.Typer(
    help="Signalling, media relay and (simulated) quantum key network between two phones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
TopologyName = Annotated[
    str, typer.Option("--topology", help="A preset's name, or a TOML file.", autocompletion=presets)
]


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            envvar="RELAY_HOME",
            metavar="DIR",
            help="Directory of this relay's state.",
            show_default=str(default_home({})),
        ),
    ] = None,
) -> None:
    """Options of every command."""
    context.obj = RelayHome(home.expanduser() if home else default_home(os.environ))
