"""Relayed candidates and prompt connectivity checks for one ICE agent of aioice (RFC 8445).

aioice gathers in tasks that outlive their cancellation and swallow the server's refusal; it leaves a check
that was sent too early, before the far TURN server knew us, to its 500 ms timer, although a check that
comes in must cause another at once (section 7.3.1.4); and it waits half a minute for a TURN server that
died before it closes. All three cost a caller time, so all three are done here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aioice import Candidate
from aioice.ice import CandidatePair, StunProtocol, relayed_candidate
from aioice.stun import TransactionError, TransactionFailed

from qcall.errors import QcallError, RelayRefused, Unavailable

ALLOCATE_LIMIT = 5.0
"""Seconds for the relay to give us a media address."""
FULL = (486, 508)
"""Error codes of TURN for a user, and for a server, that has as many allocations as it may have."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Where the TURN server is and how to log in to it (RFC 8656, long-term credentials)."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)


class RelayedIce:
    """Takes hold of ``connection``, an ``aioice.Connection`` whose TURN server is ``relay``."""

    def __init__(self, connection: Any, relay: Relay) -> None:
        self._connection = connection
        self._relay = relay
        self.checked_at: float | None = None
        """When the peer last checked for consent, authenticated, in seconds on the monotonic clock."""
        self._allocating: asyncio.Task[Candidate] | None = None
        self._stopped = False
        self._aioice_check_incoming = connection.check_incoming
        connection.get_component_candidates = self._allocate
        connection.check_incoming = self._check_incoming

    def stop(self) -> None:
        """Let an allocation that is under way, and any later one, fail."""
        self._stopped = True
        if self._allocating is not None:
            self._allocating.cancel()

    def abandon(self) -> None:
        """Stop waiting for the relay to confirm that the allocation is deleted: it expires by itself."""
        for protocol in self._connection._protocols:
            deleting = protocol.transport._TurnTransport__close_task
            if deleting is not None:
                deleting.cancel()

    async def _allocate(self, component: int, addresses: Sequence[str], timeout: int = 5) -> list[Candidate]:
        """In the place of ``Connection.get_component_candidates``: one relayed candidate, or the reason."""
        where = f"the relay's media server at {self._relay.host}:{self._relay.port}"
        ended = Unavailable("the call was ended while it was being set up")
        if self._stopped:
            raise ended
        self._allocating = asyncio.create_task(self._relayed_candidate(component))
        try:
            async with asyncio.timeout(ALLOCATE_LIMIT):
                return [await self._allocating]
        except TransactionFailed as error:
            raise refusal(where, error.response.error_code) from None
        except (TransactionError, TimeoutError, OSError) as error:
            raise Unavailable(f"{where} does not answer; is the relay running?") from error
        except asyncio.CancelledError:
            if self._stopped:
                raise ended from None
            raise

    async def _relayed_candidate(self, component: int) -> Candidate:
        """An allocation, and its place in the connection, which will delete it."""
        candidate, protocol = await relayed_candidate(
            component=component,
            hide_related_address=True,
            protocol_factory=lambda: StunProtocol(self._connection),
            turn_server=(self._relay.host, self._relay.port),
            turn_username=self._relay.username,
            turn_password=self._relay.password,
            turn_ssl=False,
            turn_transport="udp",
        )
        self._connection._protocols.append(protocol)
        return candidate

    def _check_incoming(self, message: Any, address: tuple[str, int], protocol: StunProtocol) -> None:
        """After ``Connection.check_incoming``: repeat at once a check of ours that is still unanswered."""
        self.checked_at = time.monotonic()
        self._aioice_check_incoming(message, address, protocol)
        if self._connection.ice_controlling:
            return
        for pair in self._connection._check_list:
            waiting = pair.state is CandidatePair.State.IN_PROGRESS and pair.task is not None
            if pair.protocol is protocol and pair.remote_addr == address and waiting:
                pair.task.cancel()
                pair.task = None
                pair.state = CandidatePair.State.WAITING
                self._connection.check_start_task(pair)


def refusal(where: str, code: int | None) -> QcallError:
    """What a TURN server's error code means for a call (RFC 8656, section 19); it gives no reasons."""
    if code in FULL:
        return RelayRefused("the relay takes no more calls now; try again later", code="busy-relay")
    told = "gives no code" if code is None else f"error {code}"
    return Unavailable(f"{where} refuses this phone ({told}); start the phone again")
