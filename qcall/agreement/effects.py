"""What the agreement wants done. The session runs these in order; none of them shows a secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qcall.errors import QcallError

from .control import Message
from .kem_work import Worked
from .peer import Peer
from .receipt import SignedReceipt
from .schedule import SrtpKeys
from .security import SecurityInfo


@dataclass(frozen=True, slots=True)
class Send:
    """Carry this to the other phone, through signalling, as it is."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class NeedOffer:
    """Caller: gather candidates and give the SDP to ``offer``."""


@dataclass(frozen=True, slots=True)
class FetchEncKeys:
    """Caller: get a key for this SAE from the own key node; ``qkd_keys`` or ``qkd_failed``."""

    slave_sae: str
    number: int


@dataclass(frozen=True, slots=True)
class FetchDecKeys:
    """Callee: get these keys, which that SAE drew; ``qkd_keys`` or ``qkd_failed``."""

    master_sae: str
    key_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compute:
    """Do this beside the call, for it may take long; ``computed``, or ``abort`` with what it raised."""

    job: Callable[[], Worked] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NeedAnswer:
    """Callee: apply the caller's SDP, authenticated, and give the own one to ``answer``."""

    offer: str


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """Caller: apply the callee's SDP, authenticated; DTLS starts."""

    answer: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """M1 to M4 are complete and verified. On the callee this is the moment to ring."""

    security: SecurityInfo


@dataclass(frozen=True, slots=True)
class SendControl:
    """Put this on the data channel; ``kind`` says what it is, for a trace."""

    data: bytes
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Both sides proved over DTLS that they hold the same keys: media may be let through."""


@dataclass(frozen=True, slots=True)
class Received:
    """A control message of the peer, authenticated."""

    message: Message


@dataclass(frozen=True, slots=True)
class StageEpoch:
    """Be ready to receive media of this epoch, beside the current one."""

    keys: SrtpKeys


@dataclass(frozen=True, slots=True)
class SwitchEpoch:
    """Send media of this epoch as soon as the sequence number is safe."""

    epoch: int


@dataclass(frozen=True, slots=True)
class RetireEpoch:
    """Forget how to receive media of this epoch and of those before."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """A new epoch holds. Show it, above all when the quantum layer went or came back."""

    security: SecurityInfo


@dataclass(frozen=True, slots=True)
class RekeyFailing:
    """Three rekeys have failed: warn the user. At ``ends_at`` the call ends, unless a rekey succeeds."""

    reason: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class ReceiptReady:
    """Keep this: what both phones state about the call."""

    receipt: SignedReceipt


@dataclass(frozen=True, slots=True)
class Closed:
    """After ``hang_up``: nothing more is to come, the connection can be closed."""


@dataclass(frozen=True, slots=True)
class Abort:
    """It is over, and every key of it is wiped. Always the last effect.

    ``failure`` is the precise reason, for this phone only. ``peer`` is set when the other phone had proved
    an identity; with code ``identity-changed`` it holds the old and the new one.
    """

    failure: QcallError
    peer: Peer | None = None


Effect = (
    Send
    | NeedOffer
    | FetchEncKeys
    | FetchDecKeys
    | Compute
    | NeedAnswer
    | RemoteAnswer
    | Agreed
    | SendControl
    | Confirmed
    | Received
    | StageEpoch
    | SwitchEpoch
    | RetireEpoch
    | Rekeyed
    | RekeyFailing
    | ReceiptReady
    | Closed
    | Abort
)
Effects = tuple[Effect, ...]
