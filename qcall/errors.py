"""The error tree of the phone.

    QcallError
    ├── LocalFault                 ours, or the user's input
    │   ├── UsageError             wrong command line or value; exit code 2
    │   ├── ConfigError            settings file or environment; exit code 2
    │   ├── NotSetUp               no identity in this home yet
    │   ├── StorageError           a file or the records database cannot be read or written
    │   ├── DeviceError            sound card or WAV file
    │   └── Unavailable            relay or key node cannot be reached
    └── PeerFault                  what came over the network
        ├── RelayRefused           the relay said no: unknown contact, offline, invite, rate
        ├── CallRefused            the other phone said no: busy, declined, version
        └── AgreementFailed        the key agreement was wrong in any way; one generic code to the peer

The text of every error is one line that says what happened and what to do next. ``str(error)`` is what
the user reads; ``code`` is what scripts read in ``--json``. No text ever holds key bytes, and no text of a
``PeerFault`` is ever sent to the peer.
"""

from __future__ import annotations


class QcallError(Exception):
    """Root of every error that the phone raises on purpose.

    ``code`` is a short, stable, machine-readable reason (kebab case).
    """

    code = "error"
    exit_code = 1

    def __init__(self, text: str, *, code: str | None = None) -> None:
        super().__init__(text)
        if code is not None:
            self.code = code


class LocalFault(QcallError):
    """Ours, or the user's input."""

    code = "local-fault"


class UsageError(LocalFault):
    """Wrong command line or value."""

    code = "usage"
    exit_code = 2


class ConfigError(LocalFault):
    """A settings file or an environment variable is wrong."""

    code = "config"
    exit_code = 2


class NotSetUp(LocalFault):
    """There is no identity in this home yet."""

    code = "not-set-up"


class StorageError(LocalFault):
    """A file or the records database cannot be read or written."""

    code = "storage"


class DeviceError(LocalFault):
    """The sound card or a WAV file cannot be used."""

    code = "device"


NO_PYAUDIO = "no-pyaudio"
"""Code of the ``DeviceError`` that the library for sound cards is missing."""
NO_CARD = "no-card"
"""Code of the one that no microphone, or no loudspeaker, can be opened."""
NO_SOUND_SYSTEM = "no-sound-system"
"""Code of the one that the sound system does not answer."""


class Unavailable(LocalFault):
    """The relay or the key node cannot be reached."""

    code = "unavailable"


class PeerFault(QcallError):
    """What came over the network."""

    code = "peer-fault"


class RelayRefused(PeerFault):
    """The relay said no."""

    code = "relay-refused"


class CallRefused(PeerFault):
    """The other phone said no."""

    code = "refused"


class AgreementFailed(PeerFault):
    """The key agreement was wrong; the peer learns one generic code and nothing else."""

    code = "agreement-failed"
