"""One exchange with an SAE, free of HTTP libraries: request, reply, and the refusals of ETSI GS QKD 014."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from qcall.wire import etsi014
from relay.errors import Refused


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``sae_id`` is the caller's, from its certificate; ``path`` is still encoded."""

    method: str
    path: str
    query: str
    body: bytes
    sae_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, to be sent ``delay`` seconds from now: that is when the keys in it have arrived."""

    status: int
    body: bytes
    delay: float = 0.0
    key_ids: tuple[str, ...] = ()
    """For the audit log."""
    headers: tuple[tuple[str, str], ...] = ()


class KmeRefusal(Refused):
    """An answer other than 200."""

    code = "kme-refusal"

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *details: dict[str, Any],
        allow: str = "",
        after: float = math.inf,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = details
        self.allow = allow
        self.after = after

    def reply(self) -> Reply:
        """Clause 6.5; RFC 9110 sections 15.5.6 for 405 and 10.2.3 for Retry-After in seconds."""
        headers: tuple[tuple[str, str], ...] = (("Allow", self.allow),) if self.allow else ()
        if self.after < math.inf:
            headers += (("Retry-After", str(math.ceil(self.after))),)
        return Reply(
            self.status, etsi014.encode(etsi014.Error(message=str(self), details=self.details or None)),
            headers=headers,
        )  # fmt: skip
