"""The Opus codec (RFC 6716) as voice needs it: constant bit rate, in-band FEC, concealment.

PyAV carries libopus, but FFmpeg's wrapper around it offers neither decoding of FEC nor concealment; so the
library itself is bound here, the one in the PyAV wheel if there is one, else the system's.

All audio is mono at 48 kHz, signed 16-bit, in NumPy arrays of shape ``(samples,)``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qcall.errors import DeviceError

Samples = NDArray[np.int16]

SAMPLE_RATE = 48_000
"""Hertz; also the RTP clock rate of Opus (RFC 7587, section 4.1)."""

# From opus_defines.h.
APPLICATION_AUDIO = 2049
SIGNAL_VOICE = 3001
BANDWIDTH_WIDEBAND, BANDWIDTH_SUPERWIDEBAND = 1103, 1104
SET_BITRATE = 4002
SET_MAX_BANDWIDTH = 4004
SET_VBR = 4006
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS_PERC = 4014
SET_DTX = 4016
SET_SIGNAL = 4024
GET_LOOKAHEAD = 4027

COMPLEXITY = 9
"""Of 10; one step below the top costs a fifth less time and no audible quality."""
LARGEST_PACKET = 1275
"""Bytes of one Opus frame (RFC 6716, section 3.4)."""
LARGEST_FRAME = SAMPLE_RATE * 120 // 1000
"""Samples in the longest Opus packet, 120 ms."""
SHORTEST_FRAME = SAMPLE_RATE // 400
"""Samples in the shortest Opus frame, 2.5 ms (RFC 6716, section 2.1.4)."""
BIT_RATES = range(16_000, 64_001)


class OpusError(Exception):
    """libopus refused: bytes from the network that are no Opus packet, or a fault of ours."""


def library_file() -> str | None:
    """Where libopus is: in the PyAV wheel, else on the system, else ``None``."""
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for directory in (package.parent / "av.libs", package / ".dylibs"):
            for file in sorted(directory.glob("libopus*")):
                return str(file)
    return ctypes.util.find_library("opus")


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library. Raises ``DeviceError`` when there is none."""
    name = library_file()
    try:
        if name is None:
            raise OSError("not found")
        lib = ctypes.CDLL(name)
    except OSError as error:
        raise DeviceError(
            f"the Opus library cannot be used ({error}); run: pip install --force-reinstall av",
            code="opus-missing",
        ) from None
    pointer, number, data = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
    signatures: dict[str, tuple[object, tuple[object, ...]]] = {
        "opus_encoder_create": (pointer, (number, number, number, ctypes.POINTER(ctypes.c_int))),
        "opus_encoder_destroy": (None, (pointer,)),
        "opus_encode": (number, (pointer, pointer, number, pointer, number)),
        "opus_decoder_create": (pointer, (number, number, ctypes.POINTER(ctypes.c_int))),
        "opus_decoder_destroy": (None, (pointer,)),
        "opus_decode": (number, (pointer, data, number, pointer, number, number)),
        "opus_packet_get_nb_samples": (number, (data, number, number)),
        "opus_strerror": (data, (number,)),
    }
    for function, (result, arguments) in signatures.items():
        bound = getattr(lib, function)
        bound.restype, bound.argtypes = result, arguments
    return lib


def checked(code: int) -> int:
    """``code`` when it is a count; raises ``OpusError`` when it is libopus' error."""
    if code < 0:
        raise OpusError(library().opus_strerror(code).decode())
    return code


def duration(packet: bytes) -> int:
    """Samples in ``packet`` (RFC 6716, section 3.1). Raises ``OpusError`` when it is no Opus packet."""
    return checked(library().opus_packet_get_nb_samples(packet, len(packet), SAMPLE_RATE))


def carries_fec(packet: bytes) -> bool:
    """Whether a mono packet of one frame also holds its predecessor (RFC 6716, sections 3.1 and 4.2.4).

    The SILK layer begins with one voice-activity bit per 20 ms and then the flag that asks: low-bit-rate
    redundancy. CELT-only packets (configurations 16 to 31) have no such layer.
    """
    start = frame_start(packet)
    if start is None or start >= len(packet) or (configuration := packet[0] >> 3) >= 16:
        return False
    activity_bits = (1, 1, 2, 3)[configuration & 3] if configuration < 12 else 1
    return bool(packet[start] >> (7 - activity_bits) & 1)


def is_speech_only(packet: bytes) -> bool:
    """Whether ``packet`` has nothing but a SILK layer (RFC 6716, section 3.1), as with in-band FEC it has.

    In silence none of these packets holds its predecessor; as soon as somebody speaks, all do.
    """
    return bool(packet) and packet[0] >> 3 < 12


