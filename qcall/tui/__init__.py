"""The terminal softphone, in Textual: it shows snapshots and sends commands, and does no work itself.

- ``app``        the application: what every screen shares
- ``link``       the way to the phone, which runs on a thread and an event loop of its own
- ``keys``       every key with its ID, to be remapped in the settings
- ``theme``      colours; every state is a word as well
- ``draw``       meters, sparklines, the chain of nodes, the call flow: pure functions to text
- ``panes``      the parts of the main screen
- ``main``       the main screen
- ``dialogs``    dial, text, questions
- ``incoming``   somebody calls
- ``verify``     the four words, and a changed identity
- ``history``, ``contacts``, ``trace``, ``settings``, ``help``, ``welcome``   the other screens
- ``commandline``, ``palette``   commands by their names
- ``alerts``     bell, ring tone and desktop notification
"""
