"""What whoever owns the relay can write down: every datagram, every signalling frame, every end key.

The recording exists to be attacked: ``relay serve --record FILE`` keeps it, and the demonstration gives it to
a program that tries to open the call. One JSON object a line, flushed as it comes.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from pathlib import Path
from typing import Any

from .errors import StorageError
from .storage import why

log = logging.getLogger(__name__)


class Wiretap:
    """An open recording. ``time`` is in seconds on the relay's monotonic clock, bytes are base64.

    Calls go on when the recording cannot: ``fault`` then says why.
    """

    def __init__(self, path: Path) -> None:
        self.fault: StorageError | None = None
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot record to {path}: {why(error, path)}") from None

    def write(self, kind: str, time: float, data: bytes, **fields: Any) -> None:
        """Record ``data`` seen at ``time``; ``kind`` is ``turn``, ``signalling``, ``kme`` or ``end-key``."""
        if self.fault is not None:
            return
        line = {"kind": kind, "time": time, **fields, "data": base64.b64encode(data).decode()}
        whole = json.dumps(line).encode() + b"\n"
        try:
            written = os.write(self._file, whole)
            if written < len(whole):
                os.write(self._file, whole[written:])
        except OSError as error:
            self._stop(error)

    def close(self) -> None:
        """Close the file. Raises ``StorageError`` when not everything is in it."""
        os.close(self._file)
        if self.fault is not None:
            raise self.fault

    def _stop(self, error: OSError) -> None:
        text = f"the recording to {self._path} ended early: {why(error, self._path)}"
        self.fault = StorageError(text)
        log.error("%s", text)
