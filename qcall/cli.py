"""The command line of the phone: arguments and exit codes, no logic.

Every failure that the program knows is one line on standard error and exit code 1, or 2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from qcall import __version__
from qcall.config import Home, default_home
from qcall.crypto.identity import Fingerprint
from qcall.errors import QcallError, UsageError
from qcall.headless import call as place_call
from qcall.headless import json_lines, text_lines
from qcall.headless import listen as wait_for_calls
from qcall.records.store import Records
from qcall.session.enrolment import enrol, open_identity
from qcall.session.phone import Phone
from qcall.session.report import Event
from qcall.session.sound import check as check_sound
from qcall.session.sound import opener

app = typer.Typer(
    help="Calls between two terminals, encrypted with classical, post-quantum and (simulated) quantum keys.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Qkd(StrEnum):
    """Whether a call needs quantum keys."""

    REQUIRE = "require"
    PREFER = "prefer"
    OFF = "off"


class SuiteName(StrEnum):
    """The strongest suite that is offered."""

    Q5 = "Q5"
    Q3 = "Q3"


Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
Input = Annotated[
    str | None,
    typer.Option(metavar="WAV|tone|null", help="What to say; the microphone when not given."),
]
Output = Annotated[
    str | None, typer.Option(metavar="WAV|null", help="Where to hear; the loudspeaker when not given.")
]
Duration = Annotated[float | None, typer.Option(min=0.1, help="Seconds of talk after which to hang up.")]
QkdOption = Annotated[Qkd | None, typer.Option(help="Quantum keys: the stricter of both phones holds.")]
SuiteOption = Annotated[SuiteName | None, typer.Option(help="The strongest suite to offer.")]
Bitrate = Annotated[int | None, typer.Option(help="Bits per second of speech, 16000 to 64000.")]
FrameMs = Annotated[int | None, typer.Option("--frame", help="Milliseconds of speech a packet: 10 or 20.")]
Rekey = Annotated[float | None, typer.Option(help="Seconds between two rekeys, 5 to 3600.")]
KmeUrl = Annotated[str | None, typer.Option("--kme", help="Another address of this phone's key node.")]


def version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        typer.echo(f"qcall {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(envvar="QCALL_HOME", help="Directory of this phone; one per phone.")
    ] = None,
    _version: Annotated[bool, typer.Option("--version", callback=version, is_eager=True)] = False,
) -> None:
    """Options of every command."""
    context.obj = Home(home or default_home(os.environ))


@app.command()
def init(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name others will call you by.")],
    relay: Annotated[str, typer.Option(help="Address of the relay, such as ws://127.0.0.1:7480.")],
    invite: Annotated[str, typer.Option(help="The code that the relay's operator gave you.")],
    as_json: Json = False,
) -> None:
    """Make an identity and enrol it at a relay."""
    home: Home = context.obj

    async def work(_: asyncio.Event) -> int:
        account = await enrol(home, name, relay, invite, passphrase())
        if as_json:
            fields = {"name": account.name, "site": account.site, "sae_id": account.sae_id}
            json_lines(Event("enrolled", asyncio.get_running_loop().time(), fields))
        else:
            typer.echo(
                f"{account.name} is enrolled at {account.site}; now run: qcall listen, or qcall call NAME"
            )
        return 0

    run(work)


@app.command()
def call(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(help="Who to call.")],
    input: Input = None,
    output: Output = None,
    duration: Duration = None,
    qkd: QkdOption = None,
    suite: SuiteOption = None,
    bitrate: Bitrate = None,
    frame_ms: FrameMs = None,
    rekey: Rekey = None,
    kme: KmeUrl = None,
    allow_less: Annotated[
        bool, typer.Option("--allow-less", help="This call may have fewer layers than earlier ones had.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Place a call."""
    settings = {"qkd": qkd, "suite": suite, "bitrate": bitrate, "frame_ms": frame_ms, "rekey": rekey}

    async def talk(phone: Phone, stop: asyncio.Event) -> int:
        return await place_call(phone, contact, duration, stop, allow_less=allow_less)

    with_phone(context.obj, settings, (input, output), kme, as_json, talk)


@app.command()
def listen(
    context: typer.Context,
    auto_answer: Annotated[bool, typer.Option("--auto-answer", help="Answer every call at once.")] = False,
    after: Annotated[
        float, typer.Option("--after", min=0.0, help="Seconds to let it ring before --auto-answer.")
    ] = 0.0,
    decline: Annotated[bool, typer.Option("--decline", help="Decline every call.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Leave after one call.")] = False,
    input: Input = None,
    output: Output = None,
    duration: Duration = None,
    qkd: QkdOption = None,
    suite: SuiteOption = None,
    bitrate: Bitrate = None,
    frame_ms: FrameMs = None,
    rekey: Rekey = None,
    kme: KmeUrl = None,
    as_json: Json = False,
) -> None:
    """Wait for calls."""
    settings = {"qkd": qkd, "suite": suite, "bitrate": bitrate, "frame_ms": frame_ms, "rekey": rekey}
    accept = True if auto_answer else False if decline else None

    async def wait(phone: Phone, stop: asyncio.Event) -> int:
        if auto_answer and decline:
            raise UsageError("--auto-answer and --decline exclude each other; give one of them")
        return await wait_for_calls(phone, stop, accept=accept, after=after, once=once, duration=duration)

    with_phone(context.obj, settings, (input, output), kme, as_json, wait)


