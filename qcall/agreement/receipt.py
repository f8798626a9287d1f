"""What is left of a call: a statement that both phones sign when it ends, and that anyone can check.

It holds who called whom, suite, policy, and for every epoch the quantum keys by name and the transcript
hash; never key bytes. Whoever hangs up says up to which epoch it counts; the other phone signs the same
statement from its own record or none. Both signatures are over H(lp("qcall/1 receipt", receipt)).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from qcall.crypto.identity import ML_DSA_65, ML_DSA_87, Fingerprint, Identity, PublicIdentity, Role, Signature
from qcall.crypto.kdf import Label, digest
from qcall.errors import UsageError

from .control import SignaturePair
from .messages import Bytes16, Hash, IdentityKeys, Name, SuiteName, encode, show_identity
from .policy import QkdPolicy, QkdState
from .schedule import Direction
from .security import QkdInfo


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody in a call."""

    name: Name
    identity: IdentityKeys


class EpochRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one epoch rested on. ``qber`` and ``age`` (s) are per hop of ``path``."""

    qkd: QkdState
    reason: str | None
    key_ids: tuple[str, ...]
    path: tuple[str, ...]
    qber: tuple[float, ...]
    age: tuple[float, ...]
    transcript: Hash


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The statement. ``epochs`` begins with epoch 0."""

    version: Annotated[int, Meta(ge=1, le=1)]
    call_id: Bytes16
    suite: SuiteName
    scheme: str
    policy: QkdPolicy
    caller: Party
    callee: Party
    epochs: Annotated[tuple[EpochRecord, ...], Meta(min_length=1)]

    def sign(self, identity: Identity) -> SignaturePair:
        """This phone's signatures."""
        signature = identity.sign(Role.RECEIPT, self._digest(), self.scheme)
        return SignaturePair(signature.ed25519, signature.mldsa)

    def signed_by(self, party: Party, pair: SignaturePair) -> bool:
        """Whether ``pair`` is the party's signature under this statement."""
        if self.scheme not in (ML_DSA_65, ML_DSA_87):
            return False
        return identity_of(party, self.scheme).verify(
            Role.RECEIPT, self._digest(), Signature(pair.ed25519, pair.mldsa)
        )

    def up_to(self, epoch: int) -> Receipt:
        """The same statement without later epochs."""
        return msgspec.structs.replace(self, epochs=self.epochs[: epoch + 1])

    def _digest(self) -> bytes:
        return digest(Label.RECEIPT, encode(self))


class Ledger:
    """What one phone writes down while the call lasts."""

    def __init__(self, own: Identity, direction: Direction, receipt: Receipt) -> None:
        self._own = own
        self._direction = direction
        self._receipt = receipt
        self._signed: dict[int, SignaturePair] = {}

    @property
    def epoch(self) -> int:
        """The last epoch written down."""
        return len(self._receipt.epochs) - 1

    def add(self, qkd: QkdInfo, transcript: bytes) -> None:
        """A new epoch."""
        epochs = (*self._receipt.epochs, record(qkd, transcript))
        self._receipt = msgspec.structs.replace(self._receipt, epochs=epochs)

    def sign(self, epoch: int) -> SignaturePair:
        """This phone's signatures under the statement up to ``epoch``; made once: copies are equal."""
        if epoch not in self._signed:
            self._signed[epoch] = self._receipt.up_to(epoch).sign(self._own)
        return self._signed[epoch]

    def signed(self, epoch: int, theirs: SignaturePair | None) -> SignedReceipt:
        """The statement up to ``epoch`` with this phone's signatures, and the peer's if they are right."""
        receipt, pairs = self._receipt.up_to(epoch), {self._direction: self.sign(epoch)}
        peer = receipt.callee if self._direction is Direction.I else receipt.caller
        if theirs is not None and receipt.signed_by(peer, theirs):
            pairs[self._direction.other] = theirs
        return SignedReceipt(receipt, pairs.get(Direction.I), pairs.get(Direction.R))


class SignedReceipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The statement with the signatures of both; ``None`` where a phone was gone before it signed."""

    receipt: Receipt
    caller: SignaturePair | None
    callee: SignaturePair | None

    def as_json(self) -> bytes:
        """One JSON object; byte strings as base64."""
        return msgspec.json.encode(self)

    def problems(self) -> list[str]:
        """What is wrong with it, one line each; empty when both phones signed this statement."""
        found = []
        for role, party, pair in (
            ("caller", self.receipt.caller, self.caller),
            ("callee", self.receipt.callee, self.callee),
        ):
            if pair is None:
                found.append(f"the {role} {party.name} did not sign")
            elif not self.receipt.signed_by(party, pair):
                found.append(f"the signatures of the {role} {party.name} are wrong")
        return found

    def fingerprints(self) -> tuple[Fingerprint, Fingerprint]:
        """The identities of caller and callee, to compare with the contacts."""
        receipt = self.receipt
        caller, callee = (identity_of(each, receipt.scheme) for each in (receipt.caller, receipt.callee))
        return caller.fingerprint, callee.fingerprint


def record(qkd: QkdInfo, transcript: bytes) -> EpochRecord:
    """An epoch for a receipt."""
    return EpochRecord(qkd.state, qkd.reason, qkd.key_ids, qkd.path, qkd.qber, qkd.age, transcript)


def identity_of(party: Party, scheme: str) -> PublicIdentity:
    """The identity that a receipt names."""
    return PublicIdentity(party.identity.ed25519, scheme, party.identity.mldsa, party.identity.other)


def party(name: str, identity: PublicIdentity) -> Party:
    """Somebody for a receipt."""
    return Party(name, show_identity(identity))


def load(data: bytes) -> SignedReceipt:
    """A receipt from JSON. UsageError when it is none."""
    try:
        signed = msgspec.json.decode(data, type=SignedReceipt)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"this is not a receipt of a call: {error}") from None
    if signed.receipt.scheme not in (ML_DSA_65, ML_DSA_87):
        raise UsageError("this receipt was signed with a scheme this qcall does not know; update qcall")
    return signed


def compare(one: SignedReceipt, other: SignedReceipt) -> list[str]:
    """In what two phones' receipts of one call differ, one line each; signatures may be on either."""
    mine, theirs = (msgspec.to_builtins(each.receipt) for each in (one, other))
    found = [f"{field} differs" for field in mine if mine[field] != theirs[field]]
    return (
        found
        + [f"this receipt: {each}" for each in one.problems()]
        + [f"the other receipt: {each}" for each in other.problems()]
    )
