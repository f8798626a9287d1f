"""Primitives behind narrow wrappers: KEMs, signatures, the key-derivation table, secrets."""
