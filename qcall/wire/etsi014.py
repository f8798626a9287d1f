"""ETSI GS QKD 014 V1.1.1: paths, data formats and vendor extensions between an SAE and its key node.

Clause 5 gives the three methods, clause 6 the data formats. Optional members that are absent are left out
of the JSON, never sent as ``null``. Unlike our own wire formats these models ignore members they do not
know: the specification leaves room for later members and names no error for them, and what a caller wants
to have refused when it is not understood belongs in ``extension_mandatory``.

Vendor extensions of this project carry the prefix ``qcall_`` (clause 6 asks for a vendor prefix):

``qcall_seal``            request: deliver sealed to this one-time public key; container: how it was sealed
``qcall_route``           request: the node path wanted; key: the one taken; status: the one a key would take
``qcall_hops``            status: that path's links: ``a``, ``b``, ``km``, and what is known of pool and rate
``qcall_faults``          status: links of shorter routes that are cut, under alarm, or without key
``qcall_max_hops``        request: at most so many hops
``qcall_disjoint_paths``  request: split the key over so many node-disjoint paths
``qcall_qber``            key: quantum bit error rate of every hop of the path
``qcall_age``             key: age in seconds of the link key that carried it over every hop
``qcall_keys_left``       status: keys that stock and links could give now
``qcall_keys_per_second`` status: keys a second that the links can make
``qcall_calls``           status: calls that share them, one key each a rekey
``qcall_simulated``       key, status: true, because these quantum links are simulated
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import msgspec

Method = Literal["status", "enc_keys", "dec_keys"]
Extension = dict[str, Any]

PREFIX = "/api/v1/keys/"
SEAL = "qcall_seal"
ROUTE = "qcall_route"
MAX_HOPS = "qcall_max_hops"
DISJOINT_PATHS = "qcall_disjoint_paths"
QBER = "qcall_qber"
AGE = "qcall_age"
KEYS_LEFT = "qcall_keys_left"
KEYS_PER_SECOND = "qcall_keys_per_second"
HOPS = "qcall_hops"
FAULTS = "qcall_faults"
CALLS = "qcall_calls"
SIMULATED = "qcall_simulated"

# The texts of error 400 that clauses 5.2 and 5.3 mandate.
SIZE_NOT_BYTES = "size shall be a multiple of 8"
EXTENSION_UNKNOWN = "not all extension_mandatory parameters are supported"
EXTENSION_UNMET = "not all extension_mandatory request options could be met"
KEY_NOT_FOUND = "one or more keys specified are not found on KME"


class BadFormat(ValueError):
    """A request or an answer does not follow the data formats; the text says where."""


def _etsi_name(field: str) -> str:
    """``source_kme_id`` is ``source_KME_ID`` on the wire: the specification writes its initials large."""
    return (
        re.sub(r"(kme|sae)(?=_id)", lambda m: m[0].upper(), field)
        .replace("_ids", "_IDs")
        .replace("_id", "_ID")
    )


class _Model(msgspec.Struct, frozen=True, omit_defaults=True, rename=_etsi_name):
    """Unknown members are ignored, absent members stay absent."""


ModelT = TypeVar("ModelT", bound=_Model)


class Status(_Model, frozen=True, kw_only=True):
    """Clause 6.1. Sizes in bits, counts in keys; ``max_sae_id_count`` 0 would mean no multicast."""

    source_kme_id: str
    target_kme_id: str
    master_sae_id: str
    slave_sae_id: str
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_sae_id_count: int
    status_extension: Extension | None = None


class KeyRequest(_Model, frozen=True, kw_only=True):
    """Clause 6.2. ``size`` in bits; None means the key node's own ``key_size``."""

    number: int | None = None
    size: int | None = None
    additional_slave_sae_ids: tuple[str, ...] | None = None
    extension_mandatory: tuple[Extension, ...] | None = None
    extension_optional: tuple[Extension, ...] | None = None


class Key(_Model, frozen=True, kw_only=True):
    """One key of clause 6.3. ``key`` is base64 (RFC 4648 clause 4), of the sealed key when sealed."""

    key_id: str
    key: str
    key_id_extension: Extension | None = None
    key_extension: Extension | None = None

    def __repr__(self) -> str:
        return f"Key({self.key_id}, <secret>)"


