"""Settings of a phone: flags > environment > ``config.toml`` in the phone's home.

A home is a directory of mode 0700. It holds the identity, the SAE key and certificate, the records
database, ``account.toml`` (what enrolment gave) and ``config.toml`` (what the user chose). Keys that are
not known are an error in both files.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs
from msgspec import Meta

from .errors import ConfigError, NotSetUp, StorageError
from .fields import fault_of

ENVIRONMENT_PREFIX = "QCALL_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user chooses. Every field is a flag, ``QCALL_<FIELD>`` and a key of ``config.toml``."""

    qkd: Literal["require", "prefer", "off"] = "prefer"
    """Whether a call needs quantum keys; the stricter of both phones holds."""
    suite: Literal["Q5+", "Q5", "Q3"] = "Q5"
    """The strongest suite this phone offers; Q5+ needs liboqs."""
    kem: Literal["cryptography", "liboqs"] = "cryptography"
    """Whose ML-KEM is used."""
    rekey: Annotated[float, Meta(ge=5, le=300, description="between 5 and 300")] = 60.0
    """Seconds between two rekeys, give or take a tenth; 5 to 300."""
    bitrate: Annotated[int, Meta(ge=16_000, le=64_000, description="between 16000 and 64000")] = 32_000
    """Bits per second of the voice encoder, 16000 to 64000."""
    copies: bool = True
    """Whether frames travel twice when packets are lost, at twice the bits; otherwise FEC has to do."""
    frame_ms: Literal[10, 20] = 20
    """Milliseconds of speech in one packet."""
    presence: bool = True
    """Whether the relay tells the contacts who also have this phone in theirs that it is online."""
    theme: Literal["qcall-night", "qcall-day", "qcall-contrast", "qcall-plain"] = "qcall-night"
    """Colours of the terminal interface; ``NO_COLOR`` means plain."""
    reduced_motion: bool = False
    """No animation in the terminal interface."""
    bell: bool = True
    """Whether the terminal's bell sounds for a call."""
    notify: bool = True
    """Whether a call shows a desktop notification, where there is a desktop."""
    microphone: str = ""
    """Part of a microphone's name; empty: the system's own choice."""
    speaker: str = ""
    """Part of a loudspeaker's name; empty: the system's own choice."""
    keys: dict[str, str] = {}
    """Other keys for the terminal interface, by ID; see the help of the interface."""


