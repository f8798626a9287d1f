"""relay: everything between two phones, and nothing that could open their call.

Map of the package (left may import right; ``|`` may not see each other):

    cli > serve > laboratory | processes > wiretap | control | health > metrics
        > turn | signalling | network > path | kme > pki > config > errors

- ``serve``       composition root: one TaskGroup wires everything
- ``laboratory``  faults: cut fibres, eavesdroppers, drained pools, compromised nodes
- ``processes``   trusted nodes as processes of their own
- ``wiretap``     what an attacker who owns the relay can write down
- ``control``     the running relay's Unix socket: commands in, JSON out
- ``health``      the operator's HTTP port
- ``metrics``     what is counted, in Prometheus's words
- ``turn``        TURN server (RFC 8656) with the modelled path between sites
- ``signalling``  who is registered where; routes opaque envelopes
- ``network``     trusted nodes, links, key relay (simulated quantum layer)
- ``path``        delay, jitter and loss of the modelled fibre path
- ``kme``         ETSI GS QKD 014 key nodes
- ``pki``         the certificate authority of the key nodes and their SAEs

Of ``qcall`` it imports ``qcall.wire`` and nothing else.
"""
