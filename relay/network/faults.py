"""The fault laboratory: what may be done to a running network, as one request.

cut A B          no light passes: no key is made, and none is relayed over the fibre
eve A B share    an eavesdropper intercepts and resends a share (0..1) of the pulses; when that raises the
                 alarm, the link's pool and every key that came over it and has not been fetched are void;
                 below that only what is distilled shrinks
drain A B        the link's pool is empty at both ends, and gone is the stock that came over it
compromise NODE  the node writes down every end key that it sees from now on
restore [...]    A B: fibre mended, eavesdropper gone; NODE: honest again; nothing named: everything
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from relay.errors import UsageError
from relay.kme.keys import KeyStore

from .network import Network
from .topology import Topology

Action = Literal["cut", "eve", "drain", "compromise", "restore"]
ON_LINKS = ("cut", "eve", "drain")


class FaultRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to do to the network. ``names`` are two nodes for a link, one for a node, or none."""

    action: Action
    names: tuple[str, ...] = ()
    share: float = 1.0


def understood(arguments: Mapping[str, Any], topology: Topology) -> FaultRequest:
    """The request in ``arguments``; raises :class:`UsageError` for what cannot be done to ``topology``."""
    try:
        request = msgspec.convert(dict(arguments), FaultRequest)
    except msgspec.ValidationError as error:
        raise UsageError(f"a fault cannot be understood: {error}") from None
    count = len(request.names)
    if request.action in ON_LINKS and count != 2:
        raise UsageError(f"{request.action} wants the two nodes of a link")
    if request.action == "compromise" and count != 1:
        raise UsageError("compromise wants the name of a node")
    if count > 2:
        raise UsageError("restore wants the two nodes of a link, the name of a node, or nothing")
    if not 0 <= request.share <= 1:
        raise UsageError(f"an eavesdropper's share of the pulses is between 0 and 1, not {request.share:g}")
    for name in request.names:
        topology.known(name)
    if count == 2:
        topology.link(*request.names)
    return request


def apply(request: FaultRequest, network: Network, now: float) -> None:
    """Do it to a network in this process."""
    match request.action, request.names:
        case "cut", (a, b):
            network.cut(a, b, now)
        case "eve", (a, b):
            network.eavesdrop(a, b, request.share, now)
        case "drain", (a, b):
            network.drain(a, b, now)
        case "compromise", (node,):
            network.compromise(node)
        case "restore", (a, b):
            network.restore(a, b, now)
        case "restore", (node,):
            network.recover(node)
        case _:
            for state in network.states:
                network.restore(state.link.a, state.link.b, now)
            for node in tuple(network.captured):
                network.recover(node)


def void(request: FaultRequest, topology: Topology, store: KeyStore) -> None:
    """Let a key node forget what came over a link that is not to be trusted, or not to be relied on.

    An eavesdropper was there before the alarm told of her: stock is void, and so is what waits for slaves.
    Without its stock a pair feels a drained pool at its next key. What had crossed a fibre before it was cut
    is as good as ever.
    """
    if request.action == "drain":
        store.void_stock(*request.names)
    elif request.action == "eve" and topology.link(*request.names).quality(eve=request.share).alarm:
        store.void_stock(*request.names)
        store.void_waiting(*request.names)
