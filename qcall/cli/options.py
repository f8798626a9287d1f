"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from qcall.config import DEFAULTS, variable
from qcall.media.sides import Sides


class Qkd(StrEnum):
    """Whether a call needs quantum keys."""

    REQUIRE = "require"
    PREFER = "prefer"
    OFF = "off"


class OnOff(StrEnum):
    """Whether something is done that the phone decides by itself otherwise."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class SuiteName(StrEnum):
    """The strongest suite that is offered."""

    Q5_PLUS = "Q5+"
    Q5 = "Q5"
    Q3 = "Q3"


class KemProvider(StrEnum):
    """Whose ML-KEM is used."""

    CRYPTOGRAPHY = "cryptography"
    LIBOQS = "liboqs"


Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
Input = Annotated[
    str | None,
    typer.Option(metavar="WAV|tone|null", help="What to say.", show_default="the microphone"),
]
Output = Annotated[
    str | None, typer.Option(metavar="WAV|null", help="Where to hear.", show_default="the loudspeaker")
]
Microphone = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Part of a microphone's name; see: qcall devices.",
        show_default="the system's choice",
    ),
]
Speaker = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Part of a loudspeaker's name; see: qcall devices.",
        show_default="the system's choice",
    ),
]
RingTones = Annotated[
    OnOff, typer.Option("--ring-tones", help="Ringing, ring-back, busy, hold; auto: from a sound card.")
]
Cleaning = Annotated[
    OnOff,
    typer.Option(
        "--processing", help="Cancel echo, suppress noise, even out loudness; auto: with loudspeakers."
    ),
]
Record = Annotated[
    Path | None, typer.Option("--record", metavar="WAV", help="Record the call; the far phone is told.")
]
RecordSides = Annotated[
    Sides, typer.Option("--record-sides", help="Whose speech: both in stereo, or only this side's.")
]
Text = Annotated[str, typer.Option("--text", help="Write this to the far user when the talk begins.")]
Digits = Annotated[
    str, typer.Option("--dtmf", metavar="DIGITS", help="Keys to press when the talk begins: 0-9, *, #, A-D.")
]
Stats = Annotated[
    float | None,
    typer.Option(
        "--stats",
        min=0.1,
        metavar="SECONDS",
        help="Tell the call's numbers so often, as 'stats' events of --json.",
        show_default="never",
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        metavar="SECONDS",
        help="Hang up after so much talk.",
        show_default="until somebody hangs up",
    ),
]


def setting(name: str, option: str, help: str, unit: str = "", metavar: str | None = None) -> Any:
    """An option that is the setting ``name`` for this once; where it is not given, the settings hold."""
    default = DEFAULTS[name]
    shown = {True: "yes", False: "no"}.get(default, f"{default:g}" if isinstance(default, float) else default)
    text = f"{help} Setting {name}, variable {variable(name)}."
    return typer.Option(option, metavar=metavar, help=text, show_default=f"{shown}{unit and f' {unit}'}")


QkdOption = Annotated[Qkd | None, setting("qkd", "--qkd", "Quantum keys; the stricter of both phones holds.")]
SuiteOption = Annotated[
    SuiteName | None, setting("suite", "--suite", "The strongest suite to offer; Q5+ needs liboqs.")
]
KemOption = Annotated[KemProvider | None, setting("kem", "--kem", "Whose ML-KEM to use.")]
Bitrate = Annotated[
    int | None,
    setting("bitrate", "--bitrate", "Bits a second of speech, 16000 to 64000.", "bit/s", "BIT/S"),
]
Copies = Annotated[
    bool | None, setting("copies", "--copies/--no-copies", "Send frames twice while packets are lost.")
]
FrameMs = Annotated[
    int | None, setting("frame_ms", "--frame", "Milliseconds of speech in a packet, 10 or 20.", "ms", "MS")
]
Rekey = Annotated[
    float | None, setting("rekey", "--rekey", "Seconds between two rekeys, 5 to 300.", "s", "SECONDS")
]
KmeUrl = Annotated[
    str | None,
    typer.Option(
        "--kme", metavar="URL", help="This phone's key node.", show_default="as the relay says at login"
    ),
]

SETTINGS = ("qkd", "suite", "kem", "bitrate", "copies", "frame_ms", "rekey")
"""Options that are settings, for this once."""


@dataclass(frozen=True, kw_only=True)
class PhoneOptions:
    """What a phone can be told, with a screen and without."""

    input: Input = None
    output: Output = None
    microphone: Microphone = None
    speaker: Speaker = None
    ring_tones: RingTones = OnOff.AUTO
    processing: Cleaning = OnOff.AUTO
    qkd: QkdOption = None
    suite: SuiteOption = None
    kem: KemOption = None
    bitrate: Bitrate = None
    copies: Copies = None
    frame_ms: FrameMs = None
    rekey: Rekey = None
    kme: KmeUrl = None

    @property
    def sound(self) -> dict[str, Any]:
        """The options on sound, as ``Wishes`` takes them."""
        return {
            "spoken": self.input,
            "heard": self.output,
            "microphone": self.microphone,
            "speaker": self.speaker,
            "tones": self.ring_tones.value,
            "processing": self.processing.value,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The options that are settings."""
        return {name: getattr(self, name) for name in SETTINGS}


@dataclass(frozen=True, kw_only=True)
class ScriptOptions:
    """What is done in a call that nobody sits at."""

    record: Record = None
    record_sides: RecordSides = Sides.BOTH
    text: Text = ""
    dtmf: Digits = ""
    stats: Stats = None
    duration: Duration = None
