"""What a call cannot do is said before anything is started: no relay is needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.qcall.cli.conftest import Qcall


@pytest.mark.parametrize("command", [("call", "bob"), ("listen",)], ids=" ".join)
@pytest.mark.parametrize(
    "flags",
    [
        ("--dtmf", "12x"),
        ("--text", "x" * 501),
        ("--record", "absent/call.wav"),
        ("--record", "."),
        ("--input", "absent.wav"),
        ("--output", "."),
        ("--microphone", "any", "--input", "tone"),
    ],
    ids=lambda flags: flags[0].lstrip("-"),
)
def test_options_that_cannot_be_met_are_wrong_usage(
    qcall: Qcall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str], flags: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = qcall(*command, *flags, code=2).stderr.splitlines()
    assert flags[0] in line


def test_a_phone_answers_or_declines(qcall: Qcall) -> None:
    assert "exclude each other" in qcall("listen", "--auto-answer", "--decline", code=2).stderr
