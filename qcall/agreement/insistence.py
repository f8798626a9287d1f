"""Which phone of a call does not do with less than it wants, and why: said with what either user can do.

A call under ``qkd = require``, or with somebody whose calls had more, ends when it cannot have that. Both
users are told whose wish it was, for only that one can be talked about. Advice to do with less is given upon
what the other phone has proved to have said or this one knows itself, and upon nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from qcall.errors import AgreementFailed, CallRefused, Unavailable

from .messages import RefuseCode
from .peer import Pin
from .phone import Phone
from .policy import QkdPolicy
from .suites import STANDARD, rank

NEWER = "only suites that this phone does not know"


@dataclass(frozen=True, slots=True)
class Insistence:
    """The wishes of both phones, as far as this one knows them."""

    own: str
    peer: str
    outgoing: bool
    required: bool
    """This phone's policy is ``require``."""
    had_keys: bool
    """Earlier calls with the peer had quantum keys, and the user has not allowed less for this one."""
    had_suite: str | None
    """The suite they had, if it is not the weakest, and nobody has allowed less."""
    required_there: bool
    """The other phone signed that it requires quantum keys, for a reason of its own."""

    @classmethod
    def of(cls, phone: Phone, peer: str, pin: Pin | None, theirs: QkdPolicy, *, outgoing: bool) -> Self:
        """``theirs`` is the policy that the other phone stated."""
        required = phone.policy is QkdPolicy.REQUIRE
        weakest = min(suite.rank for suite in STANDARD)
        had_suite = pin.suite_seen if pin is not None and suite_floor(phone, pin) > weakest else None
        required_there = theirs is QkdPolicy.REQUIRE
        return cls(phone.name, peer, outgoing, required, had_keys(phone, pin), had_suite, required_there)

    def keys_missing_there(self) -> CallRefused:
        """The other phone refused for want of quantum keys, under its seal and after it was authenticated."""
        text = self.without_keys(f"{self.peer}'s phone got no quantum key")
        return CallRefused(text, code=RefuseCode.QKD_REQUIRED)

    def keys_missing_here(self, reason: str) -> Unavailable:
        """This phone's key node gave none; ``reason`` is its code."""
        text = self.without_keys(f"your key node gave no quantum key ({reason})")
        return Unavailable(text, code=RefuseCode.QKD_REQUIRED)

    def keys_not_renewed_here(self, reason: str) -> Unavailable:
        """A call that was up has had no quantum key for its next epoch for too long."""
        text = self.without_keys(f"no quantum key came when the keys were to be renewed ({reason})")
        return Unavailable(text, code=RefuseCode.QKD_REQUIRED)

    def keys_not_renewed_there(self) -> CallRefused:
        """The other phone says so, on the control channel."""
        text = self.without_keys("no quantum key came when the keys were to be renewed")
        return CallRefused(text, code=RefuseCode.QKD_REQUIRED)

    def suite_missing(self, offered: Iterable[str], taken: Iterable[str]) -> CallRefused:
        """No suite is good enough for both phones, says the callee: only it knows which ones it takes."""
        return CallRefused(self.without_suite(offered, taken), code=RefuseCode.SUITE)

    def suite_not_offered(self) -> AgreementFailed:
        """This phone is set to less than it had with the peer, and does not dial with that."""
        assert self.had_suite is not None
        return AgreementFailed(
            f"calls with {self.peer} have had suite {self.had_suite} and this phone is set to less; use"
            f" --suite {setting(self.had_suite)}, or if less is meant this time: {self._allow_here}",
            code="downgrade",
        )

    def without_keys(self, missing: str) -> str:
        """There is no quantum key, as ``missing`` says, and somebody insists on one."""
        because = [f"earlier calls with {self.peer} had one"] if self.had_keys else []
        because += ["its policy is require"] if self.required else []
        here, there = " and ".join(because), self.required_there
        who = {
            (True, True): f"both phones insist on one (this one because {here})",
            (True, False): f"this phone insists on one ({here})",
            (False, True): f"{self.peer}'s phone insists on one",
            (False, False): "this call requires one",
        }[bool(here), there]
        ours = " and ".join(
            (["--qkd prefer"] if self.required else []) + ([self._allow_here] if self.had_keys else [])
        )
        theirs = f"--qkd prefer or {self._allow_there}"
        without = {
            (True, True): f", or do without on both phones: {ours} here, {theirs} there",
            (True, False): f", or do without: {ours}",
            (False, True): f", or have {self.peer} do without: {theirs}",
            (False, False): "",
        }[bool(here), there]
        return f"{missing}, and {who}; try again when the key network is back{without}"

    def without_suite(self, offered: Iterable[str], taken: Iterable[str]) -> str:
        """No suite is good enough. What M1 offers is nobody's word yet, so that it counsels nobody to lower
        anything: only the weaker side may be raised."""
        offer = sorted((name for name in offered if rank(name)), key=rank)
        take = sorted(taken, key=rank)
        had = f"earlier calls with {self.peer} had {self.had_suite}"
        what = f"a call in {self.peer}'s name offers {'suite ' + ' or '.join(offer) if offer else NEWER}"
        if not take:
            return f"{what}; {had} and this phone is set to less: use --suite {setting(str(self.had_suite))}"
        what += f", and this phone takes {' or '.join(take)}" + (f" ({had})" if self.had_suite else "")
        if not offer:
            return f"{what}; update this phone, or ask {self.peer}"
        if rank(offer[-1]) > rank(take[-1]):
            return f"{what}; use --suite {setting(offer[-1])} on this phone"
        raised = f"--suite {setting(take[0])}"
        return f"{what}; that cannot be checked, so ask {self.peer}, who may have to use {raised} or update"

    @property
    def _allow_here(self) -> str:
        return allowing_less(self.peer, outgoing=self.outgoing)

    @property
    def _allow_there(self) -> str:
        return allowing_less(self.own, outgoing=not self.outgoing)


def allowing_less(contact: str, *, outgoing: bool) -> str:
    """How a user lets the next call with ``contact`` have less than earlier ones had, in every interface."""
    running = f"qcall control allow-less {contact}"
    return f"--allow-less (where a phone runs: {running})" if outgoing else running


def setting(suite: str) -> str:
    """The value of the setting ``suite`` that offers this one."""
    return "Q5+" if suite.startswith("Q5+") else suite


def had_keys(phone: Phone, pin: Pin | None) -> bool:
    """Whether calls with the peer had quantum keys, and the user has not allowed less."""
    return pin is not None and pin.qkd_seen and not phone.allow_less


def suite_floor(phone: Phone, pin: Pin | None) -> int:
    """The lowest rank of suite that the peer may have."""
    return 0 if pin is None or phone.allow_less else rank(pin.suite_seen)
