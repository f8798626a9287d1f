"""What whoever owns the relay can write down: every datagram, every envelope, every end key.

The recording exists to be attacked: ``relay serve --record FILE`` keeps it, and the demonstration gives it to
a program that tries to open the call. One JSON object a line, flushed as it comes.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from .errors import StorageError


class Wiretap:
    """An open recording. ``time`` is in seconds on the relay's monotonic clock, bytes are base64."""

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot record to {path}: {error.strerror}") from None
        self._file = os.fdopen(descriptor, "w", buffering=1)

    def write(self, kind: str, time: float, data: bytes, **fields: Any) -> None:
        """Record ``data`` seen at ``time``; ``kind`` is ``turn``, ``signalling`` or ``end-key``."""
        line = {"kind": kind, "time": time, **fields, "data": base64.b64encode(data).decode()}
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise StorageError(f"cannot go on recording: {error.strerror}; is the disk full?") from None

    def close(self) -> None:
        """Close the file; a recording is complete up to its last line at any time."""
        self._file.close()
