"""Control sockets of running programs: a Unix socket at a path, open to its owner only.

Both phone and relay are driven this way, by lines of JSON: a request with a ``command``, and for each one
answer ``{"ok": true, "data": …}`` or ``{"ok": false, "error": {"code": …, "text": …}}``.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

LONGEST_NAME: Final = 107
"""Bytes that a socket address holds (unix(7))."""
MAX_LINE: Final = 1 << 20
"""Bytes of a request or an answer."""
ANSWER_LIMIT: Final = 10.0
"""Seconds that a client waits for its answer."""


class InUse(Exception):
    """A running program listens at this path."""


def bind(path: Path) -> socket.socket:
    """A listening, non-blocking socket at ``path``, of mode 0600; one that a dead program left is replaced.

    Raises ``InUse`` and ``OSError``.
    """
    opened = _private()
    try:
        with reachable(path) as name:
            if path.exists():
                if opened.connect_ex(name) == 0:
                    raise InUse
                path.unlink()
                opened.close()
                opened = _private()
            opened.bind(name)
        opened.listen(16)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits into a socket address, however long the path is."""
    if len(os.fsencode(path)) <= LONGEST_NAME:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def refusal(code: str, text: str) -> dict[str, Any]:
    """The answer to a request that is not met."""
    return {"ok": False, "error": {"code": code, "text": text}}


def _private() -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # On Linux the file that bind makes takes this mode: it is never open to others, not for a moment.
    os.fchmod(opened.fileno(), 0o600)
    return opened
