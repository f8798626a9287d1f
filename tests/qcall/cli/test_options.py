"""The help of a command says what holds where an option is not given, with its unit."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from qcall.cli import commands
from qcall.cli.options import SETTINGS
from qcall.config import DEFAULTS, variable


@pytest.fixture(scope="module")
def text() -> str:
    """The help of ``qcall listen``, without its frame and line breaks."""
    shown = CliRunner().invoke(commands(), ["listen", "--help"], env={"COLUMNS": "200"}).output
    return " ".join(shown.replace("│", " ").split())


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_shows_its_default_and_its_variable(text: str, name: str) -> None:
    default, unit = DEFAULTS[name], {"bitrate": " bit/s", "frame_ms": " ms", "rekey": " s"}.get(name, "")
    shown = "yes" if default is True else f"{default:g}" if isinstance(default, float) else default
    assert f"Setting {name}, variable {variable(name)}. [default: ({shown}{unit})]" in text


@pytest.mark.parametrize(
    "said",
    [
        "What to say. [default: (the microphone)]",
        "Where to hear. [default: (the loudspeaker)]",
        "Hang up after so much talk. [default: (until somebody hangs up)]",
        "[default: (never)]",
        "--duration SECONDS",
        "--bitrate BIT/S",
        "--frame MS",
    ],
)
def test_every_other_option_says_what_holds_without_it(text: str, said: str) -> None:
    assert said in text
