"""What a running phone can be told to do: by its screen, by ``qcall control``, by a script on its socket.

One JSON object a line, ``{"command": "dial", "contact": "bob"}``; unknown commands and fields are refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from qcall.fields import fault_of

Contact = Annotated[str, Meta(min_length=1, max_length=64, description="a name of 1 to 64 characters")]
Line = Annotated[str, Meta(min_length=1, max_length=500, description="1 to 500 characters")]
Digits = Annotated[str, Meta(pattern=r"^[0-9A-D*#]{1,32}$", description="1 to 32 of 0-9, *, #, A-D")]
File = Annotated[
    str, Meta(min_length=1, max_length=4096, pattern=r"^[^\x00]+$", description="the path of a file")
]
Place = Annotated[
    str,
    Meta(max_length=4096, pattern=r"^[^\x00]*$", description="a path, or part of a card's name"),
]
DeviceKind: TypeAlias = Literal["microphone", "speaker", "input", "output"]
Switch: TypeAlias = Literal["on", "off", "toggle"]
ALL_CALLS = 1_000_000
"""More than a phone has."""


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag=str.lower):
    """A command; its docstring is its help."""


class Dial(Command, frozen=True):
    """Call somebody; a call that is up is put on hold."""

    contact: Contact
    allow_less: bool = False


class Less(Command, frozen=True, tag="allow-less"):
    """Let the next call with somebody, whoever dials, have fewer layers than earlier ones had."""

    contact: Contact


class Redial(Command, frozen=True):
    """Call whom this phone called last."""


class Answer(Command, frozen=True):
    """Answer the call that rings; a call that is up is put on hold."""


class Refuse(Command, frozen=True):
    """Refuse the call that rings, with a line of text for the caller if the keys are confirmed."""

    text: Annotated[str, Meta(max_length=500)] = ""


class Hangup(Command, frozen=True):
    """Hang up the call in front; when it only rings, refuse or cancel it."""


class Hold(Command, frozen=True):
    """Put the call in front on hold, or take it back."""

    state: Switch = "toggle"


class Mute(Command, frozen=True):
    """Turn the microphone off, or on again."""

    state: Switch = "toggle"


class Dtmf(Command, frozen=True):
    """Send keypad digits: 0-9, *, #, A-D."""

    digits: Digits


class Text(Command, frozen=True):
    """Send a line of text into the call in front."""

    text: Line


class Record(Command, frozen=True):
    """Record the call in front into a new WAV file, once the far phone has notice of it; or end that."""

    state: Switch = "toggle"
    file: Place = ""
    sides: Literal["own", "both"] = "both"


class Device(Command, frozen=True):
    """Change what this phone speaks into or is heard from, at once, as --microphone, --input, … have it."""

    kind: DeviceKind
    name: Place = ""


class Swap(Command, frozen=True):
    """Talk to the other call; the one in front is put on hold."""


class Policy(Command, frozen=True):
    """How much quantum keys matter from the next call on: require, prefer or off."""

    qkd: Literal["require", "prefer", "off"]


class Presence(Command, frozen=True):
    """Tell mutual contacts when this phone is online, or do not."""

    state: Literal["on", "off"]


class Verify(Command, frozen=True):
    """Say whether the four words were the same on both phones."""

    contact: Contact
    same: bool


class Accept(Command, frozen=True, tag="accept-new-key"):
    """Trust the new identity of a contact whose calls are blocked because it changed."""

    contact: Contact


class Status(Command, frozen=True):
    """What the phone does: registration, calls, security, quality."""


class History(Command, frozen=True):
    """The latest calls, newest first."""

    limit: Annotated[int, Meta(ge=1, le=ALL_CALLS)] = 100
    contact: Annotated[str, Meta(max_length=64)] = ""


class People(Command, frozen=True):
    """The address book and everyone this phone has talked to."""


class Save(Command, frozen=True):
    """Write somebody into the address book; an entry of that name is replaced."""

    name: Contact
    shown: Annotated[str, Meta(max_length=100)] = ""
    note: Annotated[str, Meta(max_length=500)] = ""


class Remove(Command, frozen=True):
    """Take somebody out of the address book; the pinned identity stays."""

    name: Contact


class Import(Command, frozen=True):
    """Add the entries of a vCard file to the address book."""

    file: File


class Export(Command, frozen=True):
    """Write the address book to a vCard file."""

    file: File


class Seen(Command, frozen=True):
    """The user has seen the missed calls, and the call that ended."""


class Subscribe(Command, frozen=True):
    """Follow what happens: one JSON object with an ``event`` field a line, until the connection ends."""


Any: TypeAlias = (
    Dial
    | Less
    | Redial
    | Answer
    | Refuse
    | Hangup
    | Hold
    | Mute
    | Dtmf
    | Text
    | Record
    | Device
    | Swap
    | Policy
    | Presence
    | Verify
    | Accept
    | Status
    | History
    | People
    | Save
    | Remove
    | Import
    | Export
    | Seen
    | Subscribe
)
ALL: tuple[type[Command], ...] = Any.__args__
BY_NAME = {str(kind.__struct_config__.tag): kind for kind in ALL}
_CONVERT: Callable[[object], Any] = functools.partial(msgspec.convert, type=Any)


def decode(line: bytes) -> Any:
    """The command in one JSON line. Raises ``ValueError`` that says what is wrong with it."""
    try:
        request = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{error}; {known()}") from None
    return converted(request)


def known() -> str:
    """What there is to say."""
    return f"the commands are {', '.join(sorted(BY_NAME))}"


def make(name: str, /, **fields: object) -> Any:
    """The command ``name`` with ``fields``. Raises ``ValueError`` that says what is wrong with it."""
    return converted({"command": name, **fields})


def converted(request: object) -> Any:
    """The command that ``request`` is. Raises ``ValueError`` that names the field which is wrong."""
    try:
        return _CONVERT(request)
    except msgspec.ValidationError as error:
        kind = BY_NAME.get(str(request.get("command"))) if isinstance(request, dict) else None
        if kind is None or not isinstance(request, dict):
            raise ValueError(f"{error}; {known()}") from None
        name, what = fault_of(error, kind, request)
        raise ValueError(f"{name}: {what}" if name else what) from None


def located(file: str) -> Path:
    """The file that is meant: ``~`` is a home, and where there is no such home, a name like any other."""
    try:
        return Path(file).expanduser()
    except RuntimeError:
        return Path(file)


def turned(state: Switch, on: bool) -> bool:
    """What ``state`` makes of a switch that is ``on``."""
    return {"on": True, "off": False}.get(state, not on)
