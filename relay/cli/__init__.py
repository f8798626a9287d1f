"""The command line of the relay: arguments and exit codes, no logic.

A shell that completes a word starts the program for that, and may not wait: modules with commands import at
their top what describes them, and in a command what does its work.

Every failure that the program knows is one line on standard error and exit code 1, or 2 for wrong usage.

- ``app``         the program, and what holds for every command
- ``running``     event loop, signals, errors, exit codes
- ``serving``     serve
- ``standalone``  turn
- ``enrolling``   invite
- ``revoking``    revoke
- ``topologies``  topology list, show, check
- ``status``      status; ``overview``, ``tables``, ``figures``: as one page, as tables, with units
- ``nodes``       kme
- ``completion``  what shells offer for networks, sites, nodes and phones
- ``faults``      fault cut, eve, drain, compromise, restore
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

COMMANDS = {
    "enrolling": ("invite",),
    "faults": ("fault",),
    "nodes": ("kme",),
    "revoking": ("revoke",),
    "serving": ("serve",),
    "standalone": ("turn",),
    "status": ("status",),
    "topologies": ("topology",),
}
"""Modules and the commands that they add to the program."""


def main() -> None:
    """Entry point of the console script ``relay``."""
    # Reading the commands in takes a moment; a Ctrl-C meanwhile has nothing to give back.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    # No matrix here is worth a thread, and starting numpy's takes longer than the rest of it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from qcall.wire.program import run_program

    sys.exit(run_program(commands(sys.argv[1:] or completed(os.environ)), sys.argv[1:], "relay"))


def completed(environment: Mapping[str, str]) -> Sequence[str]:
    """The words of a line that a shell wants completed; none when the program was not started for that."""
    return (environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS") or "").split()


def commands(arguments: Sequence[str] = ()) -> typer.Typer:
    """The program with the commands that ``arguments`` may name, or with all where they name none."""
    from .app import app

    named = [module for module, names in COMMANDS.items() if not set(names).isdisjoint(arguments)]
    for module in named or COMMANDS:
        importlib.import_module(f"{__name__}.{module}")
    return app
