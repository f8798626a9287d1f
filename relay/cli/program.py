"""Runs the command that a line names: wrong usage is one line as every other error, and no traceback."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.main import get_command

WrongUsage: type[Any] = typer.BadParameter.__mro__[1]
"""What is wrong with a line, of which Typer exports one kind only."""
INVALID = re.compile(r"Invalid value for '?(?P<where>.*?)'?: (?:Value error, )?(?P<what>.*)", re.DOTALL)
INTERRUPTED = 130


def run_program(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    """The exit code of the command of ``app`` that ``arguments`` name; 2 for wrong usage."""
    open_streams()
    try:
        code = get_command(app).main(list(arguments), prog_name=name, standalone_mode=False)
    except WrongUsage as fault:
        sys.stderr.write(told(fault, name))
        return int(fault.exit_code)
    except typer.Abort:
        return INTERRUPTED
    except OSError as error:
        from .running import cannot_write

        return cannot_write(error)
    return int(code or 0)


def told(fault: Any, name: str) -> str:
    """One line that says what is wrong and where to look; the help, where nothing was named at all."""
    if type(fault).__name__ == "NoArgsIsHelpError":
        return f"{fault.format_message()}\n"
    path = name if fault.ctx is None else fault.ctx.command_path
    what = " ".join(fault.format_message().split()).rstrip(".")
    if invalid := INVALID.fullmatch(what):
        what = f"{invalid['where']}: {lowered(invalid['what'])}"
    return f"{name}: {lowered(what)}; see: {path} --help\n"


def lowered(text: str) -> str:
    """``text`` with a small letter first."""
    return text[:1].lower() + text[1:]


def open_streams() -> None:
    """Let nothing else get the numbers of standard streams that were closed before the program began."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
