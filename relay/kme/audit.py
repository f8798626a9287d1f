"""The audit log of key nodes: a file of mode 0600 that is only ever appended to, one JSON line a request.

Who asked what, with which key IDs; key bytes never come here (:mod:`relay.kme.http` writes the lines). A log
rotation may move the file away at any time: the next line begins a new one.
"""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
import sys
from pathlib import Path

from relay.errors import StorageError
from relay.storage import why

NAME = "relay.kme.audit"

log = logging.getLogger("relay.kme")


class AuditLog(logging.handlers.WatchedFileHandler):
    """Takes what key nodes of this process log, from when it is made until :meth:`close`.

    Raises :class:`StorageError` when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._failing = False
        self._fault = ""
        try:
            super().__init__(path)
        except OSError as error:
            raise StorageError(f"cannot write the audit log {path}: {why(error, path)}") from None
        logger = logging.getLogger(NAME)
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def close(self) -> None:
        logging.getLogger(NAME).removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line. A full disk does not end calls, but is said: once, not with every request."""
        before, self._failing = self._failing, False
        super().emit(record)
        if self._failing and not before:
            log.error("%s", self._fault)
        elif before and not self._failing:
            log.warning("the audit log %s is written again", self.baseFilename)

    def handleError(self, record: logging.LogRecord) -> None:
        self._failing, error = True, sys.exc_info()[1]
        reason = why(error, Path(self.baseFilename)) if isinstance(error, OSError) else repr(error)
        self._fault = f"the audit log {self.baseFilename} cannot be written: {reason}"

    def _open(self) -> io.TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        return io.TextIOWrapper(os.fdopen(os.open(self.baseFilename, flags, 0o600), "ab"), encoding="utf-8")
