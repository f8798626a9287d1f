"""Takes a phone along: everything in its home as one file under a passphrase, and back again.

A phone that is restored from an older backup has forgotten the call_ids and key_IDs consumed since. That is
safe: an M1 older than five minutes is refused by its time whatever its call_id, and a key node delivers a
key once. The identity file goes as it is, so that a phone's own passphrase holds after the restoration, too.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

from qcall.config import Account, Home, account, write_private
from qcall.crypto import backup_file, identity_file
from qcall.crypto.backup_file import Backup
from qcall.errors import StorageError, UsageError
from qcall.records.store import Records


def export(home: Home, path: Path, passphrase: str) -> Account:
    """Write the phone in ``home`` into a new file at ``path``; it may be running.

    Raises ``NotSetUp``, ``StorageError``, and ``UsageError`` for an empty passphrase or a ``path`` in use.
    """
    exported = home.account()
    if path.exists():
        raise UsageError(f"{path} is there already; choose another name")
    with closing(Records(home.records)) as records:
        files = {home.records.name: records.snapshot()}
    for each in _files(home):
        if each.exists():
            files[each.name] = _read(each)
    backup = Backup(exported.name, time.time(), files)
    write_private(path, backup_file.dump(backup, passphrase, os.urandom))
    return exported


def restore(home: Home, path: Path, passphrase: str) -> Account:
    """Make the phone in the backup at ``path`` the phone in ``home``, which must have none.

    Everything is looked at before anything is written; the account comes last, and only with it the phone
    counts as set up. Raises ``StorageError``, and ``UsageError`` for a wrong passphrase or a home in use.
    """
    if home.account_file.exists():
        raise UsageError(
            f"{home.directory} already holds the phone of {home.account().name}; choose another --home"
        )
    backup = backup_file.load(_read(path), passphrase)
    known = {each.name: each for each in (*_files(home), home.records)}
    missing = {home.identity.name, home.account_file.name, home.records.name} - backup.files.keys()
    if missing or backup.files.keys() - known.keys():
        raise StorageError("this backup is not of a phone, or of a newer qcall; update qcall")
    identity_file.needs_passphrase(backup.files[home.identity.name])
    enrolled = account(backup.files[home.account_file.name].decode(errors="replace"), str(path))
    if home.identity.exists() and _read(home.identity) != backup.files[home.identity.name]:
        raise UsageError(f"{home.directory} holds keys of another phone; choose another --home")
    home.create()
    for beside in ("-wal", "-shm"):
        # What SQLite left beside an older database would be taken for the newest pages of this one.
        home.records.with_name(home.records.name + beside).unlink(missing_ok=True)
    for name, contents in backup.files.items():
        if known[name] != home.account_file:
            write_private(known[name], contents)
    Records(home.records).close()
    write_private(home.account_file, backup.files[home.account_file.name])
    return enrolled


def change_passphrase(home: Home, old: str | None, new: str | None) -> None:
    """Put the identity in ``home`` under another passphrase, or under none.

    Raises ``NotSetUp``, ``StorageError``, and ``UsageError`` when ``old`` is not its passphrase.
    """
    identity = identity_file.load(_read(home.identity), old)
    write_private(home.identity, identity_file.dump(identity, new, os.urandom))


def _files(home: Home) -> tuple[Path, ...]:
    return (
        home.identity,
        home.sae_key,
        home.sae_certificate,
        home.ca_certificate,
        home.revocations,
        home.account_file,
        home.config_file,
        home.address_book,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None
