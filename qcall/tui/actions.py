"""What the keys of ``keys.py`` do; to leave is the application's own matter."""

from __future__ import annotations

from qcall.errors import DeviceError, QcallError
from qcall.session import commands
from qcall.session.snapshot import OWN_RECORDING, Snapshot

from .attention import Attention
from .dialogs import Ask, recording_of
from .incoming import IncomingScreen
from .link import PhoneLink
from .linked import Linked
from .lists import PeoplePane
from .pages import page
from .verify import VerifyScreen


class Actions(Linked):
    """Each asks what it has to know, then sends the phone a command.

    ``guard`` is for how many seconds a call that begins to ring leaves keys alone.
    """

    def __init__(self, link: PhoneLink, first: Snapshot, guard: float) -> None:
        super().__init__(link, first)
        self.guard = guard
        self.attention = Attention(self)

    def action_command_palette(self) -> None:
        """Textual's, opened like the other pages."""
        self.action_page("palette")

    def action_answer(self) -> None:
        """Answer."""
        self.command("answer")

    def action_refuse(self) -> None:
        """Refuse the call that rings, asking for a text."""
        if (call := self.snapshot.incoming) is None:
            self.command("refuse")
        elif not self.has(IncomingScreen):
            self.push_screen(IncomingScreen(self.snapshot, call, guard=0))

    def action_hangup(self) -> None:
        """Hang up; with a call that has ended, put it away."""
        self.command("hangup" if self.snapshot.live else "seen")

    def action_dial(self, contact: str = "") -> None:
        """Ask whom to call."""
        names = [person.name for person in self.snapshot.people]

        def chosen(name: str | None) -> None:
            if name:
                self.dial(name)

        self.push_screen(
            Ask("Dial", "a name as the relay knows it", value=contact, suggestions=names, longest=64), chosen
        )

    def dial(self, name: str) -> None:
        """Call ``name``; by the name the user gave them, too."""
        shown = {person.label.casefold(): person.name for person in self.snapshot.people}
        wanted = shown.get(name.casefold(), name)
        person = self.snapshot.person(wanted)
        if person is not None and person.offered:
            self.ask_about(wanted)
        else:
            self.command("dial", contact=wanted)

    def ask_about(self, name: str) -> None:
        """Show what changed about a contact's identity, if anything did."""
        person = self.snapshot.person(name)
        if person is not None and person.offered:
            self.attention.ask_about(person)

    def action_redial(self) -> None:
        """Call again."""
        self.command("redial")

    def action_hold(self) -> None:
        """Hold, or take back."""
        self.command("hold")

    def action_swap(self) -> None:
        """The other call."""
        self.command("swap")

    def action_mute(self) -> None:
        """Mute, or not."""
        self.command("mute")

    def action_digit(self, digit: str) -> None:
        """A key of the keypad."""
        if self.talk is not None:
            self.command("dtmf", digits=digit)

    def action_text(self) -> None:
        """Ask for a line to send."""
        if self.talk is None:
            self.complain(QcallError("text needs a call; dial somebody"))
            return

        def written(text: str | None) -> None:
            if text:
                self.command("text", text=text)

        self.push_screen(Ask("Text", "goes into this call, encrypted like it"), written)

    def action_record(self) -> None:
        """End the recording that this phone makes, or ask for a file to begin one."""
        if (call := self.talk) is None:
            self.complain(QcallError("there is no call to record; dial somebody"))
        elif call.recording.startswith(OWN_RECORDING):
            self.command("record", state="off")
        else:
            self.push_screen(recording_of(call, self.snapshot.unix), self._record_into)

    def _record_into(self, file: str | None) -> None:
        if file:
            self.run_worker(self._record(file), group="commands", exit_on_error=False)

    async def _record(self, file: str) -> None:
        """Begin; a file that cannot be one leaves its name to be mended, below what is wrong with it."""
        where = str(commands.located(file).absolute())
        try:
            await self.ask(commands.Record("on", where))
        except DeviceError as error:
            self.push_screen(Ask("Record", str(error), value=file), self._record_into)
        except QcallError as error:
            self.complain(error)

    def action_verify(self) -> None:
        """The four words."""
        call = self.snapshot.call
        if call is None or not call.words:
            self.complain(QcallError("there are no words before a call is secured; call first"))
            return
        person = self.snapshot.person(call.contact)
        who = call.contact if person is None else person.label

        def tell(same: bool) -> None:
            self.command("verify", contact=call.contact, same=same)

        def hang_up() -> None:
            front = self.snapshot.call
            if front is not None and front.alive and front.id == call.id:
                self.command("hangup")

        self.push_screen(VerifyScreen(call, who, tell, hang_up))

    def on_people_pane_called(self, event: PeoplePane.Called) -> None:
        """Enter on a contact."""
        self.dial(event.name)

    def action_page(self, name: str) -> None:
        """Show one of the other screens; again, it is put away."""
        kind = page(name)
        if isinstance(self.screen, kind):
            self.pop_screen()
        elif name == "help" or not self.has(kind):
            self.push_screen(kind())
