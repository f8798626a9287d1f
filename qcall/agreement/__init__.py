"""qcall/1: how two phones agree on keys. Pure: time and random bytes are arguments.

- ``caller`` ``callee``    M1 to M4, one machine each; ``machine`` and ``states`` are what they share
- ``rekey`` ``rekey_caller`` ``rekey_callee``    RK1 to RK3
- ``closing`` ``receipt``    the last words of a call, and what is kept of it
- ``schedule``    the key schedule, one type per stage
- ``messages`` ``control``    what crosses signalling, and what crosses the data channel
- ``suites`` ``policy`` ``peer`` ``quantum`` ``sas`` ``refusal``    what is chosen, judged and told
- ``phone`` ``effects`` ``security``    what a driver gives, runs and shows
"""
