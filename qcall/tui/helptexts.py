"""What F1 says, by the class of what has the focus: Textual's markup, a paragraph a line."""

from __future__ import annotations

TEXTS = {
    "Ask": """\
[bold $accent]A line of text[/]

[bold]Enter[/] takes it, [bold]Escape[/] leaves. [bold]Right[/] takes the suggestion in grey.
""",
    "Question": """\
[bold $accent]A question[/]

Press the letter of an answer, or go with [bold]Tab[/] and take one with [bold]Enter[/].
""",
    "IncomingScreen": """\
[bold $accent]Somebody calls[/]

The caller's signatures were checked before it rang.

• [bold]a[/] answers; a call that is up goes on hold
• [bold]x[/] or [bold]b[/] refuses
• [bold]t[/] refuses with a line of text, which needs confirmed keys
• [bold]Escape[/] lets it ring
""",
    "MainScreen": """\
[bold $accent]qcall[/]

The second line says what protects the call; it is always there.

[bold]Tab[/] goes from pane to pane, [bold]Enter[/] on a contact calls, [bold]0[/]-[bold]9[/] [bold]*[/] \
[bold]#[/] are the keypad while you talk. The last line shows the keys of the moment, [bold]F1[/] all of \
them.
""",
    "CallPane": """\
[bold $accent]The call[/]

Who is on the line, the state, the time, and how loud both of you are.

A bar is full at 0 dB, full scale; speech is around -25 dB.
""",
    "RoutePane": """\
[bold $accent]The route[/]

The quantum key of this call passed these trusted nodes, hop by hop, under one-time pads. The quantum \
links are [bold]simulated[/].

• [bold]pool[/]: how full the link's store of secret bits is
• [bold]kb/s[/]: secret bits it makes
• [bold]QBER[/]: quantum bit error rate; above 11 % somebody may be listening, and above about 6 % the \
link makes no key any more

Left and right choose a hop.
""",
    "PeoplePane": """\
[bold $accent]Contacts[/]

Everyone in the address book and everyone you have talked to.

[bold]Enter[/] calls, [bold]f[/] opens the address book.

online, busy, offline: as the relay tells those who have each other in their contacts. new, pinned, \
verified: how far the identity is known.
""",
    "LogPane": """\
[bold $accent]Log[/]

What happened, newest last. Page up and down look back; [bold]l[/] opens all of it.
""",
    "TalkPane": """\
[bold $accent]Text[/]

Lines of text in this call, under the call's own keys. [bold]t[/] writes one.
""",
    "VerifyScreen": """\
[bold $accent]The words[/]

Four words stand for the keys of this call. Read them to each other: [bold]y[/] when they are the same, \
[bold]n[/] when they differ, [bold]Escape[/] to decide later.
""",
    "ChangedScreen": """\
[bold $accent]A changed identity[/]

The call was blocked. Ask the person by another way before you trust the new identity: [bold]T[/] (upper \
case) trusts it, [bold]Escape[/] keeps it blocked.
""",
}
