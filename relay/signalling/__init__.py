"""Signalling: registration, invites and the routing of opaque envelopes."""
