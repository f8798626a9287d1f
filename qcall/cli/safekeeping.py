"""What protects a phone's keys on a disk: its passphrase, and backups under one of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qcall.config import Home
from qcall.errors import StorageError

from .app import app, next_steps
from .running import report

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@app.command()
def passphrase(
    context: typer.Context,
    remove: Annotated[bool, typer.Option("--remove", help="Have none from now on.")] = False,
) -> None:
    """Put this phone's identity under another passphrase; QCALL_NEW_PASSPHRASE, or asked for."""
    home: Home = context.obj

    def change() -> int:
        from qcall.session import backup

        from .passphrases import NEW, chosen, current

        home.account()
        old = current(home)
        new = None if remove else chosen(NEW, "New passphrase of this phone")
        backup.change_passphrase(home, old, new)
        typer.echo("the identity has no passphrase now" if remove else "the passphrase is changed")
        return 0

    report(change)


@app.command("export")
def export_phone(context: typer.Context, file: File) -> None:
    """Back this phone up into FILE, encrypted; QCALL_BACKUP_PASSPHRASE, or asked for."""
    home: Home = context.obj

    def save() -> int:
        from qcall.session import backup

        from .passphrases import BACKUP, chosen

        home.account()
        account = backup.export(home, file, chosen(BACKUP, "Passphrase of the backup"))
        typer.echo(f"the phone of {account.name} is in {file}; bring it back with: qcall import {file}")
        return 0

    report(save)


@app.command("import")
def import_phone(context: typer.Context, file: File) -> None:
    """Restore the phone in FILE into a home without one; do not run it in two places."""
    home: Home = context.obj

    def load() -> int:
        from qcall.session import backup

        from .passphrases import BACKUP, existing

        if not file.is_file():
            # Before a passphrase is asked for, which would be typed for nothing.
            raise StorageError(f"there is no backup {file}; give the file that qcall export wrote")
        account = backup.restore(home, file, existing(BACKUP, "Passphrase of the backup"))
        typer.echo(f"this is the phone of {account.name} again; {next_steps(context)}")
        return 0

    report(load)