@app.command()
def contacts(context: typer.Context, as_json: Json = False) -> None:
    """Everyone this phone has talked to, and how far their identity is known."""

    def show(records: Records) -> None:
        for each in records.contacts():
            status = "verified" if each.verified else "pinned"
            changed = each.offered is not None
            fields = {"name": each.name, "fingerprint": str(Fingerprint(each.fingerprint)), "status": status}
            if as_json:
                json_lines(Event("contact", time.monotonic(), {**fields, "changed": changed}))
                continue
            note = f"   CHANGED: qcall accept-new-key {each.name}" if changed else ""
            typer.echo(f"{each.name:16}{status:10}{fields['fingerprint']}{note}")

    with_records(context.obj, show)


@app.command()
def verify(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(help="Whose words were compared.")],
    same: Annotated[
        bool | None, typer.Option("--same/--different", help="The answer, for scripts; asked for otherwise.")
    ] = None,
) -> None:
    """Show the words of the last call, and remember whether both of you read the same."""

    def compare(records: Records) -> None:
        last = next((call for call in records.calls() if call.contact == contact and call.security), None)
        if records.contact(contact) is None or last is None:
            raise UsageError(f"there has been no call with {contact} yet; call, then compare the words")
        typer.echo(f"words of the last call: {' '.join(last.security['words'])}")
        answer = typer.confirm("Does the other phone show the same?") if same is None else same
        records.set_verified(contact, answer)
        typer.echo(
            f"{contact} is verified" if answer else f"{contact} is NOT verified: somebody may be between you"
        )

    with_records(context.obj, compare)


@app.command("accept-new-key")
def accept_new_key(
    context: typer.Context, contact: Annotated[str, typer.Argument(help="Whose identity changed.")]
) -> None:
    """Trust the new identity of a contact whose calls are blocked because it changed. Ask them first."""

    def accept(records: Records) -> None:
        accepted = records.accept_offered(contact)
        if accepted is None:
            raise UsageError(f"no new identity of {contact} waits; see: qcall contacts")
        typer.echo(f"{contact} is now {Fingerprint(accepted.fingerprint)}; verify the words in the next call")

    with_records(context.obj, accept)


def with_records(home: Home, work: Callable[[Records], None]) -> None:
    """Do ``work`` with the records of the phone in ``home``."""

    async def with_it(_: asyncio.Event) -> int:
        home.account()
        records = Records(home.records)
        try:
            work(records)
        finally:
            records.close()
        return 0

    run(with_it)


def with_phone(
    home: Home,
    flags: dict[str, Any],
    sound: tuple[str | None, str | None],
    kme: str | None,
    as_json: bool,
    work: Callable[[Phone, asyncio.Event], Awaitable[int]],
) -> None:
    """Bring the phone in ``home`` online, do ``work`` with it, and leave with its exit code."""
    tell = json_lines if as_json else text_lines

    async def with_it(stop: asyncio.Event) -> int:
        home.account()
        settings = home.settings(flags, os.environ)
        identity = open_identity(home, passphrase())
        check_sound(*sound)
        async with Phone(home, settings, identity, sound=opener(*sound, tell), tell=tell) as phone:
            await phone.online(kme_url=kme)
            return 0 if stop.is_set() else await work(phone, stop)

    run(with_it)


def passphrase() -> str | None:
    """The identity's passphrase, from the environment."""
    return os.environ.get("QCALL_PASSPHRASE") or None


def run(work: Callable[[asyncio.Event], Awaitable[int]]) -> None:
    """Run ``work``; the event it gets is set by the first Ctrl-C, the second one ends at once."""

    async def interruptible() -> int:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.ensure_future(work(stop))

        def interrupt() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        return await task

    try:
        code = loop_runner(interruptible)
    except QcallError as error:
        typer.echo(f"qcall: {error}", err=True)
        code = error.exit_code
    except asyncio.CancelledError:
        code = 130
    raise typer.Exit(code)


def loop_runner(work: Callable[[], Any]) -> int:
    """``asyncio.run`` on uvloop where it is available."""
    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(work()))
    return int(uvloop.run(work()))


def main() -> None:
    """Entry point of the console script ``qcall``."""
    app(prog_name="qcall")


if __name__ == "__main__":
    main()
