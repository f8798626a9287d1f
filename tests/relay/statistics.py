"""Whether bytes look drawn at random: tests of NIST SP 800-22 and a chi-square of the bytes.

Frequency (section 2.1) and runs (section 2.3), each at a level of 1e-6: an honest generator fails once
in a million runs. QCALL_TEST_PROFILE=nightly takes 10 MB.
"""

from __future__ import annotations

import math
import os

import numpy as np

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
MEGABYTES = 10.0 if NIGHTLY else 0.5
LEVEL = 1e-6


def monobit(data: bytes) -> float:
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.int64)
    return math.erfc(abs(int((2 * bits - 1).sum())) / math.sqrt(2 * len(bits)))


def runs(data: bytes) -> float:
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.int8)
    ones, n = float(bits.mean()), len(bits)
    if ones in (0.0, 1.0):
        return 0.0
    count = 1 + int(np.count_nonzero(np.diff(bits)))
    return math.erfc(abs(count - 2 * n * ones * (1 - ones)) / (2 * math.sqrt(2 * n) * ones * (1 - ones)))


def chi_square(data: bytes) -> float:
    """The p-value of 256 equally likely bytes, by the Wilson-Hilferty approximation."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    statistic, freedom = float(((counts - expected) ** 2).sum()) / expected, 255
    z = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    return math.erfc(abs(z) / math.sqrt(2))


def xor(a: bytes, b: bytes) -> bytes:
    return (np.frombuffer(a, np.uint8) ^ np.frombuffer(b, np.uint8)).tobytes()


TESTS = (monobit, runs, chi_square)
