"""Rate and error of one quantum link: BB84 with weak and vacuum decoy states, asymptotic. Simulated.

Ma, Qi, Zhao and Lo, "Practical decoy state for quantum key distribution", Phys. Rev. A 72, 012326 (2005);
equation numbers below are that paper's. An eavesdropper who intercepts and resends a fraction of the
pulses adds 25 % error on that fraction; she is modelled in the detector error alone, so the gains stay.

The ``field`` preset is a fit to what has been reported of China's backbone (8-25 kb/s at a mean of 70 km a
link), not published parameters of its equipment.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log2

VACUUM_ERROR = 0.5
"""e0: a dark count is as often wrong as right."""

SIFTING = 0.5
"""q: half of the pulses are measured in the basis they were sent in."""

QBER_ALARM = 0.11
"""Shor and Preskill (2000): no BB84 key is left above an error rate of 11 %."""


@dataclass(frozen=True, slots=True)
class Optics:
    """Sender, fibre and detector of a link."""

    clock: float
    """Pulses a second."""
    detector_efficiency: float
    """η_Bob: everything behind the fibre, as a probability."""
    attenuation: float = 0.2
    """α, dB/km."""
    dark_counts: float = 2e-6
    """Y0, per pulse."""
    misalignment: float = 0.015
    """e_d: probability that a photon hits the wrong detector."""
    correction: float = 1.16
    """f: error correction's inefficiency, 1 is Shannon's limit."""
    signal: float = 0.5
    """μ, photons per signal pulse."""
    decoy: float = 0.1
    """ν, photons per decoy pulse."""


PRESETS = {
    "field": Optics(clock=40e6, detector_efficiency=0.05),
    "ghz": Optics(clock=1e9, detector_efficiency=0.10),
}


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """What a link yields."""

    rate: float
    """Secret key, bits a second; 0 when no key can be made."""
    qber: float
    """Quantum bit error rate of the signal pulses, E_μ."""
    loss: float
    """Fibre and extra loss, dB."""

    @property
    def alarm(self) -> bool:
        """Whether the error rate is one that only an eavesdropper or a broken link explains."""
        return self.qber > QBER_ALARM


def binary_entropy(p: float) -> float:
    """h2 in bits."""
    return 0.0 if p <= 0 or p >= 1 else -p * log2(p) - (1 - p) * log2(1 - p)


def quality(optics: Optics, km: float, *, extra_loss: float = 0.0, eve: float = 0.0) -> LinkQuality:
    """What ``km`` of fibre yields, with ``extra_loss`` dB more and Eve on the fraction ``eve`` of the pulses.

    Raises ValueError for a negative length or loss, or a fraction outside 0..1.
    """
    if km < 0 or extra_loss < 0 or not 0 <= eve <= 1:
        raise ValueError("length and loss are not negative, an eavesdropper's share is between 0 and 1")
    mu, nu, y0 = optics.signal, optics.decoy, optics.dark_counts
    loss = optics.attenuation * km + extra_loss
    transmittance = optics.detector_efficiency * 10 ** (-loss / 10)
    error = optics.misalignment * (1 - eve) + eve * (0.25 + optics.misalignment / 2)

    def gain(intensity: float) -> tuple[float, float]:  # Q_x and E_x·Q_x, eq. 10 and 11
        click = 1 - exp(-transmittance * intensity)
        return y0 + click, VACUUM_ERROR * y0 + error * click

    q_mu, eq_mu = gain(mu)
    q_nu, eq_nu = gain(nu)
    qber = eq_mu / q_mu
    single = q_nu * exp(nu) - q_mu * exp(mu) * nu**2 / mu**2 - (mu**2 - nu**2) / mu**2 * y0
    y1 = mu / (mu * nu - nu**2) * single  # lower bound, eq. 34
    if y1 <= 0:
        return LinkQuality(0.0, qber, loss)
    e1 = (eq_nu * exp(nu) - VACUUM_ERROR * y0) / (y1 * nu)  # upper bound, eq. 37
    if e1 >= VACUUM_ERROR:
        return LinkQuality(0.0, qber, loss)
    per_pulse = -q_mu * optics.correction * binary_entropy(qber) + y1 * mu * exp(-mu) * (
        1 - binary_entropy(e1)
    )
    return LinkQuality(max(0.0, SIFTING * per_pulse * optics.clock), qber, loss)  # eq. 1
