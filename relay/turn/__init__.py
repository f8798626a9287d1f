"""TURN: RFC 8489 and RFC 8656, as a pure machine and a thin socket shell."""
