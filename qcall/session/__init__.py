"""The one driver of the phone: feeds inputs to the machines, runs their effects, keeps the timers.

- ``phone``         registered at the relay; dials, is called, refuses a second call
- ``conversation``  one call, from its first message to the release of its last device
- ``keying``        the agreement of a call at work
- ``voice``         the media connection of a call at work
- ``work``          tasks and wake-up calls of one call, and where their faults go
- ``line``          what a call needs of its phone
- ``enrolment``     makes an identity and enrols it
- ``suites``        which KEMs and suites the settings give
- ``backup``        a phone as one file, and its passphrase
- ``report``        what happens, as plain data without secrets
"""
