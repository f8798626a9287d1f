"""Sources and sinks without hardware: their sound, their pace, their faults."""

from __future__ import annotations

import asyncio
import time
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from qcall.errors import DeviceError
from qcall.media.devices import NullSink, NullSource, Source, ToneSource, WavSink, WavSource
from qcall.media.playout import BLOCK, SILENCE
from qcall.media.quality import locate


def write_wav(file: Path, sound: np.ndarray, rate: int, channels: int = 1) -> Path:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(sound.astype(np.int16).tobytes())
    return file


def sweep(rate: int, seconds: float) -> np.ndarray:
    t = np.arange(int(rate * seconds)) / rate
    return (9_000 * np.sin(2 * np.pi * (300 * t + 900 * t**2))).astype(np.int16)


async def read(source: Source, blocks: int) -> np.ndarray:
    try:
        return np.concatenate([await source.read() for _ in range(blocks)])
    finally:
        source.close()


async def test_a_file_at_48_khz_comes_out_as_it_is(tmp_path: Path) -> None:
    sound = sweep(48_000, 0.2)
    heard = await read(WavSource(write_wav(tmp_path / "in.wav", sound, 48_000)), 20)
    assert np.array_equal(heard, sound)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (44_100, 2), (96_000, 1)])
async def test_any_rate_and_any_channels_are_converted(tmp_path: Path, rate: int, channels: int) -> None:
    sound = np.repeat(sweep(rate, 0.3), channels)
    heard = await read(WavSource(write_wav(tmp_path / "in.wav", sound, rate, channels)), 30)
    match = locate(sweep(48_000, 0.3)[4_800:9_600], heard)
    assert match.peak > 0.99
    assert abs(match.lag - 4_800) < 48


async def test_a_file_ends_in_silence(tmp_path: Path) -> None:
    source = WavSource(write_wav(tmp_path / "in.wav", np.full(BLOCK + 100, 500), 48_000))
    heard = await read(source, 4)
    assert np.count_nonzero(heard) == BLOCK + 100
    assert len(heard) == 4 * BLOCK


async def test_a_file_that_is_cut_short_plays_to_its_end(tmp_path: Path) -> None:
    file = write_wav(tmp_path / "in.wav", sweep(48_000, 0.2), 48_000)
    file.write_bytes(file.read_bytes()[: -BLOCK * 10 - 1])
    heard = await read(WavSource(file), 20)
    assert 0 < np.count_nonzero(heard) < 9_600


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"no file .*absent\.wav"):
        WavSource(tmp_path / "absent.wav")


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF\0\0\0\0WAVE", bytes(5_000)])
def test_a_file_without_sound_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "in.wav"
    file.write_bytes(content)
    with pytest.raises(DeviceError, match=r"in\.wav .*give a WAV file"):
        WavSource(file)


def test_a_directory_is_no_sound(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="give a WAV file"):
        WavSource(tmp_path)


async def test_a_tone_has_its_pitch_across_blocks() -> None:
    heard = await read(ToneSource(1_000.0), 20)
    spectrum = np.abs(np.fft.rfft(heard.astype(float)))
    assert np.argmax(spectrum) * 48_000 / len(heard) == pytest.approx(1_000, abs=5)
    assert np.sort(spectrum)[-2] < 0.01 * spectrum.max()


async def test_sound_comes_no_faster_than_it_is_spoken() -> None:
    before = time.monotonic()
    await read(NullSource(), 20)
    assert time.monotonic() - before >= 0.199


async def test_several_blocks_come_when_the_last_of_them_is_spoken() -> None:
    source = ToneSource()
    before = time.monotonic()
    pairs = np.concatenate([await source.read(2) for _ in range(5)])
    assert time.monotonic() - before >= 0.099
    assert np.array_equal(pairs, await read(ToneSource(), 10))


async def test_a_source_that_was_held_up_catches_up() -> None:
    source = NullSource()
    await source.read()
    time.sleep(0.08)  # the program is busy elsewhere: this is the fault under test, not a wait
    before = time.monotonic()
    await read(source, 8)
    assert time.monotonic() - before < 0.06


async def test_a_sink_wants_a_block_every_10_ms() -> None:
    sink = NullSink()
    before = time.monotonic()
    for _ in range(21):
        await sink.wanted()
        sink.write(SILENCE)
    assert time.monotonic() - before >= 0.199


def test_a_recording_is_whole_when_closed(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "out.wav")
    sound = sweep(48_000, 0.25)
    for at in range(0, len(sound), BLOCK):
        sink.write(sound[at : at + BLOCK])
    sink.close()
    sink.close()
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 48_000)
        assert np.array_equal(np.frombuffer(file.readframes(10**6), np.int16), sound)


def test_a_recording_is_whole_at_every_moment(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "out.wav")
    for count in range(35):
        with av.open(str(tmp_path / "out.wav")) as container:
            assert container.streams.audio[0].rate == 48_000
        with wave.open(str(tmp_path / "out.wav")) as file:
            assert count * BLOCK - file.getnframes() in range(10 * BLOCK)
        sink.write(SILENCE)
    sink.close()


def test_a_recording_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot write"):
        WavSink(tmp_path / "absent" / "out.wav")


def test_a_full_disk_is_named() -> None:
    with pytest.raises(DeviceError, match=r"/dev/full.*No space left"):
        WavSink(Path("/dev/full"))


async def test_a_machine_without_sound_card_is_told_so() -> None:
    pyaudio = pytest.importorskip("pyaudio")
    probe = pyaudio.PyAudio()
    cards = probe.get_device_count()
    probe.terminate()
    if cards:
        pytest.skip("this machine has a sound card")
    from qcall.media.soundcard import Microphone, Speaker

    with pytest.raises(DeviceError, match=r"no microphone .*--input"):
        await Microphone.open()
    with pytest.raises(DeviceError, match=r"no loudspeaker .*--output"):
        await Speaker.open()
    assert asyncio.get_running_loop().is_running()


def test_what_is_heard_is_its_owners_only_whatever_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "old.wav").touch(0o644)
    for name in ("old.wav", "new.wav"):
        WavSink(tmp_path / name).close()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