class KeyContainer(_Model, frozen=True, kw_only=True):
    """Clause 6.3."""

    keys: tuple[Key, ...]
    key_container_extension: Extension | None = None


class KeyId(_Model, frozen=True, kw_only=True):
    """One key ID of clause 6.4: a UUID in its text form (RFC 4122)."""

    key_id: str
    key_id_extension: Extension | None = None


class KeyIds(_Model, frozen=True, kw_only=True):
    """Clause 6.4."""

    key_ids: tuple[KeyId, ...]
    key_ids_extension: Extension | None = None


class Error(_Model, frozen=True, kw_only=True):
    """Clause 6.5: the body of every answer that is not 200."""

    message: str
    details: tuple[Extension, ...] | None = None


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The value of ``qcall_seal``: an HPKE suite (RFC 9180) and, in a request, the one-time public key.

    ``public_key`` is the ML-KEM-1024 encapsulation key (1568 bytes) followed by the uncompressed P-384
    point (97 bytes), the order of the MLKEM1024-P384 hybrid KEM.
    """

    kem: Literal["MLKEM1024-P384"] = "MLKEM1024-P384"
    kdf: Literal["HKDF-SHA384"] = "HKDF-SHA384"
    aead: Literal["AES-256-GCM"] = "AES-256-GCM"
    public_key: bytes = b""

    def suite(self) -> dict[str, str]:
        """The suite alone: what a container says of how it was sealed."""
        return {"kem": self.kem, "kdf": self.kdf, "aead": self.aead}


def seal_info(kme_id: str, master_sae_id: str, slave_sae_id: str, key_id: str) -> bytes:
    """HPKE's ``info``: a sealed key opens only as this key, of this pair, from this key node."""
    parts = (b"qcall/1 seal", *(part.encode() for part in (kme_id, master_sae_id, slave_sae_id, key_id)))
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def encode(model: _Model) -> bytes:
    """JSON in UTF-8 (clause 6), absent members left out."""
    return msgspec.json.encode(model)


def decode(data: bytes, model: type[ModelT]) -> ModelT:
    """The model in a JSON body; an empty body is an empty object. Raises :class:`BadFormat`."""
    try:
        return msgspec.json.decode(data or b"{}", type=model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFormat(str(error)) from None
    except RecursionError:
        raise BadFormat("its members are too deep in each other") from None


def path(sae_id: str, method: Method) -> str:
    """The path of a method (clause 5.1), the SAE ID percent-encoded (RFC 3986 clause 2.1)."""
    return f"{PREFIX}{quote(sae_id, safe='')}/{method}"


def parse_path(raw: str) -> tuple[str, Method] | None:
    """The SAE ID and method of a path still percent-encoded; None when it is no path of this interface."""
    head, _, method = raw.rpartition("/")
    encoded = head.removeprefix(PREFIX)
    if encoded == head or not encoded or "/" in encoded or method not in get_args(Method):
        return None
    try:
        return unquote_to_bytes(encoded).decode(), method  # type: ignore[return-value]
    except UnicodeDecodeError:
        return None


def key_request_of_query(query: str) -> KeyRequest:
    """GET on ``enc_keys``: ``number`` and ``size``, or nothing (clause 5.2)."""
    values = {name: _integer(name, value) for name, value in _pairs(query, ("number", "size"))}
    return KeyRequest(number=values.get("number"), size=values.get("size"))


def key_ids_of_query(query: str) -> KeyIds:
    """GET on ``dec_keys``: exactly one ``key_ID`` (clause 5.3)."""
    pairs = _pairs(query, ("key_ID",))
    if len(pairs) != 1:
        raise BadFormat("GET takes exactly one key_ID; use POST for several")
    return KeyIds(key_ids=(KeyId(key_id=pairs[0][1]),))


def _pairs(query: str, names: Sequence[str]) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=8)
    except ValueError:
        raise BadFormat("the query string is malformed") from None
    for name, _ in pairs:
        if name not in names:
            raise BadFormat(f"GET does not take {name!r}; use POST")
    if len({name for name, _ in pairs}) != len(pairs):
        raise BadFormat("a parameter is given twice")
    return pairs


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BadFormat(f"{name} shall be an integer")
    return int(text)
