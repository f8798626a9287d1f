"""CreatePermission and ChannelBind (RFC 8656 §9.2, §12.2): which peers an allocation talks to."""

from __future__ import annotations

from .allocating import Answer, Outcome, Request
from .allocation import Allocation, Quotas, Table
from .attributes import CHANNEL_NUMBER, XOR_PEER_ADDRESS
from .authentication import Rejected
from .message import CHANNEL_MAX, CHANNEL_MIN
from .peers import PeerPolicy, Reach


class Permitting:
    """Installs permissions and channels, within the peer policy and the user's quotas."""

    def __init__(self, table: Table, policy: PeerPolicy, quotas: Quotas) -> None:
        self._table = table
        self._policy = policy
        self._quotas = quotas

    def create_permission(self, request: Request) -> Outcome:
        """All of the addresses or none (RFC 8656 §9.2)."""
        allocation = self._allocation(request)
        hosts = dict.fromkeys(host for host, _ in request.message.all(XOR_PEER_ADDRESS))
        if not hosts:
            raise Rejected(400, "XOR-PEER-ADDRESS is missing")
        for host in hosts:
            self._refuse_peer(allocation, host)
        self._make_room(allocation, list(hosts), request.now)
        for host in hosts:
            allocation.permit(host, request.now)
        return Answer()

    def channel_bind(self, request: Request) -> Outcome:
        """Bind or refresh a channel, and with it the permission for its peer (RFC 8656 §12.2)."""
        allocation = self._allocation(request)
        number, peer = request.message.get(CHANNEL_NUMBER), request.message.get(XOR_PEER_ADDRESS)
        if number is None or peer is None or not CHANNEL_MIN <= number <= CHANNEL_MAX:
            raise Rejected(400, "a channel number in range and a peer are needed")
        channel, other = allocation.channel(number, request.now), allocation.channel_to(peer, request.now)
        if (channel is not None and channel.peer != peer) or (other is not None and other.number != number):
            raise Rejected(400, "the number or the peer is bound otherwise")
        self._refuse_peer(allocation, peer[0])
        self._make_room(allocation, [peer[0]], request.now)
        if channel is None:
            allocation.usage.purge(request.now)
            if allocation.usage.channels >= self._quotas.channels:
                raise Rejected(508, "the user has as many channels as they may have")
        allocation.bind(number, peer, request.now)
        allocation.permit(peer[0], request.now)
        return Answer()

    def _allocation(self, request: Request) -> Allocation:
        allocation = self._table.by_tuple.get(request.five_tuple)
        if allocation is None:
            raise Rejected(437, "there is no allocation")
        if allocation.username != request.identity.username:
            raise Rejected(441, "the allocation is another user's")
        return allocation

    def _refuse_peer(self, allocation: Allocation, host: str) -> None:
        if allocation.relayed_for(host) is None:
            raise Rejected(443, "the allocation has no address of the peer's family")
        if self._policy.reach(host) is Reach.DENIED:
            raise Rejected(403, "the peer's address is denied")

    def _make_room(self, allocation: Allocation, hosts: list[str], now: float) -> None:
        new = sum(host not in allocation.permissions for host in hosts)
        if not new:
            return
        allocation.usage.purge(now)
        if allocation.usage.permissions + new > self._quotas.permissions:
            raise Rejected(508, "the user has as many permissions as they may have")
