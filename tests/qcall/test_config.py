"""Settings and files of a phone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from qcall.agreement.rekey import LONGEST_INTERVAL, SHORTEST_INTERVAL
from qcall.config import Account, Home, cannot_write, default_home, write_private
from qcall.errors import ConfigError, NotSetUp, StorageError

ACCOUNT = Account(
    name="alice",
    relay="ws://127.0.0.1:7000",
    site="beijing",
    sae_id="sae-alice",
    kme_id="kme-beijing",
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "phone")
    made.create()
    return made


def test_a_home_is_for_its_owner_only(home: Home) -> None:
    assert home.directory.stat().st_mode & 0o777 == 0o700


def test_an_account_survives_its_file(home: Home) -> None:
    home.save_account(ACCOUNT)
    assert home.account() == ACCOUNT


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            'name = "alice"',
            'name = ""',
            r"account\.toml, line 1: name: '' is not what enrolment gives; restore it",
        ),
        (
            'sae_id = "sae-alice"',
            "sae_id = 4",
            r"account\.toml, line 4: sae_id: 4 is not what enrolment gives",
        ),
        ('site = "beijing"\n', "", r"account\.toml: .*`site`; restore it"),
        ("site", "town", r"account\.toml, line 3: town: unknown; restore it"),
    ],
)
def test_an_account_that_enrolment_did_not_give_is_told(
    home: Home, before: str, after: str, said: str
) -> None:
    home.save_account(ACCOUNT)
    home.account_file.write_text(home.account_file.read_text().replace(before, after, 1))
    with pytest.raises(ConfigError, match=said):
        home.account()


def test_a_home_without_an_account_says_what_to_run(home: Home) -> None:
    with pytest.raises(NotSetUp, match="qcall init NAME --relay URL --invite CODE"):
        home.account()


def test_flags_win_over_environment_over_file(home: Home) -> None:
    home.config_file.write_text('qkd = "off"\nsuite = "Q3"\nbitrate = 24000\n')
    settings = home.settings({"qkd": "require", "suite": None}, {"QCALL_QKD": "prefer", "QCALL_SUITE": "Q5"})
    assert (settings.qkd, settings.suite, settings.bitrate) == ("require", "Q5", 24_000)


def test_a_number_in_the_environment_is_a_number(home: Home) -> None:
    assert home.settings({}, {"QCALL_FRAME_MS": "10"}).frame_ms == 10


@pytest.mark.parametrize("seconds", [SHORTEST_INTERVAL, LONGEST_INTERVAL])
def test_every_rekey_interval_that_the_agreement_keeps_may_be_chosen(home: Home, seconds: float) -> None:
    assert home.settings({"rekey": seconds}, {}).rekey == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("volume = 3", ", line 1: volume: unknown; there are qkd, suite, .*, keys$"),
        ("\nre_key = 7", ", line 2: re_key: unknown; did you mean rekey.$"),
        (
            'bell = true\nqkd = "maybe"',
            ", line 2: qkd: maybe is none of require, prefer, off; leave it out for ",
        ),
        ("bitrate = 9", ", line 1: bitrate: 9 is not between 16000 and 64000; leave it out for 32000$"),
        (
            "\n\n  rekey = 'often'",
            ", line 3: rekey: 'often' is not between 5 and 300; leave it out for 60.0$",
        ),
        ("bell = 1", ", line 1: bell: 1 is not true or false; leave it out for true$"),
        ("bell = true\n[keys]\ndial = 3", ", line 2: keys: {'dial': 3} is not a table of texts"),
        ("bitrate = =", ": Invalid value .at line 1"),
    ],
)
def test_a_wrong_config_file_is_named_with_its_line_and_what_to_write(
    home: Home, text: str, said: str
) -> None:
    home.config_file.write_text(text)
    with pytest.raises(ConfigError, match="config.toml" + said):
        home.settings({}, {})


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"QCALL_QKD": "maybe"}, "^QCALL_QKD: maybe is none of require, prefer, off$"),
        ({"QCALL_BELL": "perhaps"}, "^QCALL_BELL: 'perhaps' is not true or false$"),
        ({"QCALL_REKEY": "4"}, "^QCALL_REKEY: '4' is not between 5 and 300$"),
    ],
)
def test_a_wrong_variable_is_named_as_it_is_written(
    home: Home, environment: dict[str, str], said: str
) -> None:
    home.config_file.write_text("bitrate = 24000")
    with pytest.raises(ConfigError, match=said):
        home.settings({}, environment)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"frame_ms": 7}, "^--frame: 7 is none of 10, 20$"),
        ({"rekey": SHORTEST_INTERVAL - 1}, "^--rekey: 4 is not"),
        ({"rekey": LONGEST_INTERVAL + 1}, "^--rekey: 301 is not"),
        ({"bitrate": 9}, "^--bitrate: 9 "),
    ],
)
def test_a_wrong_option_is_named_as_the_user_wrote_it(
    home: Home, flags: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        home.settings(flags, {})


def test_the_home_comes_from_the_environment(tmp_path: Path) -> None:
    assert default_home({"QCALL_HOME": str(tmp_path)}) == tmp_path


def test_private_files_are_private_whatever_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        write_private(tmp_path / "missing" / "key", b"new")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room on the disk"),
        (errno.EDQUOT, "make room on the disk"),
        (errno.EPERM, "yours to write in"),
        (errno.ENOENT, "has to be there"),
    ],
)
def test_only_a_full_disk_is_called_full(tmp_path: Path, number: int, advice: str) -> None:
    error = cannot_write(tmp_path / "key", OSError(number, os.strerror(number)))
    assert advice in str(error)
    assert ("make room" in str(error)) is (advice == "make room on the disk")


def test_settings_that_cannot_be_read_are_an_error_with_advice(home: Home) -> None:
    home.config_file.mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*--home"):
        home.settings({}, {})
    with pytest.raises(StorageError, match="cannot read"):
        home.save_settings({"bell": False})


def test_nothing_is_written_through_a_link_that_waits_there(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    for name in ("key.partial", "key"):
        (tmp_path / name).symlink_to(victim)
    write_private(tmp_path / "key", b"secret")
    assert victim.read_bytes() == b"untouched"
    assert not (tmp_path / "key").is_symlink()


def test_a_file_that_is_no_text_is_named(home: Home) -> None:
    home.account_file.write_bytes(b'name = "\xff"\n')
    with pytest.raises(ConfigError, match=r"account\.toml: this is no text in UTF-8"):
        home.account()
    home.config_file.write_bytes(b"\xff\xfe")
    for use in (lambda: home.settings({}, {}), lambda: home.save_settings({"qkd": "off"})):
        with pytest.raises(ConfigError, match=r"config\.toml: this is no text in UTF-8"):
            use()
    assert home.config_file.read_bytes() == b"\xff\xfe"
