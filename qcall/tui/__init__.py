"""The terminal softphone, in Textual: it shows snapshots and sends commands, and does no work itself.

- ``start``      makes the application of a home and runs it
- ``linked``, ``actions``, ``app``   the application: linked to a phone, with what the keys do, as a whole
- ``link``       the way to the phone, which runs on a thread and an event loop of its own
- ``keys``, ``keybar``   every key with its ID, to be remapped in the settings; the line that shows them
- ``theme``      colours; every state is a word as well
- ``draw``       meters, sparklines, the chain of nodes: pure functions to text
- ``panes``, ``main``    the parts of the main screen, and the screen
- ``dialogs``    a line of text, a question
- ``incoming``   somebody calls
- ``verify``     the four words, and a changed identity
- ``history``, ``contacts``, ``trace``, ``settings``, ``help``, ``welcome``   the other screens
- ``commandline``, ``palette``   commands by their names
- ``alerts``     bell and desktop notification
"""
