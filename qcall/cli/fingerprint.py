"""A fingerprint as a QR code (ISO/IEC 18004) that a terminal can show and a camera can read."""

from __future__ import annotations

import io

import segno
from rich.text import Text

BORDER = 4
"""Modules of quiet zone, as the standard wants."""


def qr_code(fingerprint: str, *, color: bool) -> Text:
    """``fingerprint`` in capitals, which is the densest encoding; half a line a module.

    With ``color`` the code is black on white whatever the terminal's own colours are.
    """
    drawn = io.StringIO()
    segno.make(fingerprint.upper(), error="m", micro=False).terminal(out=drawn, border=BORDER, compact=True)
    return Text(drawn.getvalue().rstrip("\n"), style="bright_white on black" if color else "", no_wrap=True)
