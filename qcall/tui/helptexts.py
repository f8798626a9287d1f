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
[bold]n[/] when they differ, which says what to do then; [bold]Escape[/] to decide later.
""",
    "ChangedScreen": """\
[bold $accent]A changed identity[/]

The call was blocked. Ask the person by another way before you trust the new identity: [bold]T[/] (upper \
case) trusts it, [bold]Escape[/] keeps it blocked.
""",
    "CommandLine": """\
[bold $accent]The command line[/]

Every command of [bold]qcall control[/], and the pages by their names. [bold]Tab[/] completes commands, \
contacts and choices, [bold]Up[/] brings back what was typed before, [bold]Enter[/] runs it.
""",
    "Palette": """\
[bold $accent]The palette[/]

Type a part of what you want to do, or of a contact's name; [bold]Up[/] and [bold]Down[/] choose, \
[bold]Enter[/] does it.
""",
    "HistoryScreen": """\
[bold $accent]Calls[/]

Every call: when, which way, who, how long you talked, why it ended, what protected it and how it sounded \
(MOS: 1 is bad, 4.5 the best there is). Below is all that is known of the chosen one.

• [bold]Enter[/] calls again
• [bold]/[/] searches in names, reasons and directions: [bold]in[/], [bold]out[/], [bold]missed[/]
• [bold]e[/] exports all of them, one JSON object a line
""",
    "ContactsScreen": """\
[bold $accent]The address book[/]

Everyone in it and everyone you have talked to, with how far the identity is known: new, pinned at the \
first call, verified by the words, WORDS DIFFER, CHANGED.

• [bold]Enter[/] calls, [bold]/[/] searches
• [bold]n[/] adds, [bold]e[/] edits, [bold]x[/] removes
• [bold]i[/] imports and [bold]o[/] exports vCards
• [bold]k[/] shows an identity that has changed, and what to do
""",
    "EditScreen": """\
[bold $accent]An entry[/]

The name that the relay knows somebody by, the name you want to read, and a note that stays on this phone. \
[bold]Enter[/] goes on and saves at the end, [bold]Escape[/] leaves everything as it was.
""",
    "TraceScreen": """\
[bold $accent]The handshake[/]

Every message between both phones, and every question to the key node, with its size and the time since \
the first. [bold]Up[/] and [bold]Down[/] choose one; below stands what it is for. [bold]Tab[/] turns to \
the log.
""",
    "SettingsScreen": """\
[bold $accent]Settings[/]

What is changed holds at once, in a call too, and stays in [bold]config.toml[/]. [bold]Enter[/] changes a \
line, [bold]Left[/] and [bold]Right[/] go through the choices, [bold]p[/] plays a test tone and listens.

Keys get other keys under [bold]\\[keys][/] in that file.
""",
    "Choose": """\
[bold $accent]A choice[/]

[bold]Up[/] and [bold]Down[/] choose, [bold]Enter[/] takes it, [bold]Escape[/] leaves it as it was.
""",
    "WelcomeScreen": """\
[bold $accent]The first start[/]

A phone needs a name, a relay that carries its calls, and an invite: whoever runs the relay makes one with

    relay invite NAME --site SITE

Your keys are made on this machine and never leave it. [bold]Enter[/] goes on, [bold]Escape[/] goes back, \
[bold]Ctrl+Q[/] leaves.
""",
}
