"""libopus, bound directly: sizes, sound, redundancy."""

from __future__ import annotations

import ctypes.util
import importlib.util
import wave
from pathlib import Path

import numpy as np
import pytest

from qcall.errors import DeviceError
from qcall.media import opus
from qcall.media.opus import (
    Decoder,
    Encoder,
    OpusError,
    Samples,
    carries_fec,
    duration,
    is_speech_only,
)
from qcall.media.quality import locate

SPEECH = Path(__file__).parents[2] / "data/speech"


@pytest.fixture(scope="module", params=["F1", "M1"])
def speech(request: pytest.FixtureRequest) -> Samples:
    with wave.open(str(SPEECH / f"{request.param}_harvard_phrases.wav")) as file:
        return np.frombuffer(file.readframes(3 * 48_000), np.int16)


def frames(speech: Samples, size: int) -> list[Samples]:
    return [speech[at : at + size] for at in range(0, len(speech) - size + 1, size)]


def encode(speech: Samples, encoder: Encoder) -> list[bytes]:
    return [encoder.encode(frame) for frame in frames(speech, encoder.frame_samples)]


@pytest.mark.parametrize("frame_ms", [10, 20])
def test_speech_survives_the_codec(speech: Samples, frame_ms: int) -> None:
    encoder, decoder = Encoder(frame_ms=frame_ms), Decoder()
    heard = np.concatenate([decoder.decode(packet) for packet in encode(speech, encoder)])
    match = locate(speech[4_800:96_000], heard)
    assert match.peak > 0.93
    assert abs(match.lag - 4_800 - encoder.lookahead) <= 4


@pytest.mark.parametrize("frame_ms", [10, 20])
@pytest.mark.parametrize("bitrate", [16_000, 32_000, 64_000])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_every_packet_has_the_same_size(speech: Samples, frame_ms: int, bitrate: int, loss: float) -> None:
    encoder = Encoder(frame_ms=frame_ms, bitrate=bitrate, expected_loss=loss)
    silence = np.zeros(48_000, np.int16)  # DTX, if it were on, would begin after 400 ms
    packets = encode(np.concatenate((silence, speech[:48_000], silence)), encoder)
    assert {len(packet) for packet in packets} == {bitrate * frame_ms // 8000}
    assert {duration(packet) for packet in packets} == {encoder.frame_samples}


@pytest.mark.parametrize("samples", [1, 119, 120, 121, 480, 777])
def test_any_number_of_samples_can_be_made_up(speech: Samples, samples: int) -> None:
    decoder = Decoder()
    decoder.decode(encode(speech, Encoder())[0])
    assert len(decoder.conceal(samples)) == samples


def test_a_lost_frame_comes_back_from_the_next_packet(speech: Samples) -> None:
    packets = encode(speech, Encoder(expected_loss=0.05))
    clean = Decoder()
    truth = [clean.decode(packet) for packet in packets]

    def errors(with_fec: bool) -> list[float]:
        """The error of every tenth frame, lost, that the next packet could repair; over its energy."""
        found = []
        decoder = Decoder()
        for index, packet in enumerate(packets[:-1]):
            if index % 10 != 5 or not carries_fec(packets[index + 1]):
                decoder.decode(packet)
                continue
            repair = decoder.recover(packets[index + 1], 960) if with_fec else decoder.conceal(960)
            energy = float(np.sum(truth[index].astype(float) ** 2))
            found.append(float(np.sum((truth[index] - repair.astype(float)) ** 2)) / max(energy, 1.0))
        return found

    with_fec, concealed = errors(True), errors(False)
    assert len(with_fec) >= 5
    assert np.median(with_fec) < 0.5 * np.median(concealed)


def test_redundancy_follows_the_expected_loss(speech: Samples) -> None:
    encoder = Encoder(expected_loss=0.0)
    assert not any(carries_fec(packet) for packet in encode(speech, encoder))
    encoder.expected_loss = 0.01
    packets = encode(speech, encoder)
    assert sum(carries_fec(packet) for packet in packets) > len(packets) / 2


@pytest.mark.parametrize("bitrate", [24_000, 32_000, 64_000])
@pytest.mark.parametrize("frame_ms", [10, 20])
def test_redundancy_is_seen_as_libopus_sees_it(speech: Samples, bitrate: int, frame_ms: int) -> None:
    if not hasattr(opus.library(), "opus_packet_has_lbrr"):
        pytest.skip("this libopus is older than 1.5")
    for loss in (0.0, 0.08, 0.2):
        for packet in encode(speech, Encoder(frame_ms=frame_ms, bitrate=bitrate, expected_loss=loss)):
            assert carries_fec(packet) == bool(opus.library().opus_packet_has_lbrr(packet, len(packet)))


@pytest.mark.parametrize("packet", [b"", b"\x03", b"\x03\x01", b"\x03\x41\xff\xff", b"\x48", b"\xff" * 9])
def test_what_is_no_packet_carries_no_redundancy(packet: bytes) -> None:
    assert not carries_fec(packet)


def test_garbage_is_an_error_not_a_crash() -> None:
    with pytest.raises(OpusError):
        Decoder().decode(b"\x03\x00")
    with pytest.raises(OpusError):
        duration(b"")


@pytest.mark.parametrize("wrong", [{"frame_ms": 5}, {"bitrate": 8_000}, {"bitrate": 96_000}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Encoder(**wrong)


def test_a_frame_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="960 samples"):
        Encoder().encode(np.zeros(480, np.int16))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    opus.library.cache_clear()
    try:
        with pytest.raises(DeviceError, match="Opus library") as caught:
            Encoder()
        assert caught.value.code == "opus-missing"
    finally:
        opus.library.cache_clear()


@pytest.mark.parametrize("frame_ms", [10, 20])
def test_with_fec_packets_are_speech_only_in_silence_too(speech: Samples, frame_ms: int) -> None:
    sound = np.concatenate((np.zeros(48_000, np.int16), speech))
    with_fec = encode(sound, Encoder(frame_ms=frame_ms, expected_loss=0.05))
    assert all(is_speech_only(packet) for packet in with_fec)
    assert not any(is_speech_only(packet) for packet in encode(sound, Encoder(frame_ms=frame_ms))[10:])
    assert not is_speech_only(b"")
