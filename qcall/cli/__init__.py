"""The command line of the phone: arguments and exit codes, no logic.

Every failure that the program knows is one line on standard error and exit code 1, or 2 for wrong usage.

- ``app``        the program, and what holds for every command
- ``options``    options that several commands share
- ``running``    event loop, Ctrl-C, errors, exit codes
- ``enrolling``  init
- ``calling``    call, listen
- ``tui``, ``interactive``  the terminal interface
- ``remote``     control
- ``checking``   doctor, devices
- ``people``     contacts, verify; ``fingerprint`` draws them
- ``addressbook``  contacts add, edit, remove, search, import, export
- ``history``    the calls and their receipts
- ``safekeeping``  passphrase, export, import; ``passphrases`` asks for them
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

COMMANDS = (
    "calling", "enrolling", "history", "people", "addressbook", "safekeeping", "remote", "checking", "tui",
)  # fmt: skip
"""Modules that add commands to the program."""


def main() -> None:
    """Entry point of the console script ``qcall``."""
    # Reading the commands in takes most of a second; a Ctrl-C meanwhile has nothing to give back.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    alone = starts_screen(sys.argv[1:], os.environ)
    commands(() if alone else COMMANDS)(prog_name="qcall")


def commands(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """The program with the commands of the modules ``names``."""
    from .app import app

    for name in names:
        importlib.import_module(f"{__name__}.{name}")
    return app


def starts_screen(arguments: Sequence[str], environment: Iterable[str]) -> bool:
    """Whether these arguments start the terminal interface, which then need not wait for any command.

    So do no arguments, and ``--home`` alone.
    """
    if any(name.startswith("_") and name.endswith("_COMPLETE") for name in environment):
        return False
    match list(arguments):
        case [] | ["--home", _]:
            return True
        case [one]:
            return one.startswith("--home=")
    return False
