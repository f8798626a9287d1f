"""The one driver of the phone: feeds inputs to the machines, runs their effects, keeps the timers.

- ``phone``         registered at the relay; dials, is called, refuses a second call
- ``conversation``  one call, from its first message to the release of its last device
- ``keying``        the agreement of a call at work
- ``voice``         the media connection of a call at work
- ``work``          tasks and wake-up calls of one call, and where their faults go
- ``line``          what a call needs of its phone
- ``enrolment``     makes an identity and enrols it; ``identity`` opens it
- ``suites``        which KEMs and suites the settings give
- ``backup``        a phone as one file, and its passphrase
- ``event``, ``report``   what happens, as plain data without secrets
- ``desk``          carries out commands, keeps the board, measures; every front end goes through it
- ``snapshot``, ``board``   what a screen shows, frozen; events and measurements become the next one
- ``commands``, ``control``, ``attendance``   what a running phone can be told, and its Unix socket
- ``wording``    events in words
- ``doctor``, ``soundtest``   whether all is there that a call needs
"""
