"""What a call without a user does while it lasts: record, write, press keys, tell its numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from qcall.agreement.control import LONGEST_TEXT
from qcall.errors import UsageError
from qcall.media.dtmf import DigitSender
from qcall.media.sides import Sides

from .in_call import InCall
from .sound import check_place


@dataclass(frozen=True, kw_only=True)
class Script:
    """``begin`` is called when the talk begins. ``stats`` is in seconds."""

    record: Path | None = None
    sides: Sides = Sides.BOTH
    text: str = ""
    digits: str = ""
    stats: float | None = None

    def check(self) -> None:
        """Raise ``UsageError`` for what could not be done, before anybody is called."""
        try:
            DigitSender().press(self.digits)
        except ValueError as error:
            raise UsageError(f"--dtmf: {error}") from None
        if len(self.text) > LONGEST_TEXT:
            raise UsageError(f"--text: a text has at most {LONGEST_TEXT} characters")
        if self.record is not None:
            check_place(self.record, "--record")
            if self.record.exists() and not self.record.is_file():
                raise UsageError(f"{self.record} is no file that can be new; choose another with --record")
            check_place(unused(self.record), "--record")

    def begin(self, call: InCall) -> None:
        """Do all of it."""
        if self.record is not None:
            call.start_recording(unused(self.record), self.sides)
        if self.text:
            call.say(self.text)
        if self.digits:
            call.press(self.digits)
        if self.stats is not None:
            call.report_stats(self.stats)


def unused(file: Path) -> Path:
    """``file``, or a name like it that no file has: a phone that listens may record many calls."""
    names = (file.with_stem(f"{file.stem}-{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain((file,), names) if not name.exists())
