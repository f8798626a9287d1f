"""The command line of the relay: arguments and exit codes, no logic.

Every failure that the program knows is one line on standard error and exit code 1, or 2 for wrong usage.

- ``app``         the program, and what holds for every command
- ``running``     event loop, signals, errors, exit codes
- ``serving``     serve
- ``standalone``  turn
- ``enrolling``   invite
- ``topologies``  topology list, show, check
- ``status``      status
- ``nodes``       kme
- ``faults``      fault cut, eve, drain, compromise, restore
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Entry point of the console script ``relay``."""
    # Reading the commands in takes most of a second; a Ctrl-C meanwhile has nothing to give back.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    commands()(prog_name="relay")


def commands() -> typer.Typer:
    """The program with all its commands."""
    from . import enrolling, faults, nodes, serving, standalone, status, topologies  # noqa: F401 - they add themselves
    from .app import app

    return app
