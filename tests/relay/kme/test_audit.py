"""The audit log when it cannot be written: calls go on, and the operator is told once."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
from pathlib import Path

import pytest

from relay.errors import StorageError
from relay.kme import audit
from relay.kme.audit import NAME, AuditLog
from scripts.demonstration.stage import BIN

LINE = json.dumps({"sae": "sae-alice"})


class Disk:
    """Takes so many bytes more; stands in for the kernel's write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1_000_000
        self._write = os.write
        monkeypatch.setattr(audit.os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(file, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_is_told_once_and_no_line_runs_into_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, file, logger = Disk(monkeypatch), tmp_path / "audit.log", logging.getLogger(NAME)
    log = AuditLog(file)
    try:
        logger.info(LINE)
        disk.room = 5
        for _ in range(3):
            logger.info(LINE)
        disk.room = 1_000_000
        for _ in range(2):
            logger.info(LINE)
    finally:
        log.close()
    assert file.read_text().splitlines() == [LINE, LINE[:5], LINE, LINE]
    told = [record.getMessage() for record in caplog.records if record.name == "relay.kme"]
    assert told == [
        f"the audit log {file} cannot be written: the disk is full; make room on it",
        f"the audit log {file} is written again",
    ]


def test_a_log_that_cannot_be_begun_says_why(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write the audit log .*: Is a directory"):
        AuditLog(tmp_path)


def test_a_log_that_could_not_be_begun_is_no_trouble_at_exit(tmp_path: Path) -> None:
    command = (BIN / "relay", "--home", tmp_path, "serve", "--listen", "127.0.0.1:0")
    (tmp_path / "audit.log").mkdir()
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    [line] = ended.stderr.splitlines()
    assert line.startswith("relay: cannot write the audit log")


def test_a_log_may_be_closed_twice(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    for _ in range(2):
        log.close()
