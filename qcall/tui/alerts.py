"""Makes a call noticed: the terminal's bell, and a desktop notification where there is a desktop.

The ring tone is the call's own: whoever has a sound card hears it from there.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Sequence

from qcall.session.snapshot import Call, Snapshot


def notification(call: Call) -> Sequence[str] | None:
    """The command that shows a desktop notification; ``None`` where there is no such program."""
    program = shutil.which("notify-send")
    if program is None:
        return None
    # Who calls is data: it comes after the options, and notify-send takes no markup in a title.
    return (program, "--app-name=qcall", "--urgency=critical", "--", "Incoming call", call.contact)


class Alerts:
    """Watches the snapshots for a call that begins or ceases to ring."""

    def __init__(self, *, bell: Callable[[], None], desktop: Callable[[], bool] = lambda: False) -> None:
        self._bell = bell
        self._desktop = desktop
        self._ringing = ""
        self.shown: subprocess.Popen[bytes] | None = None
        """The program that shows, or showed, the last notification."""

    def after(self, before: Snapshot, now: Snapshot) -> None:
        """What changed between two snapshots."""
        call = now.incoming
        ringing = "" if call is None else call.id
        if ringing == self._ringing:
            return
        self._ringing = ringing
        if call is None:
            return
        self._bell()
        if self._desktop() and (command := notification(call)) is not None:
            with contextlib.suppress(OSError):
                if self.shown is not None:
                    self.shown.poll()  # Else it would stay behind as a zombie.
                self.shown = subprocess.Popen(  # noqa: S603
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
