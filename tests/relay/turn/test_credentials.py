"""Static users and names that expire."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import UsageError
from relay.turn.credentials import SharedSecret, StaticUsers

SECRET = b"between signalling and TURN"


def test_a_minted_name_carries_expiry_site_and_user():
    name, password = SharedSecret(SECRET).mint("alice", "beijing", 1_000.0, 60.0)
    assert name == "1060:beijing:alice"
    account = SharedSecret(SECRET).account(name)
    assert (account.user, account.site, account.expires, account.password) == (
        "alice",
        "beijing",
        1060.0,
        password,
    )


def test_the_password_is_the_hmac_that_every_turn_server_computes():
    _, password = SharedSecret(SECRET).mint("alice", "beijing", 1_000.0, 60.0)
    assert password == base64.b64encode(hmac.digest(SECRET, b"1060:beijing:alice", hashlib.sha1)).decode()


def test_a_name_without_a_site_is_one_user():
    account = SharedSecret(SECRET).account("1060:alice")
    assert (account.user, account.site) == ("alice", None)


def test_another_secret_gives_another_password():
    assert SharedSecret(SECRET).account("1:u").password != SharedSecret(b"other").account("1:u").password


def test_names_that_were_voided_are_nobody_and_later_ones_of_the_same_user_are_not():
    secret = SharedSecret(SECRET)
    secret.void("alice", 1_060.0)
    assert secret.account("1060:beijing:alice") is None
    assert secret.account("1061:beijing:alice") is not None
    assert secret.account("1060:beijing:bob") is not None


def test_a_static_user_is_voided_for_good():
    users = StaticUsers.parse(["alice:wonderland", "bob:builder"])
    users.void("alice", 0.0)
    users.void("nobody", 0.0)
    assert users.account("alice") is None
    assert users.account("bob") is not None


@pytest.mark.parametrize(
    "name", ["", "alice", ":alice", "soon:alice", "-5:alice", "1060:", "1060::alice", "١:alice"]
)
def test_names_of_another_shape_are_nobody(name):
    assert SharedSecret(SECRET).account(name) is None


@given(st.text())
def test_no_name_raises(name):
    SharedSecret(SECRET).account(name)


def test_a_site_with_a_colon_is_refused():
    with pytest.raises(UsageError):
        SharedSecret(SECRET).mint("alice", "bei:jing", 0.0, 60.0)


def test_static_users_are_parsed():
    users = StaticUsers.parse(["alice:wonder:land", "bob:b"])
    assert users.account("alice").password == "wonder:land"
    assert users.account("carol") is None


@pytest.mark.parametrize("text", ["alice", "alice:", ":secret"])
def test_a_wrong_user_is_refused_without_showing_it(text):
    with pytest.raises(UsageError) as refused:
        StaticUsers.parse([text])
    assert "secret" not in str(refused.value)


def test_a_user_is_given_once():
    with pytest.raises(UsageError):
        StaticUsers.parse(["alice:a", "alice:b"])


def test_an_account_does_not_print_its_password():
    assert "wonderland" not in repr(StaticUsers.parse(["alice:wonderland"]).account("alice"))
