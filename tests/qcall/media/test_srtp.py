"""Epochs of SRTP keys: what opens, what never does, and where one epoch may follow another."""

from __future__ import annotations

import hashlib
import struct

import pylibsrtp
import pytest

from qcall.crypto.secret import Secret
from qcall.media.srtp import KEY_LENGTH, SrtpEpochs, SrtpKeyPair


def key(name: str) -> Secret:
    return Secret(hashlib.shake_256(name.encode()).digest(KEY_LENGTH))


def caller(epoch: int) -> SrtpKeyPair:
    return SrtpKeyPair(send=key(f"to callee {epoch}"), receive=key(f"to caller {epoch}"))


def callee(epoch: int) -> SrtpKeyPair:
    return SrtpKeyPair(send=key(f"to caller {epoch}"), receive=key(f"to callee {epoch}"))


def pair() -> tuple[SrtpEpochs, SrtpEpochs]:
    return SrtpEpochs(caller(0)), SrtpEpochs(callee(0))


def rtp(sequence: int, payload: bytes = b"speech" * 13) -> bytes:
    return struct.pack("!BBHII", 0x80, 96, sequence & 0xFFFF, 960 * sequence & 0xFFFFFFFF, 7) + payload


RTCP = struct.pack("!BBHI", 0x80, 201, 1, 7)


def test_rtp_and_rtcp_cross() -> None:
    alice, bob = pair()
    assert bob.unprotect(alice.protect(rtp(1))) == rtp(1)
    assert alice.unprotect(bob.protect(rtp(9))) == rtp(9)
    assert bob.unprotect_rtcp(alice.protect_rtcp(RTCP)) == RTCP


def test_the_cipher_is_gcm_with_a_tag_of_16_bytes() -> None:
    alice, _ = pair()
    protected = alice.protect(rtp(1))
    assert len(protected) == len(rtp(1)) + 16
    assert b"speech" not in protected


def test_a_wrong_key_never_opens_a_packet() -> None:
    alice, _ = pair()
    eve = SrtpEpochs(SrtpKeyPair(send=key("eve"), receive=key("eve")))
    for sequence in range(100):
        with pytest.raises(pylibsrtp.Error):
            eve.unprotect(alice.protect(rtp(sequence)))
    assert eve.failures == eve.failures_in_a_row == 100


def test_a_flipped_bit_is_noticed_anywhere() -> None:
    alice, bob = pair()
    protected = alice.protect(rtp(1))
    for bit in range(8 * len(protected)):
        forged = bytearray(protected)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(pylibsrtp.Error):
            bob.unprotect(bytes(forged))
    assert bob.unprotect(protected) == rtp(1)
    assert bob.failures_in_a_row == 0


def test_a_replayed_packet_is_refused_and_not_counted_as_forged() -> None:
    alice, bob = pair()
    protected = alice.protect(rtp(1))
    bob.unprotect(protected)
    with pytest.raises(pylibsrtp.Error, match="repeats"):
        bob.unprotect(protected)
    assert bob.failures == 0


def test_a_sequence_number_is_never_protected_twice() -> None:
    alice, _ = pair()
    alice.protect(rtp(1))
    with pytest.raises(pylibsrtp.Error):
        alice.protect(rtp(1, b"another payload"))


@pytest.mark.parametrize("junk", [b"", b"\x80", bytes(11), b"\x80" * 1_499, b"\x80" * 65_000])
def test_junk_from_the_network_is_refused(junk: bytes) -> None:
    _, bob = pair()
    with pytest.raises(pylibsrtp.Error):
        bob.unprotect(junk)
    with pytest.raises(pylibsrtp.Error):
        bob.unprotect_rtcp(junk)


def test_keys_are_wiped_once_they_are_in_use() -> None:
    keys = caller(0)
    SrtpEpochs(keys)
    assert keys.send.wiped
    assert keys.receive.wiped


def test_a_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="44 bytes"):
        SrtpEpochs(SrtpKeyPair(send=Secret(bytes(30)), receive=Secret(bytes(30))))


