"""The command line of the phone: arguments and exit codes, no logic.

A shell that completes a word starts the program for that, and may not wait: modules with commands import at
their top what describes them, and in a command what does its work.

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
- ``history``    the calls; ``receipts``: what both phones signed about one
- ``completion``   what shells offer for names, calls and devices
- ``safekeeping``  passphrase, export, import; ``passphrases`` asks for them
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
    "calling": ("call", "listen"),
    "enrolling": ("init",),
    "history": ("history",),
    "people": ("contacts", "verify", "fingerprint"),
    "addressbook": ("contacts",),
    "safekeeping": ("passphrase", "export", "import"),
    "remote": ("control",),
    "checking": ("doctor", "devices"),
    "tui": ("tui",),
}
"""Modules and the commands that they add to the program."""


def main() -> None:
    """Entry point of the console script ``qcall``."""
    # Reading the commands in takes most of a second; a Ctrl-C meanwhile has nothing to give back.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    # No matrix here is worth a thread, and starting numpy's takes longer than the rest of it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from .interactive import home_of, start

    home = home_of(sys.argv[1:], os.environ)
    if home is not None:
        sys.exit(start(home))
    from qcall.wire.program import run_program

    sys.exit(run_program(commands(sys.argv[1:] or completed(os.environ)), sys.argv[1:], "qcall"))


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
