"""What a user reads on the terminal."""

from __future__ import annotations

from scripts.demonstration.stage import Program


def one_line(program: Program) -> str:
    """What the program said on standard error; it must be one line and no traceback."""
    text = program.stderr.strip()
    assert text
    assert len(text.splitlines()) == 1, text
    assert "Traceback" not in text
    return text
