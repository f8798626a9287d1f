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
- ``people``     contacts, verify, fingerprint; the module ``fingerprint`` draws them
- ``addressbook``  contacts add, edit, remove, search, import, export
- ``history``    the calls and their receipts
- ``safekeeping``  passphrase, export, import; ``passphrases`` asks for them
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
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
    from .interactive import home_of, start

    home = home_of(sys.argv[1:], os.environ)
    if home is not None:
        sys.exit(start(home, {}, (None, None), None))
    commands()(prog_name="qcall")


def commands() -> typer.Typer:
    """The program with all its commands."""
    from .app import app

    for name in COMMANDS:
        importlib.import_module(f"{__name__}.{name}")
    return app
