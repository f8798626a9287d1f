"""Trusted nodes, quantum links (simulated) and the hop-by-hop relay of end keys."""
