"""The audit log of key nodes: a file of mode 0600 that is only ever appended to, one JSON line a request.

Who asked what, with which key IDs; key bytes never come here (:mod:`relay.kme.http` writes the lines). A log
rotation may move the file away at any time: the next line begins a new one.
"""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
from pathlib import Path

from relay.errors import StorageError

NAME = "relay.kme.audit"


class AuditLog(logging.handlers.WatchedFileHandler):
    """Takes what key nodes of this process log, from when it is made until :meth:`close`.

    Raises :class:`StorageError` when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path)
        except OSError as error:
            raise StorageError(f"cannot write the audit log {path}: {error.strerror}") from None
        logger = logging.getLogger(NAME)
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def close(self) -> None:
        logging.getLogger(NAME).removeHandler(self)
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk does not end calls, but is said."""
        logging.getLogger("relay.kme").error("the audit log %s cannot be written", self.baseFilename)

    def _open(self) -> io.TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        return io.TextIOWrapper(os.fdopen(os.open(self.baseFilename, flags, 0o600), "ab"), encoding="utf-8")
