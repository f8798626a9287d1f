"""Runs the command that a line names, for phone and relay: wrong usage is one line, and no traceback."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import typer
from typer.main import get_command

WrongUsage: type[Any] = typer.BadParameter.__mro__[1]
"""What is wrong with a line, of which Typer exports one kind only."""
INVALID = re.compile(r"Invalid value for '?(?P<where>.*?)'?: (?:Value error, )?(?P<what>.*)", re.DOTALL)
INTERRUPTED = 130
"""Exit code of what the user broke off (128 + SIGINT, as shells count)."""


class OutputLost(OSError):
    """Standard output takes no more."""


def run_program(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    """The exit code of the command of ``app`` that ``arguments`` name; 2 for wrong usage."""
    open_streams()
    sys.stdout = telling(sys.stdout)
    try:
        code = get_command(app).main(list(arguments), prog_name=name, standalone_mode=False)
    except WrongUsage as fault:
        sys.stderr.write(told(fault, name))
        return int(fault.exit_code)
    except typer.Abort:
        return INTERRUPTED
    except OSError as error:
        return system_fault(error, name)
    return int(code or 0)


def system_fault(error: OSError, name: str) -> int:
    """Say what the system refused to the program ``name``, unless its reader had enough; the exit code."""
    if not isinstance(error, OutputLost):
        where = "" if error.filename is None else f"{error.filename}: "
        sys.stderr.write(f"{name}: {where}{error.strerror or error}\n")
        return 1
    with open(os.devnull, "w") as nowhere:
        # What is left in its buffer would only fail again.
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        sys.stderr.write(f"{name}: cannot write the output: {error.strerror or error}\n")
    return 1


class _Output(io.FileIO):
    """Standard output, whose errors are known by their kind from those of other files."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(error.errno, error.strerror) from None


def telling(stream: TextIO) -> TextIO:
    """``stream``, if it is a file's, with `OutputLost` where it takes no more."""
    buffer: Any = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if not isinstance(stream, io.TextIOWrapper) or type(raw) is not io.FileIO:
        return stream
    output = _Output(raw.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        output if raw is buffer else io.BufferedWriter(output),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


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