def rekeyed(start: int) -> tuple[SrtpEpochs, SrtpEpochs]:
    """Two phones at sequence number ``start`` that have both staged epoch 1."""
    alice, bob = pair()
    bob.unprotect(alice.protect(rtp(start)))
    alice.stage(caller(1))
    bob.stage(callee(1))
    return alice, bob


def test_no_packet_is_lost_to_a_rekey() -> None:
    alice, bob = rekeyed(2_000)
    late = alice.protect(rtp(2_001))
    alice.switch()
    first = alice.protect(rtp(2_002))
    assert alice.sending == 1
    assert bob.unprotect(first) == rtp(2_002)
    assert bob.receiving == 1
    assert bob.unprotect(late) == rtp(2_001)
    assert bob.unprotect(alice.protect(rtp(2_003))) == rtp(2_003)
    assert bob.failures == 0


def test_both_directions_switch_on_their_own() -> None:
    alice, bob = rekeyed(2_000)
    alice.switch()
    bob.unprotect(alice.protect(rtp(2_001)))
    assert bob.sending == 0
    assert alice.unprotect(bob.protect(rtp(3_000))) == rtp(3_000)


def test_a_staged_epoch_is_not_sent_before_the_switch() -> None:
    alice, _ = rekeyed(2_000)
    alice.protect(rtp(2_001))
    assert (alice.sending, alice.staged) == (0, True)


def test_rtcp_follows_the_switch() -> None:
    alice, bob = rekeyed(2_000)
    alice.switch()
    alice.protect(rtp(2_001))
    assert bob.unprotect_rtcp(alice.protect_rtcp(RTCP)) == RTCP


@pytest.mark.parametrize("sequence", [0, 1_024, 60_000, 65_535])
def test_no_epoch_begins_near_the_wrap(sequence: int) -> None:
    alice, _ = rekeyed(sequence - 10 & 0xFFFF)
    alice.switch()
    alice.protect(rtp(sequence))
    assert alice.sending == 0


def test_a_rekey_at_the_wrap_waits_and_loses_nothing() -> None:
    alice, bob = rekeyed(65_000)
    alice.switch()
    for sequence in range(65_001, 65_536 + 1_100):
        assert bob.unprotect(alice.protect(rtp(sequence))) == rtp(sequence)
    assert (alice.sending, bob.receiving, bob.failures) == (1, 1, 0)


def test_a_second_stage_waits_for_the_first_switch() -> None:
    alice, _ = rekeyed(65_000)
    with pytest.raises(ValueError, match="not in use"):
        alice.stage(caller(2))


def test_a_retired_epoch_opens_nothing() -> None:
    alice, bob = rekeyed(2_000)
    late = alice.protect(rtp(2_001))
    alice.switch()
    bob.unprotect(alice.protect(rtp(2_002)))
    bob.retire()
    with pytest.raises(pylibsrtp.Error):
        bob.unprotect(late)


def test_an_epoch_is_kept_while_the_peer_still_sends_it() -> None:
    alice, bob = rekeyed(2_000)
    bob.switch()
    bob.protect(rtp(2_001))
    bob.retire()
    assert bob.unprotect(alice.protect(rtp(2_001))) == rtp(2_001)


def test_many_epochs_follow_each_other() -> None:
    alice, bob = pair()
    for epoch in range(1, 30):
        for phone, keys in ((alice, caller(epoch)), (bob, callee(epoch))):
            phone.stage(keys)
            phone.switch()
        assert bob.unprotect(alice.protect(rtp(2_000 + epoch))) == rtp(2_000 + epoch)
        assert alice.unprotect(bob.protect(rtp(2_000 + epoch))) == rtp(2_000 + epoch)
        alice.retire()
        bob.retire()
    assert len(bob._rx) == 1


def test_wiped_keys_protect_and_open_nothing() -> None:
    alice, bob = pair()
    protected = alice.protect(rtp(1))
    alice.wipe()
    bob.wipe()
    with pytest.raises(pylibsrtp.Error):
        alice.protect(rtp(2))
    with pytest.raises(pylibsrtp.Error):
        bob.unprotect(protected)
