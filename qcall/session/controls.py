"""What a command does to the call in front; the answers are plain data."""

from __future__ import annotations

from typing import Any, TypeAlias

from qcall.errors import UsageError
from qcall.media.sides import Sides

from . import commands
from .conversation import Conversation
from .sound import Opener

Control: TypeAlias = (
    commands.Hold | commands.Mute | commands.Dtmf | commands.Text | commands.Record | commands.Device
)


async def carry_out(command: Control, call: Conversation, devices: Opener) -> dict[str, Any]:
    """Do it. Raises ``UsageError`` for what cannot be done now, ``DeviceError`` as the devices do."""
    match command:
        case commands.Hold(state):
            await call.hold(commands.turned(state, call.held))
            return {"held": call.held}
        case commands.Mute(state):
            call.mute(commands.turned(state, call.muted))
            return {"muted": call.muted}
        case commands.Dtmf(digits):
            call.press(digits)
            return {"sent": digits}
        case commands.Text(text):
            call.say(text)
            return {"sent": text}
        case commands.Record():
            return record(command, call)
        case commands.Device(kind, name):
            await call.change_device(devices, kind, name)
            return {kind: name}


def record(command: commands.Record, call: Conversation) -> dict[str, Any]:
    """Begin a recording, or end it; the answer says what was asked for, the event when it has come true."""
    on = commands.turned(command.state, call.recording is not None)
    if not on:
        file = call.recording
        call.stop_recording()
        return {"recording": False, "file": None if file is None else str(file)}
    if not command.file:
        raise UsageError("a recording needs a new file; give it: record on FILE.wav")
    file = commands.located(command.file)
    call.start_recording(file, Sides(command.sides))
    return {"recording": True, "file": str(file)}
