"""A script tells what it does at once: nothing is installed for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.benchmarks.__main__ import benchmarks

SCRIPTS = Path(__file__).parent.parent / "scripts"


def told(name: str, flag: str, beside: Path) -> str:
    """The help of a script where nothing is set up, and nothing on PATH can set anything up."""
    environment = {**os.environ, "QCALL_VENV": str(beside / "venv"), "PYTHON": "false", "PIP_NO_INDEX": "1"}
    program = subprocess.run(
        [SCRIPTS / name, flag], env=environment, cwd=beside, capture_output=True, text=True, timeout=10
    )
    assert (program.returncode, program.stderr) == (0, "")
    assert list(beside.iterdir()) == []
    return program.stdout


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", ["bench", "check", "demo", "setup", "test"])
def test_help_comes_before_anything_is_set_up(name: str, flag: str, tmp_path: Path) -> None:
    head = (SCRIPTS / name).read_text().splitlines()[1].removeprefix("# ")
    text = told(name, flag, tmp_path)
    assert text.startswith(head)
    assert "set -euo" not in text


def test_the_help_of_bench_names_every_benchmark(tmp_path: Path) -> None:
    lines = [line.split(maxsplit=1) for line in told("bench", "--help", tmp_path).splitlines()]
    assert [line for line in lines if line and line[0] in benchmarks()] == [
        [name, module.HELP] for name, module in benchmarks().items()
    ]
