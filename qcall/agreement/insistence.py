"""Which phone of a call does not do with less than it wants, and why: said with what either user can do.

A call under ``qkd = require``, or with somebody whose calls had more, ends when it cannot have that. Both
users are told whose wish it was, for only that one can be talked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from qcall.errors import CallRefused, Unavailable

from .messages import RefuseCode
from .peer import Pin
from .phone import Phone
from .policy import QkdPolicy
from .suites import STANDARD, rank


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
    had_suite: bool
    """They had a suite that is not the weakest, and nobody has allowed less."""
    required_there: bool
    """The other phone signed that it requires quantum keys, for a reason of its own."""

    @classmethod
    def of(cls, phone: Phone, peer: str, pin: Pin | None, theirs: QkdPolicy, *, outgoing: bool) -> Self:
        """``theirs`` is the policy that the other phone stated."""
        required = phone.policy is QkdPolicy.REQUIRE
        had_suite = suite_floor(phone, pin) > min(suite.rank for suite in STANDARD)
        required_there = theirs is QkdPolicy.REQUIRE
        return cls(phone.name, peer, outgoing, required, had_keys(phone, pin), had_suite, required_there)

    def keys_missing_there(self) -> CallRefused:
        """The other phone refused for want of quantum keys."""
        text = self.without_keys(f"{self.peer}'s phone got no quantum key")
        return CallRefused(text, code=RefuseCode.QKD_REQUIRED)

    def keys_missing_here(self, reason: str) -> Unavailable:
        """This phone's key node gave none; ``reason`` is its code."""
        text = self.without_keys(f"your key node gave no quantum key ({reason})")
        return Unavailable(text, code=RefuseCode.QKD_REQUIRED)

    def suite_missing(self, offered: Iterable[str], taken: Iterable[str] = ()) -> CallRefused:
        """No suite is good enough for both phones; only the callee knows which ones it takes."""
        return CallRefused(self.without_suite(offered, taken), code=RefuseCode.SUITE)

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
        """No suite is good enough, and somebody insists on a better one."""
        had = f" (earlier calls with {self.peer} had it)" if self.had_suite else ""
        offer = " or ".join(offered)
        if self.outgoing:
            what = f"{self.peer}'s phone takes no suite that this one offers, which is {offer}{had}"
            ours = self._allow_here if self.had_suite else "call with a stronger --suite"
        else:
            takes = " or ".join(taken)
            what = f"{self.peer}'s phone offers suite {offer} and this one takes {takes}{had}"
            ours = self._allow_here if self.had_suite else f"listen with --suite {offer}"
        theirs = f"have {self.peer} use --suite or {self._allow_there}, or update the older phone"
        return f"{what}; {ours}, or {theirs}"

    @property
    def _allow_here(self) -> str:
        return allowing_less(self.peer, outgoing=self.outgoing)

    @property
    def _allow_there(self) -> str:
        return allowing_less(self.own, outgoing=not self.outgoing)


def allowing_less(contact: str, *, outgoing: bool) -> str:
    """How a user lets the next call with ``contact`` have less than earlier ones had."""
    return "--allow-less" if outgoing else f"qcall control allow-less {contact}"


def had_keys(phone: Phone, pin: Pin | None) -> bool:
    """Whether calls with the peer had quantum keys, and the user has not allowed less."""
    return pin is not None and pin.qkd_seen and not phone.allow_less


def suite_floor(phone: Phone, pin: Pin | None) -> int:
    """The lowest rank of suite that the peer may have."""
    return 0 if pin is None or phone.allow_less else rank(pin.suite_seen)
