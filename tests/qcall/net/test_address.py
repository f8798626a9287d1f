"""The forms in which people write where a relay is."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.errors import UsageError
from qcall.net.address import RelayAddress


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("ws://127.0.0.1:7480", "ws://127.0.0.1:7480"),
        ("ws://127.0.0.1:7480/", "ws://127.0.0.1:7480"),
        ("127.0.0.1:7480", "ws://127.0.0.1:7480"),
        ("127.9.9.9:1", "ws://127.9.9.9:1"),
        ("localhost:7480", "ws://localhost:7480"),
        ("[::1]:7480", "ws://[::1]:7480"),
        ("wss://127.0.0.1:7480", "wss://127.0.0.1:7480"),
        ("relay.example:443", "wss://relay.example:443"),
        ("wss://relay.example:443", "wss://relay.example:443"),
        ("[2001:db8::1]:7480", "wss://[2001:db8::1]:7480"),
    ],
)
def test_tls_everywhere_but_on_loopback(text: str, url: str) -> None:
    assert str(RelayAddress.parse(text)) == url


@pytest.mark.parametrize("text", ["ws://relay.example:80", "ws://192.0.2.1:80", "ws://127.0.0.1.example:80"])
def test_nothing_is_sent_in_the_clear(text: str) -> None:
    with pytest.raises(UsageError, match="wss://"):
        RelayAddress.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "relay",
        "relay.example",
        ":80",
        "wss://",
        "wss://relay.example",
        "wss://relay.example:0",
        "wss://relay.example:65536",
        "wss://relay.example:port",
        "https://relay.example:443",
        "wss://relay.example:443/other",
        "wss://relay.example:443/?q",
        "wss://alice:secret@relay.example:443",
        "wss://[::1",
        "relay.example :443",
        "wss://relay.example:443#top",
    ],
)
def test_what_is_no_relay_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        RelayAddress.parse(text)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(UsageError):
        address = RelayAddress.parse(text)
        assert RelayAddress.parse(str(address)) == address


def test_what_is_said_about_a_wrong_address_is_one_line() -> None:
    with pytest.raises(UsageError) as raised:
        RelayAddress.parse("relay\nexample:1")
    assert len(str(raised.value).splitlines()) == 1
