"""ETSI GS QKD 014 V1.1.1 as a function: a request of an authenticated SAE in, an answer out.

Status, get key and get key with key IDs (clauses 5.1-5.3), every mandated error with its text, always with a
JSON body. What it stands on are two interfaces, :class:`~relay.kme.keys.KeyStore` and
:class:`~relay.kme.keys.Supply`. It is a coroutine only because a supply may have to ask other nodes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from cryptography.hazmat.primitives.hpke import MLKEM1024P384PublicKey

from qcall.wire import etsi014
from qcall.wire.etsi014 import BadFormat, Key, KeyContainer, KeyIds, KeyRequest
from relay.errors import NoKeyMaterial, StorageError

from . import seal
from .exchange import KmeRefusal, Reply, Request
from .extensions import BadExtension, Options, understand
from .keys import (
    MAX_WAITING,
    UNIT_BITS,
    Assignment,
    EndKey,
    KeyStore,
    NotASlave,
    NotHeld,
    Supply,
    TooManyWaiting,
    fresh_key_id,
    joined,
)
from .quota import Quota
from .reservations import Reservations, WayLink
from .sharing import NoShare, Sharing

MAX_SAE_ID = 256
"""Characters of an SAE ID; the standard sets no limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one key node grants. Sizes in bits, times in seconds."""

    key_size: int = UNIT_BITS
    min_key_size: int = 64
    max_key_size: int = 4096
    max_key_per_request: int = 64
    max_key_count: int = MAX_WAITING
    """Keys of one master that may wait for its slaves at one time."""
    max_slaves: int = 16
    """Additional slaves of one request (``max_SAE_ID_count``)."""
    keys_per_second: float = 10.0
    """What one master SAE may take in the long run: a call takes one a minute."""
    burst: int = 256
    """What it may take at once. Long keys count as several."""
    time_to_live: float = 300.0
    """How long a slave may take to fetch its key."""


DEFAULT_LIMITS = Limits()


def _unseen(key_id: str, key: bytes) -> None:
    """Nobody watches the node."""


class KeyService:
    """One key node. ``home_of`` tells which key node serves an SAE, ``entropy`` gives n random bytes.

    ``saw`` gets key ID and key of what is made here for two SAEs of this key node. ``reservations`` are
    shared by all key nodes whose keys cross the same links.
    """

    def __init__(
        self,
        kme_id: str,
        node: str,
        store: KeyStore,
        supply: Supply,
        *,
        home_of: Callable[[str], str | None],
        entropy: Callable[[int], bytes],
        limits: Limits = DEFAULT_LIMITS,
        saw: Callable[[str, bytes], None] = _unseen,
        reservations: Reservations | None = None,
    ) -> None:
        self.kme_id = kme_id
        self.limits = limits
        self._node = node
        self._store = store
        self._supply = supply
        self._home_of = home_of
        self._entropy = entropy
        self._saw = saw
        self._quota = Quota(limits.keys_per_second, limits.burst)
        self._sharing = Sharing(reservations)

    async def respond(self, request: Request, now: float) -> Reply:
        """Answer ``request`` at unix time ``now``; every fault becomes an answer."""
        try:
            return await self._dispatch(request, now)
        except KmeRefusal as refusal:
            return refusal.reply()
        except BadFormat as error:
            return KmeRefusal(
                HTTPStatus.BAD_REQUEST, f"request does not follow the data format: {error}"
            ).reply()
        except NoShare as error:
            details = {"code": error.code}
            return KmeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), details, after=error.wait).reply()
        except (NoKeyMaterial, StorageError) as error:
            return KmeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"code": error.code}).reply()

    async def _dispatch(self, request: Request, now: float) -> Reply:
        parsed = etsi014.parse_path(request.path)
        if parsed is None:
            raise KmeRefusal(HTTPStatus.NOT_FOUND, "no such path; see ETSI GS QKD 014 clause 5")
        other, method = parsed
        allowed = ("GET",) if method == "status" else ("GET", "POST")
        if request.method not in allowed:
            raise KmeRefusal(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{method} takes {' or '.join(allowed)}",
                allow=", ".join(allowed),
            )
        if self._home_of(request.sae_id) != self.kme_id:
            raise KmeRefusal(HTTPStatus.UNAUTHORIZED, f"this SAE is not served by {self.kme_id}")
        if method == "status":
            return self._status(request.sae_id, other, now)
        if method == "enc_keys":
            asked = (
                etsi014.decode(request.body, KeyRequest)
                if request.method == "POST"
                else etsi014.key_request_of_query(request.query)
            )
            return await self._get_key(request.sae_id, other, asked, now)
        wanted = (
            etsi014.decode(request.body, KeyIds)
            if request.method == "POST"
            else etsi014.key_ids_of_query(request.query)
        )
        return self._get_key_with_ids(other, request.sae_id, wanted, now)

    def _status(self, master: str, slave: str, now: float) -> Reply:
        target = self._target(slave)
        limits = self.limits
        stored = limits.max_key_count if target == self.kme_id else self._supply.stored(target, now)
        status = etsi014.Status(
            source_kme_id=self.kme_id,
            target_kme_id=target,
            master_sae_id=master,
            slave_sae_id=slave,
            key_size=limits.key_size,
            stored_key_count=stored,
            max_key_count=limits.max_key_count,
            max_key_per_request=limits.max_key_per_request,
            max_key_size=limits.max_key_size,
            min_key_size=limits.min_key_size,
            max_sae_id_count=limits.max_slaves,
            status_extension={etsi014.SIMULATED: True, **self._budget(target, now)},
        )
        return Reply(HTTPStatus.OK, etsi014.encode(status))

    def _budget(self, target: str, now: float) -> dict[str, Any]:
        """What the network could still give towards ``target``: how long a phone's rekeys last, and how."""
        if target == self.kme_id:
            return {}
        left, rate = self._supply.budget(target, now)
        outlook = self._supply.outlook(target)
        return {
            etsi014.ROUTE: outlook.path,
            etsi014.HOPS: outlook.hops,
            etsi014.FAULTS: [
                {"link": [fault.a, fault.b], "condition": fault.condition} for fault in outlook.faults
            ],
            etsi014.KEYS_LEFT: left,
            etsi014.KEYS_PER_SECOND: round(rate, 3),
            etsi014.CALLS: self._sharing.calls(target, now),
        }

    async def _get_key(self, master: str, slave: str, asked: KeyRequest, now: float) -> Reply:
        number, size = self._amount(asked)
        slaves = (slave, *(asked.additional_slave_sae_ids or ()))
        if len(slaves) - 1 > self.limits.max_slaves:
            _bad(f"at most {self.limits.max_slaves} additional_slave_SAE_IDs")
        if len(set(slaves)) != len(slaves):
            _bad("a slave SAE is named twice")
        by_target: dict[str, list[str]] = {}
        for each in slaves:
            by_target.setdefault(self._target(each), []).append(each)
        options = _understood(asked.extension_mandatory or (), asked.extension_optional or ())
        if self._store.count_waiting(master, now) + number > self.limits.max_key_count:
            raise KmeRefusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many keys of this SAE wait for their slaves; fetch them first",
            )
        units = math.ceil(size / UNIT_BITS)
        targets = [target for target in by_target if target != self.kme_id]
        try:
            for target in targets:
                self._admit(master, target, number * units, now)
            if wait := self._quota.take(master, number * units, now):
                raise KmeRefusal(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "this SAE takes more than its share of the keys; ask again later",
                    {"code": "quota"},
                    after=wait,
                )
            keys = await self._drawn(master, by_target, number, size, options, now)
        except (NoKeyMaterial, KmeRefusal, StorageError):
            for target in targets:
                self._sharing.failed(master, target)
            raise
        for target in targets:
            self._sharing.took(master, target, number * units, now)
        return self._container(keys, master, slave, options.seal_to, now)

    def _admit(self, master: str, target: str, number: int, now: float) -> None:
        def budget() -> tuple[int, Sequence[WayLink]]:
            way = self._supply.way(target)
            left = min((link.left for link in way), default=0.0)
            return self._supply.stored(target, now) + int(left), way

        self._sharing.admit(master, target, number, budget, now)

    async def _drawn(
        self,
        master: str,
        by_target: dict[str, list[str]],
        number: int,
        size: int,
        options: Options,
        now: float,
    ) -> list[EndKey]:
        """Keys that every key node concerned knows the slaves of; a failure gives back what it can."""
        units = math.ceil(size / UNIT_BITS)
        targets = [target for target in by_target if target != self.kme_id]
        try:
            taken = await self._take(targets, number * units, options, now)
            groups = [taken[i : i + units] for i in range(0, len(taken), units)]
            keys = [joined(group[0].key_id, group, size) for group in groups]
            try:
                await self._hand_over(keys, groups, size, master, by_target, now)
            except TooManyWaiting:  # said before anything was done
                if len(targets) == 1:
                    self._supply.give_back(targets[0], taken)
                raise
        except (NoKeyMaterial, KmeRefusal, StorageError):
            self._quota.give_back(master, number * units)
            raise
        return keys

    async def _take(self, targets: Sequence[str], number: int, options: Options, now: float) -> list[EndKey]:
        if not targets:  # both SAEs are at this key node: no quantum link lies between them
            fresh = [(fresh_key_id(self._entropy, now), self._entropy(32)) for _ in range(number)]
            for made in fresh:
                self._saw(*made)
            return [EndKey(key_id, key, ((self._node,),), ready_at=now) for key_id, key in fresh]
        for wish in options.wishes:
            try:
                return await self._supply.take(targets, number, wish, now)
            except NoKeyMaterial as error:
                if error.code != "no-route":
                    raise
        reason = {"reason": "no path from here meets the request"}
        raise KmeRefusal(HTTPStatus.BAD_REQUEST, etsi014.EXTENSION_UNMET, reason)

    async def _hand_over(
        self,
        keys: Sequence[EndKey],
        groups: Sequence[Sequence[EndKey]],
        size: int,
        master: str,
        by_target: dict[str, list[str]],
        now: float,
    ) -> None:
        """Before the master sees a key, every slave's key node knows whose it is."""
        for target, slaves in by_target.items():
            if target == self.kme_id:
                continue
            assignments = [
                Assignment(key.key_id, tuple(unit.key_id for unit in group), size, master, tuple(slaves))
                for key, group in zip(keys, groups, strict=True)
            ]
            await self._supply.assign(target, assignments, now)
        for key in keys if self.kme_id in by_target else ():
            self._store.hold(key, master, by_target[self.kme_id], expires=now + self.limits.time_to_live)

    def _get_key_with_ids(self, master: str, slave: str, wanted: KeyIds, now: float) -> Reply:
        key_ids = [each.key_id for each in wanted.key_ids]
        if not 0 < len(key_ids) <= self.limits.max_key_per_request:
            _bad(f"give between 1 and {self.limits.max_key_per_request} key_IDs")
        # A retrieval has no extension_mandatory (clause 6.4); a seal that is asked for is never left out.
        asked = wanted.key_ids_extension or {}
        sealing = ({etsi014.SEAL: asked[etsi014.SEAL]},) if etsi014.SEAL in asked else ()
        options = _understood(sealing, ())
        if len(set(key_ids)) != len(key_ids):  # the second of two would find its key gone
            _bad(etsi014.KEY_NOT_FOUND)
        try:
            keys = self._store.deliver(master, slave, key_ids, now)
        except NotHeld:
            _bad(etsi014.KEY_NOT_FOUND)
        except NotASlave:
            raise KmeRefusal(
                HTTPStatus.UNAUTHORIZED, "the master SAE did not name this SAE as a slave of the key"
            ) from None
        return self._container(keys, master, slave, options.seal_to, now)

    def _container(
        self, keys: Sequence[EndKey], master: str, slave: str, to: MLKEM1024P384PublicKey | None, now: float
    ) -> Reply:
        listed = []
        for key in keys:
            info = etsi014.seal_info(self.kme_id, master, slave, key.key_id)
            shown = key.key if to is None else seal.seal(key.key, to, info)
            listed.append(
                Key(key_id=key.key_id, key=base64.b64encode(shown).decode(), key_extension=_origin(key))
            )
        container = KeyContainer(
            keys=tuple(listed),
            key_container_extension=None if to is None else {etsi014.SEAL: etsi014.Seal().suite()},
        )
        delay = max(0.0, *(key.ready_at - now for key in keys))
        return Reply(HTTPStatus.OK, etsi014.encode(container), delay, tuple(key.key_id for key in keys))

    def _amount(self, asked: KeyRequest) -> tuple[int, int]:
        """Number and size in bits, within the limits (clause 5.2)."""
        number = 1 if asked.number is None else asked.number
        size = self.limits.key_size if asked.size is None else asked.size
        if not 1 <= number <= self.limits.max_key_per_request:
            _bad(f"number shall be between 1 and {self.limits.max_key_per_request}")
        if size % 8:
            _bad(etsi014.SIZE_NOT_BYTES)
        if not self.limits.min_key_size <= size <= self.limits.max_key_size:
            _bad(f"size shall be between {self.limits.min_key_size} and {self.limits.max_key_size}")
        return number, size

    def _target(self, slave: str) -> str:
        target = self._home_of(slave) if len(slave) <= MAX_SAE_ID else None
        if target is None:
            _bad("a slave SAE is not known to this KME")
        return target


def _bad(message: str, *details: dict[str, Any]) -> NoReturn:
    raise KmeRefusal(HTTPStatus.BAD_REQUEST, message, *details)


def _origin(key: EndKey) -> dict[str, Any]:
    """What ``key_extension`` tells: node paths, error rate and age per hop, and that it is simulated."""
    return {
        etsi014.ROUTE: key.paths[0] if len(key.paths) == 1 else key.paths,
        etsi014.QBER: [round(value, 6) for value in key.qber],
        etsi014.AGE: [round(value, 3) for value in key.age],
        etsi014.SIMULATED: True,
    }


def _understood(mandatory: Sequence[etsi014.Extension], optional: Sequence[etsi014.Extension]) -> Options:
    try:
        return understand(mandatory, optional)
    except BadExtension as error:
        _bad(error.message, *error.details)
