"""The audit log of key nodes: a file of mode 0600 that is only ever appended to, one JSON line a request.

Who asked what, with which key IDs; key bytes never come here (:mod:`relay.kme.http` writes the lines). A log
rotation may move the file away at any time: the next line begins a new one.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from relay.errors import StorageError
from relay.storage import why

NAME = "relay.kme.audit"

log = logging.getLogger("relay.kme")


class AuditLog(logging.Handler):
    """Takes what key nodes of this process log, from when it is made until :meth:`close`.

    Raises :class:`StorageError` when the file cannot be written. Later a full disk ends no call, but is said:
    once, not with every request.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failing = False
        self._cut_short = False
        """Whether the last line in the file has no end."""
        try:
            self._file = self._open()
        except OSError as error:
            raise StorageError(f"cannot write the audit log {path}: {why(error, path)}") from None
        super().__init__()  # only now: logging closes at exit whatever was made, also what never opened
        logger = logging.getLogger(NAME)
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line; the kernel has it when this returns."""
        try:
            self._follow_rotation()
            self._append(record.getMessage().encode() + b"\n")
        except OSError as error:
            if not self._failing:
                log.error("the audit log %s cannot be written: %s", self._path, why(error, self._path))
            self._failing = True
        else:
            if self._failing:
                log.warning("the audit log %s is written again", self._path)
            self._failing = False

    def close(self) -> None:
        """Take no more lines. May be called twice."""
        logging.getLogger(NAME).removeHandler(self)
        super().close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, line: bytes) -> None:
        whole = b"\n" + line if self._cut_short else line
        written = os.write(self._file, whole)
        if written < len(whole):
            self._cut_short = True
            written += os.write(self._file, whole[written:])  # which says why
        self._cut_short = written < len(whole)

    def _follow_rotation(self) -> None:
        ours = os.fstat(self._file)
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            fresh = self._open()
            os.close(self._file)
            self._file, self._cut_short = fresh, False

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        return os.open(self._path, flags, 0o600)
