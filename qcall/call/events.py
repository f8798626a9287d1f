"""What happens to one call, and what the call then wants done.

Inputs are facts, in the past tense. Effects are orders to the driver, in the imperative; they carry no
secrets. Reasons are the stable words that ``--json`` shows and that the history stores.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Input(enum.Enum):
    """A fact that the call machine is told."""

    DIALLED = "the user dials"
    INVITED = "the first message of a caller came"
    AGREED = "M1 to M4 are complete and verified"
    CONFIRMED = "both sides proved on the media path that they hold the same keys"
    ANSWERED = "the user answers"
    PEER_ANSWERED = "the far user answered (authenticated, on the control channel)"
    HUNG_UP = "the user hangs up, cancels or declines"
    PEER_ENDED = "the far phone ended the call, or the relay could not deliver it"
    FAILED = "the agreement, the key node, the media path or a device failed"


class Reason(enum.StrEnum):
    """Why a call ended."""

    HANGUP = "hangup"
    REMOTE_HANGUP = "remote-hangup"
    CANCELLED = "cancelled"
    DECLINED = "declined"
    NO_ANSWER = "no-answer"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ring:
    """Alert the user: an authenticated caller waits."""


@dataclass(frozen=True, slots=True)
class RingBack:
    """Tell the user that the far phone rings."""


@dataclass(frozen=True, slots=True)
class TellAnswered:
    """Send ``answered`` on the control channel."""


@dataclass(frozen=True, slots=True)
class StartMedia:
    """Let the microphone and the speaker onto the connection."""


@dataclass(frozen=True, slots=True)
class TellEnded:
    """Tell the far phone, by the best channel there is, that the call is over and why."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Release:
    """Close the connection, the devices and the timers, and wipe the keys. Always the last effect."""

    reason: str


Effect = Ring | RingBack | TellAnswered | StartMedia | TellEnded | Release