Given = Annotated[str, Meta(min_length=1, description="what enrolment gives")]


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What enrolment gave this phone; no secrets."""

    name: Given
    relay: Given
    site: Given
    sae_id: Given
    kme_id: Given


class Home:
    """The files of one phone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.identity = directory / "identity.key"
        self.sae_key = directory / "sae.key"
        self.sae_certificate = directory / "sae.pem"
        self.ca_certificate = directory / "ca.pem"
        self.revocations = directory / "crl.pem"
        self.records = directory / "records.db"
        self.address_book = directory / "contacts.vcf"
        self.control = directory / "control.sock"
        self.account_file = directory / "account.toml"
        self.config_file = directory / "config.toml"

    def create(self) -> None:
        """Make the directory, for its owner only."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make {self.directory}: {error.strerror}; choose another with --home"
            ) from None

    def account(self) -> Account:
        """What enrolment gave. Raises ``NotSetUp`` before ``qcall init``."""
        try:
            text = utf8(self.account_file)
        except FileNotFoundError:
            raise NotSetUp(
                f"no phone is set up in {self.directory}; run: qcall init NAME --relay URL --invite CODE"
            ) from None
        except OSError as error:
            raise StorageError(f"cannot read {self.account_file}: {error.strerror}") from None
        return account(text, str(self.account_file))

    def ca(self) -> bytes:
        """The certificate, PEM, of the relay's authority. Raises ``StorageError``."""
        try:
            return self.ca_certificate.read_bytes()
        except OSError as error:
            raise StorageError(
                f"cannot read {self.ca_certificate}: {error.strerror}; enrol again: qcall init"
            ) from None

    def save_account(self, account: Account) -> None:
        """Write ``account.toml``; the last step of enrolment, so that half an enrolment is none."""
        fields = msgspec.to_builtins(account)
        lines = "".join(f"{key} = {as_toml(value)}\n" for key, value in fields.items())
        write_private(self.account_file, lines.encode())

    def save_settings(self, changes: Mapping[str, Any]) -> None:
        """Write ``changes`` into ``config.toml`` beside what is there. Raises ``ConfigError``."""
        text = self._config()
        chosen = ({} if text is None else tomllib.loads(text)) | dict(changes)
        try:
            msgspec.convert(chosen, Settings)
        except msgspec.ValidationError as error:
            raise ConfigError(f"settings: {error}") from None
        write_private(self.config_file, toml(chosen).encode())

    def _config(self) -> str | None:
        """What ``config.toml`` holds; ``None`` where there is none. Raises ``StorageError``."""
        try:
            return utf8(self.config_file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                f"cannot read {self.config_file}: {error.strerror}; choose another home with --home"
            ) from None

    def settings(self, flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Flags over environment over file; ``None`` among the flags means not given.

        Raises ``ConfigError``, which says where the wrong one is written and what it may be.
        """
        text = self._config() or ""
        written = decoded(text, str(self.config_file))
        variables = {variable(name): name for name in DEFAULTS}
        exported = {name: environment[given] for given, name in variables.items() if given in environment}
        told = {name: value for name, value in flags.items() if value is not None}
        layers: tuple[tuple[dict[str, Any], Callable[[str], str]], ...] = (
            (written, lambda name: f"{self.config_file}{line_of(text, name)}: {name}"),
            (exported, variable),
            (told, lambda name: f"--{name.removesuffix('_ms')}"),
        )
        for layer, called in layers:
            try:
                msgspec.convert(layer, Settings, strict=layer is written)
            except msgspec.ValidationError as error:
                name, what = fault_of(error, Settings, layer)
                advice = ""
                if name not in DEFAULTS:
                    advice = f"; did you mean {nearest(name)}?" if nearest(name) else f"; there are {KNOWN}"
                elif layer is written:
                    advice = f"; leave it out for {as_toml(DEFAULTS[name])}"
                raise ConfigError(f"{called(name)}: {what}{advice}") from None
        return msgspec.convert(written | exported | told, Settings, strict=False)


DEFAULTS: Mapping[str, Any] = msgspec.to_builtins(Settings())
KNOWN = ", ".join(DEFAULTS)


def as_toml(value: object) -> str:
    """``value`` as JSON, which TOML reads as well."""
    return msgspec.json.encode(value).decode()


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + setting.upper()


def nearest(name: str) -> str:
    """The setting that was meant by ``name``; empty when none is like it."""
    return next(iter(difflib.get_close_matches(name, DEFAULTS, n=1)), "")


def line_of(text: str, name: str) -> str:
    """``, line 3`` where TOML ``text`` gives ``name`` its value, or begins the table of that name."""
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(rf"""\s*\[?\s*["']?{re.escape(name)}["']?\s*[]=]""", line):
            return f", line {number}"
    return ""


def toml(table: Mapping[str, Any]) -> str:
    """Strings, numbers and switches, and tables of them below; JSON's strings are TOML's strings."""

    def lines(fields: Mapping[str, Any]) -> str:
        return "".join(f"{name} = {as_toml(value)}\n" for name, value in fields.items())

    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in table.items() if isinstance(value, Mapping) and value}
    return lines(plain) + "".join(f"\n[{name}]\n{lines(value)}" for name, value in tables.items())


def utf8(path: Path) -> str:
    """The text in the file at ``path``, which has to be UTF-8. OSError as `Path.read_bytes`."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is no text in UTF-8; save it as that") from None


def decoded(text: str, source: str) -> dict[str, Any]:
    """TOML text; the error names the file and the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {error}") from None


def account(text: str, source: str) -> Account:
    """TOML ``text`` as what enrolment gave; the error names the file, the line and the key."""
    fields = decoded(text, source)
    try:
        return msgspec.convert(fields, Account)
    except msgspec.ValidationError as error:
        name, what = fault_of(error, Account, fields)
        where = f"{source}{line_of(text, name)}" + (f": {name}" if name else "")
        raise ConfigError(f"{where}: {what}; restore it, or the phone from a backup: qcall import") from None


def default_home(environment: Mapping[str, str]) -> Path:
    """``QCALL_HOME``, else the platform's data directory."""
    return Path(environment.get("QCALL_HOME") or platformdirs.user_data_dir("qcall")).expanduser()


def write_private(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` at mode 0600, whole or not at all."""
    # A new name that nobody can guess: in a shared directory another user could have put a link there.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> StorageError:
    """What to tell the user about a file of a home, or a backup, that cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "make room on the disk" if full else "its directory has to be there, and yours to write in"
    return StorageError(f"cannot write {path}: {error.strerror}; {advice}")
