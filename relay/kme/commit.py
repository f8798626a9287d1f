"""One commit for all requests that came together: what a key node answers is on record before it is sent.

A commit costs more than everything else a store does for a request, and requests of many SAEs come in one
turn of the event loop. So stores collect what they are told, and whoever is about to let an answer out waits
here for the commit at the end of the turn. A process that is killed before it has answered nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from relay.errors import StorageError

from .keys import KeyStore


class GroupCommit:
    """Commits ``stores`` together; ask it before anything that they gave leaves the process."""

    def __init__(self, stores: Mapping[str, KeyStore]) -> None:
        self._stores = stores
        self._waiting: list[asyncio.Future[None]] = []

    async def __call__(self) -> None:
        """Return when everything that was done to the stores until now is durable; raises StorageError."""
        if not self._waiting:
            if not any(store.pending for store in self._stores.values()):
                return
            asyncio.get_running_loop().call_soon(self._commit)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        failure = commit(self._stores.values())
        for waiter in waiting:
            if waiter.cancelled():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)


def commit(stores: Iterable[KeyStore]) -> StorageError | None:
    """Commit each of ``stores``, whatever happens to the others; the last failure."""
    failure = None
    for store in stores:
        try:
            store.commit()
        except StorageError as error:
            failure = error
    return failure
