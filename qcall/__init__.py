"""qcall: a terminal softphone whose keys come from three layers at once.

Map of the package, from the user inwards (left may import right; ``|`` may not see each other):

    cli > tui | headless > keyboard > session > media | net | records > call > agreement > crypto > wire
        > config > errors, fields

- ``cli``        arguments and exit codes
- ``headless``   calls as lines of text or JSON
- ``keyboard``   lines typed while calls go on
- ``session``    the one driver: feeds the machines, runs their effects, keeps the timers
- ``media``      Opus, playout, SRTP epochs, quality; the aiortc connection; devices
- ``net``        the WebSocket to the relay and the ETSI GS QKD 014 client
- ``records``    contacts, pinned identities, consumed IDs (SQLite)
- ``call``       one call as a state table
- ``agreement``  qcall/1: how two phones agree on keys
- ``crypto``     KEMs, signatures, the key-derivation table, secrets
- ``wire``       what phone and relay both speak; the only part the relay may import
"""

__version__ = "0.1.0"
