"""Lines on standard output."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys

from qcall.errors import StorageError
from qcall.session.event import Event


def json_lines(event: Event) -> None:
    """Print an event for programs."""
    put(json.dumps(event.as_line()))


def put(line: str) -> None:
    """Print ``line`` at once. Raises ``StorageError``, once, when it cannot be: its reader is gone.

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