def frame_start(packet: bytes) -> int | None:
    """Where the only frame of ``packet`` begins; ``None`` when it has several (RFC 6716, section 3.2).

    Constant bit rate fills SILK packets up with padding, which takes the form with a frame count (code 3).
    """
    if not packet or packet[0] & 3 in (1, 2):
        return None
    if packet[0] & 3 == 0:
        return 1
    if len(packet) < 3 or packet[1] & 0x3F != 1:
        return None
    start = 2
    if packet[1] & 0x40:
        while start < len(packet) and packet[start] == 255:
            start += 1
        start += 1
    return start


class Encoder:
    """Speech to packets of constant size.

    ``frame_ms`` is 10 or 20, ``bitrate`` 16,000 to 64,000 bit/s. Packet sizes are constant, because those of
    a variable-rate coder tell a listener on the wire what is said.
    """

    def __init__(self, *, frame_ms: int = 20, bitrate: int = 32_000, expected_loss: float = 0.0) -> None:
        if frame_ms not in (10, 20):
            raise ValueError("frame_ms must be 10 or 20")
        if bitrate not in BIT_RATES:
            raise ValueError("bitrate must be between 16000 and 64000")
        self._library = library()
        error = ctypes.c_int()
        create = self._library.opus_encoder_create
        # With the signal declared as voice below, "audio" codes exactly as "voip" does but without its
        # high-pass filter, which takes the fundamental from deep voices.
        self._state = create(SAMPLE_RATE, 1, APPLICATION_AUDIO, ctypes.byref(error))
        checked(error.value)
        self.frame_samples = SAMPLE_RATE * frame_ms // 1000
        self._packet = ctypes.create_string_buffer(LARGEST_PACKET)
        self._set(SET_BITRATE, bitrate)
        self._set(SET_VBR, 0)
        self._set(SET_DTX, 0)
        self._set(SET_COMPLEXITY, COMPLEXITY)
        self._set(SET_SIGNAL, SIGNAL_VOICE)
        self._set(SET_INBAND_FEC, 1)
        self.expected_loss = expected_loss

    @property
    def expected_loss(self) -> float:
        """The share of packets, 0 to 1, that the path is expected to lose; may change at any frame.

        The encoder spends more of its bits on redundancy the higher this is. Then 8 kHz of sound are better
        than 12 with less in them; at full band libopus would keep FEC back until a loss of 6 %.
        """
        return self._expected_loss

    @expected_loss.setter
    def expected_loss(self, share: float) -> None:
        self._expected_loss = min(max(share, 0.0), 1.0)
        percent = math.ceil(100 * self._expected_loss)
        self._set(SET_PACKET_LOSS_PERC, percent)
        self._set(SET_MAX_BANDWIDTH, BANDWIDTH_WIDEBAND if percent else BANDWIDTH_SUPERWIDEBAND)

    @property
    def lookahead(self) -> int:
        """Samples by which the encoder delays the sound."""
        samples = ctypes.c_int32()
        checked(self._library.opus_encoder_ctl(self._handle, GET_LOOKAHEAD, ctypes.byref(samples)))
        return samples.value

    def encode(self, samples: Samples) -> bytes:
        """One packet from exactly ``frame_samples`` samples."""
        if len(samples) != self.frame_samples:
            raise ValueError(f"a frame is {self.frame_samples} samples, not {len(samples)}")
        pcm = np.ascontiguousarray(samples, np.int16)
        size = self._library.opus_encode(self._state, pcm.ctypes.data, len(pcm), self._packet, LARGEST_PACKET)
        return self._packet.raw[: checked(size)]

    @property
    def _handle(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._state)

    def _set(self, request: int, value: int) -> None:
        checked(self._library.opus_encoder_ctl(self._handle, request, ctypes.c_int32(value)))

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            self._library.opus_encoder_destroy(state)


class Decoder:
    """Packets to speech, and something to play where packets are missing."""

    def __init__(self) -> None:
        self._library = library()
        error = ctypes.c_int()
        self._state = self._library.opus_decoder_create(SAMPLE_RATE, 1, ctypes.byref(error))
        checked(error.value)
        self._pcm = np.empty(LARGEST_FRAME, np.int16)

    def decode(self, packet: bytes) -> Samples:
        """The sound of ``packet``. Raises ``OpusError`` when it is no Opus packet."""
        return self._decode(packet, LARGEST_FRAME, fec=0)

    def recover(self, following: bytes, samples: int) -> Samples:
        """The lost frame of ``samples`` samples before ``following``, from the redundancy in it."""
        return self._decode(following, samples, fec=1)

    def conceal(self, samples: int) -> Samples:
        """``samples`` samples in the manner of what came before, of which Opus makes multiples of 2.5 ms."""
        whole = -(-samples // SHORTEST_FRAME) * SHORTEST_FRAME
        return self._decode(None, whole, fec=0)[:samples]

    def _decode(self, packet: bytes | None, samples: int, *, fec: int) -> Samples:
        count = self._library.opus_decode(
            self._state, packet, len(packet or b""), self._pcm.ctypes.data, samples, fec
        )
        return self._pcm[: checked(count)].copy()

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            self._library.opus_decoder_destroy(state)
