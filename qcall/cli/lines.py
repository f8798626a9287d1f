"""Lines on standard output."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys

from qcall.errors import StorageError
from qcall.session.event import Event


def json_line(event: Event) -> None:
    """Print what a command found, for programs. Raises ``OSError``."""
    sys.stdout.write(json.dumps(event.as_line()) + "\n")
    sys.stdout.flush()


def json_lines(event: Event) -> None:
    """Print what happened in a phone, for programs, as ``put`` does."""
    put(json.dumps(event.as_line()))


def put(line: str) -> None:
    """Print a ``line`` of a phone at once. Raises ``StorageError``, once, when its reader is gone.

    A terminal that is gone is no fault: SIGHUP ends the program, or it was told to go on without one.
    """
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError as error:
        # What is still in the buffer would fail again, and again at the end of the program.
        with open(os.devnull, "w") as nowhere:
            was_terminal = stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if was_terminal and error.errno == errno.EIO:
            return
        raise StorageError(
            f"standard output cannot be written ({error.strerror}), so this phone ends", code="output"
        ) from None
