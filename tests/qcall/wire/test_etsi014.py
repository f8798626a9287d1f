"""Paths and data formats of ETSI GS QKD 014."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.wire import etsi014
from qcall.wire.etsi014 import BadFormat, KeyContainer, KeyIds, KeyRequest, Status

STATUS = """{"source_KME_ID":"AAAABBBBCCCCDDDD","target_KME_ID":"EEEEFFFFGGGGHHHH",
"master_SAE_ID":"IIIIJJJJKKKKLLLL","slave_SAE_ID":"MMMMNNNNOOOOPPPP","key_size":352,"stored_key_count":25000,
"max_key_count":100000,"max_key_per_request":128,"max_key_size":1024,"min_key_size":64,"max_SAE_ID_count":0}"""
REQUEST = """{"number":20,"size":512,"additional_slave_SAE_IDs":["ABCDEFG"],
"extension_mandatory":[{"abc_route_type":"direct"},{"abc_transfer_method":"qkd"}],
"extension_optional":[{"abc_max_age":30000}]}"""
CONTAINER = """{"keys":[{"key_ID":"bc490419-7d60-487f-adc1-4ddcc177c139",
"key":"wHHVxRwDJs3/bXd38GHP3oe4svTuRpZS0yCC7x4Ly+s="}]}"""
KEY_IDS = """{"key_IDs":[{"key_ID":"bc490419-7d60-487f-adc1-4ddcc177c139"}]}"""


@pytest.mark.parametrize(
    ("text", "model"),
    [(STATUS, Status), (REQUEST, KeyRequest), (CONTAINER, KeyContainer), (KEY_IDS, KeyIds)],
    ids=["status", "request", "container", "ids"],
)
def test_bodies_in_the_standards_form_survive_a_round_trip(text: str, model: type) -> None:
    assert json.loads(etsi014.encode(etsi014.decode(text.encode(), model))) == json.loads(text)


def test_absent_members_are_not_sent_as_null() -> None:
    assert etsi014.encode(KeyRequest(number=1)) == b'{"number":1}'


def test_an_empty_body_asks_for_the_defaults() -> None:
    assert etsi014.decode(b"", KeyRequest) == KeyRequest()


def test_members_of_other_vendors_are_ignored() -> None:
    assert etsi014.decode(b'{"number":2,"acme":1}', KeyRequest) == KeyRequest(number=2)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"number":"x"}', b'{"number":1.5}', b"\xff", b'{"number":true}']
)
def test_a_body_of_the_wrong_shape_is_named(body: bytes) -> None:
    with pytest.raises(BadFormat):
        etsi014.decode(body, KeyRequest)


def test_a_body_that_is_nested_beyond_measure_is_of_the_wrong_shape() -> None:
    deep = b'{"extension_mandatory":[{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}]}"
    with pytest.raises(BadFormat, match="too deep"):
        etsi014.decode(deep, KeyRequest)


@given(st.text(min_size=1), st.sampled_from(["status", "enc_keys", "dec_keys"]))
def test_any_sae_id_survives_its_path(sae_id: str, method: etsi014.Method) -> None:
    assert etsi014.parse_path(etsi014.path(sae_id, method)) == (sae_id, method)


def test_an_sae_id_cannot_reach_into_the_path() -> None:
    assert etsi014.path("a/../b?c#d", "status") == "/api/v1/keys/a%2F..%2Fb%3Fc%23d/status"


@pytest.mark.parametrize(
    "raw",
    ["/", "/api/v1/keys//status", "/api/v1/keys/a/b/status", "/api/v1/keys/a/other", "/x/a/status",
     "/api/v1/keys/%ff/status", "/api/v1/keys/a"],
)  # fmt: skip
def test_other_paths_are_none(raw: str) -> None:
    assert etsi014.parse_path(raw) is None


def test_get_carries_number_and_size() -> None:
    assert etsi014.key_request_of_query("number=3&size=1024") == KeyRequest(number=3, size=1024)
    assert etsi014.key_request_of_query("") == KeyRequest()


@pytest.mark.parametrize(
    "query", ["number=x", "number=-1", "number=", "other=1", "number=1&number=2", "number"]
)
def test_a_wrong_query_is_refused(query: str) -> None:
    with pytest.raises(BadFormat):
        etsi014.key_request_of_query(query)


@pytest.mark.parametrize("query", ["", "key_ID=a&key_ID=b", "id=a"])
def test_get_with_key_ids_takes_exactly_one(query: str) -> None:
    with pytest.raises(BadFormat):
        etsi014.key_ids_of_query(query)


@given(
    st.lists(st.text(max_size=4), min_size=4, max_size=4),
    st.lists(st.text(max_size=4), min_size=4, max_size=4),
)
def test_what_a_seal_is_bound_to_is_unambiguous(one: list[str], other: list[str]) -> None:
    assert (etsi014.seal_info(*one) == etsi014.seal_info(*other)) == (one == other)


def test_a_key_never_prints() -> None:
    container = etsi014.decode(CONTAINER.encode(), KeyContainer)
    assert "wHHV" not in repr(container)
