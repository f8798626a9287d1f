"""What F1 says, by the class of what has the focus: Markdown."""

from __future__ import annotations

TEXTS = {
    "Ask": """\
# A line of text

**Enter** takes it, **Escape** leaves. **Right** takes the suggestion in grey.
""",
    "Question": """\
# A question

Press the letter of an answer, or go with **Tab** and take one with **Enter**.
""",
    "IncomingScreen": """\
# Somebody calls

The caller's signatures were checked before it rang.

- **a** answers; a call that is up goes on hold
- **x** or **b** refuses
- **t** refuses with a line of text, which needs confirmed keys
- **Escape** lets it ring
""",
    "MainScreen": """\
# qcall

The second line says what protects the call; it is always there.

**Tab** goes from pane to pane, **Enter** on a contact calls, `0`-`9` `*` `#` are the keypad while
you talk. The last line shows the keys of the moment, `F1` all of them.
""",
    "CallPane": """\
# The call

Who is on the line, the state, the time, and how loud both of you are.

A bar is full at 0 dB, full scale; speech is around -25 dB.
""",
    "RoutePane": """\
# The route

The quantum key of this call passed these trusted nodes, hop by hop, under one-time pads. The
quantum links are **simulated**.

- **pool**: how full the link's store of secret bits is
- **kb/s**: secret bits it makes
- **QBER**: quantum bit error rate; above 11 % somebody may be listening, and above about 6 % the
  link makes no key any more

Left and right choose a hop.
""",
    "PeoplePane": """\
# Contacts

Everyone in the address book and everyone you have talked to.

**Enter** calls, `f` opens the address book.

online, busy, offline: as the relay tells those who have each other in their contacts. new, pinned,
verified: how far the identity is known.
""",
    "LogPane": """\
# Log

What happened, newest last. Page up and down look back; `l` opens all of it.
""",
    "TalkPane": """\
# Text

Lines of text in this call, under the call's own keys. `t` writes one.
""",
    "VerifyScreen": """\
# The words

Four words stand for the keys of this call. Read them to each other: **y** when they are the same,
**n** when they differ, **Escape** to decide later.
""",
    "ChangedScreen": """\
# A changed identity

The call was blocked. Ask the person by another way before you trust the new identity: **T** (upper
case) trusts it, **Escape** keeps it blocked.
""",
}
