"""The terminal interface: what ``qcall`` without a command is. It imports little, to be there soon."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qcall.config import Home, default_home
from qcall.errors import QcallError, UsageError

NOTHING: Mapping[str, Any] = MappingProxyType({})


def start(
    home: Home,
    flags: Mapping[str, Any] = NOTHING,
    sound: Mapping[str, Any] = NOTHING,
    kme: str | None = None,
) -> int:
    """Run the interface; its exit code. An error is one line on standard error.

    ``flags`` are settings, ``sound`` is by the names of ``Wishes``, ``kme`` another address of the key node.
    """
    try:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                "the terminal interface needs a terminal; scripts use qcall listen, call and control"
            )
        from qcall.tui.start import run

        return run(home, flags, sound, kme, os.environ)
    except QcallError as error:
        sys.stderr.write(f"qcall: {error}\n")
        return error.exit_code


def home_of(arguments: Sequence[str], environment: Mapping[str, str]) -> Home | None:
    """The home, when these arguments start the interface and nothing else: none, or ``--home`` alone."""
    if any(name.startswith("_") and name.endswith("_COMPLETE") for name in environment):
        return None
    match list(arguments):
        case []:
            return Home(default_home(environment))
        case ["--home", directory]:
            return Home(Path(directory).expanduser())
        case [one] if one.startswith("--home=") and len(one) > len("--home="):
            return Home(Path(one.removeprefix("--home=")).expanduser())
    return None
